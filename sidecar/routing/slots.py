"""How many answers stream at once, whoever asked for them: 64 (protocol page 8)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sidecar.errors import Overloaded

MAX_STREAMS: Final = 64


class StreamSlots:
    """The places that chats and single model calls share."""

    def __init__(self, *, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self._taken = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Take a place for one stream. Raises ``Overloaded`` when there is none."""
        if self._taken >= self._limit:
            raise Overloaded(f"{self._limit} answers are streaming at once. Wait for one to finish.")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
