"""``sidecar_turns``: which turn was accepted, by whom, and how it ended.

It makes ``intentId`` idempotent across restarts, and tells at the next start which turns a killed process left
unfinished. No prompt and no answer text is kept here, only a hash of what was asked.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec

TurnState = Literal["running", "completed", "cancelled", "errored", "interrupted"]

INTERRUPTED_SUFFIX: Final = "[Response interrupted]"
"""Ends an answer whose process died, as ``[Response cancelled by user]`` ends a cancelled one."""

_A_DAY_S: Final = 86_400

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS sidecar_turns (
    stream_id TEXT PRIMARY KEY,
    chat_id INTEGER NOT NULL,
    assistant_message_id INTEGER NOT NULL,
    intent_id TEXT,
    content_hash TEXT NOT NULL,
    state TEXT NOT NULL,
    process_id INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER
)
"""
_INDEXES: Final = (
    "CREATE UNIQUE INDEX IF NOT EXISTS sidecar_turns_intent ON sidecar_turns (chat_id, intent_id)"
    " WHERE intent_id IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS sidecar_turns_running ON sidecar_turns (state) WHERE state = 'running'",
)


class AcceptedTurn(msgspec.Struct, frozen=True):
    """What is recorded when a turn is accepted."""

    stream_id: str
    chat_id: int
    assistant_message_id: int
    intent_id: str | None
    content_hash: str
    process_id: int


def create_turn_table(connection: sqlite3.Connection) -> None:
    """Idempotent, and one look where it is there: every turn calls it."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sidecar_turns_running'").fetchone() is not None:
        return
    connection.execute(_TABLE)
    for index in _INDEXES:
        connection.execute(index)


def intent_hash(connection: sqlite3.Connection, chat_id: int, intent_id: str) -> str | None:
    """The content hash an intent was accepted with, or None when it is new."""
    row = connection.execute(
        "SELECT content_hash FROM sidecar_turns WHERE chat_id = ? AND intent_id = ?", (chat_id, intent_id)
    ).fetchone()
    return None if row is None else row[0]


def record_turn(connection: sqlite3.Connection, turn: AcceptedTurn) -> None:
    """Insert an accepted turn as ``running``, in the transaction that inserts its rows."""
    connection.execute(
        "INSERT INTO sidecar_turns (stream_id, chat_id, assistant_message_id, intent_id, content_hash, state,"
        " process_id, started_at) VALUES (?, ?, ?, ?, ?, 'running', ?, ?)",
        (
            turn.stream_id,
            turn.chat_id,
            turn.assistant_message_id,
            turn.intent_id,
            turn.content_hash,
            turn.process_id,
            int(time.time()),
        ),
    )


def finish_turn(connection: sqlite3.Connection, stream_id: str, state: TurnState) -> None:
    """How it ended."""
    connection.execute(
        "UPDATE sidecar_turns SET state = ?, finished_at = ? WHERE stream_id = ?", (state, int(time.time()), stream_id)
    )


def has_unfinished(connection: sqlite3.Connection) -> bool:
    """Whether any turn is recorded as running; a plain read, so that a start without any takes no write lock."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sidecar_turns'").fetchone()
    if found is None:
        return False
    return connection.execute("SELECT 1 FROM sidecar_turns WHERE state = 'running' LIMIT 1").fetchone() is not None


def mark_interrupted(
    connection: sqlite3.Connection, *, alive: Callable[[int], bool], own: int, own_start: int, now: int
) -> list[int]:
    """Close the turns that a dead process left running; returns their chat ids.

    The text that was saved stays, followed by ``[Response interrupted]``. Nothing is re-run: outside effects may have
    happened already. ``own`` is this process, started at ``own_start`` (seconds since the epoch): its own turns are
    alive, an older turn with its pid belonged to somebody else. No turn lasts longer than a day.
    """
    chats: list[int] = []
    for row in connection.execute("SELECT * FROM sidecar_turns WHERE state = 'running'").fetchall():
        young = now - row["started_at"] < _A_DAY_S
        lives = row["started_at"] >= own_start if row["process_id"] == own else alive(row["process_id"])
        if young and lives:
            continue
        finish_turn(connection, row["stream_id"], "interrupted")
        message = connection.execute(
            "SELECT content FROM messages WHERE id = ?", (row["assistant_message_id"],)
        ).fetchone()
        if message is not None:
            partial = message["content"]
            content = f"{partial}\n\n{INTERRUPTED_SUFFIX}" if partial.strip() else INTERRUPTED_SUFFIX
            connection.execute("UPDATE messages SET content = ? WHERE id = ?", (content, row["assistant_message_id"]))
        chats.append(row["chat_id"])
    return chats
