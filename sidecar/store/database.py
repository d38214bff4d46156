"""The app's ``sqlite.db``: two connections, each on its own worker thread.

Readers never wait behind a writer that waits for a lock held by the app: one thread reads (``PRAGMA query_only``),
one writes. SQLite's own busy handler does the waiting (10 s, as the app), on the worker thread and with the GIL
released. The file is never created here: the app owns it, and a database that is missing is told as such.

The connection is reopened when the file behind the path is another one (the app's "reset all" deletes it).
Journal mode is left as the app set it.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

import anyio
import anyio.to_thread

from sidecar.errors import DatabaseBusy, DatabaseTooNew, DatabaseUnreadable

T = TypeVar("T")

BUSY_TIMEOUT_MS: Final = 10_000
"""How long a statement waits for a lock; the app uses the same (app contract 15.4)."""

STATUS_WAIT_MS: Final = 300

GROUP: Final = 32
"""Writes that share a transaction when they wait together (64 streams begin at once, all save every 150 ms)."""

NEWEST_KNOWN_SCHEMA: Final = 1_755_545_060_076
"""``MAX(created_at)`` of the app's newest migration this build knows (0011_light_zeigeist)."""

SMALLEST_DATABASE_BYTES: Final = 100
"""A shorter file cannot hold SQLite's header; the app deletes it at its next start."""


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """What ``initialize`` reports. ``schema_version`` is None when it cannot be read."""

    path: Path
    exists: bool
    schema_version: int | None
    writable: bool


class _Outcome(Generic[T]):
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


class Reading(Generic[T]):
    """A read under way, for a caller who has something else to wait for in the meantime."""

    def __init__(self, done: _Outcome[T]) -> None:
        self._done = done

    async def value(self) -> T:
        """What the work returned. Raises what ``Database.read`` raises."""
        return await self._done.get()


class Writing(Generic[T]):
    """A transaction under way: what it wrote is known before it is on the disk.

    ``value`` waits for what the work returned, ``committed`` for the commit. Both raise what went wrong; the commit
    may fail after the work has succeeded.
    """

    def __init__(self, early: _Outcome[T], done: _Outcome[T]) -> None:
        self._early = early
        self._done = done

    async def value(self) -> T:
        """What the work returned, not committed yet."""
        return await self._early.get()

    async def committed(self) -> T:
        """The same, on the disk."""
        return await self._done.get()


class _Job(Generic[T]):
    """One unit of work and where its outcome goes; ``early`` gets a write's value before the commit."""

    __slots__ = ("_done", "_early", "work")

    def __init__(
        self, work: Callable[[sqlite3.Connection], T], done: _Outcome[T], early: _Outcome[T] | None = None
    ) -> None:
        self.work = work
        self._done = done
        self._early = early

    def announce(self, value: T) -> None:
        if self._early is not None:
            self._early.settle(value)

    def settle(self, value: T | None, error: BaseException | None = None) -> None:
        if self._early is not None:
            self._early.settle(value, error)
        self._done.settle(value, error)


class _Worker(threading.Thread):
    """Owns one connection. Jobs run in the order they were put."""

    def __init__(self, path: Path, mode: Literal["read", "write"], busy_timeout_ms: int) -> None:
        super().__init__(name=f"sqlite-{mode}", daemon=True)
        self._path = path
        self._mode = mode
        self._busy_timeout_ms = busy_timeout_ms
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def put(self, job: _Job[Any] | None) -> None:
        self._jobs.put(job)

    def run(self) -> None:
        perform = self._write if self._mode == "write" else self._read
        ended = False
        while not ended:
            jobs, ended = self._next()
            try:
                if jobs:
                    perform(self._open(), jobs)
            except BaseException as error:  # noqa: BLE001 - carried to the awaiting tasks, raised there
                failure = translate(error, self._path) if isinstance(error, sqlite3.Error) else error
                self._roll_back()
                if isinstance(failure, DatabaseUnreadable):
                    self._close()
                for job in jobs:
                    job.settle(None, failure)
        self._close()

    def _next(self) -> tuple[list[_Job[Any]], bool]:
        """What is waiting, up to ``GROUP`` writes or one read, and whether that was the last."""
        jobs: list[_Job[Any]] = []
        most = GROUP if self._mode == "write" else 1
        try:
            while len(jobs) < most:
                job = self._jobs.get(block=not jobs)
                if job is None:
                    return jobs, True
                jobs.append(job)
        except queue.Empty:
            pass
        return jobs, False

    def _read(self, connection: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
        for job in jobs:
            value = job.work(connection)
            self._roll_back()
            job.settle(value)

    def _write(self, connection: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
        """Everything that waits in one transaction: what costs is the commit, not the statements.

        A job that fails takes only its own changes back. Raises when nothing at all could be written.
        """
        connection.execute("BEGIN IMMEDIATE")
        if (schema_version(connection) or 0) > NEWEST_KNOWN_SCHEMA:
            raise DatabaseTooNew(
                "The app's database was written by a newer version of Scalix. Update Scalix to use it; "
                "until then nothing is written to it."
            )
        written: list[tuple[_Job[Any], Any]] = []
        sound = True
        for job in jobs:
            connection.execute("SAVEPOINT job")
            try:
                value = job.work(connection)
            except BaseException as error:
                if not connection.in_transaction:  # SQLite took everything back: a full disk, a broken file
                    raise
                connection.execute("ROLLBACK TO job")
                connection.execute("RELEASE job")
                failure = translate(error, self._path) if isinstance(error, sqlite3.Error) else error
                sound = sound and not isinstance(failure, DatabaseUnreadable)
                job.settle(None, failure)
            else:
                connection.execute("RELEASE job")
                job.announce(value)
                written.append((job, value))
        if written:
            connection.commit()
        self._roll_back()
        if not sound:
            self._close()
        for job, value in written:
            job.settle(value)

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.rollback()

    def _open(self) -> sqlite3.Connection:
        try:
            stat = self._path.stat()
        except OSError as error:
            self._close()
            raise DatabaseUnreadable(
                f"The app's database was not found at {self._path}. Start Scalix once so that it is created."
            ) from error
        identity = (stat.st_dev, stat.st_ino)
        if self._connection is not None and identity == self._identity:
            return self._connection
        self._close()
        if stat.st_size < SMALLEST_DATABASE_BYTES:
            raise DatabaseUnreadable(
                f"The app's database at {self._path} is empty. Restart Scalix to have it recreated."
            )
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._busy_timeout_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            if self._mode == "read":
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._identity = identity
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._identity = None


class Database:
    """The app's SQLite file. ``read`` and ``write`` run a function with a connection on a worker thread.

    Both raise ``DatabaseBusy`` (locked past the time-out) and ``DatabaseUnreadable`` (missing, corrupt, not a
    database). A job that has been handed over always runs to its end, also when the awaiting task is cancelled:
    "accepted" must not depend on who is still waiting.
    """

    def __init__(self, path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        self.path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._workers: dict[str, _Worker] = {}

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` on the reading connection; writing there fails."""
        return await self.begin_read(work).value()

    def begin_read(self, work: Callable[[sqlite3.Connection], T]) -> Reading[T]:
        """``read`` without waiting yet: reads that were begun together cost one wait."""
        done: _Outcome[T] = _Outcome()
        self._worker("read").put(_Job(work, done))
        return Reading(done)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in one immediate transaction, committed when it returns, rolled back when it raises.

        Raises ``DatabaseTooNew`` when the app's schema is newer than this build knows.
        """
        done: _Outcome[T] = _Outcome()
        self._worker("write").put(_Job(work, done))
        return await done.get()

    def begin_write(self, work: Callable[[sqlite3.Connection], T]) -> Writing[T]:
        """``write``, for a caller who goes on with the value while the disk is still busy."""
        early: _Outcome[T] = _Outcome()
        done: _Outcome[T] = _Outcome()
        self._worker("write").put(_Job(work, done, early))
        return Writing(early, done)

    async def status(self) -> DatabaseStatus:
        """Whether the database is there, its schema version, and whether this build may write it.

        Never raises, and waits for a lock no longer than ``STATUS_WAIT_MS``: the handshake asks this.
        """
        version, readable = None, True
        try:
            version = await self.read(_schema_version_soon)
        except (DatabaseUnreadable, DatabaseBusy):
            readable = False
        exists, may_write = await anyio.to_thread.run_sync(_file_facts, self.path)
        writable = readable and may_write and (version or 0) <= NEWEST_KNOWN_SCHEMA
        return DatabaseStatus(self.path, exists=exists, schema_version=version, writable=writable)

    async def aclose(self) -> None:
        """Finish the queued jobs and close both connections."""
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.put(None)
        for worker in workers.values():
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(worker.join)

    def _worker(self, mode: Literal["read", "write"]) -> _Worker:
        worker = self._workers.get(mode)
        if worker is None:
            worker = self._workers[mode] = _Worker(self.path, mode, self._busy_timeout_ms)
            worker.start()
        return worker


def _file_facts(path: Path) -> tuple[bool, bool]:
    """Whether the file is there, and whether it may be written."""
    return path.exists(), os.access(path, os.W_OK)


def schema_version(connection: sqlite3.Connection) -> int | None:
    """The app's schema version: the newest ``created_at`` of ``__drizzle_migrations``, in ms (app contract 15.5).

    None when the table is missing or empty: a database the app has not migrated yet.
    """
    found = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '__drizzle_migrations'"
    ).fetchone()
    if found is None:
        return None
    newest = connection.execute("SELECT MAX(CAST(created_at AS INTEGER)) FROM __drizzle_migrations").fetchone()[0]
    return None if newest is None else int(newest)


def _schema_version_soon(connection: sqlite3.Connection) -> int | None:
    usual = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute(f"PRAGMA busy_timeout = {STATUS_WAIT_MS:d}")
    try:
        return schema_version(connection)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {usual:d}")


def translate(error: sqlite3.Error, path: Path) -> Exception:
    """SQLite's error as a domain error; anything that is a bug of ours stays as it is."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return DatabaseBusy("The app's database is locked by another program. Try again in a moment.")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM}:
        return DatabaseUnreadable(f"The app's database at {path} cannot be written: {error}.")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}:
        return DatabaseUnreadable(f"The app's database at {path} cannot be read: {error}.")
    if "no such table" in str(error) or "no such column" in str(error):
        return DatabaseUnreadable(
            f"The app's database at {path} is not complete ({error}). Start Scalix to migrate it."
        )
    return error
