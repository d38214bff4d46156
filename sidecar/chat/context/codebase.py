"""An app's files as the model gets them: walk, choose, read, format (app contract 11).

All of it runs on a worker thread, the final join of the text included, and stops with the task that waits for it.
A turn begins it while it is being written down, and waits for it when it needs it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path

import anyio.to_thread
import msgspec

from sidecar.chat.context.ai_rules import AiRules, rules_in
from sidecar.chat.context.cache import FileCache, FileText
from sidecar.chat.context.choose import Chosen, by_age, by_path, choose, in_order, within_budget
from sidecar.chat.context.format import (
    EXCLUDED,
    FILE_FOOTER,
    SMART_OVERHEAD_UNITS,
    SMART_SEPARATOR_UNITS,
    UNREADABLE,
    file_header,
    shows_content,
)
from sidecar.chat.context.join import join, widest
from sidecar.chat.context.notes import Notes, printable
from sidecar.chat.context.paths import confined, is_secret
from sidecar.chat.context.rule import ContextRule
from sidecar.chat.context.virtual import VirtualFiles
from sidecar.chat.context.walk import Limits, Stopped, absolute, walk
from sidecar.errors import ValidationFailed
from sidecar.lengths import tokens_of, utf16_length
from sidecar.routing.inputs import ContextFile

_EXCLUDED = FileText.of(EXCLUDED)
_UNREADABLE = FileText.of(UNREADABLE)


class Codebase(msgspec.Struct, frozen=True, kw_only=True):
    """An app's files. ``text`` and ``files`` are in the same order: least recently changed first, so that an edit
    leaves the beginning of the prompt, which vendors cache, as it was."""

    text: str
    """With its heading, as the prompt has it: nothing is put before 20 MB of text again."""
    files: tuple[ContextFile, ...]
    warnings: tuple[str, ...]
    """Sentences for the user about what could not be used."""
    token_estimate: int
    """Of ``text`` without its heading; with smart context, of the form the engine counts (app contract 13.1)."""
    elapsed_ms: float
    rules: AiRules | None = None
    """The folder's rules, where they were asked for."""


class CodebaseReading:
    """A code base that is being read. Wait for its ``value`` once, or ``give_up``."""

    def __init__(self, done: Future[Codebase], stop: threading.Event) -> None:
        self._done = done
        self._stop = stop

    async def value(self) -> Codebase:
        """The code base. Whoever is cancelled in here stops the reading."""
        try:
            return self._done.result() if self._done.done() else await asyncio.wrap_future(self._done)
        finally:
            self._stop.set()

    def give_up(self) -> None:
        """Nobody wants it any more; does nothing to one that is there."""
        self._stop.set()
        self._done.cancel()


def begin_codebase(
    app_dir: Path,
    rule: ContextRule,
    *,
    heading: str = "",
    virtual: VirtualFiles | None = None,
    smart_context: bool,
    engine_files: bool,
    cache: FileCache,
    with_rules: bool = False,
    test_build: bool = False,
    limits: Limits | None = None,
) -> CodebaseReading:
    """Begin to read the code base in ``app_dir``, its text beginning with ``heading``.

    ``smart_context`` lets the rule's auto-includes count; ``engine_files`` gives ``files`` the engine's contents, in
    which boilerplate is not left out; ``with_rules`` reads AI_RULES.md on the same way, which saves a turn one trip to
    a thread; ``test_build`` orders by path. What cannot be read is told in ``warnings``:
    nothing here raises for a bad file, folder or pattern, and a missing folder has a text of its own.
    """
    extraction = _Extraction(
        app_dir=app_dir,
        rule=rule,
        heading=heading,
        virtual=virtual or VirtualFiles(),
        smart_context=smart_context,
        engine_files=engine_files,
        cache=cache,
        test_build=test_build,
        limits=limits or Limits(),
    )
    run = extraction.run_with_rules if with_rules else extraction.run
    return CodebaseReading(cache.readers.submit(run), extraction.stop)


class _Extraction(msgspec.Struct, frozen=True, kw_only=True):
    """One call of ``begin_codebase``, on its worker thread."""

    app_dir: Path
    rule: ContextRule
    heading: str
    virtual: VirtualFiles
    smart_context: bool
    engine_files: bool
    cache: FileCache
    test_build: bool
    limits: Limits
    stop: threading.Event = msgspec.field(default_factory=threading.Event)
    notes: Notes = msgspec.field(default_factory=Notes)

    def run_with_rules(self) -> Codebase:
        """``run``, and the rules."""
        rules = rules_in(self.app_dir)
        return msgspec.structs.replace(self.run(), rules=rules)

    def run(self) -> Codebase:
        """Raises ``Stopped`` when ``stop`` is set meanwhile."""
        started = time.perf_counter()
        for warning in (*self.rule.warnings, *self.virtual.warnings):
            self.notes.add(warning)
        if not self.app_dir.is_dir() or not os.access(self.app_dir, os.R_OK | os.X_OK):
            return _missing(self.app_dir, self.heading, started)
        walked = walk(self.app_dir, cache=self.cache, notes=self.notes, stop=self.stop, limits=self.limits)
        chosen = choose(walked, self.rule, self._readable_virtual(), smart_context=self.smart_context, notes=self.notes)
        chosen = in_order(chosen, by_path if self.test_build else by_age)
        shown = within_budget(chosen, self.limits.content_bytes, self.notes)
        return self._format(chosen, shown, started)

    def _readable_virtual(self) -> VirtualFiles:
        """Without the renames whose source cannot be read: there the destination gets nothing (app contract 11.5)."""
        contents = {
            path: content
            for path, content in self.virtual.contents.items()
            if isinstance(content, str) or is_secret(content.path) or self._is_file(content.path)
        }
        return msgspec.structs.replace(self.virtual, contents=contents)

    def _is_file(self, path: str) -> bool:
        try:
            return confined(self.app_dir, path).is_file()
        except (OSError, ValidationFailed):
            return False

    def _format(self, chosen: list[Chosen], shown: list[bool], started: float) -> Codebase:
        reader = _Reader(self.app_dir, self.cache, self.notes, self.stop)
        parts: list[str] = [self.heading]
        files: list[ContextFile] = []
        text_units = files_units = 0
        widest_char = widest(self.heading)
        for file, show in zip(chosen, shown, strict=True):
            plain = reader.read(file) if show and shows_content(file.path, engine=False) else _EXCLUDED
            full = plain
            if self.engine_files and plain is _EXCLUDED and show and shows_content(file.path, engine=True):
                full = reader.read(file)
            path = printable(file.path)
            header = file_header(path)
            parts += (header, plain.content, FILE_FOOTER)
            files.append(ContextFile(path, full.content, file.force))
            path_units = utf16_length(path)
            widest_char = max(widest_char, plain.widest, 0 if path.isascii() else widest(path))
            text_units += len(header) - len(path) + path_units + plain.units + len(FILE_FOOTER)
            files_units += path_units + full.units + SMART_OVERHEAD_UNITS + SMART_SEPARATOR_UNITS
        counts_files = self.smart_context and self.engine_files and files
        return Codebase(
            text=self.cache.joined(str(self.app_dir), parts, widest_char),
            files=tuple(files),
            warnings=self.notes.sentences(),
            token_estimate=tokens_of(files_units - SMART_SEPARATOR_UNITS if counts_files else text_units),
            elapsed_ms=(time.perf_counter() - started) * 1000,
        )


async def provided_codebase(
    files: Iterable[ContextFile], *, heading: str = "", smart_context: bool = False
) -> Codebase:
    """A code base of files that came with the request instead of being read (protocol page 4), in their order.

    Made on a worker thread: the request may be as large as a line may be.
    """
    return await anyio.to_thread.run_sync(_of_files, tuple(files), heading, smart_context)


def _of_files(given: tuple[ContextFile, ...], heading: str, smart_context: bool) -> Codebase:
    parts = [heading, *(part for file in given for part in (file_header(file.path), file.content, FILE_FOOTER))]
    units = sum(map(utf16_length, parts[1:]))
    if smart_context and given:
        names = sum(utf16_length(file.path) + utf16_length(file.content) for file in given)
        units = names + (SMART_OVERHEAD_UNITS + SMART_SEPARATOR_UNITS) * len(given) - SMART_SEPARATOR_UNITS
    return Codebase(
        text=join(parts, max(map(widest, parts))),
        files=given,
        warnings=(),
        token_estimate=tokens_of(units),
        elapsed_ms=0.0,
    )


def _missing(app_dir: Path, heading: str, started: float) -> Codebase:
    text = printable(f"# Error: Directory {app_dir} does not exist or is not accessible")
    return Codebase(
        text=heading + text,
        files=(),
        warnings=(printable(f"The app's folder {app_dir} does not exist or cannot be read: the AI saw no files."),),
        token_estimate=tokens_of(utf16_length(text)),
        elapsed_ms=(time.perf_counter() - started) * 1000,
    )


class _Reader:
    """Contents for one extraction."""

    def __init__(self, app_dir: Path, cache: FileCache, notes: Notes, stop: threading.Event) -> None:
        self._app_dir = app_dir
        self._root = str(app_dir)
        self._cache = cache
        self._notes = notes
        self._stop = stop
        self._generation = cache.begin()

    def read(self, file: Chosen) -> FileText:
        """The content to show for ``file``. Raises ``Stopped``."""
        if self._stop.is_set():
            raise Stopped
        if isinstance(file.virtual, str):
            return FileText.of(file.virtual)
        if file.virtual is not None:
            return self._moved(file.virtual.path)
        return self._from_disk(absolute(self._root, file.path), file)

    def _moved(self, source: str) -> FileText:
        """A renamed file's content, from where it still stands. A secret does not become readable by its new name."""
        if is_secret(source):
            return _EXCLUDED
        try:
            path = confined(self._app_dir, source)
            state = path.stat()
            return self._cache.text(str(path), state.st_mtime_ns, state.st_size, self._generation)
        except (OSError, ValidationFailed):
            self._notes.add("These files could not be read", source)
            return _UNREADABLE

    def _from_disk(self, path: str, file: Chosen) -> FileText:
        try:
            text = self._cache.text(path, file.mtime_ns, file.size, self._generation)
        except OSError:
            self._notes.add("These files could not be read", file.path)
            return _UNREADABLE
        if not text.valid:
            self._notes.add("These files are not valid UTF-8; the bytes in question were replaced", file.path)
        return text
