"""``.gitignore`` files, nested ones included, as git reads them.

Patterns are parsed by ``pathspec``; which of them decides about an entry is git's own rule: the deepest file that
says anything, in it the last matching line, and never a look into a folder that is ignored. An entry is matched as
itself, not as something below a matching folder: the walk has asked about its folders before.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sidecar.chat.context.notes import Notes

MAX_GITIGNORE_BYTES: Final = 1 << 20
_MAX_STARS: Final = 4
_MEMO_ENTRIES: Final = 50_000

_MARK: Final = "ps_d"
"""Name of the group with which pathspec marks the slash after the part a pattern matched."""


class IgnoreRules:
    """The rules of one folder: its own ``.gitignore`` over those of the folders above. Decisions are remembered."""

    __slots__ = ("_base", "_memo", "_parent", "_patterns")

    def __init__(self, folder: str, text: str, parent: IgnoreRules | None, notes: Notes) -> None:
        """``folder`` is relative and ends with a slash, or is empty for the app's own."""
        self._base = len(folder)
        self._parent = parent
        self._patterns = _compile(text, f"{folder}.gitignore", notes)
        self._memo: dict[str, bool | None] = {}

    def ignored(self, path: str, is_folder: bool) -> bool:
        """Whether the entry at ``path``, relative to the app's folder, is left out."""
        return self._decide(path + "/" if is_folder else path) is True

    def _decide(self, entry: str) -> bool | None:
        if entry in self._memo:
            return self._memo[entry]
        decision = self._own(entry[self._base :])
        if decision is None and self._parent is not None:
            decision = self._parent._decide(entry)
        if len(self._memo) >= _MEMO_ENTRIES:
            self._memo.clear()
        self._memo[entry] = decision
        return decision

    def _own(self, entry: str) -> bool | None:
        for regex, ignores in self._patterns:
            if _matches(regex, entry):
                return ignores
        return None


def _matches(regex: re.Pattern[str], entry: str) -> bool:
    is_folder = entry.endswith("/")
    if regex.pattern == f"(?P<{_MARK}>/)":  # the patterns ``*/`` and ``**/``: any folder
        return is_folder
    found = regex.search(entry)
    if found is None:
        return False
    if _MARK in regex.groupindex:
        return found.start(_MARK) in (-1, len(entry) - 1)
    return not (is_folder and found.end() == len(entry))  # ``a/**`` is what is in ``a``, not ``a`` itself


def _compile(text: str, source: str, notes: Notes) -> list[tuple[re.Pattern[str], bool]]:
    """The lines that say something, the last first."""
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    compiled: list[tuple[re.Pattern[str], bool]] = []
    for raw in text.removeprefix("\ufeff").split("\n"):
        line = raw.removesuffix("\r")
        if _is_slow(line):
            notes.add("Some patterns have too many wildcards and were not used", source)
            continue
        try:
            pattern: Any = GitIgnoreSpecPattern(line)
        except ValueError:
            notes.add("Some patterns cannot be read and were not used", source)
            continue
        if pattern.include is not None and pattern.regex is not None:
            compiled.append((pattern.regex, pattern.include))
    compiled.reverse()
    return compiled


def _is_slow(line: str) -> bool:
    """Whether matching could take a time that grows with a high power of the name's length: a repository's
    ``.gitignore`` is foreign text, and a search holds the interpreter."""
    return (
        len(line) > 4096
        or any(segment.count("*") > _MAX_STARS for segment in line.split("/"))
        or (line.count("**") > _MAX_STARS)
    )
