"""The settings table: reading it whole, and writing what changed.

Functions over a connection, run by ``Database.read`` and ``Database.write``. Columns are read by name: a newer
build may have added some.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sidecar.settings.document import Document, value_of
from sidecar.settings.merge import Row
from sidecar.store.migrations import ensure_sidecar_tables, unknown_migrations

Token: TypeAlias = tuple[str, int] | None
"""(instance, revision): changes with every change of the settings; None when there is no table yet."""


@dataclass(frozen=True, slots=True)
class Table:
    """Everything the database holds about settings. ``format`` 0: no translation has run yet."""

    rows: Mapping[str, Row]
    token: Token
    format: int
    file_hash: str | None
    too_new: bool

    @property
    def adopted(self) -> bool:
        """Whether settings live in the database at all; before the first migration the file alone counts."""
        return self.token is not None


ABSENT = Table({}, None, 0, None, too_new=False)


def token_of(connection: sqlite3.Connection) -> Token:
    """What to compare to see whether the settings changed. One short query."""
    try:
        row = connection.execute("SELECT instance, revision FROM sidecar_settings_state WHERE id = 1").fetchone()
    except sqlite3.OperationalError as error:
        if "no such" not in str(error):
            raise
        return None
    return None if row is None else (row["instance"], row["revision"])


def read_table(connection: sqlite3.Connection) -> Table:
    """The settings table, or ``ABSENT``. Values of a newer build's table are read by name."""
    token = token_of(connection)
    if token is None:
        return ABSENT
    state = _by_name(connection, "SELECT * FROM sidecar_settings_state WHERE id = 1")[0]
    rows = {
        row["key"]: Row(row["value"], int(row.get("updated_at") or 0), row.get("file_value", row["value"]))
        for row in _by_name(connection, "SELECT * FROM sidecar_settings ORDER BY rowid")
        if _is_json(row["value"])
    }
    too_new = bool(unknown_migrations(connection))
    return Table(rows, token, int(state.get("format") or 0), state.get("file_hash"), too_new)


def _is_json(text: object) -> bool:
    """A row somebody damaged by hand counts as missing; the file still has the key."""
    try:
        value_of(text)  # type: ignore[arg-type]  # a number in the column raises, as it should
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _by_name(connection: sqlite3.Connection, query: str) -> list[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def write_table(
    connection: sqlite3.Connection,
    table: Table,
    document: Document,
    *,
    in_file: Mapping[str, str],
    file_hash: str | None,
    format_version: int,
    now_ms: int,
) -> Table:
    """Make the rows equal ``document`` and note that the file holds ``in_file``. Only changed rows are touched.

    Raises ``DatabaseTooNew``. The caller's transaction decides whether it happened.
    """
    ensure_sidecar_tables(connection)
    gone = [(key,) for key in table.rows if key not in document]
    rows: dict[str, Row] = {}
    changed: list[tuple[str, str, int, str | None]] = []
    for key, text in document.items():
        old = table.rows.get(key)
        at = old.updated_at if old is not None and old.value == text else now_ms
        row = rows[key] = Row(text, at, in_file.get(key))
        if row != old:
            changed.append((key, row.value, row.updated_at, row.file_value))
    agreed = (table.format, table.file_hash) == (format_version, file_hash)
    if table.token is not None and agreed and not (gone or changed):
        return table
    connection.executemany("DELETE FROM sidecar_settings WHERE key = ?", gone)
    connection.executemany(
        "INSERT INTO sidecar_settings (key, value, updated_at, file_value) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at, "
        "file_value = excluded.file_value",
        changed,
    )
    instance, revision = table.token or (secrets.token_hex(8), 0)
    connection.execute(
        "INSERT INTO sidecar_settings_state (id, instance, revision, format, file_hash) VALUES (1, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, format = excluded.format, "
        "file_hash = excluded.file_hash",
        (instance, revision + 1, format_version, file_hash),
    )
    return Table(rows, (instance, revision + 1), format_version, file_hash, too_new=False)
