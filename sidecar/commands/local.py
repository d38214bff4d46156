"""A host for the command line: a sidecar in this process, spoken to over the in-memory transport."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec

from protocol.envelope import Request
from sidecar.errors import SidecarError
from sidecar.transport.framing import MAX_LINE_BYTES, LineFramer
from sidecar.transport.memory import MemoryTransport

Json = dict[str, Any]


class CommandFailed(SidecarError):
    """The sidecar answered with an error; ``wire`` is the error object."""

    def __init__(self, wire: Json) -> None:
        super().__init__(wire["message"])
        self.wire = wire


class LocalSidecar:
    """Requests, and notifications as they come."""

    def __init__(self, transport: MemoryTransport, on_notification: Callable[[str, Json], None]) -> None:
        self._transport = transport
        self._on_notification = on_notification
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[anyio.Event, list[Json]]] = {}

    async def request(self, method: str, params: Json | None = None) -> Any:
        """The result. Raises ``CommandFailed``."""
        identifier = next(self._ids)
        event, box = anyio.Event(), list[Json]()
        self._waiting[identifier] = (event, box)
        message = Request(id=identifier, method=method, params=params or {})
        self._transport.host_send(msgspec.json.encode(message) + b"\n")
        await event.wait()
        if "error" in box[0]:
            raise CommandFailed(box[0]["error"])
        return box[0]["result"]

    async def read(self) -> None:
        """Take in what the sidecar says, until it ends."""
        framer = LineFramer()
        async for data in self._transport.host_receive:
            for line in framer.feed(data):
                if isinstance(line, bytes):
                    self._take(msgspec.json.decode(line))

    def _take(self, frame: Json) -> None:
        if "method" in frame:
            self._on_notification(frame["method"], frame.get("params", {}))
            return
        event, box = self._waiting.pop(frame["id"])
        box.append(frame)
        event.set()


@asynccontextmanager
async def local_sidecar(
    user_data: Path | None, on_notification: Callable[[str, Json], None] = lambda _method, _params: None
) -> AsyncIterator[LocalSidecar]:
    """A sidecar over the app's own files, or those in ``user_data``; its handshake is done."""
    from sidecar.app import Application
    from sidecar.lifecycle import serve

    transport = MemoryTransport()
    host = LocalSidecar(transport, on_notification)
    try:
        async with anyio.create_task_group() as tasks:
            application = Application(transport, os.environ, user_data=user_data)

            async def run() -> None:
                await serve(transport, application, max_line_bytes=MAX_LINE_BYTES)

            tasks.start_soon(run)
            tasks.start_soon(host.read)
            await host.request("initialize", {"capabilities": {"chunks": "patch"}})
            yield host
            await host.request("shutdown")
            tasks.cancel_scope.cancel()
    finally:
        transport.host_close()
