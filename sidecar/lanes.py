"""What a stream, a model call or the help chat needs of the outside: a way out for its notifications.

The composition root injects it (``rpc.outbox``), so that none of them knows the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class StreamLane(Protocol):
    """One stream's ordered way to the host. Nothing here waits: flow control is the lane's own business."""

    def send(self, method: str, build: Callable[[int], Any]) -> None:
        """A notification that must arrive; ``build`` gets its ``seq``."""
        ...

    def announce(self, method: str, params: Any) -> None:
        """A notification in this stream's order that ``seq`` does not count."""
        ...

    def mark(self) -> None:
        """The text has changed; it is rendered when the host takes it."""
        ...

    def withdraw(self) -> None:
        """What was marked has been sent otherwise."""
        ...


Render = Callable[[int], Any]
"""Builds the params of a coalesced notification for a ``seq``; None when there is nothing new to say."""

OpenLane = Callable[[str, Render, float], StreamLane]
"""``(method, render, min_interval_s) -> lane`` whose coalesced notifications are ``method``."""

Notify = Callable[[str, Any], None]
"""A notification outside any stream."""
