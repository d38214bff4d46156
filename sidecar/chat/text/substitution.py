"""Replacing agreed place-holders in an answer while it streams (protocol page 4, app contract 7.10)."""

from __future__ import annotations

from collections.abc import Mapping


class Substituter:
    """Replaces the first occurrence of each key; an end that may become a key is held back.

    The result does not depend on how the text is cut: where several keys could begin, the leftmost wins, and at the
    same place the shortest. Replacements go out as they are and are not searched again.
    """

    __slots__ = ("held", "remaining")

    def __init__(self, substitutions: Mapping[str, str]) -> None:
        self.remaining = {key: value for key, value in substitutions.items() if key}
        """Keys not seen yet. Never changed in place, so it may be kept as a snapshot."""
        self.held = ""

    def concerns(self, text: str) -> bool:
        """Whether ``feed`` could do anything but return the text."""
        if self.held:
            return True
        for key in self.remaining:  # noqa: SIM110 - a generator costs three times as much on the hottest path
            if key[0] in text:
                return True
        return False

    def feed(self, text: str) -> str:
        """The text to emit now."""
        return self._replace(self.held + text, final=False)

    def flush(self) -> str:
        """What was held back, since nothing follows."""
        return self._replace(self.held, final=True)

    def _replace(self, text: str, *, final: bool) -> str:
        pieces: list[str] = []
        while self.remaining:
            hold = len(text) if final else self._possible_start(text)
            at, key = min(
                ((at, key) for key in self.remaining if (at := text.find(key)) >= 0),
                key=lambda hit: (hit[0], len(hit[1])),
                default=(-1, ""),
            )
            if at < 0 or at > hold:
                self.held = text[hold:]
                return "".join(pieces) + text[:hold]
            pieces += (text[:at], self.remaining[key])
            text = text[at + len(key) :]
            self.remaining = {other: value for other, value in self.remaining.items() if other != key}
        self.held = ""
        return "".join(pieces) + text

    def _possible_start(self, text: str) -> int:
        """Where a key cut off by the end of the text may begin; the text's length when nowhere."""
        first = len(text)
        for key in self.remaining:
            at = text.find(key[0], max(0, len(text) - len(key) + 1))
            while 0 <= at < first:
                if key.startswith(text[at:]):
                    first = at
                    break
                at = text.find(key[0], at + 1)
        return first
