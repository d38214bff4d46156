"""How a turn is accepted: in one trip to the database where everything for it is at hand, else step by step.

What was written is known before it is on the disk. The model is asked in between, and the host hears of the turn when
the disk has it: the first word does not wait for both, one after the other. Nor does it wait for the app's folder:
that is read while the disk is busy.
"""

from __future__ import annotations

import sqlite3
from functools import partial

import anyio
import msgspec

from protocol.chat import ChatStreamParams
from sidecar.chat.parts import Accepted, AtHand, ChatParts, TurnStart
from sidecar.chat.turn import Replayed, accept
from sidecar.store.chats import Turn


class _Written(msgspec.Struct, frozen=True):
    """What one transaction read and wrote."""

    start: TurnStart
    turn: Turn


async def accept_turn(parts: ChatParts, params: ChatStreamParams, stream_id: str) -> Accepted | Replayed:
    """Write the turn down. Not cancellable half-way: a committed turn always gets its stream and its terminal
    notification.

    Raises ``InvalidParams``, ``NotFound``, ``Conflict``, ``FeatureDisabled``, ``StoreError``; then nothing was written.
    """
    accepted: Accepted | Replayed | None = None
    at_hand = parts.planner.at_hand(params)
    if at_hand is not None:
        with anyio.CancelScope(shield=True):
            accepted = await _at_once(parts, params, stream_id, at_hand)
    if accepted is not None:
        return accepted
    return await _step_by_step(parts, params, stream_id)


async def _at_once(
    parts: ChatParts, params: ChatStreamParams, stream_id: str, at_hand: AtHand
) -> Accepted | Replayed | None:
    """Read and write in one transaction. None when the settings have changed: nothing was written then."""
    prepared = at_hand.prepared

    def work(connection: sqlite3.Connection) -> _Written | Replayed | None:
        start = at_hand.read_start(connection)
        if start is None:
            return None
        turn = accept(connection, params, stream_id=stream_id, prompt=prepared.stored)
        return turn if isinstance(turn, Replayed) else _Written(start, turn)

    writing = parts.database.begin_write(work)
    written = await writing.value()
    if not isinstance(written, _Written):
        await writing.committed()
        return written
    ahead = parts.planner.begin(params, prepared, written.start)
    return Accepted(written.turn, prepared, written.start, ahead, writing)


async def _step_by_step(parts: ChatParts, params: ChatStreamParams, stream_id: str) -> Accepted | Replayed:
    """Read, fetch what the message is made of, write."""
    start = await parts.planner.start(params)
    with anyio.CancelScope(shield=True):
        prepared = await parts.planner.prepare(params, start.app)
        stored = partial(accept, params=params, stream_id=stream_id, prompt=prepared.stored)
        writing = parts.database.begin_write(stored)
        ahead = parts.planner.begin(params, prepared, start)
        try:
            turn = await writing.value()
        except BaseException:  # whatever it is, nobody will want the folder
            ahead.give_up()
            raise
        if isinstance(turn, Replayed):
            ahead.give_up()
            await writing.committed()
    if isinstance(turn, Replayed):
        return turn
    return Accepted(turn, prepared, start, ahead, writing)
