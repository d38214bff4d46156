"""The app's ``sqlite.db``: two connections, each on its own worker thread.

Readers never wait behind a writer that waits for a lock held by the app: one thread reads (``PRAGMA query_only``),
one writes. SQLite's own busy handler does the waiting (10 s, as the app, in short attempts), on the worker thread and
with the GIL released. The file is never created here: the app owns it, and a database that is missing is told as such.

Journal mode is left as the app set it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

import anyio
import anyio.to_thread

from sidecar.errors import DatabaseBusy, DatabaseUnreadable
from sidecar.store.job import Job, Outcome
from sidecar.store.message_ids import MessageIds
from sidecar.store.worker import NEWEST_KNOWN_SCHEMA, Worker, schema_version

T = TypeVar("T")

BUSY_TIMEOUT_MS: Final = 10_000
"""How long a job waits for a lock, counted from when it was handed over: jobs that wait one behind the other for the
same lock give up together. The app waits as long (app contract 15.4)."""

STATUS_WAIT_MS: Final = 300


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """What ``initialize`` reports. ``schema_version`` is None when it cannot be read."""

    path: Path
    exists: bool
    schema_version: int | None
    writable: bool


class Reading(Generic[T]):
    """A read under way, for a caller who has something else to wait for in the meantime."""

    def __init__(self, done: Outcome[T]) -> None:
        self._done = done

    async def value(self) -> T:
        """What the work returned. Raises what ``Database.read`` raises."""
        return await self._done.get()


class Writing(Generic[T]):
    """A transaction under way: what it wrote is known before it is on the disk.

    ``value`` waits for what the work returned, ``committed`` for the commit. Both raise what went wrong; the commit
    may fail after the work has succeeded.
    """

    def __init__(self, early: Outcome[T], done: Outcome[T]) -> None:
        self._early = early
        self._done = done

    async def value(self) -> T:
        """What the work returned, not committed yet."""
        return await self._early.get()

    async def committed(self) -> T:
        """The same, on the disk."""
        return await self._done.get()


class Database:
    """The app's SQLite file. ``read`` and ``write`` run a function with a connection on a worker thread.

    Both raise ``DatabaseBusy`` (locked for longer than ``patience_ms``, the database's time-out at most) and
    ``DatabaseUnreadable`` (missing, corrupt, not a database). A job that has been handed over always runs to its end,
    also when the awaiting task is cancelled: "accepted" must not depend on who is still waiting.
    """

    def __init__(self, path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        self.path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._workers: dict[str, Worker] = {}
        self._message_ids = MessageIds()
        self._hurried = False

    async def read(self, work: Callable[[sqlite3.Connection], T], *, patience_ms: float | None = None) -> T:
        """Run ``work`` on the reading connection; writing there fails."""
        return await self.begin_read(work, patience_ms=patience_ms).value()

    def begin_read(self, work: Callable[[sqlite3.Connection], T], *, patience_ms: float | None = None) -> Reading[T]:
        """``read`` without waiting yet: reads that were begun together cost one wait."""
        done: Outcome[T] = Outcome()
        self._worker("read").put(Job(work, self._patience(patience_ms), done, patient=patience_ms is None))
        return Reading(done)

    async def write(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        patience_ms: float | None = None,
        later: Callable[[sqlite3.Connection], Any] | None = None,
    ) -> T:
        """Run ``work`` in one immediate transaction, committed when it returns, rolled back when it raises.

        ``later`` is for what must not be lost: when a lock outlasts the patience, ``DatabaseBusy`` is raised, and
        ``later`` is done, before any other write, as soon as the lock is gone; given up only when this process ends.
        Raises ``DatabaseTooNew`` when the app's schema is newer than this build knows.
        """
        done: Outcome[T] = Outcome()
        self._worker("write").put(Job(work, self._patience(patience_ms), done, later=later))
        return await done.get()

    def begin_write(self, work: Callable[[sqlite3.Connection], T]) -> Writing[T]:
        """``write``, for a caller who goes on with the value while the disk is still busy."""
        early: Outcome[T] = Outcome()
        done: Outcome[T] = Outcome()
        self._worker("write").put(Job(work, self._busy_timeout_ms, done, early))
        return Writing(early, done)

    def begin_decision(self, work: Callable[[sqlite3.Connection, Callable[[T], None]], T]) -> Writing[T]:
        """``begin_write`` whose ``work`` says its value itself, by calling its second argument, as soon as it is known.

        From the beginning of the transaction on nobody else can write, so a decision holds before it is written down.
        """
        early: Outcome[T] = Outcome()
        done: Outcome[T] = Outcome()
        job = Job(lambda connection: work(connection, early.settle), self._busy_timeout_ms, done, early)
        self._worker("write").put(job)
        return Writing(early, done)

    async def status(self) -> DatabaseStatus:
        """Whether the database is there, its schema version, and whether this build may write it.

        Never raises, and waits for a lock no longer than ``STATUS_WAIT_MS``: the handshake asks this.
        """
        version, readable = None, True
        try:
            version = await self.read(schema_version, patience_ms=STATUS_WAIT_MS)
        except (DatabaseUnreadable, DatabaseBusy):
            readable = False
        exists, may_write = await anyio.to_thread.run_sync(_file_facts, self.path)
        writable = readable and may_write and (version or 0) <= NEWEST_KNOWN_SCHEMA
        return DatabaseStatus(self.path, exists=exists, schema_version=version, writable=writable)

    def hurry(self) -> None:
        """The process is about to end: from now on no lock is waited for longer than ``LAST_CHANCE_MS``."""
        self._hurried = True
        for worker in self._workers.values():
            worker.hurry()

    async def aclose(self) -> None:
        """Finish the queued jobs and close both connections."""
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.put(None)
        for worker in workers.values():
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(worker.join)

    def _patience(self, given_ms: float | None) -> float:
        return self._busy_timeout_ms if given_ms is None else min(given_ms, self._busy_timeout_ms)

    def _worker(self, mode: Literal["read", "write"]) -> Worker:
        worker = self._workers.get(mode)
        if worker is None:
            worker = self._workers[mode] = Worker(self.path, mode, self._busy_timeout_ms, self._message_ids)
            if self._hurried:
                worker.hurry()
            worker.start()
        return worker


def _file_facts(path: Path) -> tuple[bool, bool]:
    """Whether the file is there, and whether it may be written: SQLite needs to put its journal beside it."""
    return path.exists(), os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
