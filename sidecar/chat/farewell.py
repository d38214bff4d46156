"""A stream's last things: text saved, turn recorded, changes applied, one terminal notification, one log line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

import anyio
import structlog

from sidecar.chat.attachments import StoredAttachment
from sidecar.chat.followup import apply_response, is_applied
from sidecar.chat.marks import Marks
from sidecar.chat.outcome import (
    APPLY_STOPPED,
    NOT_APPLIED,
    SAVED_LATER,
    SHOWN_LATER,
    Ending,
    cancelled_text,
    empty_answer_note,
    end_notification,
    error_notification,
    is_complete,
    unfinished_note,
)
from sidecar.chat.parts import ChatParts
from sidecar.chat.text.tags import chat_summary
from sidecar.chat.view import StreamView
from sidecar.errors import OUR_MISTAKE, DatabaseBusy, SidecarError, StoreError
from sidecar.routing.limits import Reservation
from sidecar.routing.meter import costs_figures_only
from sidecar.routing.recording import SettledCall
from sidecar.settings.values import AppSettings
from sidecar.store.chats import Turn, load_chat, save_content, set_title_if_null
from sidecar.store.limits import Tally
from sidecar.store.turns import TurnState, finish_turn

T = TypeVar("T")

log = structlog.get_logger("sidecar.chat")

END = "chat:response:end"
ERROR = "chat:response:error"
FAILED = "error"
"""Result of ``chat:stream`` when the terminal notification said why it failed (app contract 7.17)."""


class Farewell:
    """The end of one stream, in three steps: ``write_down``, ``apply``, ``say``. ``ending`` is filled on the way."""

    def __init__(
        self,
        parts: ChatParts,
        turn: Turn,
        view: StreamView,
        ending: Ending,
        *,
        marks: Marks,
        attachments: Sequence[StoredAttachment],
        settings: AppSettings,
    ) -> None:
        self._parts = parts
        self._turn = turn
        self._view = view
        self._ending = ending
        self._marks = marks
        self._attachments = attachments
        self._settings = settings
        """As the turn began with them: it is counted by these."""
        self.calls: list[tuple[Reservation, SettledCall]] = []
        """The model calls of the turn: each counts when it was answered, whole or in part."""

    async def write_down(self, failure: SidecarError | None, *, cancelled: bool) -> SidecarError | None:
        """Text, how it ended and what it counts. Not to be cancelled. The failure the stream ends with, if any."""
        ending = self._ending
        text = self._view.answer.finish()
        if cancelled:
            text = cancelled_text(text)
        elif failure is None and not text.strip():
            ending.warnings.append(empty_answer_note(ending.finish_reason))
        elif failure is None and (note := unfinished_note(text, ending.finish_reason)) is not None:
            ending.warnings.append(note)
        ending.text = text
        state: TurnState = "cancelled" if cancelled else "errored" if failure is not None else "completed"
        ending.summary = chat_summary(text) if state == "completed" else None
        await self.count()
        return await self._save(state) or failure

    async def count(self) -> None:
        """Note the calls, for the limits and the ledger; whoever writes next writes them down."""
        meter = self._parts.meter
        with costs_figures_only():
            await meter.ready()
            for reservation, call in self.calls:
                meter.note(reservation, call, self._settings)
            self._ending.usage.cost_usd = meter.cost(call for _, call in self.calls)

    def say(self, failure: SidecarError | None, *, cancelled: bool) -> int | str:
        """Tell and log how it ended, once, last."""
        today = self._parts.meter.today_so_far(self._settings)
        self._ending.count(today.limits, upgrade_prompt=today.upgrade_prompt)
        self._log("cancelled" if cancelled else "completed" if failure is None else "errored", failure)
        self._tell(failure, cancelled=cancelled)
        return FAILED if failure is not None else self._turn.chat.id

    def _tell(self, failure: SidecarError | None, *, cancelled: bool) -> None:
        ending = self._ending
        if failure is not None:
            error = failure
            self._view.last(ERROR, lambda seq: error_notification(ending, seq, error))
        else:
            self._view.last(END, lambda seq: end_notification(ending, seq, was_cancelled=cancelled))

    async def _save(self, state: TurnState) -> SidecarError | None:
        """Text, title, how the turn ended and what it counts: one transaction, in which the text does not depend on
        the rest."""
        turn, stream_id = self._turn, self._ending.stream_id
        text, summary = self._ending.text, self._ending.summary
        counted = self._parts.meter.unwritten()

        def save(connection: sqlite3.Connection) -> None:
            save_content(connection, turn.assistant_message_id, text)
            if summary:
                _note(connection, "title", lambda: set_title_if_null(connection, turn.chat.id, summary))
            _note(connection, "state", lambda: finish_turn(connection, stream_id, state))

        def work(connection: sqlite3.Connection) -> Tally | None:
            save(connection)
            return _note(connection, "usage", lambda: counted.write(connection))

        try:
            counted.written(await self._parts.database.write(work, later=save))
        except DatabaseBusy:
            # Whoever waited for the answer has it on the screen: that is no failure, only not on the disk yet.
            self._ending.warnings.append(SAVED_LATER)
            self._ending.is_saved = False
        except StoreError as error:
            return error
        except Exception:  # as in the stream itself: a bug is logged, and the host gets its last word
            log.exception("the answer was not saved", stream_id=stream_id)
            return SidecarError(OUR_MISTAKE)
        return None

    async def apply(self) -> SidecarError | None:
        """Ask the host to carry the answer out, when the user wants that without being asked (app contract 7.15)."""
        try:
            return await self._apply()
        except Exception:  # as in the stream itself: a bug is logged, and the host gets its last word
            log.exception("the answer was not applied", stream_id=self._ending.stream_id)
            return SidecarError(OUR_MISTAKE)

    async def _apply(self) -> SidecarError | None:
        parts, ending = self._parts, self._ending
        if not is_complete(ending.text, ending.finish_reason) or not await is_applied(parts):
            return None
        if not ending.is_saved:
            # The host writes into the same row; what is saved later would undo that.
            ending.warnings.append(NOT_APPLIED)
            return None
        try:
            result = await apply_response(parts, self._turn, ending, self._attachments)
        except anyio.get_cancelled_exc_class():
            ending.warnings.append(APPLY_STOPPED)
            raise
        failure = result if isinstance(result, SidecarError) else None
        if not isinstance(result, SidecarError):
            ending.applied = result
        await self._show_applied()
        return failure

    async def _show_applied(self) -> None:
        """The rows as the host left them: it writes into the answer what it did, and what it could not do."""
        try:
            chat = await self._parts.database.read(lambda connection: load_chat(connection, self._turn.chat.id))
        except StoreError:
            self._ending.warnings.append(SHOWN_LATER)
            return
        if chat is not None:
            self._view.rows_chunk(chat.messages)

    def _log(self, state: TurnState, failure: SidecarError | None) -> None:
        log.info(
            "turn finished",
            chat_id=self._turn.chat.id,
            stream_id=self._ending.stream_id,
            state=state,
            code=None if failure is None else failure.code.value,
            model=f"{self._ending.model.provider}/{self._ending.model.name}",
            ttft_ms=self._marks.at("first_patch"),
            split_ms=self._marks.split(),
            committed_ms=self._marks.at("committed"),
            context=str(self._ending.context),
        )


def _note(connection: sqlite3.Connection, lost: str, write: Callable[[], T]) -> T | None:
    """Bookkeeping in the transaction of an answer. What cannot be written, for whatever reason, is logged and lost; the
    words are not."""
    try:
        return write()
    except Exception:
        if not connection.in_transaction:  # SQLite took everything back, the words too: a full disk, a broken file
            raise
        log.exception("an answer was saved without all that belongs to it", lost=lost)
        return None
