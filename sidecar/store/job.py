"""A unit of work for a worker's thread, and its outcome on the way back to the loop."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import anyio
import structlog

T = TypeVar("T")

ATTEMPT_MS: Final = 250
"""How long one attempt waits for a lock; between two, new jobs join in, and the end of the process is noticed."""

log = structlog.get_logger("sidecar.store")


class Outcome(Generic[T]):
    """What a worker thread hands to the tasks that wait for it.

    It goes to the loop by ``call_soon_threadsafe``: the worker does not wait until the loop has taken it, which a
    turn would pay a dozen times.
    """

    __slots__ = ("_error", "_known", "_loop", "_settled", "_value")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._known = anyio.Event()
        self._settled = False
        self._value: T | None = None
        self._error: BaseException | None = None

    async def get(self) -> T:
        """Wait for the value. Raises the error instead."""
        await self._known.wait()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def settle(self, value: T | None, error: BaseException | None = None) -> None:
        """Called on the worker's thread; the first call counts."""
        if self._settled:
            return
        self._settled, self._value, self._error = True, value, error
        try:
            self._loop.call_soon_threadsafe(self._known.set)
        except RuntimeError:
            # The loop is gone: nobody waits any more, and the work itself is committed.
            return


class Job(Generic[T]):
    """One unit of work and where its outcome goes; ``early`` gets a write's value before the commit.

    It waits for locks no longer than ``patience_ms`` from now; ``patient``: that is as long as anybody waits.
    ``later`` is what is owed when a lock outlasts that: whoever waits is told ``DatabaseBusy``, and ``later`` is done
    before any other write once the lock is gone.
    """

    __slots__ = ("_done", "_early", "_gives_up_at", "is_owed", "later", "patient", "work")

    def __init__(
        self,
        work: Callable[[sqlite3.Connection], T],
        patience_ms: float,
        done: Outcome[T],
        early: Outcome[T] | None = None,
        *,
        patient: bool = True,
        later: Callable[[sqlite3.Connection], Any] | None = None,
    ) -> None:
        self.work: Callable[[sqlite3.Connection], Any] = work
        self.patient = patient
        self.later = later
        self.is_owed = False
        self._gives_up_at = time.monotonic() + patience_ms / 1000
        self._done = done
        self._early = early

    def patience_ms(self) -> float:
        """What is left of it; what is owed has never waited long enough."""
        if self.is_owed:
            return ATTEMPT_MS
        return max(0.0, (self._gives_up_at - time.monotonic()) * 1000)

    def wait_at_most(self, patience_ms: float) -> None:
        """Shorten what is left of it."""
        self._gives_up_at = min(self._gives_up_at, time.monotonic() + patience_ms / 1000)

    def announce(self, value: T) -> None:
        if self._early is not None:
            self._early.settle(value)

    def settle(self, value: T | None, error: BaseException | None = None) -> None:
        if self._early is not None:
            self._early.settle(value, error)
        self._done.settle(value, error)

    def fail(self, error: BaseException) -> None:
        """It cannot be done, now or later."""
        if self.is_owed:
            log.error("an answer was not saved", reason=str(error))
        self.later, self.is_owed = None, False
        self.settle(None, error)

    def owe(self, error: BaseException) -> bool:
        """Whoever waits is told; whether the job is still to be done, as ``later``."""
        if self.later is not None:
            self.work, self.later, self.is_owed = self.later, None, True
        self.settle(None, error)
        return self.is_owed
