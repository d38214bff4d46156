"""How long a text is: in UTF-16 code units, as JavaScript counts, and in the tokens they are taken for."""

from __future__ import annotations

from typing import Final

_SLICE_CHARS: Final = 1 << 18


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, i.e. JavaScript's ``text.length``, without a copy of the whole text."""
    if text.isascii():
        return len(text)
    if len(text) <= _SLICE_CHARS:
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return sum(utf16_length(text[start : start + _SLICE_CHARS]) for start in range(0, len(text), _SLICE_CHARS))


def tokens_of(units: int) -> int:
    """Estimated tokens of so many UTF-16 code units: a quarter, rounded up (app contract 6)."""
    return -(-units // 4)


def estimate_tokens(text: str) -> int:
    """Estimated tokens of ``text``, as the app counts them."""
    return tokens_of(utf16_length(text))
