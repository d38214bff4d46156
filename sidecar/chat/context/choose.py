"""Which of the listed files are used, and in what order (app contract 11.2, 11.3 and 11.5)."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec

from sidecar.chat.context.format import shows_content
from sidecar.chat.context.globs import GlobSet
from sidecar.chat.context.notes import Notes
from sidecar.chat.context.rule import ContextRule
from sidecar.chat.context.virtual import FromDisk, VirtualFiles
from sidecar.chat.context.walk import WalkedFile

_RUN: Final = 2048


class Chosen(msgspec.Struct, frozen=True, gc=False):
    """A file to show: where it stands in the order, and what its content is or comes from."""

    path: str
    mtime_ns: int
    size: int
    force: bool
    virtual: str | FromDisk | None


def by_path(file: Chosen) -> str:
    """The order of test builds."""
    return file.path


def by_age(file: Chosen) -> tuple[int, str]:
    """Least recently changed first, so that edits come after the part of the prompt that vendors have cached."""
    return file.mtime_ns, file.path


def in_order(chosen: list[Chosen], key: Callable[[Chosen], Any]) -> list[Chosen]:
    """``chosen`` by ``key``. A long list is sorted in runs and merged: one sort of 20,000 would hold the interpreter,
    and the event loop with it, for tens of ms."""
    runs = [sorted(chosen[start : start + _RUN], key=key) for start in range(0, len(chosen), _RUN)]
    return runs[0] if len(runs) == 1 else list(heapq.merge(*runs, key=key))


def choose(
    walked: list[WalkedFile],
    rule: ContextRule,
    virtual: VirtualFiles,
    *,
    smart_context: bool,
    notes: Notes,
) -> list[Chosen]:
    """The walked files as ``virtual`` leaves them, narrowed by the rule's globs (app contract 11.3 and 11.5)."""
    includes = GlobSet(rule.context_paths, notes)
    forced = GlobSet(rule.auto_includes if smart_context else (), notes)
    excludes = GlobSet(rule.exclude_paths, notes)
    exact = frozenset(rule.exact_paths)
    narrowed = bool(rule.context_paths or exact)
    pending = dict(virtual.contents)
    chosen: list[Chosen] = []

    def consider(path: str, mtime_ns: int, size: int, content: str | FromDisk | None, too_large: bool) -> None:
        if excludes.matches(path):
            return
        force = forced.matches(path)
        if narrowed and not (force or path in exact or includes.matches(path)):
            return
        if not too_large:
            chosen.append(Chosen(path, mtime_ns, size, force, content))
        elif shows_content(path, engine=True):
            notes.add("Files of more than 1,024,000 bytes were left out", path)

    for file in walked:
        if file.path not in virtual.deleted:
            content = pending.pop(file.path, None)
            size = len(content) if isinstance(content, str) else file.size
            consider(file.path, file.mtime_ns, size, content, file.too_large and not isinstance(content, str))
    for path, content in pending.items():
        consider(path, sys.maxsize, len(content) if isinstance(content, str) else 0, content, False)
    return chosen


def within_budget(chosen: list[Chosen], budget: int, notes: Notes) -> list[bool]:
    """For each file whether its content may be shown; the last, most recently changed, are served first."""
    shown = [True] * len(chosen)
    for index in range(len(chosen) - 1, -1, -1):
        if shows_content(chosen[index].path, engine=True):
            budget -= chosen[index].size
            if budget < 0:
                shown[index] = False
                notes.add(
                    "The app's files are too large together, so the content of the least recently changed was left out",
                    chosen[index].path,
                )
    return shown
