"""Accepting a turn: one committed transaction, or nothing (upstream's lesson: the first chunk is no acknowledgement).

Checked and written together: the chat exists, the intent is new, redo's deletions, both rows, the turn's record.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from typing import Final

import anyio.to_thread
import msgspec

from protocol.chat import ChatStreamParams
from sidecar.errors import Conflict, InvalidParams, NotFound
from sidecar.store.chats import (
    ChatHead,
    ChatRecord,
    Turn,
    drop_last_exchange,
    insert_turn,
    load_head,
    load_messages,
    message_ids,
)
from sidecar.store.turns import AcceptedTurn, create_turn_table, intent_hash, record_turn

MAX_INTENT_CHARS: Final = 256


class Replayed(msgspec.Struct, frozen=True):
    """The same intent with the same content was accepted before: nothing new is started."""

    chat_id: int


def content_hash(params: ChatStreamParams) -> str:
    """Hash of everything the user asked for; the same intent must come with the same one.

    Files count by hashes of their own: 25 MiB in one JSON text would hold the interpreter for tens of ms.
    """
    digested = msgspec.structs.replace(
        params,
        attachments=params.attachments
        and [msgspec.structs.replace(item, data=_digest(item.data)) for item in params.attachments],
        files=params.files and [msgspec.structs.replace(item, content=_digest(item.content)) for item in params.files],
    )
    return _hash(digested)


def _hash(params: ChatStreamParams) -> str:
    payload = msgspec.structs.replace(params, intent_id=None)
    return hashlib.sha256(msgspec.json.encode(payload, order="deterministic")).hexdigest()


def _is_same(known: str, hash_: str, params: ChatStreamParams) -> bool:
    """Whether an intent recorded as ``known`` is this one. Early builds hashed files with everything else."""
    return known == hash_ or ((params.attachments or params.files) is not None and known == _hash(params))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def intent_of(params: ChatStreamParams) -> tuple[str, str] | None:
    """The intent's id and content hash; None without one."""
    if params.intent_id is None:
        return None
    if params.attachments or params.files:
        return params.intent_id, await anyio.to_thread.run_sync(content_hash, params)
    return params.intent_id, content_hash(params)


def check_intent(params: ChatStreamParams) -> None:
    """Raises ``InvalidParams`` for an intent id that is empty or too long."""
    if params.intent_id is not None and not 0 < len(params.intent_id) <= MAX_INTENT_CHARS:
        raise InvalidParams(f"intentId must have 1 to {MAX_INTENT_CHARS} characters.", path="intentId")


def conflicting_intent(params: ChatStreamParams) -> Conflict:
    """The error for an intent id that comes back with other content."""
    return Conflict(
        "This intentId was already used for another message. Send the new message with a new intentId.",
        extra={"chatId": params.chat_id, "intentId": params.intent_id},
    )


def accept(
    connection: sqlite3.Connection,
    params: ChatStreamParams,
    *,
    stream_id: str,
    prompt: str,
) -> Turn | Replayed:
    """Run inside one immediate transaction. Raises ``NotFound`` and ``Conflict``."""
    ids = message_ids(connection, params.chat_id)  # before anything is written: what is committed can be kept
    create_turn_table(connection)
    hash_ = content_hash(params)
    if params.intent_id is not None:
        known = intent_hash(connection, params.chat_id, params.intent_id)
        if known is not None and _is_same(known, hash_, params):
            return Replayed(params.chat_id)
        if known is not None:
            raise conflicting_intent(params)
    head = head_of(connection, params.chat_id)
    if params.redo:
        drop_last_exchange(connection, params.chat_id, ids)
    assistant = insert_turn(connection, params.chat_id, prompt)
    record_turn(
        connection,
        AcceptedTurn(
            stream_id=stream_id,
            chat_id=params.chat_id,
            assistant_message_id=assistant,
            intent_id=params.intent_id,
            content_hash=hash_,
            process_id=os.getpid(),
        ),
    )
    messages = load_messages(connection, params.chat_id, ids)
    return Turn(assistant, ChatRecord(head.id, head.title, head.app, messages))


def head_of(connection: sqlite3.Connection, chat_id: int) -> ChatHead:
    """The chat without its messages. Raises ``NotFound``."""
    head = load_head(connection, chat_id)
    if head is None:
        raise chat_not_found(chat_id)
    return head


def chat_not_found(chat_id: int) -> NotFound:
    """The app's sentence for a chat that is not there."""
    return NotFound(f"Chat not found: {chat_id}", extra={"chatId": chat_id})
