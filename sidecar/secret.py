"""A string that must not be seen: keys and tokens held in memory only."""

from __future__ import annotations

from typing import Final, NoReturn


class SecretText:
    """Holds plain text that never shows in a repr, format, log, pickle or comparison message.

    ``reveal()`` is the only way out; it is called where a header is built, nowhere else.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text: Final = text

    def reveal(self) -> str:
        """The plain text."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "SecretText('***')"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")
