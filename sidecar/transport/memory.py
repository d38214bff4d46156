"""The in-memory twin of the stdio transport: most tests need no process."""

from __future__ import annotations

import math

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from sidecar.transport.base import TransportClosed


class MemoryTransport:
    """The sidecar's side of an in-memory pipe pair; the host's side is ``host_send`` / ``host_receive``."""

    def __init__(self, *, capacity_frames: float = math.inf) -> None:
        self._to_host_send: MemoryObjectSendStream[bytes]
        self._to_host_send, self._to_host_receive = anyio.create_memory_object_stream[bytes](capacity_frames)
        self._to_sidecar_send, self._to_sidecar_receive = anyio.create_memory_object_stream[bytes](math.inf)

    async def receive(self) -> bytes:
        try:
            return await self._to_sidecar_receive.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return b""

    async def send(self, data: bytes) -> None:
        try:
            await self._to_host_send.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise TransportClosed from error

    def send_nowait(self, data: bytes) -> int:
        try:
            self._to_host_send.send_nowait(data)
        except anyio.WouldBlock:
            return 0
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise TransportClosed from error
        return len(data)

    async def aclose(self) -> None:
        self._to_host_send.close()
        self._to_sidecar_receive.close()

    def host_send(self, data: bytes) -> None:
        """Bytes from the host; never waits."""
        self._to_sidecar_send.send_nowait(data)

    def host_close_input(self) -> None:
        """The host closes the sidecar's stdin."""
        self._to_sidecar_send.close()

    def host_close(self) -> None:
        """The host is gone: both of its ends are closed."""
        self._to_sidecar_send.close()
        self._to_host_receive.close()

    @property
    def host_receive(self) -> MemoryObjectReceiveStream[bytes]:
        """What the sidecar wrote, in writes."""
        return self._to_host_receive
