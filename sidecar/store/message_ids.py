"""Which messages belong to which chat, kept beside the connections.

The app's table has no index on ``chat_id`` and is not ours to change: without this a turn reads all messages of all
chats to find those of one, from the disk when it is cold. Ids are never given twice
(AUTOINCREMENT) and a message never changes its chat, so what was once read of them stays true: ids of messages that
are gone find nothing.
"""

from __future__ import annotations

import sqlite3
import threading
from array import array
from typing import Any

import msgspec


class AppConnection(sqlite3.Connection):
    """A connection to the app's file that keeps what it has learned of it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.file: tuple[int, int] | None = None
        """Device and inode of the file it is open on."""
        self.message_ids = MessageIds()
        """Shared between the connections of one database."""
        self.clean_at = 0
        """``total_changes`` as the transaction began."""

    @property
    def sees_committed(self) -> bool:
        """Whether it sees nothing but what is on the disk: nothing was written in this transaction, kept or not."""
        return self.total_changes == self.clean_at


class KnownIds(msgspec.Struct, frozen=True):
    """The ids of a chat's messages as far as ``newest``; later ones are to be looked for."""

    ids: tuple[int, ...]
    newest: int


class MessageIds:
    """The ids by chat. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: tuple[int, int] | None = None
        self._by_chat: dict[int, array[int]] = {}
        self._newest = 0

    def of(self, connection: AppConnection, chat_id: int) -> KnownIds | None:
        """The chat's; None where the table's ids may be given twice.

        Brought up to date, unless this transaction has written something: an id that is rolled back is given again, to
        any chat.
        """
        with self._lock:
            newest = _newest(connection)
            if newest is None:
                return None
            if connection.file != self._file or newest < self._newest:  # another file, or an older one in its place
                self._by_chat, self._newest, self._file = {}, 0, connection.file
            if newest > self._newest and connection.sees_committed:
                self._read_up_to(newest, connection)
            return KnownIds(tuple(self._by_chat.get(chat_id, ())), self._newest)

    def _read_up_to(self, newest: int, connection: sqlite3.Connection) -> None:
        added = connection.execute("SELECT id, chat_id FROM messages WHERE id > ? AND id <= ?", (self._newest, newest))
        for identifier, chat in added:
            self._by_chat.setdefault(chat, array("q")).append(identifier)
        self._newest = newest


def _newest(connection: sqlite3.Connection) -> int | None:
    """The highest id ever given to a message; None where nobody keeps it."""
    try:
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'messages'").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None
    return None if row is None else int(row[0])
