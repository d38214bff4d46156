"""Which frames have an order among themselves (protocol pages 6, 8).

Within a chat: notifications in order, and each answer after the last notification it waits for. Between chats, calls
and other requests nothing is promised, so each is a lane of its own; and so is ``host:system-prompt``, which is asked
while the turn is still being written down.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

Json = dict[str, Any]

_UNORDERED = frozenset({"host:system-prompt"})
_GROUPS = ("chatId", "callId", "sessionId")


class Arrived(msgspec.Struct, frozen=True):
    """A frame that came; ``text`` is the rebuilt answer with a stream's terminal notification."""

    frame: Json
    text: str | None = None

    @property
    def is_answer(self) -> bool:
        """Whether it answers a request of the host."""
        return "method" not in self.frame


class Lanes:
    """Frames that came and were not asked for yet, by lane."""

    def __init__(self) -> None:
        self._lane_of_request: dict[Any, str] = {}
        self._waiting: dict[str, deque[Arrived]] = {}

    def sent(self, frame: Json) -> None:
        """The host sent this: remembers where its answer will belong."""
        if "id" in frame and "method" in frame:
            self._lane_of_request[_key(frame["id"])] = _group(frame.get("params")) or f"id {frame['id']!r}"

    def arrived(self, arrived: Arrived) -> None:
        """The sidecar sent this."""
        self._waiting.setdefault(self.lane(arrived.frame), deque()).append(arrived)

    def lane(self, frame: Json) -> str:
        """The lane of a frame from the sidecar."""
        if frame.get("method") in _UNORDERED:
            return str(frame["method"])
        if "method" in frame:
            return _group(frame.get("params")) or frame["method"]
        return self._lane_of_request.get(_key(frame.get("id")), f"id {frame.get('id')!r}")

    def take(self, expected: Json) -> Arrived | None:
        """The frame that ``expected`` has to be compared with: its lane's next, or, for an answer, the answer with
        that id if only answers wait before it. None when nothing fitting has come yet."""
        waiting = self._waiting.get(self.lane(expected))
        if not waiting:
            return None
        if "method" not in expected:
            for index, arrived in enumerate(waiting):
                if not arrived.is_answer:
                    break
                if arrived.frame.get("id") == expected.get("id"):
                    del waiting[index]
                    return arrived
            if all(arrived.is_answer for arrived in waiting):
                return None
        return waiting.popleft()

    def left(self) -> list[Arrived]:
        """What nobody asked for."""
        return [arrived for waiting in self._waiting.values() for arrived in waiting]


def _key(identifier: Any) -> Any:
    return identifier if isinstance(identifier, str | int) else repr(identifier)


def _group(params: Any) -> str | None:
    """``chatId 7`` for params that name a chat; a bare ``[7]`` is ``chat:cancel``'s (protocol page 1)."""
    if isinstance(params, list) and len(params) == 1:
        params = params[0] if isinstance(params[0], dict) else {"chatId": params[0]}
    if not isinstance(params, dict):
        return None
    for member in _GROUPS:
        if member in params:
            return f"{member} {params[member]!r}"
    return None
