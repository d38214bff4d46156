"""What the host sees of a running stream: its first chunk, its patches or full arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from protocol.chat import ChunkMessages, ChunkPatch, MessageRow, ModelRef, StreamingPatch
from sidecar.chat.text.answer import AnswerText
from sidecar.lanes import OpenLane

CHUNK: Final = "chat:response:chunk"
PATCH_INTERVAL_S: Final = 0.008
"""Least time between two patches: half a frame of a 60 Hz screen, so nobody sees it. The first one never waits."""
FULL_ARRAY_INTERVAL_S: Final = 0.050
"""Mode ``messages`` sends at most one full array per 50 ms (protocol page 6)."""


class StreamView:
    """Renders one stream for the host, in the mode it asked for.

    In patch mode everything new since the last rendering is one patch, at most every 8 ms; in messages mode the whole
    array is rendered, at most every 50 ms. Both are rendered when the host takes them, never ahead.
    """

    def __init__(self, *, chat_id: int, stream_id: str, rows: list[MessageRow], mode: str, open_lane: OpenLane) -> None:
        self._chat_id = chat_id
        self._stream_id = stream_id
        self._rows = rows
        self._message_id = rows[-1].id
        self._introduced = False
        self._early: list[tuple[str, Any]] = []
        self.answer = AnswerText()
        patches = mode == "patch"
        render = self._patch if patches else self._array
        self.lane = open_lane(CHUNK, render, PATCH_INTERVAL_S if patches else FULL_ARRAY_INTERVAL_S)

    def first_chunk(self, model: ModelRef) -> None:
        """All rows, the empty assistant row last, and which model will answer; then what was announced before."""
        rows = list(self._rows)
        self.lane.send(CHUNK, lambda seq: ChunkMessages(self._chat_id, self._stream_id, seq, rows, model))
        self._introduced = True
        for method, params in self._early:
            self.lane.announce(method, params)

    def announce(self, method: str, params: Any) -> None:
        """A notification beside the chunks; the first chunk goes before it."""
        if self._introduced:
            self.lane.announce(method, params)
        else:
            self._early.append((method, params))

    def rows_chunk(self, rows: list[MessageRow]) -> None:
        """All rows as the database has them now (after an answer was applied)."""
        self._rows = rows
        self.lane.send(CHUNK, lambda seq: ChunkMessages(self._chat_id, self._stream_id, seq, rows))

    def changed(self) -> None:
        """The answer has new text."""
        self.lane.mark()

    def last(self, method: str, build: Callable[[int], msgspec.Struct]) -> None:
        """The terminal notification; what is still unsent goes first."""
        self.lane.mark()
        self.lane.send(method, build)

    def _patch(self, seq: int) -> ChunkPatch | None:
        patch = self.answer.take_patch()
        if patch is None:
            return None
        wire = StreamingPatch(patch.offset, patch.content, patch.prefix_hash)
        return ChunkPatch(self._chat_id, self._stream_id, seq, self._message_id, wire)

    def _array(self, seq: int) -> ChunkMessages | None:
        if self.answer.take_patch() is None:
            return None
        last = msgspec.structs.replace(self._rows[-1], content=self.answer.visible)
        return ChunkMessages(self._chat_id, self._stream_id, seq, [*self._rows[:-1], last])
