"""A transport that writes down what passes, for ``serve --record FILE``.

What a line of the file looks like is somebody else's business (``sidecar.replay.recorded``). Reading frames and
writing the file happen on a thread of their own: a slow disk must not slow a stream down, and a full one must not end
it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, TextIO

import anyio.to_thread
import structlog

from sidecar.transport.base import Transport
from sidecar.transport.framing import LineFramer, Oversized

log = structlog.get_logger("sidecar.transport")

Direction = Literal["in", "out"]
"""``in`` is host to sidecar."""


class Lines(Protocol):
    """Turns lines of the wire into lines of the file; used on one thread only."""

    def line(self, at_ms: float, direction: Direction, line: bytes | None) -> str:
        """The file's line for one of the wire, without its end. None stands for one longer than the cap."""
        ...

    def rest(self, at_ms: float) -> list[str]:
        """What has to be written at the end of the connection."""
        ...


class RecordingTransport:
    """Passes everything on and writes it to ``path``, which only its owner may read.

    Raises ``OSError`` when the file cannot be created; later failures end the recording, not the session.
    """

    def __init__(
        self, inner: Transport, path: Path, lines: Lines, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._lines = lines
        self._clock = clock
        self._start = clock()
        self._incoming = LineFramer()
        self._outgoing = LineFramer()
        self._entries: queue.SimpleQueue[tuple[float, Direction, bytes | None] | None] = queue.SimpleQueue()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        file = os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")
        self._writer = threading.Thread(target=self._write, args=(file,), name="recorder", daemon=True)
        self._writer.start()

    async def receive(self) -> bytes:
        data = await self._inner.receive()
        self._note("in", self._incoming.feed(data))
        return data

    async def send(self, data: bytes) -> None:
        self._note("out", self._outgoing.feed(data))
        await self._inner.send(data)

    def send_nowait(self, data: bytes) -> int:
        taken = self._inner.send_nowait(data)
        if taken:
            self._note("out", self._outgoing.feed(data[:taken]))
        return taken

    async def aclose(self) -> None:
        self._entries.put(None)
        await anyio.to_thread.run_sync(self._writer.join)
        await self._inner.aclose()

    def _note(self, direction: Direction, lines: list[bytes | Oversized]) -> None:
        now = self._now()
        for line in lines:
            self._entries.put((now, direction, None if isinstance(line, Oversized) else line))

    def _now(self) -> float:
        return round((self._clock() - self._start) * 1000, 3)

    def _write(self, file: TextIO) -> None:
        writing = True
        try:
            while True:
                entry = self._entries.get()
                if writing:  # after a failure the queue is only emptied
                    lines = self._lines.rest(self._now()) if entry is None else [self._lines.line(*entry)]
                    writing = _written(file, lines)
                if entry is None:
                    return
        finally:
            with contextlib.suppress(OSError):  # what is still in its buffer could not be written
                file.close()


def _written(file: TextIO, lines: list[str]) -> bool:
    try:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
    except OSError as error:
        log.warning("the recording ends here: its file cannot be written", error=error.strerror)
        return False
    return True
