"""Keeps the assistant row close behind the stream (protocol page 8)."""

from __future__ import annotations

from collections.abc import Callable
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
    """Writes the text of one stream to its row, a moment after there is something new.

    A short answer is over by then, and is written once, at its end.

    A locked database delays saving, never the stream: SQLite waits on the writer's own thread, and what could not be
    written is written with the next save. The writes of one stream are queued in order, so an older text never
    overwrites a newer one.
    """

    def __init__(self, database: Database, message_id: int, text: Callable[[], str]) -> None:
        self._database = database
        self._message_id = message_id
        self._text = text
        self._dirty = anyio.Event()

    def touch(self) -> None:
        """There is new text."""
        self._dirty.set()

    async def run(self) -> None:
        """Save until cancelled."""
        while True:
            await self._dirty.wait()
            await anyio.sleep(INTERVAL_S)
            self._dirty = anyio.Event()
            try:
                await self.save(self._text())
            except StoreError as error:
                log.warning("could not save the answer so far", code=error.code, message_id=self._message_id)
                self._dirty.set()

    async def save(self, content: str) -> None:
        """Write ``content`` now. Raises ``StoreError``."""
        await self._database.write(lambda connection: save_content(connection, self._message_id, content))
