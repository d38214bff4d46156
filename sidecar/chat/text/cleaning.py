"""Angle brackets inside the attribute values of ``<scalix-...>`` tags (app contract 6, ``cleanFullResponse``).

Downstream parsers end a tag at the first ``>``, so brackets inside quoted values become their full-width twins
(``<`` -> ``＜`` U+FF1C, ``>`` -> ``＞`` U+FF1E). The app does it with a backtracking expression over the whole
answer after each delta::

    /<scalix-[^>]*?(?:"[^"]*"[^>]*?)*>/g     and in each match    /="([^"]*)"/g

``clean_full_response`` gives the same result in linear time; ``TagScanner`` does it piece by piece.

How the expression ends a tag: it reads from left to right; ``>`` ends it; a quote skips to the next quote, provided
there is one with a ``>`` somewhere after it; otherwise the quote counts as an ordinary character. A tag without any
``>`` after it is no tag. Independently of that, a value begins at ``="`` and ends at the next quote; a value still
open where the tag ends is left as it is.
"""

from __future__ import annotations

import re

TAG_START = "<scalix-"
OPENING = "\uff1c"
CLOSING = "\uff1e"

_QUOTE_OR_END = re.compile('[">]')
_SPECIAL = re.compile('["<>]')
_VALUE = re.compile('="[^"]*"')
_FULL_WIDTH = str.maketrans({"<": OPENING, ">": CLOSING})
_STARTS = tuple(TAG_START[:length] for length in range(len(TAG_START) - 1, 0, -1))


def tag_end(text: str, start: int, last_closing: int) -> int:
    """Index after the ``>`` that ends the tag opened at ``start``, or -1 when it never ends.

    ``last_closing`` is ``text.rfind(">")``; it is a parameter so that many tags share one search.
    """
    position = start + len(TAG_START)
    while position <= last_closing:
        found = _QUOTE_OR_END.search(text, position)
        if found is None:
            return -1
        at = found.start()
        if text[at] == ">":
            return at + 1
        closing_quote = text.find('"', at + 1, last_closing)
        if closing_quote < 0:
            return text.find(">", at + 1) + 1 or -1
        position = closing_quote + 1
    return -1


def clean_full_response(text: str) -> str:
    """The text with the brackets in its tags' attribute values replaced. Idempotent, linear, same length."""
    last_closing = text.rfind(">")
    pieces: list[str] = []
    position = 0
    while (start := text.find(TAG_START, position)) >= 0:
        end = tag_end(text, start, last_closing)
        if end < 0:
            break
        pieces.append(text[position:start])
        pieces.append(_VALUE.sub(lambda value: value[0].translate(_FULL_WIDTH), text[start:end]))
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


def possible_start(text: str, position: int = 0) -> int:
    """Where a ``<scalix-`` cut off by the end of the text may begin; the text's length when nowhere."""
    at = text.rfind("<", position)
    return at if at >= 0 and text[at:] in _STARTS else len(text)


class TagScanner:
    """Reads one opening tag piece by piece and gives its cleaned text at once.

    It is optimistic: brackets are replaced as soon as a value has begun, although the reference does so only if the
    tag and the value turn out to end. ``rewritten_in_vain`` and ``rewritten`` say when that was wrong.
    """

    __slots__ = ("_after_equals", "_in_value", "_quoted", "_value_rewritten", "rewritten")

    def __init__(self) -> None:
        self._quoted = False
        self._in_value = False
        self._after_equals = False
        self._value_rewritten = False
        self.rewritten = False
        """Whether any bracket was replaced: wrong if the text ends before the tag does."""

    @property
    def rewritten_in_vain(self) -> bool:
        """At the tag's end: whether a bracket was replaced in a value that never ended."""
        return self._in_value and self._value_rewritten

    def copy(self) -> TagScanner:
        """An independent copy."""
        other = TagScanner()
        other._quoted, other._in_value, other._after_equals = self._quoted, self._in_value, self._after_equals
        other._value_rewritten, other.rewritten = self._value_rewritten, self.rewritten
        return other

    def feed(self, text: str, position: int) -> tuple[str, int, bool]:
        """Read from ``position`` on (the first time: behind ``<scalix-``).

        Returns the cleaned text, the index reached, and whether the tag ended there.
        """
        pieces: list[str] = []
        copied = position
        for found in _SPECIAL.finditer(text, position):
            at = found.start()
            character = text[at]
            if character == '"':
                after_equals = text[at - 1] == "=" if at > position else self._after_equals
                if self._in_value:
                    self._in_value = False
                elif after_equals:
                    self._in_value, self._value_rewritten = True, False
                self._quoted = not self._quoted
                continue
            if character == ">" and not self._quoted:
                pieces.append(text[copied : at + 1])
                return "".join(pieces), at + 1, True
            if self._in_value:
                pieces.append(text[copied:at])
                pieces.append(OPENING if character == "<" else CLOSING)
                copied = at + 1
                self._value_rewritten = self.rewritten = True
        if len(text) > position:
            self._after_equals = text[-1] == "="
        pieces.append(text[copied:])
        return "".join(pieces), len(text), False
