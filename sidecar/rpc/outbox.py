"""Flow control towards the host (protocol page 8).

Everything the sidecar says goes through one ordered queue and one pump. While the host does not read, the deltas of a
stream melt: a stream has at most one *mark* in the queue, and what it says is rendered only when the mark's turn has
come and the transport takes bytes again. Answers, first chunks and terminal events are queued as they are, never
dropped, and never reordered within a stream. ``seq`` is given when a frame leaves, so there are no gaps.

A mark whose turn is at once, with nothing before it, is written at once too, as far as the pipe takes it without
waiting: a paced stream costs no task switch per word. The pump has what is left.

Memory held here while the host does not read: one mark per stream, plus the frames that must not be dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import anyio

from protocol.envelope import Failure, Notification, Request, Result
from sidecar.rpc.codec import encode
from sidecar.transport.base import Transport, TransportClosed

WRITE_BYTES: Final = 64 * 1024
"""Frames are joined into writes of about this size: one system call for many patches under load."""

_CLOCK_TICK_S: Final = 1e-4
"""Timers of the event loop may ring this much early."""

Render = Callable[[int], Any]
"""Builds the params of a coalesced notification for a ``seq``; None when there is nothing new to say."""


class _Mark:
    """A lane's place in the queue; ``alive`` until it is rendered or withdrawn."""

    __slots__ = ("alive", "lane")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.alive = True


class Lane:
    """One stream's ordered way out.

    ``send`` queues a notification that must arrive. ``mark`` says "there is something new": ``render`` is called when
    its turn comes. ``min_interval_s`` spaces rendered frames (the full-array mode sends at most one per 50 ms).
    """

    def __init__(self, outbox: Outbox, method: str, render: Render, min_interval_s: float) -> None:
        self._outbox = outbox
        self._method = method
        self._render = render
        self._min_interval_s = min_interval_s
        self._not_before = 0.0
        self._mark: _Mark | None = None
        self._seq = 0

    def send(self, method: str, build: Callable[[int], Any]) -> None:
        """Queue a frame that is never dropped; ``build`` makes its params from its ``seq`` when it leaves."""
        self._release()
        self._outbox.put(lambda: encode(Notification(method=method, params=build(self._next_seq()))))

    def announce(self, method: str, params: Any) -> None:
        """Queue a frame in this stream's order that does not count in ``seq``."""
        self._release()
        self._outbox.put(encode(Notification(method=method, params=params)))

    def mark(self) -> None:
        """There is something new. Cheap when already marked."""
        if self._mark is None:
            self._mark = _Mark(self)
            self._outbox.put_mark(self._mark)

    def withdraw(self) -> None:
        """What was marked has been sent otherwise: its place in the queue is given up."""
        if self._mark is not None:
            self._mark.alive = False
            self._mark = None

    def due_at(self) -> float:
        """Event-loop time before which this lane's mark has to wait."""
        return self._not_before

    def frame(self, now: float) -> bytes | None:
        """Render what is new, at the mark's turn."""
        self._mark = None
        params = self._render(self._seq)
        if params is None:
            return None
        self._seq += 1
        if self._min_interval_s:
            self._not_before = now + self._min_interval_s
        return encode(Notification(method=self._method, params=params))

    def _release(self) -> None:
        if self._mark is not None:
            self._outbox.release(self._mark)

    def _next_seq(self) -> int:
        seq = self._seq
        self._seq += 1
        return seq


class Outbox:
    """The queue and its pump."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._queue: deque[bytes | Callable[[], bytes] | _Mark] = deque()
        self._waiting: list[_Mark] = []
        self._wake = anyio.Event()
        self._idle = anyio.Event()
        self._timer: asyncio.TimerHandle | None = None
        """Rings when the first of the waiting marks is due."""
        self._gone = False
        self._writing = False

    def lane(self, method: str, render: Render, *, min_interval_s: float = 0.0) -> Lane:
        """A way out for one stream; its coalesced notifications are ``method``."""
        return Lane(self, method, render, min_interval_s)

    def message(self, message: Result | Failure | Request | Notification | list[Result | Failure]) -> None:
        """Queue an answer, a batch of answers, a request to the host or a notification outside streams."""
        self.put(encode(message))

    def put(self, frame: bytes | Callable[[], bytes]) -> None:
        """Queue a frame; a callable is rendered when it leaves."""
        if self._gone:
            return
        self._queue.append(frame)
        self._wake.set()

    def put_mark(self, mark: _Mark) -> None:
        """Queue a lane's mark, now or when its interval is over."""
        if self._gone:
            return
        loop = asyncio.get_running_loop()
        due, now = mark.lane.due_at(), loop.time()
        if due <= now:
            self._offer(mark, now)
            return
        self._waiting.append(mark)
        if self._timer is None or due < self._timer.when():
            self._ring_at(due, loop)

    def release(self, mark: _Mark) -> None:
        """A frame of this lane is about to be queued: what is marked must leave before it, not after."""
        if mark in self._waiting:
            self._waiting.remove(mark)
            self._queue.append(mark)

    async def run(self) -> None:
        """The pump. Returns when the host is gone; cancelled at the end of the process."""
        try:
            while not self._gone:
                if not self._queue:
                    await self._sleep()
                    continue
                self._writing = True
                await self._transport.send(self._next_write())
                self._writing = False
        except TransportClosed:
            self._close()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def drained(self) -> None:
        """Wait until everything queued has been written, or the host is gone."""
        while not self._gone and (self._queue or self._waiting or self._writing):
            self._idle = anyio.Event()
            await self._idle.wait()

    async def _sleep(self) -> None:
        self._idle.set()
        self._wake = anyio.Event()
        await self._wake.wait()

    def _offer(self, mark: _Mark, now: float) -> None:
        """Write what a mark stands for, or have it wait its turn."""
        if self._queue or self._writing:
            self._queue.append(mark)
            self._wake.set()
            return
        frame = mark.lane.frame(now)
        if frame is None:
            return
        try:
            taken = self._transport.send_nowait(frame)
        except TransportClosed:
            self._close()
            return
        if taken < len(frame):
            self._queue.append(frame[taken:])
            self._wake.set()

    def _ring_at(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(due, self._ring)

    def _ring(self) -> None:
        """The marks that are due get their turn."""
        loop = asyncio.get_running_loop()
        now = loop.time() + _CLOCK_TICK_S
        self._timer = None
        due = [mark for mark in self._waiting if mark.lane.due_at() <= now]
        self._waiting = [mark for mark in self._waiting if mark.lane.due_at() > now]
        for mark in due:
            if mark.alive and not self._gone:
                self._offer(mark, now)
        if self._waiting:
            self._ring_at(min(mark.lane.due_at() for mark in self._waiting), loop)

    def _close(self) -> None:
        """The host is gone."""
        self._gone = True
        self._queue.clear()
        self._waiting.clear()
        self._idle.set()
        self._wake.set()

    def _next_write(self) -> bytes:
        frames: list[bytes] = []
        size = 0
        now = asyncio.get_running_loop().time()
        while self._queue and size < WRITE_BYTES:
            item = self._queue.popleft()
            if isinstance(item, _Mark):
                frame = item.lane.frame(now) if item.alive else None
                if frame is None:
                    continue
            else:
                frame = item if isinstance(item, bytes) else item()
            frames.append(frame)
            size += len(frame)
        return b"".join(frames)
