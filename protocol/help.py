"""``help:chat:*``: the help window's own conversation (app contract 13.4, 13.5)."""

from __future__ import annotations

from typing import Literal

import msgspec


class HelpChatStartParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``help:chat:start``."""

    session_id: str
    message: str


class HelpChatCancelParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``help:chat:cancel``."""

    session_id: str


class HelpChatAnswer(msgspec.Struct, frozen=True):
    """Result of both."""

    ok: Literal[True] = True


class HelpChunk(msgspec.Struct, frozen=True, rename="camel"):
    """``help:chat:response:chunk``: text to append."""

    session_id: str
    delta: str
    type: Literal["text"] = "text"


class HelpEnd(msgspec.Struct, frozen=True, rename="camel"):
    """``help:chat:response:end``: the only terminal notification of an answer that did not fail."""

    session_id: str


class HelpError(msgspec.Struct, frozen=True, rename="camel"):
    """``help:chat:response:error``: the only terminal notification of an answer that failed."""

    session_id: str
    error: str
