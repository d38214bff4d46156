"""A provider that fails as vendors do: a process of its own, for the fault run.

    python -m scripts.bench.faulty [N]        prints its port, serves until its stdin closes

It speaks every dialect, by the ending of the path. Models with ``flaky`` in their names fail N of every 125 requests
(4, which is 3.2 %), the kinds of failure in turn; the others never do. What is answered follows from who answers and
from the number in the prompt (``answer_text``), so that whoever reads it can tell a word that is lost, comes twice or
stands in somebody else's answer. A request that brings half of an answer back gets its other half, which repeats some
of the first as models do. ``GET /tally`` tells what happened so far.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any, Final

from scripts.bench.provider import HEAD, Connection, serve
from tests.providers.streams import (
    anthropic_stream,
    cohere_stream,
    gemini_stream,
    openai_chat_stream,
    openai_responses_stream,
)

FLAKY: Final = "flaky"
"""In the name of a model that fails."""

BLOCK: Final = 125
PER_BLOCK: Final = 4
"""Of every ``BLOCK`` requests so many fail: 3.2 %."""

KINDS: Final = (
    "429",
    "429, Retry-After",
    "500",
    "503",
    "529",
    "reset",
    "stall",
    "stall after text",
    "cut after text",
    "error after text",
    "garbage",
)
"""Refused connections are missing: a server that can refuse is none that answers."""

PIECE: Final = 9
"""Characters per delta."""

_PREAMBLE: Final = 6
"""Events after which every dialect has come to content."""

NUMBER: Final = re.compile(r"answer number (\d+)")

_DIALECTS: Final[dict[str, tuple[str, Callable[[list[str], list[str]], list[bytes]]]]] = {
    "/chat/completions": ("completions", lambda text, thoughts: openai_chat_stream(text, reasoning=thoughts)),
    "/responses": ("responses", lambda text, thoughts: openai_responses_stream(text, reasoning=thoughts)),
    "/messages": ("messages", lambda text, thoughts: anthropic_stream(text, thinking=thoughts)),
    ":streamGenerateContent": ("gemini", lambda text, thoughts: gemini_stream(text, thoughts=thoughts)),
    "/chat": ("cohere", lambda text, thoughts: cohere_stream(text, thinking=thoughts)),
}
"""By the path's ending: who answers when it is healthy, and in which bytes."""

VOICES: Final = (FLAKY, *(name for name, _ in _DIALECTS.values()))
"""Everybody whose answer may be met."""


def answer_text(number: int, who: str) -> str:
    """What ``who`` answers to that prompt: prose, then a file."""
    lines = [f"[{who} {number}] Here is the page — with 木 and 🌿."]
    lines += [f"Step {step} of {who} {number}: {'abcdefgh'[step] * 5} {number * 7 + step}." for step in range(6)]
    lines.append(f'<scalix-write path="src/pages/Page{number}.tsx" description="page {number} of {who}">')
    lines += [f"  const {who}{step} = {number} + {step}; // line {step}" for step in range(8)]
    lines += ["</scalix-write>", f"That was {number} by {who}."]
    return "\n".join(lines)


def thought_text(number: int, who: str) -> str:
    """What ``who`` thinks before that: nothing, for every other prompt."""
    return f"{who} thinks about {number}, and about 🌱 too." if number % 2 else ""


class Faults:
    """Which request fails, and how."""

    def __init__(self, per_block: int = PER_BLOCK) -> None:
        self.tally: Counter[str] = Counter()
        self.random = random.Random(20)
        self._per_block = per_block
        self.garbage = cycle(_GARBAGE)
        self._kinds = cycle(KINDS)
        self._plan = self._endless()

    def next(self) -> str | None:
        """The failure of the next request; None: it is answered."""
        return next(self._plan)

    def _endless(self) -> Iterator[str | None]:
        while True:
            failing = set(self.random.sample(range(BLOCK), self._per_block))
            for place in range(BLOCK):
                yield next(self._kinds) if place in failing else None


class FaultyConnection(Connection):
    """One client of the provider."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults
        self._task: asyncio.Task[None] | None = None

    def connection_lost(self, _: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def answer(self, path: str, body: bytes) -> None:
        if path == "/tally":
            self.json(200, self._faults.tally)
            return
        request = json.loads(body)
        flaky = FLAKY in request.get("model", path)
        events = answered(path, request, flaky=flaky)
        kind = self._faults.next() if flaky else None
        self._faults.tally["asked flaky" if flaky else "asked healthy"] += 1
        if kind is None:
            self._transport.write(HEAD + b"".join(map(framed, events)) + _END)
            return
        self._faults.tally[kind] += 1
        self._task = asyncio.get_running_loop().create_task(self._fail(kind, events))

    async def _fail(self, kind: str, events: list[bytes]) -> None:
        match kind:
            case "429":
                self.json(429, _error("Too many requests."))
            case "429, Retry-After":
                self.json(429, _error("Too many requests."), "Retry-After: 1\r\n")
            case "500" | "503" | "529":
                self.json(int(kind), _error("The server had an error."))
            case "reset":
                self._reset()
            case "stall":
                self._transport.write(HEAD)
                await self._keep_alive()
            case "garbage":
                self._transport.write(next(self._faults.garbage))
                self._transport.close()
            case _:
                await self._break_off(kind, events)

    async def _break_off(self, kind: str, events: list[bytes]) -> None:
        """Anywhere in the middle of the answer, its first words being out (or what was thought before them)."""
        sent = self._faults.random.randint(_PREAMBLE, len(events) * 3 // 4)
        self._transport.write(HEAD + b"".join(map(framed, events[:sent])))
        if kind == "stall after text":
            await self._keep_alive()
        await asyncio.sleep(0.02)  # a reset takes back what the client has not read yet
        if kind == "error after text":
            self._transport.write(_OVERLOADED + _END)
        elif sent % 2:
            self._reset()
        else:  # an orderly end without the finish marker
            self._transport.write(_END)
            self._transport.close()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            self._transport.write(framed(b": keep-alive\n\n"))

    def _reset(self) -> None:
        end: socket.socket = self._transport.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def answered(path: str, body: Any, *, flaky: bool) -> list[bytes]:
    """The events of the whole answer, or of what is missing of the answer that came back."""
    name, make = next(dialect for ending, dialect in _DIALECTS.items() if path.endswith(ending))
    who = FLAKY if flaky else name
    texts = list(strings(body))
    number = int(next(match[1] for text in texts if (match := NUMBER.search(text))))
    whole, thought = answer_text(number, who), thought_text(number, who)
    answers = [answer_text(number, voice) for voice in VOICES]
    halves = [(text, answer) for text in texts for answer in answers if len(text) >= PIECE and answer.startswith(text)]
    if halves:
        (half, whole), thought = halves[0], ""
        repeated = (0, 30, len(half) - half.rfind("\n") - 1)[number % 3]
        whole = whole[max(0, len(half) - repeated) :]
    return make(cut(whole), cut(thought))


def cut(text: str) -> list[str]:
    """``text`` as deltas."""
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def strings(value: Any) -> Iterator[str]:
    """Every text in a request, in order: where a message's text stands differs from dialect to dialect."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def framed(event: bytes) -> bytes:
    """One chunk of HTTP."""
    return b"%x\r\n%b\r\n" % (len(event), event)


_OVERLOADED: Final = framed(b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n')
_PAGE: Final = b"<html><title>Sign in</title></html>"
_END: Final = framed(b"")
_GARBAGE: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (len(_PAGE), _PAGE),
    HEAD + framed(b'data: {"choices": \n\n') + _END,
    HEAD + framed(b"data: \xff\xfe\x00\n\n") + _END,
    HEAD + _END,
    b"220 mail.example ESMTP\r\n\r\n",
)
"""A sign-in page, JSON that never ends, bytes that are no text, nothing at all, and what is not HTTP."""


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "error"}}


if __name__ == "__main__":
    faults = Faults(*map(int, sys.argv[1:]))
    asyncio.run(serve(lambda: FaultyConnection(faults)))
