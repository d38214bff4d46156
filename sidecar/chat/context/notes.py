"""What could not be read or was left out, as a few sentences instead of one per file."""

from __future__ import annotations

from typing import Final

_SHOWN: Final = 5


class Notes:
    """Collects remarks; not shared between threads."""

    def __init__(self) -> None:
        self._groups: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, sentence: str, subject: str | None = None) -> None:
        """Remember ``sentence``; with ``subject`` (a path) the sentences that agree are told once, with a few of
        their subjects."""
        shown = self._groups.setdefault(sentence, [])
        if subject is None:
            return
        self._counts[sentence] = self._counts.get(sentence, 0) + 1
        if len(shown) < _SHOWN:
            shown.append(printable(subject))

    def merge(self, other: Notes) -> None:
        """Take over the remarks of ``other``."""
        for sentence, shown in other._groups.items():
            self._groups.setdefault(sentence, []).extend(shown)
            self._counts[sentence] = self._counts.get(sentence, 0) + other._counts.get(sentence, 0)

    def sentences(self) -> tuple[str, ...]:
        """All remarks, in the order they first came up."""
        return tuple(self._told(sentence, shown) for sentence, shown in self._groups.items())

    def _told(self, sentence: str, shown: list[str]) -> str:
        if not shown:
            return sentence
        more = self._counts[sentence] - min(len(shown), _SHOWN)
        return f"{sentence}: {', '.join(shown[:_SHOWN])}" + (f" and {more} more" if more else "")


def printable(path: str) -> str:
    """``path`` as text that can be sent: a file name need not be valid UTF-8, its odd bytes become question marks."""
    return path if path.isascii() else path.encode("utf-8", "replace").decode("utf-8")
