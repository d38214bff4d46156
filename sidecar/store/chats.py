"""Rows of ``apps``, ``chats`` and ``messages``: pure functions over a connection.

Read by column name, so that older and newer schemas work alike; ordered by time and then id, because the app's time
has whole seconds (app contract 16, quirk 23).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from protocol.chat import MessageRow
from sidecar.store.message_ids import AppConnection, KnownIds

_ROW_IDS: Final = range(-(2**63), 2**63)
"""What SQLite takes as an integer; JSON has larger ones."""


class AppRow(msgspec.Struct, frozen=True):
    """What a turn needs of ``apps``."""

    id: int
    name: str
    path: str
    chat_context: str | None
    supabase_project_id: str | None
    neon_project_id: str | None


class ChatRecord(msgspec.Struct, frozen=True):
    """A chat with its app and messages, oldest first."""

    id: int
    title: str | None
    app: AppRow
    messages: list[MessageRow]


class ChatHead(msgspec.Struct, frozen=True):
    """A chat without its messages."""

    id: int
    title: str | None
    app: AppRow


class Turn(msgspec.Struct, frozen=True):
    """An accepted turn: the row its answer goes into, and the chat as it is with both of its rows."""

    assistant_message_id: int
    chat: ChatRecord


def load_head(connection: sqlite3.Connection, chat_id: int) -> ChatHead | None:
    """The chat without its messages, or None when there is no such chat or its app is gone."""
    if chat_id not in _ROW_IDS:
        return None
    chat = connection.execute("SELECT * FROM chats WHERE id = ?", (chat_id,)).fetchone()
    app = None if chat is None else connection.execute("SELECT * FROM apps WHERE id = ?", (chat["app_id"],)).fetchone()
    return None if app is None else ChatHead(chat_id, chat["title"], _app_row(app))


def load_chat(connection: sqlite3.Connection, chat_id: int) -> ChatRecord | None:
    """The chat, or None when there is no such chat or its app is gone."""
    head = load_head(connection, chat_id)
    if head is None:
        return None
    return ChatRecord(head.id, head.title, head.app, load_messages(connection, chat_id))


def load_messages(connection: sqlite3.Connection, chat_id: int, known: KnownIds | None = None) -> list[MessageRow]:
    """The chat's messages, oldest first. With ``known``, or what the connection knows, only they are read."""
    if known is None:
        known = message_ids(connection, chat_id)
    if known is None:
        rows = connection.execute("SELECT * FROM messages WHERE chat_id = ? ORDER BY created_at, id", (chat_id,))
    else:
        rows = connection.execute(_BY_ID, (msgspec.json.encode(known.ids).decode(), chat_id, known.newest, chat_id))
    columns = {column[0] for column in rows.description}
    return [_message_row(row, columns) for row in rows]


_BY_ID: Final = (
    "SELECT * FROM messages WHERE id IN (SELECT value FROM json_each(?)) AND chat_id = ?"
    " UNION ALL SELECT * FROM messages WHERE id > ? AND chat_id = ? ORDER BY created_at, id"
)


def message_ids(connection: sqlite3.Connection, chat_id: int) -> KnownIds | None:
    """What the connection knows of the chat's messages; None for one that keeps nothing."""
    return connection.message_ids.of(connection, chat_id) if isinstance(connection, AppConnection) else None


def load_apps(connection: sqlite3.Connection) -> list[AppRow]:
    """Every app, oldest first."""
    return [_app_row(row) for row in connection.execute("SELECT * FROM apps ORDER BY id")]


def load_prompts(connection: sqlite3.Connection, ids: list[int]) -> dict[int, str]:
    """Contents of the prompt library's rows with these ids."""
    marks = ",".join("?" * len(ids))
    rows = connection.execute(f"SELECT id, content FROM prompts WHERE id IN ({marks})", ids)  # noqa: S608 - marks only
    return {row["id"]: row["content"] for row in rows}


def drop_last_exchange(connection: sqlite3.Connection, chat_id: int, known: KnownIds | None = None) -> None:
    """Redo: delete the last user message, and the assistant message directly after it (app contract 7.3)."""
    messages = load_messages(connection, chat_id, known)
    last = next((index for index in reversed(range(len(messages))) if messages[index].role == "user"), None)
    if last is None:
        return
    doomed = [messages[last].id]
    if last + 1 < len(messages) and messages[last + 1].role == "assistant":
        doomed.append(messages[last + 1].id)
    connection.executemany("DELETE FROM messages WHERE id = ?", [(identifier,) for identifier in doomed])


def insert_turn(connection: sqlite3.Connection, chat_id: int, prompt: str) -> int:
    """The user's row and the empty assistant row; returns the id of the latter."""
    insert = "INSERT INTO messages (chat_id, role, content) VALUES (?, ?, ?)"
    connection.execute(insert, (chat_id, "user", prompt))
    assistant = connection.execute(insert, (chat_id, "assistant", "")).lastrowid
    if assistant is None:
        raise sqlite3.DatabaseError("no row id after INSERT")
    return assistant


def save_content(connection: sqlite3.Connection, message_id: int, content: str) -> None:
    """Write a message's text. A message deleted meanwhile stays deleted."""
    connection.execute("UPDATE messages SET content = ? WHERE id = ?", (content, message_id))


def set_title_if_null(connection: sqlite3.Connection, chat_id: int, title: str) -> None:
    """Name a chat that has no name yet (app contract 7.15)."""
    connection.execute("UPDATE chats SET title = ? WHERE id = ? AND title IS NULL", (title, chat_id))


def iso(seconds: Any) -> str:
    """Seconds since the epoch as ``2026-01-31T12:00:00.000Z``; a newer schema's milliseconds are understood."""
    value = float(seconds or 0)
    if abs(value) > 1e11:
        value /= 1000
    moment = datetime.fromtimestamp(value, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _app_row(row: sqlite3.Row) -> AppRow:
    known = set(row.keys())

    def optional(column: str) -> str | None:
        return row[column] if column in known else None

    return AppRow(
        id=row["id"],
        name=row["name"],
        path=row["path"],
        chat_context=optional("chat_context"),
        supabase_project_id=optional("supabase_project_id"),
        neon_project_id=optional("neon_project_id"),
    )


def _message_row(row: sqlite3.Row, known: Collection[str]) -> MessageRow:
    return MessageRow(
        id=row["id"],
        chat_id=row["chat_id"],
        role=row["role"],
        content=row["content"],
        approval_state=row["approval_state"] if "approval_state" in known else None,
        commit_hash=row["commit_hash"] if "commit_hash" in known else None,
        created_at=iso(row["created_at"]),
    )
