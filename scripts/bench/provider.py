"""The scripted provider of the benchmark: a process of its own that speaks four dialects from precomputed bytes.

    python -m scripts.bench.provider        prints its port, serves until its stdin closes

``POST /control`` sets what the following answers are (``Script``), ``GET /cut`` tells when clients closed a connection
in the middle of an answer. Any other path is answered by its ending, whatever base URL stands before it. An answer's
bytes are made once per script and dialect, HTTP framing included, so that the provider is never the bottleneck.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Final

from tests.providers.streams import anthropic_stream, gemini_stream, openai_chat_stream, openai_responses_stream

WORDS: Final = (
    " the", " answer", " is", " a", " page", " with", " one", " heading", " and", " two", " buttons", ".", " It",
    " keeps", " its", " state", " in", " the", " URL", ", so", " that", " a", " link", " opens", " it", " again", ".\n",
)  # fmt: skip
"""Cycled: litellm refuses streams that repeat one chunk (1.106)."""

SLICE: Final = 1 << 18
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Script:
    """``chunks`` deltas; the first ``burst`` of them (all when there is no pace) at once, then one per ``pace_ms``."""

    chunks: int = 100
    pace_ms: float = 0
    burst: int = 0


def text_of(chunks: int) -> str:
    """The text of an answer of so many deltas."""
    return "".join(islice(cycle(WORDS), chunks))


_USAGE: Final = {"prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120}
_RESPONSES_USAGE: Final = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 100,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 120,
}
DIALECTS: Final[dict[str, Callable[[list[str]], list[bytes]]]] = {
    "/chat/completions": lambda pieces: openai_chat_stream(pieces, usage=_USAGE),
    "/responses": lambda pieces: openai_responses_stream(pieces, usage=_RESPONSES_USAGE),
    "/messages": anthropic_stream,
    ":streamGenerateContent": gemini_stream,
}


class Answers:
    """Precomputed answers: what goes out at once, and what follows piece by piece."""

    def __init__(self) -> None:
        self.cut: list[float] = []
        """``time.perf_counter`` of every connection that was closed in the middle of an answer."""
        self._made: dict[Script, dict[str, tuple[bytes, list[bytes]]]] = {}
        self.script: Script
        self.play(Script())

    def play(self, script: Script) -> None:
        """Answer so from now on. Made here and now: whoever asks first must not wait for it."""
        if script not in self._made:
            self._made[script] = {ending: self._make(script, ending) for ending in DIALECTS}
        self.script = script

    def of(self, ending: str) -> tuple[bytes, list[bytes]]:
        """The bytes for a path that ends so."""
        return self._made[self.script][ending]

    def _make(self, script: Script, ending: str) -> tuple[bytes, list[bytes]]:
        events = DIALECTS[ending](list(islice(cycle(WORDS), script.chunks)))
        framed = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
        framed[-1] += b"0\r\n\r\n"
        at_once = script.burst if script.pace_ms else len(framed)
        return HEAD + b"".join(framed[:at_once]), framed[at_once:]


class Connection(asyncio.Protocol):
    """One client: requests in a row."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        request, *lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b":", 1) for line in lines)
        if fields.get(b"transfer-encoding", b"").strip() == b"chunked":
            if not rest.endswith(b"0\r\n\r\n"):
                return
            body = b""
        else:
            length = int(fields.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            body = rest
        self._buffer = b""
        self.answer(request.split(b" ")[1].partition(b"?")[0].decode(), body)

    def answer(self, path: str, body: bytes) -> None:
        """Answer one request."""
        raise NotImplementedError

    def json(self, status: int, value: Any, headers: str = "") -> None:
        """Answer with a JSON document; ``headers`` are lines with their ends."""
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self._transport.write(head.encode() + body)


class ScriptedConnection(Connection):
    """Answers from precomputed bytes."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self._answers = answers
        self._writable = asyncio.Event()
        self._writable.set()
        self._answering: asyncio.Task[None] | None = None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, _: Exception | None) -> None:
        if self._answering is not None and not self._answering.done():
            self._answers.cut.append(time.perf_counter())
            self._answering.cancel()

    def answer(self, path: str, body: bytes) -> None:
        if path == "/control":
            self._answers.play(Script(**json.loads(body)))
            self.json(200, {})
        elif path == "/cut":
            self.json(200, self._answers.cut)
            self._answers.cut = []
        elif ending := next((ending for ending in DIALECTS if path.endswith(ending)), None):
            self._answering = asyncio.get_running_loop().create_task(self._stream(*self._answers.of(ending)))
        else:
            self.json(404, {"error": {"message": f"nothing is scripted for {path}"}})

    async def _stream(self, at_once: bytes, pieces: list[bytes]) -> None:
        for start in range(0, len(at_once), SLICE):
            await self._writable.wait()
            self._transport.write(at_once[start : start + SLICE])
        pace_s = self._answers.script.pace_ms / 1000
        for piece in pieces:
            await asyncio.sleep(pace_s)
            await self._writable.wait()
            self._transport.write(piece)


async def serve(connection: Callable[[], Connection]) -> None:
    """Say the port, and serve until stdin closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    scripted = Answers()
    asyncio.run(serve(lambda: ScriptedConnection(scripted)))
