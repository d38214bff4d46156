"""The app's database on its worker threads (protocol page 3, app contract 15.4)."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from sidecar.errors import DatabaseBusy, DatabaseTooNew, DatabaseUnreadable
from sidecar.store.database import Database
from sidecar.store.worker import NEWEST_KNOWN_SCHEMA
from tests.app_database import create_app_database, execute, insert_app, rows, write_lock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    opened = Database(path, busy_timeout_ms=50)
    yield opened
    await opened.aclose()


def add_app(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO apps (name, path) VALUES ('a', 'a')")


async def test_a_write_is_one_transaction(database: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        add_app(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(half)
    assert rows(database.path, "SELECT * FROM apps") == []
    await database.write(add_app)
    assert len(rows(database.path, "SELECT * FROM apps")) == 1


async def test_a_decision_is_known_before_it_is_written_and_keeps_others_out(database: Database) -> None:
    written_down = threading.Event()

    def decide(connection: sqlite3.Connection, decided: Callable[[str], None]) -> str:
        decided("taken")
        assert written_down.wait(10)
        add_app(connection)
        return "not what was decided"

    writing = database.begin_decision(decide)
    assert await writing.value() == "taken"
    other = sqlite3.connect(database.path, isolation_level=None, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    written_down.set()
    await writing.committed()
    assert len(rows(database.path, "SELECT * FROM apps")) == 1


async def test_a_decision_that_cannot_be_made_is_an_error(database: Database) -> None:
    def fail(connection: sqlite3.Connection, _: Callable[[str], None]) -> str:
        connection.execute("SELECT * FROM nowhere")
        return "never"

    with pytest.raises(DatabaseUnreadable):
        await database.begin_decision(fail).value()


async def test_a_value_is_known_before_it_is_on_the_disk(database: Database) -> None:
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM apps").fetchall()  # a reader: whoever wants to commit has to wait
    writing = database.begin_write(lambda connection: add_app(connection) or "written")
    assert await writing.value() == "written"
    with pytest.raises(DatabaseBusy):
        await writing.committed()
    other.execute("ROLLBACK")
    other.close()
    assert rows(database.path, "SELECT * FROM apps") == []
    await database.begin_write(add_app).committed()
    assert len(rows(database.path, "SELECT * FROM apps")) == 1


def commits(path: Path) -> int:
    """How many transactions changed the file, as its header counts them."""
    return int.from_bytes(path.read_bytes()[24:28])


async def test_writes_that_wait_together_share_a_transaction_and_one_that_fails_is_alone(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    database = Database(path, busy_timeout_ms=5_000)
    await database.write(add_app)
    before = commits(path)

    def half(connection: sqlite3.Connection) -> None:
        add_app(connection)
        raise ZeroDivisionError

    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    first = database.begin_write(add_app)
    waiting = [database.begin_write(work) for work in (add_app, half, add_app)]
    other.execute("ROLLBACK")
    other.close()
    await first.committed()
    await waiting[0].committed()
    with pytest.raises(ZeroDivisionError):
        await waiting[1].committed()
    await waiting[2].committed()
    assert len(rows(path, "SELECT * FROM apps")) == 4
    assert commits(path) - before <= 2
    await database.aclose()


async def test_the_reading_connection_cannot_write(database: Database) -> None:
    with pytest.raises(DatabaseUnreadable):
        await database.read(add_app)


async def test_readers_do_not_wait_behind_a_writer_that_waits(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    database = Database(path, busy_timeout_ms=60_000)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, add_app)
        with anyio.fail_after(5):
            assert await database.read(lambda c: c.execute("SELECT count(*) FROM apps").fetchone()[0]) == 0
        other.execute("ROLLBACK")
        other.close()
    assert len(rows(path, "SELECT * FROM apps")) == 1
    await database.aclose()


async def test_a_lock_past_the_time_out_is_busy_and_the_next_write_works(database: Database) -> None:
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseBusy):
        await database.write(add_app)
    with pytest.raises(DatabaseBusy):
        await database.read(lambda c: c.execute("SELECT count(*) FROM apps").fetchone())
    other.execute("ROLLBACK")
    other.close()
    await database.write(add_app)


def add(name: str) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute("INSERT INTO apps (name, path) VALUES (?, '')", (name,))


def names(path: Path) -> list[str]:
    return [row["name"] for row in rows(path, "SELECT name FROM apps ORDER BY id")]


async def test_what_is_owed_is_written_first_when_the_lock_is_gone(database: Database) -> None:
    other = write_lock(database.path)
    for number in range(2):
        with pytest.raises(DatabaseBusy):
            await database.write(add("with its counts"), later=add(f"owed {number}"))
    with pytest.raises(DatabaseBusy):
        await database.write(add("not owed"))
    writing = database.begin_write(add("new"))
    other.close()
    await writing.committed()
    assert names(database.path) == ["owed 0", "owed 1", "new"]


async def test_what_is_owed_is_written_without_anybody_asking(database: Database) -> None:
    other = write_lock(database.path)
    with pytest.raises(DatabaseBusy):
        await database.write(add_app, later=add("owed"))
    other.close()
    with anyio.fail_after(10):
        while not names(database.path):
            await anyio.lowlevel.checkpoint()
    assert names(database.path) == ["owed"]


async def test_a_write_in_time_owes_nothing_and_neither_does_one_that_failed(database: Database) -> None:
    def fails(connection: sqlite3.Connection) -> None:
        raise ZeroDivisionError

    await database.write(add("now"), later=add("owed"))
    with pytest.raises(ZeroDivisionError):
        await database.write(fails, later=add("owed"))
    await database.write(add("next"))
    assert names(database.path) == ["now", "next"]


async def test_the_end_waits_a_moment_for_what_is_owed_and_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    for released in (True, False):
        database = Database(path, busy_timeout_ms=50)
        other = write_lock(path)
        with pytest.raises(DatabaseBusy):
            await database.write(add_app, later=add("owed"))
        async with anyio.create_task_group() as tasks:
            with anyio.fail_after(5):
                tasks.start_soon(database.aclose)
                await anyio.lowlevel.checkpoint()
                if released:
                    other.close()
        other.close()
    assert names(path) == ["owed"], "the second one was still locked when the process ended"


async def test_what_is_owed_to_one_database_is_not_written_to_another(database: Database) -> None:
    other = write_lock(database.path)
    with pytest.raises(DatabaseBusy):
        await database.write(add_app, later=add("owed"))
    fresh = database.path.with_name("fresh.db")
    create_app_database(fresh)
    fresh.replace(database.path)
    await database.write(add("new"))
    other.close()  # only now: what is tried again meanwhile still meets the lock
    await database.write(add("next"))
    assert names(database.path) == ["new", "next"]


@pytest.mark.parametrize("mode", ["read", "write"])
async def test_after_damage_was_met_the_file_is_opened_anew(database: Database, mode: str) -> None:
    """It may be whole by then: the app restores a copy, the disk is back."""
    used: list[sqlite3.Connection] = []

    def meets_damage(connection: sqlite3.Connection) -> None:
        used.append(connection)
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with pytest.raises(DatabaseUnreadable):
        await getattr(database, mode)(meets_damage)
    assert await getattr(database, mode)(lambda connection: connection is not used[0])


@pytest.mark.parametrize("mode", ["read", "write"])
async def test_text_with_a_broken_character_is_read_as_the_app_reads_it(database: Database, mode: str) -> None:
    """JavaScript writes half of an emoji as bytes that are no UTF-8, and reads them as replacement characters."""
    execute(database.path, "INSERT INTO apps (name, path) VALUES (CAST(x'61eda0bd62' AS TEXT), 'p')")
    row = await getattr(database, mode)(lambda connection: connection.execute("SELECT name FROM apps").fetchone())
    assert row["name"] == "a\ufffd\ufffd\ufffdb"


async def test_the_handshake_does_not_wait_for_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    database = Database(path, busy_timeout_ms=60_000)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with anyio.fail_after(5):
        status = await database.status()
    assert (status.exists, status.schema_version, status.writable) == (True, None, False)
    other.close()
    await database.aclose()


@pytest.mark.parametrize("content", [b"", b"x" * 50, b"no database at all " * 20])
async def test_what_is_no_database_is_told_as_such(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sqlite.db"
    path.write_bytes(content)
    database = Database(path)
    with pytest.raises(DatabaseUnreadable):
        await database.read(lambda c: c.execute("SELECT * FROM apps").fetchall())
    status = await database.status()
    assert (status.exists, status.writable) == (True, False)
    assert path.read_bytes() == content, "nothing of the user's is touched"
    await database.aclose()


async def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    database = Database(tmp_path / "sqlite.db")
    with pytest.raises(DatabaseUnreadable, match="was not found"):
        await database.write(add_app)
    assert not database.path.exists()
    await database.aclose()


async def test_a_newer_schema_is_read_and_not_written(database: Database) -> None:
    insert_app(database.path)
    newer = "INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('x', ?)"
    execute(database.path, newer, NEWEST_KNOWN_SCHEMA + 1)
    assert await database.read(lambda c: c.execute("SELECT count(*) FROM apps").fetchone()[0]) == 1
    with pytest.raises(DatabaseTooNew):
        await database.write(add_app)
    status = await database.status()
    assert (status.schema_version, status.writable) == (NEWEST_KNOWN_SCHEMA + 1, False)


async def test_a_database_that_was_replaced_is_opened_anew(database: Database) -> None:
    insert_app(database.path)
    count = "SELECT count(*) FROM apps"
    assert await database.read(lambda c: c.execute(count).fetchone()[0]) == 1
    database.path.unlink()
    create_app_database(database.path)
    assert await database.read(lambda c: c.execute(count).fetchone()[0]) == 0


async def test_a_write_goes_through_although_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    database = Database(path, busy_timeout_ms=60_000)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, add_app)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    other.execute("ROLLBACK")
    other.close()
    await database.aclose()
    assert len(rows(path, "SELECT * FROM apps")) == 1


async def test_foreign_keys_are_on(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(lambda c: c.execute("INSERT INTO chats (app_id) VALUES (99)"))
