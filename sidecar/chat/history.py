"""What a model is told besides the prompt: earlier messages (app contract 7.8, points 6, 8, 10 and 11)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec

from sidecar.chat.text.tags import strip_all_scalix_tags, strip_non_essential

DEFAULT_MAX_TURNS = 3
"""Turns of a question and its answer, besides the current one, when the settings name no number."""

SUMMARY_REQUEST = "Summarize the following chat: "
_SUMMARY_WHOLE = 8
_SUMMARY_FIRST = 2
_SUMMARY_LAST = 6


class Row(Protocol):
    """Anything with the two columns that matter here."""

    @property
    def role(self) -> str:
        """``user``, ``assistant`` or ``system``."""

    @property
    def content(self) -> str:
        """The stored text."""


RowT = TypeVar("RowT", bound=Row)


class HistoryRow(msgspec.Struct, frozen=True):
    """One message: who said it, and what."""

    role: str
    content: str


def limit_history(rows: Sequence[RowT], max_turns: int | None = None) -> list[RowT]:
    """The rows worth sending, oldest first.

    ``rows`` are all of the chat, the new user message and the empty place-holder included. With more than
    ``2 * (max_turns + 1)`` of them, system rows go, the last so many stay, and the first of those is a user's; without
    any user message nothing stays. ``max_turns`` None or 0 means ``DEFAULT_MAX_TURNS``.
    """
    limit = 2 * ((max_turns or DEFAULT_MAX_TURNS) + 1)
    if len(rows) <= limit:
        return list(rows)
    recent = [row for row in rows if row.role != "system"][-limit:]
    first_user = next((index for index, row in enumerate(recent) if row.role == "user"), len(recent))
    return recent[first_user:]


def model_messages(rows: Iterable[Row], *, ask_mode: bool = False) -> list[HistoryRow]:
    """The rows as a model sees them: without thinking and problem reports, in ask mode without any scalix tag.

    What is empty then is left out, the assistant's place-holder for one.
    """
    messages = []
    for row in rows:
        content = strip_non_essential(row.content)
        if ask_mode:
            content = strip_all_scalix_tags(content)
        if content:
            messages.append(HistoryRow(row.role, content))
    return messages


def summary_prompt(messages: Sequence[Row]) -> str:
    """The single user message that replaces everything when a chat is to be summarised.

    Of more than 8 messages the first 2 and the last 6 are shown, and how many were left out. ``messages`` is empty
    for an unknown chat.
    """
    shown: list[Row] = list(messages)
    if len(shown) > _SUMMARY_WHOLE:
        omitted = HistoryRow("system", f"[... {len(shown) - _SUMMARY_WHOLE} messages omitted ...]")
        shown = [*shown[:_SUMMARY_FIRST], omitted, *shown[-_SUMMARY_LAST:]]
    return SUMMARY_REQUEST + "\n".join(f'<message role="{row.role}">{row.content}</message>' for row in shown)
