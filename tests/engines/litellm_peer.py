"""What ``litellm.acompletion`` makes of given bytes: a program of its own, since litellm and what it needs may live in
another environment than the tests.

Reads a JSON list from stdin, one object per dialect: its ``name``, the ``model`` to ask for, the ``path`` of the base
URL, and ``streams``, bodies to be served on loopback. Prints one JSON line per dialect: ``name``, and ``readings``:
what the chunks of each body came to.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from threading import Thread
from typing import Any, ClassVar

FINISH = {"content_filter": "content-filter", "tool_calls": "tool-calls"}


class Vendor(BaseHTTPRequestHandler):
    """Answers every request with ``body``."""

    body: ClassVar[bytes] = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        return


def main() -> None:
    """Every stream of every dialect."""
    jobs = json.loads(sys.stdin.read())
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_OFFLINE_MODE": "True", "LITELLM_MODE": "PRODUCTION"}
    os.environ.update(quiet, REPEATED_STREAMING_CHUNK_LIMIT="100000000")
    litellm = import_module("litellm")
    litellm.suppress_debug_info = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    Thread(target=server.serve_forever, daemon=True).start()
    asyncio.run(all_of(litellm, jobs, f"http://127.0.0.1:{server.server_port}"))


async def all_of(litellm: Any, jobs: list[dict[str, Any]], base: str) -> None:
    """One line per job."""
    for job in jobs:
        readings = []
        for stream in job["streams"]:
            Vendor.body = stream.encode()
            readings.append(await read(litellm, job["model"], base + job["path"]))
        print(json.dumps({"name": job["name"], "readings": readings}))  # noqa: T201 - it is what the program is for


async def read(litellm: Any, model: str, base: str) -> dict[str, Any]:
    """The sum of the chunks of one answer."""
    found: dict[str, Any] = {"text": "", "reasoning": "", "finish": None, "failed": False}
    tokens: dict[str, Any] = {}
    calls: dict[int, list[str]] = {}
    try:
        chunks = await litellm.acompletion(
            model=model, api_base=base, api_key="k" * 20, messages=[{"role": "user", "content": "hi"}], stream=True,
            stream_options={"include_usage": True}, max_retries=0, num_retries=0,
        )  # fmt: skip
        async for chunk in chunks:
            for choice in chunk.choices:
                found["text"] += getattr(choice.delta, "content", None) or ""
                found["reasoning"] += getattr(choice.delta, "reasoning_content", None) or ""
                for piece in getattr(choice.delta, "tool_calls", None) or ():
                    call = calls.setdefault(piece.index, ["", ""])
                    call[0] += piece.function.name or ""
                    call[1] += piece.function.arguments or ""
                if choice.finish_reason:
                    found["finish"] = FINISH.get(choice.finish_reason, choice.finish_reason)
            tokens |= dict(counts(getattr(chunk, "usage", None)))
    except Exception:  # noqa: BLE001 - that it failed is the reading
        found["failed"] = True
    return {**found, "calls": list(calls.values()), **tokens}


def counts(usage: Any) -> Iterator[tuple[str, Any]]:
    """Tokens under our names."""
    if usage is None:
        return
    yield "input", usage.prompt_tokens
    yield "output", usage.completion_tokens
    yield "total", usage.total_tokens
    yield "cached", getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)
    yield "thought", getattr(getattr(usage, "completion_tokens_details", None), "reasoning_tokens", None)


if __name__ == "__main__":
    main()
