"""Listing an app's files: regular files only, never through a symlink, in bounded time (app contract 11.1)."""

from __future__ import annotations

import heapq
import os
import stat
import threading
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from sidecar.chat.context.cache import MAX_FILE_BYTES, FileCache
from sidecar.chat.context.ignore import IgnoreRules
from sidecar.chat.context.notes import Notes
from sidecar.chat.context.paths import is_secret_folder

SKIPPED_FOLDERS: Final = frozenset({"node_modules", ".git", "dist", "build", ".next", ".venv", "venv"})
SKIPPED_FILES: Final = frozenset({"pnpm-lock.yaml", "package-lock.json", "pnpm-workspace.yaml", ".gitattributes"})

_SORT_RUN: Final = 4096
_JUNCTION_TAGS: Final = (0xA0000003, 0xA000000C)
"""Windows reparse tags of mount points (junctions) and symlinks; Python 3.11 takes a junction for a folder."""


class Stopped(Exception):
    """The extraction was cancelled; nobody waits for its result any more."""


class Limits(msgspec.Struct, frozen=True):
    """What one extraction may cost. Nothing is cut in silence: every limit that bites adds a note."""

    files: int = 20_000
    """Files listed."""
    entries: int = 400_000
    """Directory entries looked at, ignored ones included."""
    depth: int = 64
    """Folders within folders."""
    content_bytes: int = 32 << 20
    """Content sent; the most recently changed files are served first."""


class WalkedFile(msgspec.Struct, frozen=True, gc=False):
    """A regular file; ``path`` is relative, with slashes, as the file system spells it."""

    path: str
    mtime_ns: int
    size: int


class _Folder(msgspec.Struct, frozen=True):
    path: str
    relative: str
    depth: int
    rules: IgnoreRules | None


def walk(
    root: Path, *, cache: FileCache, notes: Notes, stop: threading.Event, limits: Limits
) -> list[tuple[WalkedFile, bool]]:
    """All files of ``root`` that are not ignored, and whether each is too large to be used. Blocks.

    Breadth first and by name, so that when a limit bites the files near the top stay, the same ones each time.
    Raises ``Stopped`` when ``stop`` is set.
    """
    found: list[tuple[WalkedFile, bool]] = []
    waiting = deque([_Folder(str(root), "", 0, None)])
    seen = 0
    while waiting:
        folder = waiting.popleft()
        entries = _entries(folder, limits.entries - seen, notes)
        seen += len(entries)
        rules = folder.rules
        if any(entry.name == ".gitignore" for entry in entries):
            rules = cache.rules(Path(folder.path), folder.relative, rules, notes)
        for entry in entries:
            if stop.is_set():
                raise Stopped
            if entry.is_dir(follow_symlinks=False):
                if _worth_entering(entry, folder, rules):
                    if folder.depth + 1 >= limits.depth:
                        notes.add("Folders nested too deeply were left out", folder.relative + entry.name)
                        continue
                    relative = f"{folder.relative}{entry.name}/"
                    waiting.append(_Folder(entry.path, relative, folder.depth + 1, rules))
            elif entry.is_file(follow_symlinks=False) and (file := _file(entry, folder.relative, rules, notes)):
                if len(found) >= limits.files:
                    notes.add(_too_many(limits.files))
                    return found
                found.append((file, file.size > MAX_FILE_BYTES))
        if seen >= limits.entries:
            notes.add(_too_many(len(found)))
            return found
    return found


def _too_many(count: int) -> str:
    return (
        f"The app's folder has too many files: only the first {count:,} are used. Add folders that the AI need not"
        " see to .gitignore, or choose files in the app's context settings."
    )


def _entries(folder: _Folder, at_most: int, notes: Notes) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder.path) as listing:
            entries = list(islice(listing, at_most))
    except OSError:
        notes.add("These folders could not be read and were left out", folder.relative or folder.path)
        return []
    return _sorted(entries)


def _sorted(entries: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
    """By name. A huge folder in runs: one long sort would hold the interpreter, a merge lets others in."""
    if len(entries) <= _SORT_RUN:
        return sorted(entries, key=_name)
    runs = (sorted(entries[start : start + _SORT_RUN], key=_name) for start in range(0, len(entries), _SORT_RUN))
    return list(heapq.merge(*runs, key=_name))


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _worth_entering(entry: os.DirEntry[str], folder: _Folder, rules: IgnoreRules | None) -> bool:
    if entry.name in SKIPPED_FOLDERS or is_secret_folder(entry.name) or _is_junction(entry):
        return False
    return rules is None or not rules.ignored(folder.relative + entry.name, True)


def _is_junction(entry: os.DirEntry[str]) -> bool:
    if os.name != "nt":
        return False
    return getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0) in _JUNCTION_TAGS


def _file(entry: os.DirEntry[str], folder: str, rules: IgnoreRules | None, notes: Notes) -> WalkedFile | None:
    path = folder + entry.name
    if entry.name in SKIPPED_FILES or (rules is not None and rules.ignored(path, False)):
        return None
    try:
        state = entry.stat(follow_symlinks=False)
    except OSError:
        notes.add("These files could not be read and were left out", path)
        return None
    return WalkedFile(path, state.st_mtime_ns, state.st_size) if stat.S_ISREG(state.st_mode) else None


def absolute(root: str, relative: str) -> str:
    """The system's path of a walked file."""
    return f"{root}{os.sep}{relative if os.sep == '/' else relative.replace('/', os.sep)}"
