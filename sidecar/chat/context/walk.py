"""Listing an app's files: regular files only, never through a symlink, in bounded time (app contract 11.1)."""

from __future__ import annotations

import heapq
import os
import stat
import threading
from collections import deque
from collections.abc import Iterator
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

_RUN: Final = 4096
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

    @property
    def too_large(self) -> bool:
        """Whether it is left out as a whole."""
        return self.size > MAX_FILE_BYTES


class _Folder(msgspec.Struct, frozen=True):
    path: str
    relative: str
    depth: int
    rules: IgnoreRules | None


def walk(root: Path, *, cache: FileCache, notes: Notes, stop: threading.Event, limits: Limits) -> list[WalkedFile]:
    """All files of ``root`` that are not ignored. Blocks.

    Breadth first and by name, so that when a limit bites the files near the top stay, the same ones each time.
    Raises ``Stopped`` when ``stop`` is set.
    """
    found: list[WalkedFile] = []
    waiting = deque([_Folder(str(root), "", 0, None)])
    seen = 0
    while waiting:
        folder = waiting.popleft()
        listing = _Listing()
        try:
            listing.read(folder.path, limits.entries - seen, stop)
        except OSError:
            listing.clear()
            notes.add("These folders could not be read and were left out", folder.relative or folder.path)
        seen += listing.count
        try:
            if _take(folder, listing, waiting, found, cache=cache, notes=notes, stop=stop, limits=limits):
                notes.add(_too_many(limits.files))
                return found
        finally:
            listing.clear()
        if seen >= limits.entries:
            notes.add(_too_many(len(found)))
            return found
    return found


def _take(
    folder: _Folder,
    listing: _Listing,
    waiting: deque[_Folder],
    found: list[WalkedFile],
    *,
    cache: FileCache,
    notes: Notes,
    stop: threading.Event,
    limits: Limits,
) -> bool:
    """One folder's files into ``found``, its folders into ``waiting``; whether there was a file too many."""
    rules = folder.rules
    if listing.has_gitignore:
        rules = cache.rules(Path(folder.path), folder.relative, rules, notes)
    for entry in listing.by_name():
        if stop.is_set():
            raise Stopped
        if entry.is_dir(follow_symlinks=False):
            if not _worth_entering(entry, folder, rules):
                continue
            if folder.depth + 1 >= limits.depth:
                notes.add("Folders nested too deeply were left out", folder.relative + entry.name)
                continue
            waiting.append(_Folder(entry.path, f"{folder.relative}{entry.name}/", folder.depth + 1, rules))
        elif entry.is_file(follow_symlinks=False) and (file := _file(entry, folder.relative, rules, notes)):
            if len(found) >= limits.files:
                return True
            found.append(file)
    return False


def _too_many(count: int) -> str:
    return (
        f"The app's folder has too many files: only the first {count:,} are used. Add folders that the AI need not"
        " see to .gitignore, or choose files in the app's context settings."
    )


class _Listing:
    """A folder's entries, in runs of a few thousand.

    A folder may hold hundreds of thousands. Sorting so many, and giving so many back at once, would each hold the
    interpreter for tens of ms, and the event loop with it: a run takes about one.
    """

    def __init__(self) -> None:
        self.count = 0
        self.has_gitignore = False
        self._runs: list[list[os.DirEntry[str]]] = []

    def read(self, path: str, at_most: int, stop: threading.Event) -> None:
        """Take in up to ``at_most`` entries. Raises ``OSError``, and ``Stopped`` when ``stop`` is set."""
        with os.scandir(path) as entries:
            while run := list(islice(entries, min(_RUN, at_most - self.count))):
                run.sort(key=_name, reverse=True)
                self._runs.append(run)
                self.count += len(run)
                self.has_gitignore = self.has_gitignore or any(entry.name == ".gitignore" for entry in run)
                if stop.is_set():
                    raise Stopped

    def by_name(self) -> Iterator[os.DirEntry[str]]:
        """All of them, each given back as it goes."""
        return heapq.merge(*map(_drained, self._runs), key=_name)

    def clear(self) -> None:
        """Give back what nobody asked for."""
        for run in self._runs:
            run.clear()


def _drained(run: list[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    while run:
        yield run.pop()


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
