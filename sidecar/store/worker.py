"""One connection to the app's ``sqlite.db``, owned by one thread, which does one job after the other.

The connection is reopened when the file behind the path is another one (the app's "reset all" deletes it), and the
file is never created here.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from sidecar.errors import DatabaseBusy, DatabaseTooNew, DatabaseUnreadable
from sidecar.store.job import ATTEMPT_MS, Job
from sidecar.store.message_ids import AppConnection, MessageIds

LOCKED_READ_WAIT_MS: Final = 1_000
"""How long a read waits after another has given up, until one succeeds: a call that reads five times, of a database
that somebody keeps locked, must not wait five times ten seconds."""

TICK_MS: Final = 20
"""Differences in patience below this are none."""

LAST_CHANCE_MS: Final = 750
"""How long the end of the process waits for a lock, with whatever is still to be done."""

GROUP: Final = 32
"""Writes that share a transaction when they wait together (64 streams begin at once, all save every 150 ms)."""

CACHE_KIB: Final = 256
"""Pages that each connection keeps. SQLite's own 2 MB fill up over the first thousands of chats and are never given
back, and what is not among them comes from the system's cache."""

NEWEST_KNOWN_SCHEMA: Final = 1_755_545_060_076
"""``MAX(created_at)`` of the app's newest migration this build knows (0011_light_zeigeist)."""

SMALLEST_DATABASE_BYTES: Final = 100
"""A shorter file cannot hold SQLite's header; the app deletes it at its next start."""


class Worker(threading.Thread):
    """Owns one connection. Jobs run in the order they were put."""

    def __init__(
        self, path: Path, mode: Literal["read", "write"], busy_timeout_ms: int, message_ids: MessageIds
    ) -> None:
        super().__init__(name=f"sqlite-{mode}", daemon=True)
        self._path = path
        self._mode = mode
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._connection: AppConnection | None = None
        self._message_ids = message_ids
        self._identity: tuple[int, int] | None = None
        self._wait_ms = busy_timeout_ms
        self._locked = False
        self._caches_more = True
        self._kept: list[Job[Any]] = []
        """What is tried again with the next jobs: it may wait for its lock still, or is owed."""
        self._owed_to: tuple[int, int] | None = None
        """The file that what is owed belongs to: in another one its row ids mean something else."""
        self._over_at: float | None = None
        """When the end of the process waits for no lock any more."""

    def put(self, job: Job[Any] | None) -> None:
        self._jobs.put(job)

    def hurry(self) -> None:
        """The process is ending: no lock is waited for longer than ``LAST_CHANCE_MS`` from now."""
        if self._over_at is None:
            self._over_at = time.monotonic() + LAST_CHANCE_MS / 1000

    def run(self) -> None:
        perform = self._write if self._mode == "write" else self._read
        ended = False
        while self._kept or not ended:
            jobs, ended = self._next(ended)
            try:
                if jobs:
                    connection = self._open()
                    self._forget_other_file(jobs)
                    self._wait_for_locks(connection, jobs)
                    perform(connection, jobs)
                    self._locked = False
            except BaseException as error:  # noqa: BLE001 - carried to the awaiting tasks, raised there
                failure = translate(error, self._path, self._mode) if isinstance(error, sqlite3.Error) else error
                self._roll_back()
                if isinstance(failure, DatabaseUnreadable):
                    self._close()
                for job in jobs:
                    if not isinstance(failure, DatabaseBusy):
                        job.fail(failure)
                    elif self._mode == "read" and self._may_wait(job):
                        self._kept.append(job)
                    else:
                        self._locked = self._locked or job.patient
                        self._keep_if_owed(job, failure)
        self._close()

    def _may_wait(self, job: Job[Any]) -> bool:
        """Whether another attempt is worth it for whoever waits for this job."""
        if self._over_at is not None and time.monotonic() > self._over_at:
            return False
        return job.patience_ms() > TICK_MS and not job.is_owed

    def _forget_other_file(self, jobs: list[Job[Any]]) -> None:
        if self._identity == self._owed_to:
            return
        for job in [job for job in jobs if job.is_owed]:
            jobs.remove(job)
            job.fail(DatabaseUnreadable("the database is another one by now"))

    def _keep_if_owed(self, job: Job[Any], failure: DatabaseBusy) -> None:
        if not job.owe(failure):
            return
        if self._over_at is not None and time.monotonic() > self._over_at:
            job.fail(failure)
            return
        self._owed_to = self._identity
        self._kept.append(job)

    def _next(self, ended: bool) -> tuple[list[Job[Any]], bool]:
        """What is waiting, up to ``GROUP`` writes or one read, and whether that was the last."""
        jobs, self._kept = self._kept, []
        most = GROUP if self._mode == "write" else 1
        try:
            while len(jobs) < most and not ended:
                job = self._jobs.get(block=not jobs)
                if job is None:
                    self.hurry()
                    return jobs, True
                jobs.append(job)
        except queue.Empty:
            pass
        return jobs, ended

    def _wait_for_locks(self, connection: AppConnection, jobs: list[Job[Any]]) -> None:
        """Tell SQLite how long its next statements may wait."""
        if self._locked and self._mode == "read":
            for job in jobs:
                job.wait_at_most(LOCKED_READ_WAIT_MS)
        patience_ms = min(ATTEMPT_MS, *(job.patience_ms() for job in jobs))
        if abs(patience_ms - self._wait_ms) > TICK_MS:  # a job that did not wait costs no statement
            self._wait_ms = round(patience_ms)
            connection.execute(f"PRAGMA busy_timeout = {self._wait_ms:d}")

    def _read(self, connection: AppConnection, jobs: list[Job[Any]]) -> None:
        for job in jobs:
            value = job.work(connection)
            self._roll_back()
            job.settle(value)
            self._limit_cache(connection)

    def _write(self, connection: AppConnection, jobs: list[Job[Any]]) -> None:
        """Everything that waits in one transaction: what costs is the commit, not the statements.

        A job that fails takes only its own changes back. Raises when nothing at all could be written.
        """
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            self._give_up(translate(error, self._path, self._mode), jobs)
            return
        connection.clean_at = connection.total_changes
        if (schema_version(connection) or 0) > NEWEST_KNOWN_SCHEMA:
            raise DatabaseTooNew(
                "The app's database was written by a newer version of Scalix. Update Scalix to use it; "
                "until then nothing is written to it."
            )
        written: list[tuple[Job[Any], Any]] = []
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
                failure = translate(error, self._path, self._mode) if isinstance(error, sqlite3.Error) else error
                sound = sound and not isinstance(failure, DatabaseUnreadable)
                job.fail(failure)
            else:
                connection.execute("RELEASE job")
                job.announce(value)
                written.append((job, value))
        if written:
            self._commit(connection, [job for job, _ in written])
        self._roll_back()
        if not sound:
            self._close()
        for job, value in written:
            job.settle(value)
        self._limit_cache(connection)

    def _commit(self, connection: sqlite3.Connection, jobs: list[Job[Any]]) -> None:
        """Somebody who reads for long keeps a commit waiting; only it is tried again: values may be known by now."""
        while True:
            try:
                connection.commit()
            except sqlite3.OperationalError as error:
                busy = isinstance(translate(error, self._path, self._mode), DatabaseBusy)
                if not busy or not any(map(self._may_wait, jobs)):
                    raise
            else:
                return

    def _give_up(self, failure: Exception, jobs: list[Job[Any]]) -> None:
        """No transaction could be begun: whoever can still wait for the lock is kept for the next attempt."""
        for job in jobs:
            if not isinstance(failure, DatabaseBusy):
                job.fail(failure)
            elif self._may_wait(job):
                self._kept.append(job)
            else:
                self._keep_if_owed(job, failure)
        if isinstance(failure, DatabaseUnreadable):
            self._close()

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.rollback()

    def _open(self) -> AppConnection:
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
            timeout=self._wait_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
            factory=AppConnection,
        )
        connection.file, connection.message_ids = identity, self._message_ids
        try:
            connection.row_factory = sqlite3.Row
            connection.text_factory = _readable
            connection.execute("PRAGMA foreign_keys = ON")
            if self._mode == "read":
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._identity = identity
        self._caches_more = True
        return connection

    def _limit_cache(self, connection: sqlite3.Connection) -> None:
        """Called when a job is done: the statement wants the schema, and nobody is to wait for a lock because of it."""
        if self._caches_more and self._connection is connection:
            self._caches_more = False
            with suppress(sqlite3.OperationalError):
                connection.execute(f"PRAGMA cache_size = -{CACHE_KIB:d}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._identity = None


def _readable(text: bytes) -> str:
    """Text as the app reads it: what it writes of half an emoji is no UTF-8."""
    return text.decode("utf-8", "replace")


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


def translate(error: sqlite3.Error, path: Path, mode: Literal["read", "write"] = "read") -> Exception:
    """SQLite's error as a domain error; anything that is a bug of ours stays as it is.

    ``mode``: a writer that cannot open a file means the journal, in a folder where nothing may be created.
    """
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return DatabaseBusy("The app's database is locked by another program. Try again in a moment.")
    no_journal = mode == "write" and code == sqlite3.SQLITE_CANTOPEN
    if no_journal or code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM}:
        return DatabaseUnreadable(f"The app's database at {path} cannot be written: {error}.")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}:
        return DatabaseUnreadable(f"The app's database at {path} cannot be read: {error}.")
    if "no such table" in str(error) or "no such column" in str(error):
        return DatabaseUnreadable(
            f"The app's database at {path} is not complete ({error}). Start Scalix to migrate it."
        )
    return error
