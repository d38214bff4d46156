"""The host's pipes as a transport.

Pipes and sockets are read and written from the loop without blocking, which saves thread switches with every request
and every patch. Everything else (files, terminals, Windows pipes) is written through a worker thread, and read by a
daemon thread in ``os.read``, which lets the interpreter exit while it is blocked, at most ``READ_AHEAD`` chunks ahead
of the loop.
"""

from __future__ import annotations

import errno
import math
import os
import stat
import sys
import threading
from typing import Final

import anyio
import anyio.lowlevel
import anyio.to_thread

from sidecar.transport.base import TransportClosed

READ_CHUNK_BYTES: Final = 64 * 1024
"""What a pipe of Linux holds; for buffers twice as large the allocator asks the system, each time."""
READ_AHEAD: Final = 8
"""Chunks read from stdin before the loop has taken them: bounds memory while the loop is busy."""

_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET, errno.EBADF, errno.ESHUTDOWN, errno.EINVAL})


class StdioTransport:
    """Bytes over two descriptors."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._send_in, self._receive_in = anyio.create_memory_object_stream[bytes](math.inf)
        self._ahead = threading.Semaphore(READ_AHEAD)
        self._reader: threading.Thread | None = None
        self._reads_when_ready = _is_watchable(stdin)
        self._nonblocking = _is_watchable(stdout) and not _is_shared_with_the_log(stdout)
        if self._nonblocking:
            os.set_blocking(stdout, False)

    async def receive(self) -> bytes:
        return await (self._when_ready() if self._reads_when_ready else self._from_thread())

    async def _when_ready(self) -> bytes:
        """It stays a blocking descriptor: what has something to read does not block, and the host may share it."""
        while True:
            try:
                await anyio.wait_readable(self._stdin)
                return os.read(self._stdin, READ_CHUNK_BYTES)
            except BlockingIOError:
                continue
            except (OSError, anyio.ClosedResourceError):
                return b""

    async def _from_thread(self) -> bytes:
        if self._reader is None:
            token = anyio.lowlevel.current_token()
            self._reader = threading.Thread(target=self._read, args=(token,), name="stdin", daemon=True)
            self._reader.start()
        try:
            data = await self._receive_in.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return b""
        self._ahead.release()
        return data

    def _read(self, token: anyio.lowlevel.EventLoopToken) -> None:
        while True:
            self._ahead.acquire()
            try:
                data = os.read(self._stdin, READ_CHUNK_BYTES)
            except OSError:
                data = b""
            try:
                if not data:
                    anyio.from_thread.run_sync(self._send_in.close, token=token)
                    return
                anyio.from_thread.run_sync(self._send_in.send_nowait, data, token=token)
            except (RuntimeError, anyio.RunFinishedError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the loop has ended: nobody reads any more

    async def send(self, data: bytes) -> None:
        try:
            if self._nonblocking:
                await self._send_nonblocking(data)
            else:
                await anyio.to_thread.run_sync(_write_all, self._stdout, data)
        except OSError as error:
            if error.errno in _GONE:
                raise TransportClosed from error
            raise

    def send_nowait(self, data: bytes) -> int:
        if not self._nonblocking:
            return 0
        try:
            return os.write(self._stdout, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno in _GONE:
                raise TransportClosed from error
            raise

    async def _send_nonblocking(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                written = os.write(self._stdout, rest)
            except BlockingIOError:
                await anyio.wait_writable(self._stdout)
                continue
            rest = rest[written:]

    async def aclose(self) -> None:
        if self._reads_when_ready:
            anyio.notify_closing(self._stdin)
        self._receive_in.close()
        self._send_in.close()
        if self._nonblocking:
            os.set_blocking(self._stdout, True)


def _is_watchable(descriptor: int) -> bool:
    """Whether the loop can be told when there is something to read or room to write: a pipe or a socket."""
    if sys.platform == "win32":
        return False
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _is_shared_with_the_log(descriptor: int) -> bool:
    """A pipe that is stderr too must stay blocking: the log is written there."""
    try:
        out, err = os.fstat(descriptor), os.fstat(2)
    except OSError:
        return True
    return (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
