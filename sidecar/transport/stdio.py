"""The host's pipes as a transport.

Reading: a daemon thread in ``os.read`` (works for pipes, sockets, files and terminals alike, and lets the interpreter
exit while it is blocked), at most ``READ_AHEAD`` chunks ahead of the loop.
Writing: pipes and sockets are written from the loop without blocking, which saves a thread switch per patch;
everything else (files, terminals, Windows pipes) through a worker thread.
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

READ_CHUNK_BYTES: Final = 256 * 1024
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
        self._nonblocking = _can_write_without_blocking(stdout)
        if self._nonblocking:
            os.set_blocking(stdout, False)

    async def receive(self) -> bytes:
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
        self._receive_in.close()
        self._send_in.close()
        if self._nonblocking:
            os.set_blocking(self._stdout, True)


def _can_write_without_blocking(descriptor: int) -> bool:
    """Pipes and sockets of our own. A pipe shared with stderr must stay blocking: the log is written there."""
    if sys.platform == "win32":
        return False
    try:
        out, err = os.fstat(descriptor), os.fstat(2)
    except OSError:
        return False
    if (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino):
        return False
    return stat.S_ISFIFO(out.st_mode) or stat.S_ISSOCK(out.st_mode)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
