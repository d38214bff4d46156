"""The tables of our own inside the app's database, and the order they came in.

Everything we add is named ``sidecar_*``; the app's tables and its ``__drizzle_migrations`` are never altered. A
migration is a name and a function over a connection. It runs inside the caller's transaction
(``Database.write``), so that a killed process leaves either all of it or nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final, NamedTuple

from sidecar import __version__
from sidecar.errors import DatabaseTooNew
from sidecar.store import ledger_tables


class Migration(NamedTuple):
    """One step. ``name`` is recorded for ever: never rename or reorder, only append."""

    name: str
    apply: Callable[[sqlite3.Connection], None]


def _settings(connection: sqlite3.Connection) -> None:
    """One row per top-level settings key, and one row saying what was last agreed with the settings file.

    ``value`` and ``file_value`` are JSON text as it stands in the file; ``file_value`` is what the file held when both
    sides last agreed (NULL: the file had no such key). ``updated_at`` is in ms since the epoch. ``format`` counts the
    translations applied, ``revision`` grows with every change, ``instance`` tells one database from another.
    """
    connection.execute(
        "CREATE TABLE sidecar_settings ("
        "key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL, updated_at INTEGER NOT NULL, file_value TEXT)"
    )
    connection.execute(
        "CREATE TABLE sidecar_settings_state ("
        "id INTEGER PRIMARY KEY CHECK (id = 1), instance TEXT NOT NULL, revision INTEGER NOT NULL, "
        "format INTEGER NOT NULL, file_hash TEXT)"
    )


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration("0001_settings", _settings),
    Migration("0002_ledger", ledger_tables.create),
)
"""In order. A build that adds tables appends here."""

_LEDGER: Final = (
    "CREATE TABLE sidecar_migrations (name TEXT PRIMARY KEY NOT NULL, applied_at TEXT NOT NULL, build TEXT NOT NULL)"
)


def applied_migrations(connection: sqlite3.Connection) -> tuple[str, ...] | None:
    """The names recorded in this database, oldest first; None when no sidecar has written to it yet."""
    try:
        return tuple(row[0] for row in connection.execute("SELECT name FROM sidecar_migrations ORDER BY rowid"))
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None


def unknown_migrations(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Names that this build does not know: the database was written by a newer sidecar. Read by name, do not write."""
    known = {migration.name for migration in MIGRATIONS}
    return tuple(name for name in applied_migrations(connection) or () if name not in known)


def ensure_sidecar_tables(connection: sqlite3.Connection) -> None:
    """Bring our tables up to date. Call it inside a write transaction; one short query when nothing is to be done.

    Raises ``DatabaseTooNew`` when a newer sidecar has written here.
    """
    applied = applied_migrations(connection)
    if applied is None:
        connection.execute(_LEDGER)
        applied = ()
    known = {migration.name for migration in MIGRATIONS}
    if any(name not in known for name in applied):
        raise DatabaseTooNew(
            "The app's database was written by a newer version of Scalix. Update Scalix to use it; "
            "until then nothing is written to it."
        )
    if len(applied) == len(MIGRATIONS):
        return
    for migration in MIGRATIONS:
        if migration.name in applied:
            continue
        migration.apply(connection)
        connection.execute(
            "INSERT INTO sidecar_migrations (name, applied_at, build) "
            "VALUES (?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ?)",
            (migration.name, __version__),
        )
