"""``sidecar_limits``: one row per request of the last days, and what they add up to today.

Pure functions over a connection and values; the rules that use them are in ``routing.limits``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

DAY_S: Final = 86_400
STALE_S: Final = 600
"""Seconds after which a reservation that was never settled no longer counts."""

KEPT_DAYS: Final = 7


class Tally(msgspec.Struct, frozen=True):
    """What was used today: by everything, and by what Scalix pays for."""

    requests: int = 0
    tokens: int = 0
    paid_requests: int = 0
    paid_tokens: int = 0


class LimitRow(msgspec.Struct):
    """One request. ``created_at`` in seconds since 1970."""

    id: str
    day: int
    paid: bool
    tokens: int
    settled: bool
    created_at: int


def create_limit_tables(connection: sqlite3.Connection) -> None:
    """``sidecar_limits``: one row per request of the last days. ``day`` counts UTC days since 1970."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sidecar_limits_day'").fetchone() is not None:
        return
    connection.execute(
        "CREATE TABLE IF NOT EXISTS sidecar_limits (id TEXT PRIMARY KEY, day INTEGER NOT NULL, paid INTEGER NOT NULL,"
        " tokens INTEGER NOT NULL, settled INTEGER NOT NULL, created_at INTEGER NOT NULL)"
    )
    connection.execute("CREATE INDEX IF NOT EXISTS sidecar_limits_day ON sidecar_limits (day)")


def write_rows(connection: sqlite3.Connection, rows: Collection[LimitRow], dropped: Collection[str] = ()) -> None:
    """Write down ``rows`` and delete those ``dropped``. The first of all makes the table."""
    try:
        save_rows(connection, rows)
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        create_limit_tables(connection)
        save_rows(connection, rows)
    if dropped:
        connection.executemany("DELETE FROM sidecar_limits WHERE id = ?", [(identifier,) for identifier in dropped])


def delete_old_rows(connection: sqlite3.Connection, now: int) -> None:
    """Delete what counts for nothing any more: old days, and reservations nobody settled. Reads the whole table."""
    connection.execute(
        "DELETE FROM sidecar_limits WHERE day < ? OR (settled = 0 AND abs(created_at - ?) > ?)",
        (day_of(now) - KEPT_DAYS, now, STALE_S),
    )


def save_rows(connection: sqlite3.Connection, rows: Iterable[LimitRow]) -> None:
    """Insert or update. A row that was settled before stays as it is."""
    connection.executemany(
        "INSERT INTO sidecar_limits (id, day, paid, tokens, settled, created_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET paid = excluded.paid, tokens = excluded.tokens, settled = excluded.settled"
        " WHERE settled = 0",
        [(row.id, row.day, row.paid, row.tokens, row.settled, row.created_at) for row in rows],
    )


def stored_tally(connection: sqlite3.Connection, now: int, without: Collection[str] = ()) -> Tally:
    """What counts today, but for the rows ``without``."""
    exists = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sidecar_limits'"
    ).fetchone()
    if exists is None:
        return Tally()
    marks = ",".join("?" * len(without))
    query = (
        "SELECT COUNT(*), TOTAL(tokens), TOTAL(paid), TOTAL(CASE WHEN paid THEN tokens END) FROM sidecar_limits"  # noqa: S608 - marks only
        f" WHERE day BETWEEN ? AND ? AND (settled OR abs(created_at - ?) <= ?) AND id NOT IN ({marks})"
    )
    row = connection.execute(query, (day_of(now), day_of(now) + 1, now, STALE_S, *without)).fetchone()
    return Tally(*map(int, row))


def plus(tally: Tally, rows: Iterable[LimitRow], now: int) -> Tally:
    """``tally`` with those of ``rows`` that count today, by the rule of ``stored_tally``.

    Rows of tomorrow do: they were written before the clock was set back, and setting it back gives nothing back.
    """
    requests, tokens = tally.requests, tally.tokens
    paid_requests, paid_tokens = tally.paid_requests, tally.paid_tokens
    for row in rows:
        stale = not row.settled and abs(row.created_at - now) > STALE_S
        if stale or not 0 <= row.day - day_of(now) <= 1:
            continue
        requests, tokens = requests + 1, tokens + row.tokens
        if row.paid:
            paid_requests, paid_tokens = paid_requests + 1, paid_tokens + row.tokens
    return Tally(requests, tokens, paid_requests, paid_tokens)


def day_of(seconds: int) -> int:
    """UTC days since 1970."""
    return seconds // DAY_S
