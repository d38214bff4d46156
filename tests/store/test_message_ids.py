"""Finding a chat's messages without reading everybody's: whatever happens to the table, the same rows as a scan."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.store.chats import load_messages
from sidecar.store.message_ids import MessageIds, ReadingConnection
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
def reading(path: Path) -> Iterator[ReadingConnection]:
    with closing(connect(path, ReadingConnection)) as connection:
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
            "file:ids?mode=memory&cache=shared", uri=True, factory=ReadingConnection, isolation_level=None
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


def test_a_writer_finds_what_was_known_and_what_came_since(path: Path, reading: ReadingConnection) -> None:
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


def test_other_chats_messages_are_not_read(path: Path, reading: ReadingConnection) -> None:
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


def test_an_older_file_in_the_same_place_is_read_anew(path: Path, reading: ReadingConnection) -> None:
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
    with closing(connect(path, ReadingConnection)) as reading:
        assert MessageIds().of(reading, 1) is None
        say(reading, 1, "first")
        assert [row.content for row in load_messages(reading, 1)] == ["first"]
        reading.execute("DELETE FROM messages")
        say(reading, 2, "the same id")
        assert [row.content for row in load_messages(reading, 2)] == ["the same id"]
