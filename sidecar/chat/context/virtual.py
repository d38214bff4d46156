"""An app's files as an answer would leave them, without touching the disk (app contract 11.5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from sidecar.chat.context.notes import Notes
from sidecar.chat.context.paths import relative_path
from sidecar.errors import ValidationFailed


class FromDisk(msgspec.Struct, frozen=True):
    """The content of a renamed file that the answer did not write: that of ``path`` on the disk."""

    path: str


class Rename(Protocol):
    """A ``scalix-rename``."""

    @property
    def from_path(self) -> str: ...
    @property
    def to_path(self) -> str: ...


class Write(Protocol):
    """A ``scalix-write``."""

    @property
    def path(self) -> str: ...
    @property
    def content(self) -> str: ...


class VirtualFiles(msgspec.Struct, frozen=True):
    """Relative paths, with slashes and in their case, that are gone, and those that have other content."""

    deleted: frozenset[str] = frozenset()
    contents: dict[str, str | FromDisk] = msgspec.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, *, deletes: Iterable[str] = (), renames: Iterable[Rename] = (), writes: Iterable[Write] = ()
    ) -> VirtualFiles:
        """Apply an answer's deletes, then renames, then writes. A path that leads out of the folder is dropped, with
        a warning."""
        deleted: set[str] = set()
        contents: dict[str, str | FromDisk] = {}
        notes = Notes()
        deleted.update(path for path in (_one(raw, notes) for raw in deletes) if path is not None)
        for rename in renames:
            source, target = _one(rename.from_path, notes), _one(rename.to_path, notes)
            if source is None or target is None:
                continue
            moved = contents.pop(source, None)
            deleted.add(source)
            deleted.discard(target)
            contents[target] = FromDisk(source) if moved is None else moved
        for write in writes:
            path = _one(write.path, notes)
            if path is not None:
                contents[path] = write.content
                deleted.discard(path)
        return cls(frozenset(deleted), contents, notes.sentences())


def _one(path: str, notes: Notes) -> str | None:
    try:
        return relative_path(path)
    except ValidationFailed:
        notes.add("The answer names files outside of the app's folder, which were left out", path[:200])
        return None
