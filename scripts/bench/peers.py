"""Python peers of the sidecar: the same provider, the same answers, other clients. One process per peer.

    python -m scripts.bench.peers floor | openai | litellm

A job per line of stdin, a result per line of stdout (``processes.Peer``). A peer does less than the sidecar: it saves
nothing and tells nobody.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from typing import Any

import msgspec

Answer = Callable[[str, str, str], AsyncIterator[str]]
"""Pieces of the answer, given dialect, base URL and key."""

MESSAGES = [{"role": "user", "content": "hi"}]


async def consume(pieces: AsyncIterator[str]) -> tuple[float, int]:
    """Time to the first piece in ms, characters in all."""
    started = time.perf_counter()
    first, chars = 0.0, 0
    async for piece in pieces:
        if piece:
            first = first or time.perf_counter()
            chars += len(piece)
    return (first - started) * 1000, chars


async def serve(answer: Answer, describe: dict[str, Any], close: Callable[[], Awaitable[Any]]) -> None:
    """Do jobs until stdin closes."""
    print(json.dumps(describe), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        job = json.loads(line)
        cpu = time.process_time()
        tasks = [consume(answer(job["dialect"], job["base"], job["key"])) for _ in range(job["streams"])]
        done = await asyncio.gather(*tasks)
        result = {
            "cpu_s": time.process_time() - cpu,
            "ttft_ms": [first for first, _ in done],
            "chars": sum(chars for _, chars in done),
        }
        print(json.dumps(result), flush=True)
    await close()


class Delta(msgspec.Struct):
    """What the floor reads of a chunk."""

    content: str | None = None


class Choice(msgspec.Struct):
    """See ``Delta``."""

    delta: Delta


class Chunk(msgspec.Struct):
    """See ``Delta``."""

    choices: list[Choice]


async def floor() -> None:
    """The physical floor: aiohttp and msgspec, the smallest reading of OpenAI's chunks there is."""
    import aiohttp

    decode = msgspec.json.Decoder(Chunk).decode
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), read_bufsize=1 << 17)

    async def answer(_dialect: str, base: str, _key: str) -> AsyncIterator[str]:
        body = json.dumps({"model": "bench", "messages": MESSAGES, "stream": True})
        async with session.post(f"{base}/chat/completions", data=body) as response:
            rest = b""
            while data := await response.content.readany():
                *events, rest = (rest + data).split(b"\n\n")
                pieces = [
                    choice.delta.content
                    for event in events
                    if event != b"data: [DONE]"
                    for choice in decode(event[6:]).choices
                    if choice.delta.content
                ]
                yield "".join(pieces)

    named = f"aiohttp {version('aiohttp')}, msgspec {version('msgspec')}"
    await serve(answer, {"version": named, "dialects": ["openai-chat"]}, session.close)


async def openai() -> None:
    """OpenAI's Python SDK."""
    from openai import AsyncOpenAI

    clients: dict[str, AsyncOpenAI] = {}

    async def answer(dialect: str, base: str, key: str) -> AsyncIterator[str]:
        client = clients.get(base) or clients.setdefault(base, AsyncOpenAI(base_url=base, api_key=key, max_retries=0))
        if dialect == "responses":
            async for event in await client.responses.create(model="gpt-4.1", input="hi", stream=True):
                if event.type == "response.output_text.delta":
                    yield event.delta
            return
        stream: Any = await client.chat.completions.create(
            model="gpt-4.1", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    async def close() -> None:
        for client in clients.values():
            await client.close()

    described = {"version": f"openai {version('openai')}", "dialects": ["openai-chat", "responses"]}
    await serve(answer, described, close)


async def litellm() -> None:
    """``litellm.acompletion``, the way it is usually called."""
    os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_OFFLINE_MODE": "True", "LITELLM_MODE": "PRODUCTION"}
    import litellm

    litellm.suppress_debug_info = True
    litellm.disable_hf_tokenizer_download = True
    # no Responses API: its bridge wants the package mcp, which litellm does not depend on (1.106)
    models = {
        "openai-chat": "openai/gpt-4.1",
        "anthropic": "anthropic/claude-sonnet-4-20250514",
        "google": "gemini/gemini-2.5-flash",
    }
    suffix = {"anthropic": "/messages"}

    async def answer(dialect: str, base: str, key: str) -> AsyncIterator[str]:
        stream: Any = await litellm.acompletion(
            model=models[dialect],
            messages=MESSAGES,
            stream=True,
            api_base=base + suffix.get(dialect, ""),
            api_key=key,
            max_retries=0,
            num_retries=0,
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    async def close() -> None:
        await litellm.close_litellm_async_clients()

    await serve(answer, {"version": f"litellm {version('litellm')}", "dialects": list(models)}, close)


if __name__ == "__main__":
    asyncio.run({"floor": floor, "openai": openai, "litellm": litellm}[sys.argv[1]]())
