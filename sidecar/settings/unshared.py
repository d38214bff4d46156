"""What the file was told and the table not yet. Pure.

The app drops every key and member it does not know whenever it writes the file. The table keeps those, but not what was
changed while nobody could write it (it was locked, or a newer build's): that is remembered here, in memory, until a
transaction has made both sides say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sidecar.settings.document import Document
from sidecar.settings.merge import Row, with_dropped
from sidecar.settings.schema import APP_KEYS
from sidecar.settings.table import Table, Token


@dataclass(frozen=True, slots=True)
class Unshared:
    """``written`` is the file as it was written last; ``removed`` are keys, unknown to the app, that were taken out.
    ``token`` is the table's as it was known then, None when it was not."""

    written: Document
    removed: frozenset[str]
    token: Token = None

    def after(self, before: Mapping[str, str], written: Document, token: Token) -> Unshared:
        """The file that held ``before`` was ``written`` anew."""
        return Unshared(written, self.removed, token).without(before.keys() - written.keys())

    def without(self, keys: Iterable[str]) -> Unshared:
        """``keys`` were taken out."""
        unknown = frozenset(key for key in keys if key not in APP_KEYS)
        return replace(self, removed=(self.removed | unknown) - self.written.keys())

    def is_owed_to(self, table: Table, file_digest: str | None) -> bool:
        """Whether ``table`` has not heard of it; if another sidecar has brought both sides together since, what they
        say counts."""
        if self.token is not None:
            return table.token == self.token
        return table.adopted and table.file_hash != file_digest

    def rows(self, rows: Mapping[str, Row], file: Mapping[str, str]) -> dict[str, Row]:
        """The table's rows without what was taken out since; somebody may have put it into the file again."""
        return {key: row for key, row in rows.items() if key not in self.removed or key in file}

    def file(self, file: Mapping[str, str]) -> Document:
        """The file with what the app has dropped of ours."""
        return with_dropped(file, self.written)


NOTHING_UNSHARED = Unshared({}, frozenset())
