"""Keeps the assistant rows close behind their streams (protocol page 8)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio
import structlog

from sidecar.errors import StoreError
from sidecar.store.chats import save_content
from sidecar.store.database import Database

INTERVAL_S: Final = 0.140
"""From new text to its save. With the commit it makes the 150 ms of text that a killed process loses at most."""

log = structlog.get_logger("sidecar.chat")


class Autosave:
    """Writes the texts of all streams to their rows, a moment after there is something new, in one transaction.

    A short answer is over by then, and is written once, at its end. A locked database delays saving, never a stream:
    SQLite waits on the writer's own thread, and what could not be written is written with the next save. Writes are
    queued in order, so an older text never overwrites a newer one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._streams: dict[int, Callable[[], str]] = {}
        self._changed: set[int] = set()
        self._wake = anyio.Event()

    @contextmanager
    def keeping(self, message_id: int, text: Callable[[], str]) -> Iterator[Callable[[], None]]:
        """For the length of a stream: gives what to call when there is new text. ``text`` is what to save now."""

        def touch() -> None:
            if message_id not in self._changed:
                self._changed.add(message_id)
                self._wake.set()

        self._streams[message_id] = text
        try:
            yield touch
        finally:
            del self._streams[message_id]
            self._changed.discard(message_id)

    async def run(self) -> None:
        """Save until cancelled."""
        while True:
            await self._wake.wait()
            await anyio.sleep(INTERVAL_S)
            self._wake = anyio.Event()
            await self._save()

    async def _save(self) -> None:
        changed, self._changed = self._changed, set()
        if not changed:
            return  # the streams that had new text have ended, and saved it
        texts = [(message_id, self._streams[message_id]()) for message_id in changed]

        def write(connection: sqlite3.Connection) -> None:
            for message_id, content in texts:
                save_content(connection, message_id, content)

        try:
            await self._database.write(write)
        except (StoreError, sqlite3.Error) as error:
            log.warning("could not save the answers so far", reason=str(error), message_ids=sorted(changed))
            # Streams that have ended meanwhile have their last text saved otherwise.
            self._changed |= changed & self._streams.keys()
            self._wake.set()
