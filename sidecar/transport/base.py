"""What the JSON-RPC layer needs of a transport."""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    """Ordered bytes in both directions."""

    async def receive(self) -> bytes:
        """The next bytes from the host; ``b""`` at end of input."""
        ...

    async def send(self, data: bytes) -> None:
        """Write all of ``data``. Waits while the host does not read. Raises ``TransportClosed`` when it is gone."""
        ...

    def send_nowait(self, data: bytes) -> int:
        """Write what can be written without waiting; how many bytes that was, 0 where only ``send`` can.

        Not to be called while a ``send`` is under way. Raises ``TransportClosed``.
        """
        ...

    async def aclose(self) -> None:
        """Release the transport; a blocked ``receive`` ends."""
        ...


class TransportClosed(Exception):
    """The host closed its end: nothing more can be written."""
