"""aiohttp's response, read without regard to the HTTP chunks it came in.

Vendors send every event as an HTTP chunk of its own. aiohttp notes where each ends, for readers who want to know, and
hands its buffer back piece by piece, asking the parser to go on after each: for a short event that is much of its
cost. An event stream has its own framing, so all that is left out here.

Imports aiohttp: import this where the client is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import ClientResponse
from aiohttp.streams import StreamReader

if TYPE_CHECKING:
    from aiohttp.connector import Connection

READ_BYTES: Final = 64 * 1024
"""Asked for with each read. asyncio asks for four times as much, for which the allocator goes to the system and back:
words that come one by one pay that one by one."""


class ChunklessReader(StreamReader):
    """A body whose ``readany`` takes everything that is there at once. ``readchunk`` does not know chunks."""

    __slots__ = ()

    def begin_http_chunk_receiving(self) -> None:
        """Nothing is kept of where chunks begin."""

    def end_http_chunk_receiving(self) -> None:
        """Nothing is kept of where chunks end."""

    async def readany(self) -> bytes:
        """The bytes that have arrived, at least one; ``b""`` at the end.

        Raises what broke the connection, after everything that arrived before: aiohttp's own forgets that.
        """
        pieces = self._buffer
        while not pieces and not self._eof and self._exception is None:
            await self._wait("readany")
        if not pieces and self._exception is not None:
            raise self._exception
        if len(pieces) < 2 or self._buffer_offset:
            return self._read_nowait(-1)
        data = b"".join(pieces)
        pieces.clear()
        self._size = 0
        self._cursor += len(data)
        self._protocol.resume_reading()
        return data


class ChunklessResponse(ClientResponse):
    """What a session makes of an answer (``response_class``): the parser's reader becomes a ``ChunklessReader``."""

    async def start(self, connection: Connection) -> ClientResponse:
        """Read the head. Raises what ``ClientResponse.start`` raises."""
        transport = connection.transport
        if transport is not None and hasattr(transport, "max_size"):  # TLS has buffers of its own
            transport.max_size = READ_BYTES
        await super().start(connection)
        if type(self.content) is StreamReader:  # an empty body has a reader of its own kind
            self.content.__class__ = ChunklessReader
            self.content._http_chunk_splits = None
        return self
