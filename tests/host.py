"""A host as tests see it: sends requests, collects what comes back, plays the renderer's part.

``MemoryHost`` drives the sidecar in this process over the in-memory transport, ``ProcessHost`` spawns the real one.
Both speak the wire and nothing else.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import msgspec

from sidecar.app import Application
from sidecar.chat.text.patches import Patch
from sidecar.lifecycle import serve
from sidecar.transport.framing import MAX_LINE_BYTES, LineFramer
from sidecar.transport.memory import MemoryTransport
from tests import planted
from tests.renderer import apply_patch

Json = dict[str, Any]
TIMEOUT_S = 20


class RpcError(Exception):
    """An error answer."""

    def __init__(self, error: Json) -> None:
        super().__init__(f"{error['code']} {error['message']}")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Json = error["data"]


class Host:
    """The shared half: ids, answers, notifications, texts rebuilt from chunks."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._frames = planted.Frames()
        self._write = send
        self._ids = itertools.count(1)
        self._answers: dict[Any, Json] = {}
        self._changed = anyio.Event()
        self.frames: list[Json] = []
        """Every frame received, in order."""
        self.on_frame: Callable[[Json], None] | None = None
        """Called with every frame as it arrives."""
        self.answer_host: dict[str, Callable[[Json], Any]] = {}
        """Answers to ``host:*`` requests, by method."""
        self.texts: dict[str, str] = {}
        """The answer of each stream as a renderer would hold it, by stream id."""
        self.ended = False
        self.closed = anyio.Event()

    async def _send(self, line: bytes) -> None:
        self._frames.asked(line)
        await self._write(line)

    async def raw(self, line: bytes) -> None:
        await self._write(line)

    async def start(self, method: str, params: Any = None, *, id_: Any = None) -> Any:
        """Send a request without waiting; returns its id."""
        identifier = next(self._ids) if id_ is None else id_
        message: Json = {"jsonrpc": "2.0", "id": identifier, "method": method}
        if params is not None:
            message["params"] = params
        await self._send(msgspec.json.encode(message) + b"\n")
        return identifier

    async def notify(self, method: str, params: Any = None) -> None:
        message: Json = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        await self._send(msgspec.json.encode(message) + b"\n")

    async def answer(self, identifier: Any) -> Any:
        """Wait for the answer of a request. Raises ``RpcError``."""
        await self.until(lambda: identifier in self._answers)
        frame = self._answers[identifier]
        if "error" in frame:
            raise RpcError(frame["error"])
        return frame["result"]

    async def request(self, method: str, params: Any = None) -> Any:
        return await self.answer(await self.start(method, params))

    async def initialize(self, **params: Any) -> Json:
        result: Json = await self.request("initialize", {"protocolVersion": 1, **params})
        return result

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until frames received so far satisfy ``condition``."""
        with anyio.fail_after(TIMEOUT_S):
            while not condition():
                if self.ended:
                    raise AssertionError(f"the sidecar ended; last frames: {self.frames[-5:]}")
                await self._changed.wait()

    def notifications(self, method: str, **members: Any) -> list[Json]:
        """Params of the notifications received, filtered by members."""
        found = [frame["params"] for frame in self.frames if frame.get("method") == method and "id" not in frame]
        return [params for params in found if all(params.get(key) == value for key, value in members.items())]

    async def notification(self, method: str, **members: Any) -> Json:
        """The first such notification, waited for."""
        await self.until(lambda: self.notifications(method, **members))
        return self.notifications(method, **members)[0]

    def terminals(self, chat_id: int) -> list[Json]:
        """The terminal notifications of a chat."""
        return [
            frame["params"]
            for frame in self.frames
            if frame.get("method") in {"chat:response:end", "chat:response:error"}
            and frame["params"]["chatId"] == chat_id
        ]

    def text(self, chat_id: int) -> str:
        """The chat's newest answer as rebuilt from the chunks."""
        streams = [
            frame["params"]["streamId"]
            for frame in self.frames
            if frame.get("method") == "chat:response:chunk" and frame["params"]["chatId"] == chat_id
        ]
        return self.texts[streams[-1]] if streams else ""

    async def received(self, line: bytes) -> None:
        self._frames.sent(line)
        frame = json.loads(line)
        for member in frame if isinstance(frame, list) else [frame]:
            await self._take(member)
        self._notify()

    async def _take(self, frame: Json) -> None:
        self.frames.append(frame)
        if self.on_frame is not None:
            self.on_frame(frame)
        method = frame.get("method")
        if method is None:
            self._answers[frame["id"]] = frame
        elif "id" in frame:
            await self._answer_host(frame)
        elif method == "chat:response:chunk":
            self._chunk(frame["params"])

    async def _answer_host(self, frame: Json) -> None:
        handler = self.answer_host.get(frame["method"])
        if handler is None:
            return
        answer = {"jsonrpc": "2.0", "id": frame["id"], "result": handler(frame["params"])}
        await self._send(msgspec.json.encode(answer) + b"\n")

    def _chunk(self, params: Json) -> None:
        stream = params["streamId"]
        if "messages" in params:
            self.texts[stream] = params["messages"][-1]["content"]
            return
        patch = params["streamingPatch"]
        self.texts[stream] = apply_patch(
            self.texts[stream], Patch(patch["offset"], patch["content"], patch.get("prefixHash"))
        )

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def end(self) -> None:
        self.ended = True
        self.closed.set()
        self._notify()


@asynccontextmanager
async def memory_host(
    user_data: Path,
    environ: Mapping[str, str] | None = None,
    *,
    on_loaded: Callable[[], None] = lambda: None,
    **initialize: Any,
) -> AsyncIterator[Host]:
    """The sidecar in this process. With ``initialize`` params given, the handshake is done."""
    transport = MemoryTransport()

    async def send(data: bytes) -> None:
        transport.host_send(data)

    host = Host(send)

    async def read() -> None:
        framer = LineFramer()
        async for data in transport.host_receive:
            for line in framer.feed(data):
                assert isinstance(line, bytes)
                await host.received(line)

    async def run() -> None:
        environment = {**planted.environment(), **(environ or {})}
        application = Application(transport, environment, user_data=user_data, on_loaded=on_loaded)
        await serve(transport, application, max_line_bytes=MAX_LINE_BYTES)
        host.end()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            tasks.start_soon(read)
            if initialize:
                await host.initialize(**initialize)
            yield host
            transport.host_close_input()
            with anyio.fail_after(TIMEOUT_S):
                await host.closed.wait()
            tasks.cancel_scope.cancel()
    finally:
        transport.host_close()


class ProcessHost(Host):
    """A spawned sidecar."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin is not None
        self.process = process
        self.stderr = b""
        self.bytes_received = 0
        super().__init__(process.stdin.send)


@asynccontextmanager
async def process_host(
    user_data: Path,
    environ: Mapping[str, str] | None = None,
    *,
    command: list[str] | None = None,
    arguments: tuple[str, ...] = (),
    **initialize: Any,
) -> AsyncIterator[ProcessHost]:
    """The real sidecar as a child process; its stdin is closed and it is waited for at the end."""
    words = command or sidecar_command()
    env = {**clean_environment(), **planted.environment(), **(environ or {})}
    async with await anyio.open_process(
        [*words, "serve", "--user-data", str(user_data), *arguments], env=env
    ) as process:
        host = ProcessHost(process)
        assert process.stdout is not None
        assert process.stderr is not None
        stdout, stderr = process.stdout, process.stderr

        async def read() -> None:
            framer = LineFramer()
            try:
                while True:
                    data = await stdout.receive()
                    host.bytes_received += len(data)
                    for line in framer.feed(data):
                        assert isinstance(line, bytes)
                        await host.received(line)
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                host.end()

        async def log() -> None:
            async for data in stderr:
                host.stderr += data

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(log)
            try:
                if initialize:
                    await host.initialize(**initialize)
                yield host
            finally:
                with anyio.CancelScope(shield=True):
                    assert process.stdin is not None
                    await process.stdin.aclose()
                    with anyio.move_on_after(10):
                        await process.wait()
                    if process.returncode is None:
                        process.kill()
                planted.logged(host.stderr)
                tasks.cancel_scope.cancel()


def sidecar_command() -> list[str]:
    """The command under test: pytest's ``--sidecar``, else ``SCALIX_SIDECAR_COMMAND``, else this checkout."""
    given = os.environ.get("SCALIX_SIDECAR_COMMAND")
    return shlex.split(given) if given else [sys.executable, "-m", "sidecar"]


def clean_environment() -> dict[str, str]:
    """The test's environment without provider keys, proxies or settings of whoever runs it."""
    kept = ("PATH", "HOME", "LANG", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")
    return {name: os.environ[name] for name in kept if name in os.environ}
