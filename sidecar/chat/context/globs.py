"""Globs as the app's context settings use them: node ``glob`` v11 over relative paths (app contract 11.3).

``*``, ``?`` and classes stay within a segment and never match a leading dot; ``**`` spans folders, hidden ones
excepted; braces are alternatives. Matching a path takes time linear in it, whatever the pattern: stars become atomic
groups, so a pattern from a foreign repository cannot hold the interpreter.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from sidecar.chat.context.notes import Notes

MAX_BRACE_ALTERNATIVES: Final = 256
MAX_PATTERN_CHARS: Final = 4096
MAX_SPANS: Final = 4
"""``**`` per pattern: the one part whose cost grows with a power of the path's depth."""

_EXTGLOB = re.compile(r"[?*+@!]\(")
_RANGE = re.compile(r"(-?\d{1,6})\.\.(-?\d{1,6})")
_SPAN = r"(?:(?!\.)[^/]+/)*"
_END = r"(?=/|\Z)"


class GlobSet:
    """Some patterns, compiled together. A pattern that is a path to the letter matches that path as well, so a file
    such as ``app/[id]/page.tsx`` can be named."""

    def __init__(
        self, patterns: Iterable[str], notes: Notes, *, ignore_case: bool = sys.platform in ("win32", "darwin")
    ) -> None:
        self._ignore_case = ignore_case
        self._literal: set[str] = set()
        sources: dict[str, None] = {}
        for pattern in patterns:
            self._literal.add(self._fold(pattern))
            sources.update(dict.fromkeys(_sources(pattern, notes)))
        flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
        self._regex = re.compile("|".join(f"(?:{source})" for source in sources), flags) if sources else None

    def matches(self, path: str) -> bool:
        """Whether the relative ``path`` of a file, with slashes, is meant by one of the patterns."""
        if self._fold(path) in self._literal:
            return True
        return self._regex is not None and self._regex.fullmatch(path) is not None

    def _fold(self, path: str) -> str:
        return path.casefold() if self._ignore_case else path


def _sources(pattern: str, notes: Notes) -> list[str]:
    """Regular expressions for one pattern; what cannot match a file of the folder gives none, with a note."""
    if len(pattern) > MAX_PATTERN_CHARS or pattern.count("**") > MAX_SPANS:
        notes.add("These context patterns are too complex and were not used", pattern[:80])
        return []
    if _EXTGLOB.search(pattern):
        notes.add("These context patterns use extended globs, which are read as plain text", pattern)
    alternatives = expand_braces(pattern)
    if len(alternatives) > MAX_BRACE_ALTERNATIVES:
        notes.add("These context patterns have too many alternatives and were not used", pattern)
        return []
    sources = []
    for alternative in alternatives:
        segments = _segments(alternative)
        if segments is None:
            notes.add("These context patterns lead out of the app's folder and match nothing", pattern)
        elif segments:
            sources.append(_path_regex(segments))
    return sources


def _segments(pattern: str) -> list[str] | None:
    """The pattern's segments without ``.`` and ``..``; None when it leads out, empty when only folders match."""
    if pattern.endswith("/"):
        return []
    segments: list[str] = []
    for segment in pattern.split("/"):
        if segment == "..":
            if not segments or segments[-1] == "**":
                return None
            segments.pop()
        elif segment not in ("", ".") and not (segment == "**" and segments[-1:] == ["**"]):
            segments.append(segment)
    return segments


def _path_regex(segments: list[str]) -> str:
    *folders, name = segments
    source = "".join(_SPAN if segment == "**" else _segment_regex(segment) + "/" for segment in folders)
    return source + (_SPAN + r"(?!\.)[^/]+" if name == "**" else _segment_regex(name))


def _segment_regex(segment: str) -> str:
    """One segment. Each star but the last takes as little as it can and never reconsiders: with nothing but
    fixed-width pieces in between, the leftmost fit is as good as any other."""
    pieces = _pieces(segment)
    hidden_ok = segment.startswith((".", "\\."))
    source = "" if hidden_ok else r"(?!\.)"
    first, *rest = pieces
    if rest and not first:
        source += r"(?=[^/])"  # a star alone wants at least one character
    source += first
    for piece in rest[:-1]:
        source += f"(?>[^/]*?{piece})"
    if rest:
        source += f"(?>[^/]*?{rest[-1]}{_END})" if rest[-1] else "[^/]*+"
    return source


def _pieces(segment: str) -> list[str]:
    """Regular expressions of fixed width between the stars of a segment."""
    pieces = [""]
    position = 0
    while position < len(segment):
        char = segment[position]
        if char == "*":
            position += len(segment[position:]) - len(segment[position:].lstrip("*"))
            pieces.append("")
            continue
        width, source = 1, re.escape(char)
        if char == "?":
            source = "[^/]"
        elif char == "\\" and position + 1 < len(segment):
            width, source = 2, re.escape(segment[position + 1])
        elif char == "[" and (found := _class(segment, position)) is not None:
            width, source = found
        pieces[-1] += source
        position += width
    return pieces


def _class(segment: str, start: int) -> tuple[int, str] | None:
    """A ``[...]`` class at ``start``: its width and regular expression; None when it is not closed or not valid."""
    position = start + 1
    negated = segment[position : position + 1] in ("!", "^")
    position += negated
    end = segment.find("]", position + 1)
    if end < 0:
        return None
    inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", segment[position:end])
    source = f"[^/{inner}]" if negated else f"(?!/)[{inner}]"
    try:
        re.compile(source)
    except re.error:
        return None
    return end + 1 - start, source


def expand_braces(pattern: str) -> list[str]:
    """``a{b,c}`` as ``ab`` and ``ac``, nested too, and ``{1..3}``; at most one more than ``MAX_BRACE_ALTERNATIVES``.

    Braces without a comma or range, or never closed, are plain text.
    """
    done: list[str] = []
    waiting = [("", pattern)]
    while waiting and len(done) + len(waiting) <= MAX_BRACE_ALTERNATIVES + 1:
        head, rest = waiting.pop()
        group = _first_group(rest)
        if group is None:
            done.append(head + rest)
            continue
        start, end, options = group
        waiting += [(head + rest[:start], option + rest[end:]) for option in reversed(options)]
    return [*done, *(head + rest for head, rest in waiting)][: MAX_BRACE_ALTERNATIVES + 1]


def _first_group(text: str) -> tuple[int, int, list[str]] | None:
    """Start, end and alternatives of the first brace group."""
    for start in (match.start() for match in re.finditer(r"(?<!\\)\{", text)):
        depth, commas = 0, []
        for position in range(start, len(text)):
            char = text[position]
            depth += (char == "{") - (char == "}")
            if char == "," and depth == 1:
                commas.append(position)
            if depth == 0:
                options = _options(text, start, position, commas)
                if options:
                    return start, position + 1, options
                break
    return None


def _options(text: str, start: int, end: int, commas: list[int]) -> list[str]:
    if commas:
        edges = [start, *commas, end]
        return [text[left + 1 : right] for left, right in pairwise(edges)]
    span = _RANGE.fullmatch(text[start + 1 : end])
    if span is None:
        return []
    first, last = int(span[1]), int(span[2])
    step = 1 if last >= first else -1
    return [str(number) for number in range(first, last + step, step)[: MAX_BRACE_ALTERNATIVES + 1]]
