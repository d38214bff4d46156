"""Which messages belong to which chat, kept beside the reading connection.

The app's table has no index on ``chat_id`` and is not ours to change: without this a turn reads all messages of all
chats to find those of one, from the disk when it is cold. Ids are never given twice
(AUTOINCREMENT) and a message never changes its chat, so what was once read of them stays true: ids of messages that
are gone find nothing.
"""

from __future__ import annotations

import sqlite3
from array import array
from typing import Any

import msgspec


class KnownIds(msgspec.Struct, frozen=True):
    """The ids of a chat's messages as far as ``newest``; later ones are to be looked for."""

    ids: tuple[int, ...]
    newest: int


class MessageIds:
    """The ids by chat. Only for a connection that sees nothing but what is committed: an id that was rolled back is
    given again, to any chat."""

    def __init__(self) -> None:
        self._by_chat: dict[int, array[int]] = {}
        self._newest = 0

    def of(self, connection: sqlite3.Connection, chat_id: int) -> KnownIds | None:
        """The chat's, brought up to date; None where the table's ids may be given twice."""
        newest = _newest(connection)
        if newest is None:
            return None
        if newest < self._newest:  # the file was written over with an older one
            self._by_chat, self._newest = {}, 0
        if newest > self._newest:
            added = connection.execute(
                "SELECT id, chat_id FROM messages WHERE id > ? AND id <= ?", (self._newest, newest)
            )
            for identifier, chat in added:
                self._by_chat.setdefault(chat, array("q")).append(identifier)
            self._newest = newest
        return KnownIds(tuple(self._by_chat.get(chat_id, ())), newest)


class ReadingConnection(sqlite3.Connection):
    """The connection of the thread that reads; it sees what is committed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.message_ids = MessageIds()


def _newest(connection: sqlite3.Connection) -> int | None:
    """The highest id ever given to a message; None where nobody keeps it."""
    try:
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'messages'").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None
    return None if row is None else int(row[0])
