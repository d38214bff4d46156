"""Where the time to the first token went."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

Mark = Literal["accept", "committed", "context", "connect", "first_byte", "first_patch"]

STEPS: Final[tuple[Mark, ...]] = ("accept", "context", "connect", "first_byte", "first_patch")
"""One after the other: the turn is written, the prompt is put together, a connection is there, the head of the answer
has arrived, the host can have its first patch. ``committed``, the turn on the disk, happens beside them."""


class Marks:
    """When each step of one turn was reached. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start = clock()
        self._at: dict[Mark, float] = {}

    def mark(self, name: Mark) -> None:
        """A step is reached now. Of several attempts the one that gave the first patch counts: until then a later time
        replaces an earlier one, from then on nothing does. A turn that does not stream yet may still be committed."""
        if "first_patch" not in self._at or (name == "committed" and name not in self._at):
            self._at[name] = (self._clock() - self._start) * 1000

    def has(self, name: Mark) -> bool:
        """Whether the step was reached."""
        return name in self._at

    def split(self) -> dict[str, float]:
        """How long each step took, in ms; together they are the time to the first patch. What a route does not tell
        (litellm's client: its connection) is part of the next step."""
        split: dict[str, float] = {}
        before = 0.0
        for name in STEPS:
            if name in self._at:
                split[name] = round(self._at[name] - before, 1)
                before = self._at[name]
        return split

    def at(self, name: Mark) -> float | None:
        """When it was reached, in ms since the request."""
        return round(self._at[name], 1) if name in self._at else None
