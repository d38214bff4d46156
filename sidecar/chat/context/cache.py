"""File contents in memory, by path, modification time and size; and the threads that read them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import anyio
import msgspec

from sidecar.chat.context.files import decode, read_regular
from sidecar.chat.context.ignore import MAX_GITIGNORE_BYTES, IgnoreRules
from sidecar.chat.context.join import join, widest
from sidecar.chat.context.notes import Notes
from sidecar.lengths import utf16_length

MAX_FILE_BYTES: Final = 1000 * 1024
"""A larger file is left out as a whole (app contract 11.1)."""

DEFAULT_CACHE_BYTES: Final = 96 << 20
MAX_READERS: Final = 2
_MAX_RULES: Final = 512
_MAX_JOINED: Final = 2
_RACY_NS: Final = 100_000_000
"""A file written this shortly before it was read may be written again within the same tick of its time stamp."""


class FileText(msgspec.Struct, frozen=True, gc=False):
    """A file's content, its length in UTF-16 code units, and the ``join.widest`` of it; ``valid`` is false when some
    bytes were not UTF-8."""

    content: str
    units: int
    widest: int
    valid: bool = True

    @classmethod
    def of(cls, content: str, *, valid: bool = True) -> FileText:
        """Measure ``content``."""
        return cls(content, utf16_length(content), widest(content), valid)


class _Entry(msgspec.Struct, gc=False):
    mtime_ns: int
    size: int
    text: FileText
    cost: int
    generation: int


class FileCache:
    """One for the whole process. Safe to use from several threads; the least recently used goes first.

    An extraction that needs more than the cache holds does not push out what it has itself just read: a cycle through
    too many files would otherwise never hit.
    """

    def __init__(self, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.readers = ThreadPoolExecutor(MAX_READERS, thread_name_prefix="folder")
        """Threads that read whole folders: more of them only compete with the event loop for the interpreter."""
        self.limiter = anyio.CapacityLimiter(MAX_READERS)
        """Threads that read single files."""
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._generation = 0
        self._joined: OrderedDict[str, tuple[list[str], str]] = OrderedDict()
        self._rules: OrderedDict[tuple[str, int, int, int], tuple[IgnoreRules, IgnoreRules | None, Notes]] = (
            OrderedDict()
        )

    def begin(self) -> int:
        """Start one extraction; its number is passed to ``text``."""
        with self._lock:
            self._generation += 1
            return self._generation

    def text(self, path: str, mtime_ns: int, size: int, generation: int) -> FileText:
        """The content of the file at the absolute ``path`` whose state was just seen. Blocks. Raises ``OSError``."""
        with self._lock:
            entry = self._entries.get(path)
            if entry is not None and entry.mtime_ns == mtime_ns and entry.size == size:
                self._entries.move_to_end(path)
                entry.generation = generation
                return entry.text
        data, state = read_regular(path, MAX_FILE_BYTES)
        content, valid = decode(data)
        text = FileText.of(content, valid=valid)
        if abs(time.time_ns() - state.st_mtime_ns) > _RACY_NS and len(data) == state.st_size:
            cost = content.__sizeof__() + len(path) + 200
            self._put(path, _Entry(state.st_mtime_ns, state.st_size, text, cost, generation))
        return text

    def joined(self, root: str, parts: list[str], widest_char: int) -> str:
        """``parts`` as one text; the one of last time when nothing changed, so that turns share it. Blocks."""
        with self._lock:
            known = self._joined.get(root)
        if known is not None and known[0] == parts:
            return known[1]
        text = join(parts, widest_char)
        with self._lock:
            self._joined[root] = (parts, text)
            self._joined.move_to_end(root)
            while len(self._joined) > _MAX_JOINED:
                self._joined.popitem(last=False)
        return text

    def rules(self, folder: Path, relative: str, parent: IgnoreRules | None, notes: Notes) -> IgnoreRules | None:
        """The rules in ``folder``'s ``.gitignore`` over ``parent``'s; ``parent`` when it cannot be read. Blocks."""
        path = folder / ".gitignore"
        try:
            data, state = read_regular(path, MAX_GITIGNORE_BYTES)
        except OSError:
            notes.add("These files could not be read, so nothing is ignored because of them", f"{relative}.gitignore")
            return parent
        key = (str(path), state.st_mtime_ns, hash(data), id(parent))
        with self._lock:
            known = self._rules.get(key)
        if known is None:
            remarks = Notes()
            known = (IgnoreRules(relative, decode(data)[0], parent, remarks), parent, remarks)
            with self._lock:
                self._rules[key] = known  # holds ``parent`` too, so that its id stays its own
                while len(self._rules) > _MAX_RULES:
                    self._rules.popitem(last=False)
        notes.merge(known[2])
        return known[0]

    def _put(self, path: str, entry: _Entry) -> None:
        with self._lock:
            self._drop(path)
            while self._entries and self._bytes + entry.cost > self._max_bytes:
                oldest = next(iter(self._entries))
                if self._entries[oldest].generation == entry.generation:
                    return
                self._drop(oldest)
            if entry.cost <= self._max_bytes:
                self._entries[path] = entry
                self._bytes += entry.cost

    def _drop(self, path: str) -> None:
        entry = self._entries.pop(path, None)
        if entry is not None:
            self._bytes -= entry.cost
