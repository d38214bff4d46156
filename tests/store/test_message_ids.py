"""Finding a chat's messages without reading everybody's: whatever happens to the table, the same rows as a scan."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.chat import MessageRow
from sidecar.store.chats import load_messages
from sidecar.store.database import Database
from sidecar.store.message_ids import AppConnection, MessageIds
from tests.app_database import create_app_database, execute, insert_app, insert_chat

C = TypeVar("C", bound=sqlite3.Connection)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    app = insert_app(path, "a")
    for _ in range(2):
        insert_chat(path, app)
    return path


@pytest.fixture
def reading(path: Path) -> Iterator[AppConnection]:
    with closing(connect(path, AppConnection)) as connection:
        yield connection


def connect(path: Path, kind: type[C]) -> C:
    connection = sqlite3.connect(path, factory=kind, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def say(connection: sqlite3.Connection, chat: int, content: str = "x") -> None:
    connection.execute("INSERT INTO messages (chat_id, role, content) VALUES (?, 'user', ?)", (chat, content))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["say", "say and roll back", "delete the last", "delete the chat's", "look"]),
            st.integers(1, 2),
        ),
        max_size=25,
    )
)
def test_a_reading_connection_finds_what_a_scan_finds(steps: list[tuple[str, int]]) -> None:
    with closing(sqlite3.connect("file:ids?mode=memory&cache=shared", uri=True, isolation_level=None)) as app:
        app.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, chat_id INTEGER NOT NULL, role TEXT NOT NULL,"
            " content TEXT NOT NULL, created_at INTEGER NOT NULL DEFAULT 0)"
        )
        app.row_factory = sqlite3.Row
        reading = sqlite3.connect(
            "file:ids?mode=memory&cache=shared", uri=True, factory=AppConnection, isolation_level=None
        )
        reading.row_factory = sqlite3.Row
        with closing(reading):
            for step, chat in steps:
                app.execute("BEGIN")
                if step.startswith("say"):
                    say(app, chat, step)
                elif step == "delete the last":
                    app.execute("DELETE FROM messages WHERE id = (SELECT MAX(id) FROM messages)")
                elif step == "delete the chat's":
                    app.execute("DELETE FROM messages WHERE chat_id = ?", (chat,))
                app.execute("ROLLBACK" if step == "say and roll back" else "COMMIT")
                if step == "look":
                    load_messages(reading, chat)
            for chat in (1, 2):
                assert load_messages(reading, chat) == load_messages(app, chat)


def test_a_writer_finds_what_was_known_and_what_came_since(path: Path, reading: AppConnection) -> None:
    with closing(connect(path, sqlite3.Connection)) as writing:
        say(writing, 1, "known")
        say(writing, 2, "another chat's")
        known = reading.message_ids.of(reading, 1)
        say(writing, 1, "since")
        writing.execute("BEGIN")
        say(writing, 1, "not committed")
        assert [row.content for row in load_messages(writing, 1, known)] == ["known", "since", "not committed"]
        writing.execute("ROLLBACK")
        assert [row.content for row in load_messages(reading, 1)] == ["known", "since"]


def test_other_chats_messages_are_not_read(path: Path, reading: AppConnection) -> None:
    with closing(connect(path, sqlite3.Connection)) as writing:
        say(writing, 1)
        load_messages(reading, 1)
        plan: list[str] = []
        reading.set_trace_callback(plan.append)
        load_messages(reading, 1)
        reading.set_trace_callback(None)
    select = next(statement for statement in plan if "messages WHERE id IN" in statement)
    steps = [row["detail"] for row in reading.execute(f"EXPLAIN QUERY PLAN {select}")]
    assert [step for step in steps if "messages" in step], steps
    assert not [step for step in steps if step.startswith("SCAN messages")], steps


def test_an_older_file_in_the_same_place_is_read_anew(path: Path, reading: AppConnection) -> None:
    with closing(connect(path, sqlite3.Connection)) as writing:
        for _ in range(3):
            say(writing, 1, "of the newer file")
        assert len(load_messages(reading, 1)) == 3
        writing.execute("DELETE FROM messages")
        writing.execute("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'messages'")
        say(writing, 2, "of the older file")
        assert load_messages(reading, 1) == []
        assert [row.content for row in load_messages(reading, 2)] == ["of the older file"]


def test_ids_that_may_be_given_twice_are_not_relied_on(tmp_path: Path) -> None:
    path = tmp_path / "odd.db"
    execute(
        path, "CREATE TABLE messages (id INTEGER PRIMARY KEY, chat_id INTEGER, role TEXT, content TEXT, created_at)"
    )
    with closing(connect(path, AppConnection)) as reading:
        assert MessageIds().of(reading, 1) is None
        say(reading, 1, "first")
        assert [row.content for row in load_messages(reading, 1)] == ["first"]
        reading.execute("DELETE FROM messages")
        say(reading, 2, "the same id")
        assert [row.content for row in load_messages(reading, 2)] == ["the same id"]


@example([("say", 1), ("look", 1), ("roll back", 1), ("say", 2)])
@example([("say", 1), ("look", 1), ("back", 1), ("say", 2)])
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["say", "look", "read", "back", "commit", "roll back"]), st.integers(1, 2)),
        max_size=25,
    )
)
def test_a_writing_connection_in_the_middle_of_its_transaction_finds_what_a_scan_finds(
    steps: list[tuple[str, int]],
) -> None:
    """``back`` takes back what was written last, ``read`` is the other connection's look: what is known is shared."""
    uri = "file:both?mode=memory&cache=shared"
    with (
        closing(sqlite3.connect(uri, uri=True, factory=AppConnection, isolation_level=None)) as writing,
        closing(sqlite3.connect(uri, uri=True, factory=AppConnection, isolation_level=None)) as reading,
    ):
        writing.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, chat_id INTEGER NOT NULL, role TEXT NOT NULL,"
            " content TEXT NOT NULL, created_at INTEGER NOT NULL DEFAULT 0)"
        )
        reading.execute("PRAGMA read_uncommitted = OFF")
        for connection in (writing, reading):
            connection.row_factory = sqlite3.Row
            connection.message_ids = writing.message_ids

        def begin() -> None:
            writing.execute("BEGIN")
            writing.clean_at = writing.total_changes

        begin()
        for step, chat in steps:
            if step == "say":
                writing.execute("SAVEPOINT job")
                say(writing, chat, step)
            elif step == "back":
                with suppress(sqlite3.OperationalError):  # nothing was written yet
                    writing.execute("ROLLBACK TO job")
            elif step == "look":
                assert load_messages(writing, chat) == _scanned(writing, chat)
            elif step == "read":
                with suppress(sqlite3.OperationalError):  # the shared cache locks what is being written
                    load_messages(reading, chat)
            else:
                writing.execute("COMMIT" if step == "commit" else "ROLLBACK")
                begin()
        for chat in (1, 2):
            assert load_messages(writing, chat) == _scanned(writing, chat)
        writing.execute("ROLLBACK")
        for chat in (1, 2):
            assert load_messages(reading, chat) == _scanned(reading, chat)


def _scanned(connection: AppConnection, chat: int) -> list[MessageRow]:
    """The rows by the way of one who knows nothing."""
    with closing(sqlite3.connect(":memory:")) as nothing_known:
        nothing_known.row_factory = sqlite3.Row
        nothing_known.execute("CREATE TABLE messages (id, chat_id, role, content, created_at)")
        rows = connection.execute("SELECT * FROM messages WHERE chat_id = ?", (chat,)).fetchall()
        nothing_known.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", [tuple(row) for row in rows])
        return load_messages(nothing_known, chat)


def test_another_file_in_the_same_place_is_read_anew(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    create_app_database(other)
    app = insert_app(other, "a")
    for _ in range(2):
        insert_chat(other, app)
    with closing(connect(path, AppConnection)) as before, closing(connect(other, AppConnection)) as after:
        before.file, after.file = (1, 1), (1, 2)
        after.message_ids = before.message_ids
        say(before, 1, "of the file that is gone")
        say(after, 2, "of the file that is there")
        before.clean_at, after.clean_at = before.total_changes, after.total_changes
        for _ in range(2):
            assert [row.content for row in load_messages(before, 1)] == ["of the file that is gone"]
            assert [row.content for row in load_messages(after, 2)] == ["of the file that is there"]


@pytest.mark.anyio
async def test_an_app_that_was_reset_has_the_messages_of_its_new_file(path: Path, tmp_path: Path) -> None:
    """``reset all``: the file is deleted and made anew; by the next look it may have more messages than the old one."""
    new = tmp_path / "new.db"
    shutil.copy(path, new)
    with closing(connect(path, sqlite3.Connection)) as old_app, closing(connect(new, sqlite3.Connection)) as new_app:
        say(old_app, 1, "of the file that is gone")
        for _ in range(2):
            say(new_app, 2, "of the new file")
    database = Database(path)
    assert len(await database.read(lambda connection: load_messages(connection, 1))) == 1
    new.replace(path)
    for job in (database.read, database.write):
        assert len(await job(lambda connection: load_messages(connection, 2))) == 2
        assert await job(lambda connection: load_messages(connection, 1)) == []
    await database.aclose()
