"""A host as light as can be: it must not be what is measured.

It reads the pipe itself, with one system call per ``read``, so that it can also stop reading; what arrived gets the
time at which the call returned. Texts are put together the way the protocol says (page 6), without checking hashes.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from scripts.bench.processes import ROOT, cpu_s, rss_mb
from tests.host import clean_environment

READ_BYTES: Final = 1 << 20
TIMEOUT_S: Final = 180
SOURCE: Final = (sys.executable, "-m", "sidecar")


class Patch(msgspec.Struct):
    offset: int
    content: str


class _Part(msgspec.Struct):
    type: str
    delta: str = ""


class _Params(msgspec.Struct, rename="camel"):
    chat_id: int | None = None
    streaming_patch: Patch | None = None
    call_id: str | None = None
    part: _Part | None = None


class _Frame(msgspec.Struct):
    id: int | None = None
    method: str | None = None
    params: _Params | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_FRAME: Final = msgspec.json.Decoder(_Frame)


@dataclass
class Stream:
    """What has arrived of one answer."""

    asked_at: float
    first_at: float = 0.0
    patches: int = 0
    bytes: int = 0
    """Bytes of all its chunks on the wire."""
    first_chunk_bytes: int = 0
    length: int = 0
    pieces: list[str] = field(default_factory=list)
    terminal: bytes = b""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def ttft_ms(self) -> float:
        """From asking to the first patch, in ms."""
        return (self.first_at - self.asked_at) * 1000

    def patch(self, patch: Patch, now: float) -> None:
        if not self.patches:
            self.first_at = now
        self.patches += 1
        if patch.offset != self.length:  # the sidecar took something back
            self.pieces = [self.text[: patch.offset]]
        self.pieces.append(patch.content)
        self.length = patch.offset + len(patch.content)


class SidecarHost:
    """A spawned sidecar. All waiting is reading; nothing is read in between."""

    def __init__(self, user_data: Path, environ: dict[str, str] | None = None, command: Sequence[str] = SOURCE) -> None:
        self.spawned_at = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, "serve", "--user-data", str(user_data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=ROOT,
            env={**clean_environment(), **(environ or {})},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._rest = b""
        self._last_id = 0
        self.answers: dict[int, tuple[float, _Frame]] = {}
        self.streams: dict[int, Stream] = {}
        self._calls: dict[str, Stream] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def rss_mb(self) -> float:
        return rss_mb(self.pid)

    def start(self, method: str, params: Any = None) -> int:
        """Send a request; its id."""
        self._last_id += 1
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params or {}}
        os.write(self._stdin, msgspec.json.encode(message) + b"\n")
        return self._last_id

    def request(self, method: str, params: Any = None) -> Any:
        """Send a request and wait for its result."""
        identifier = self.start(method, params)
        self.until(lambda: identifier in self.answers)
        return self.result(identifier)

    def timed(self, method: str, params: Any = None) -> float:
        """Milliseconds from writing a request to having read its answer."""
        started = time.perf_counter()
        identifier = self.start(method, params)
        self.until(lambda: identifier in self.answers)
        at, _ = self.answers[identifier]
        self.result(identifier)
        return (at - started) * 1000

    def result(self, identifier: int) -> Any:
        """The result of an answered request. Raises ``RuntimeError`` when it was refused."""
        _, frame = self.answers.pop(identifier)
        if not bytes(frame.result):
            raise RuntimeError(bytes(frame.error).decode())
        return msgspec.json.decode(frame.result)

    def initialize(self) -> float:
        """The handshake, patches wanted. Milliseconds from the spawn to its answer."""
        identifier = self.start("initialize", {"protocolVersion": 1, "capabilities": {"chunks": "patch"}})
        self.until(lambda: identifier in self.answers)
        at, _ = self.answers[identifier]
        self.result(identifier)
        return (at - self.spawned_at) * 1000

    def ask(self, chat: int, model: dict[str, str], prompt: str = "hi") -> int:
        """Start a stream; the request's id."""
        self.streams[chat] = Stream(time.perf_counter())
        return self.start("chat:stream", {"chatId": chat, "prompt": prompt, "model": model})

    def chat(self, chats: Sequence[int], model: dict[str, str]) -> list[Stream]:
        """One answer in each chat, all asked at once, to their ends."""
        requests = [self.ask(chat, model) for chat in chats]
        self.until(lambda: all(request in self.answers for request in requests))
        for chat, request in zip(chats, requests, strict=True):
            if self.result(request) != chat:
                raise RuntimeError(self.streams[chat].terminal.decode())
        return [self.streams.pop(chat) for chat in chats]

    def call(self, model: dict[str, str], prompt: str = "hi") -> Stream:
        """One ``llm:stream``, to its end."""
        name = f"call {self._last_id}"
        self._calls[name] = Stream(time.perf_counter())
        said = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
        request = self.start("llm:stream", {"callId": name, "model": model, "prompt": said})
        self.until(lambda: request in self.answers)
        self.result(request)
        return self._calls.pop(name)

    def until(self, condition: Callable[[], Any], within_s: float = TIMEOUT_S) -> None:
        """Read until ``condition``. Raises ``TimeoutError``, and ``RuntimeError`` when the sidecar has ended."""
        deadline = time.perf_counter() + within_s
        while not condition():
            self._read(deadline - time.perf_counter())

    def idle(self, seconds: float) -> None:
        """Keep reading for so long."""
        deadline = time.perf_counter() + seconds
        try:
            while True:
                self._read(deadline - time.perf_counter())
        except TimeoutError:
            return

    def close(self) -> None:
        os.set_blocking(self._stdout, True)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.stdin = None
        try:
            self._process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self, within_s: float) -> None:
        readable, _, _ = select.select([self._stdout], [], [], max(0.0, within_s))
        if not readable:
            raise TimeoutError
        data = os.read(self._stdout, READ_BYTES)
        now = time.perf_counter()
        if not data:
            raise RuntimeError("the sidecar has ended")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line, now)

    def _take(self, line: bytes, now: float) -> None:
        frame = _FRAME.decode(line)
        if frame.method is None:
            if frame.id is not None:
                self.answers[frame.id] = (now, frame)
            return
        params = frame.params
        if frame.method == "llm:part" and params is not None and params.part is not None:
            if params.part.type == "text-delta":
                stream = self._calls[params.call_id or ""]
                stream.patch(Patch(stream.length, params.part.delta), now)
            return
        stream = self.streams.get(params.chat_id or 0) if params is not None else None
        if stream is None or params is None:
            return
        if frame.method == "chat:response:chunk":
            stream.bytes += len(line) + 1
            if params.streaming_patch is not None:
                stream.patch(params.streaming_patch, now)
            else:
                stream.first_chunk_bytes = len(line) + 1
        elif frame.method in ("chat:response:end", "chat:response:error"):
            stream.terminal = line
