"""A database that somebody else keeps locked: nobody waits for the sum of everybody's patience."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from sidecar.errors import DatabaseBusy
from sidecar.store.database import Database
from sidecar.store.job import Job, Outcome
from sidecar.store.message_ids import MessageIds
from sidecar.store.worker import Worker
from tests.app_database import create_app_database, rows

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    opened = Database(path, busy_timeout_ms=400)
    await opened.read(count)
    await opened.write(count)
    yield opened
    await opened.aclose()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM apps").fetchone()[0])


def add(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO apps (name, path) VALUES ('a', 'a')")


@pytest.mark.parametrize("mode", ["read", "write"])
async def test_jobs_that_wait_for_the_same_lock_give_up_together(database: Database, mode: str) -> None:
    work: Any = {"read": count, "write": add}[mode]
    refused: list[float] = []
    start = time.monotonic()

    async def ask() -> None:
        with pytest.raises(DatabaseBusy):
            await getattr(database, mode)(work)
        refused.append(time.monotonic() - start)

    with locked(database.path):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
    assert len(refused) == 10 and max(refused) < 2 * 0.4


async def test_a_write_that_can_wait_longer_is_not_refused_with_the_one_before(tmp_path: Path) -> None:
    """They wait for one transaction together; the lock goes when only the first has lost its patience."""
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    impatient: Outcome[None] = Outcome()
    patient: Outcome[None] = Outcome()
    worker = Worker(path, "write", 60_000, MessageIds())
    worker.put(Job(add, 50, impatient))
    worker.put(Job(add, 60_000, patient))
    with locked(path):
        worker.start()
        with pytest.raises(DatabaseBusy):
            await impatient.get()
    worker.put(None)
    await patient.get()
    await anyio.to_thread.run_sync(worker.join)
    assert len(rows(path, "SELECT * FROM apps")) == 1


async def test_once_a_read_has_given_up_the_next_ones_do_not_wait_as_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.store.worker.LOCKED_READ_WAIT_MS", 10)
    with locked(database.path):
        with pytest.raises(DatabaseBusy):
            await database.read(count, patience_ms=10)
        start = time.monotonic()
        with pytest.raises(DatabaseBusy):
            await database.read(count)
        waited = time.monotonic() - start
        assert waited > 0.35  # the one before had only asked for a short look
        start = time.monotonic()
        for _ in range(10):
            with pytest.raises(DatabaseBusy):
                await database.read(count)
        assert time.monotonic() - start < 0.35
    assert await database.read(count) == 0
    with locked(database.path):
        start = time.monotonic()
        with pytest.raises(DatabaseBusy):
            await database.read(count)
        assert time.monotonic() - start > 0.35
