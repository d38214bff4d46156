"""The tables behind the figures: every attempt, sums per quarter of an hour, sums per day.

``sidecar_requests`` has one row per attempt, without a word of prompt or answer. ``sidecar_usage_quarters`` sums them
by UTC quarter of an hour (every time zone is a whole number of quarters away from UTC), ``sidecar_usage_days`` by the
user's local day. A row that is not summed yet has ``folded = 0``, whoever wrote it; folding takes all of them in the
writer's own transaction, so two sidecars on one database count each row exactly once.

Days have two kinds of rows: ``sealed = 0`` is derived from the quarters there are and can be made again (in another
time zone), ``sealed = 1`` holds what was folded away after ``KEPT_DAYS`` and is all there is left of it.

Everything is read by column name and nothing read is trusted: a row of a newer build may have outcomes this one does
not know and columns of other types. Such rows are counted as ``odd``; no figure is made from a value that is no number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from sidecar.store import latency_histogram
from sidecar.store.zone import Zone

QUARTER_MS: Final = 900_000
DAY_MS: Final = 86_400_000
KEPT_DAYS: Final = 400
"""How long single attempts are kept."""

PRUNE_AT_ONCE: Final = 5_000
"""Rows folded away per transaction, to keep it short."""

OUTCOMES: Final = ("ok", "error", "cancelled", "skipped")


def _number(column: str, below: str = "1e15") -> str:
    """The column where it is a sensible number, else 0."""
    sensible = f"typeof({column}) IN ('integer', 'real') AND {column} BETWEEN 0 AND {below}"
    return f"(CASE WHEN {sensible} THEN {column} ELSE 0 END)"


def _flag(condition: str) -> str:
    return f"IFNULL({condition}, 0)"


_OK: Final = _flag("outcome = 'ok'")
_COSTED: Final = "(IFNULL(typeof(cost_usd) IN ('integer', 'real') AND cost_usd BETWEEN 0 AND 1e6, 0))"
_TOKENS: Final = f"({_number('input_tokens')} + {_number('output_tokens')})"
_TIMED: Final = "(IFNULL(typeof(ttft_ms) IN ('integer', 'real') AND ttft_ms BETWEEN 0 AND 1e9, 0))"
_SPED: Final = f"({_OK} AND {_TIMED} AND {_number('ms')} > ttft_ms AND {_number('output_tokens')} > 0)"
_KNOWN_OUTCOME: Final = f"IFNULL(outcome IN {OUTCOMES!r}, 0)"

MEASURES: Final[Mapping[str, str]] = {
    "attempts": _flag("outcome <> 'skipped'"),
    "ok": _OK,
    "errors": _flag("outcome = 'error'"),
    "cancelled": _flag("outcome = 'cancelled'"),
    "skipped": _flag("outcome = 'skipped'"),
    "odd": f"(NOT {_KNOWN_OUTCOME} OR (cost_usd IS NOT NULL AND NOT {_COSTED}))",
    "calls": _flag("attempt = 1"),
    "judged_calls": _flag("attempt = 1 AND outcome IN ('ok', 'error', 'skipped')"),
    "first_ok": _flag("attempt = 1 AND outcome = 'ok'"),
    "fallbacks": f"({_OK} AND fallback_from IS NOT NULL)",
    "input_tokens": _number("input_tokens"),
    "output_tokens": _number("output_tokens"),
    "reasoning_tokens": _number("reasoning_tokens"),
    "cached_tokens": _number("cached_tokens"),
    "cache_write_tokens": _number("cache_write_tokens"),
    "estimated": _flag("estimated = 1"),
    "cost_usd": f"(CASE WHEN {_COSTED} THEN cost_usd ELSE 0 END)",
    "costed": _COSTED,
    "uncosted": f"(NOT {_COSTED} AND {_TOKENS} > 0)",
    "ok_ms": f"(CASE WHEN {_OK} THEN {_number('ms')} ELSE 0 END)",
    "speed_tokens": f"(CASE WHEN {_SPED} THEN output_tokens ELSE 0 END)",
    "speed_ms": f"(CASE WHEN {_SPED} THEN ms - ttft_ms ELSE 0 END)",
}
"""Every sum that is kept, and how one attempt adds to it (SQL over a row of ``sidecar_requests``).

``calls`` counts first attempts, one per answer asked for; ``judged_calls`` are those of them the user did not cancel.
``speed_tokens`` / ``speed_ms`` is the writing speed after the first token.
"""

HISTOGRAM: Final = "ttft_histogram"
RAW_HISTOGRAM: Final = f"histogram_of(CASE WHEN {_TIMED} THEN ttft_ms END)"
RAW_PRICED: Final = f"({_COSTED} OR {_TOKENS} = 0)"
"""1: what this attempt used is paid for by ``cost_usd``; 0: it used tokens at a price nobody knows."""

_REAL: Final = frozenset({"cost_usd", "ok_ms", "speed_ms"})
_SUM_COLUMNS: Final = ", ".join(f"{name} {'REAL' if name in _REAL else 'INTEGER'} NOT NULL" for name in MEASURES)
_NAMES: Final = ", ".join([*MEASURES, HISTOGRAM])
_RAW_SUMS: Final = ", ".join([*(f"SUM({sql})" for sql in MEASURES.values()), RAW_HISTOGRAM])
_SUMS: Final = ", ".join([*(f"SUM({name})" for name in MEASURES), f"histogram_sum({HISTOGRAM})"])
_ADD: Final = ", ".join(
    [
        *(f"{name} = {name} + excluded.{name}" for name in MEASURES),
        f"{HISTOGRAM} = histogram_add({HISTOGRAM}, excluded.{HISTOGRAM})",
    ]
)


def create(connection: sqlite3.Connection) -> None:
    """The tables of ``0002_ledger``. Times in ms, costs in USD; NULL is unknown."""
    connection.execute(
        "CREATE TABLE sidecar_requests ("
        "id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, call_id TEXT NOT NULL, chat_id INTEGER,"
        " attempt INTEGER NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, route TEXT, outcome TEXT NOT NULL,"
        " code TEXT, ttft_ms REAL, ms REAL NOT NULL, input_tokens INTEGER, output_tokens INTEGER,"
        " reasoning_tokens INTEGER, cached_tokens INTEGER, cache_write_tokens INTEGER,"
        " estimated INTEGER NOT NULL DEFAULT 0, cost_usd REAL, price_version TEXT, fallback_from TEXT,"
        " folded INTEGER NOT NULL DEFAULT 0)"
    )
    connection.execute("CREATE INDEX sidecar_requests_at ON sidecar_requests (at)")
    connection.execute("CREATE INDEX sidecar_requests_unfolded ON sidecar_requests (at) WHERE folded = 0")
    key = "provider TEXT NOT NULL, model TEXT NOT NULL, priced INTEGER NOT NULL"
    connection.execute(
        f"CREATE TABLE sidecar_usage_quarters (start INTEGER NOT NULL, {key}, {_SUM_COLUMNS}, {HISTOGRAM} BLOB,"
        " PRIMARY KEY (start, provider, model, priced)) WITHOUT ROWID"
    )
    connection.execute(
        f"CREATE TABLE sidecar_usage_days (day TEXT NOT NULL, sealed INTEGER NOT NULL, {key}, {_SUM_COLUMNS},"
        f" {HISTOGRAM} BLOB, PRIMARY KEY (sealed, day, provider, model, priced)) WITHOUT ROWID"
    )
    connection.execute("CREATE TABLE sidecar_usage_state (id INTEGER PRIMARY KEY CHECK (id = 1), zone TEXT NOT NULL)")


def exist(connection: sqlite3.Connection) -> bool:
    """Whether a sidecar has written a ledger here."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sidecar_usage_state'")
    return found.fetchone() is not None


def prepare(connection: sqlite3.Connection, zone: Zone) -> None:
    """Make our SQL functions known to a connection."""
    latency_histogram.register(connection)
    connection.create_function("local_day", 1, lambda ms: zone.day_of(ms).isoformat(), deterministic=True)


def days_are_of(connection: sqlite3.Connection) -> str | None:
    """The name of the time zone that the derived days are in; None before anything was folded."""
    row = connection.execute("SELECT zone FROM sidecar_usage_state").fetchone()
    return None if row is None else str(row[0])


def fold(connection: sqlite3.Connection, zone: Zone) -> None:
    """Add every row that is not summed yet to its quarter and its day. ``prepare`` comes first."""
    overwrite_deleted(connection)  # a sum that grows leaves its old form behind
    _days_in(connection, zone)
    if connection.execute("SELECT 1 FROM sidecar_requests WHERE folded = 0 LIMIT 1").fetchone() is None:
        return
    for table, head, slot in (
        ("sidecar_usage_quarters", "start", f"at / {QUARTER_MS} * {QUARTER_MS}"),
        ("sidecar_usage_days", "sealed, day", f"0, local_day(at / {QUARTER_MS} * {QUARTER_MS})"),
    ):
        connection.execute(
            f"INSERT INTO {table} ({head}, provider, model, priced, {_NAMES})"  # noqa: S608 - our own names
            f" SELECT {slot}, provider, model, {RAW_PRICED}, {_RAW_SUMS} FROM sidecar_requests"
            " WHERE folded = 0 GROUP BY 1, 2, 3, 4" + (", 5" if head != "start" else "") + " ORDER BY 1"
            f" ON CONFLICT DO UPDATE SET {_ADD}"
        )
    connection.execute("UPDATE sidecar_requests SET folded = 1 WHERE folded = 0")


def _days_in(connection: sqlite3.Connection, zone: Zone) -> None:
    """Derive the days again when the user's time zone is another one. A second for a million rows, after a journey."""
    if days_are_of(connection) == zone.name:
        return
    connection.execute("DELETE FROM sidecar_usage_days WHERE sealed = 0")
    _derive_days(connection, "0", "1")
    connection.execute("INSERT OR REPLACE INTO sidecar_usage_state (id, zone) VALUES (1, ?)", (zone.name,))


def _derive_days(connection: sqlite3.Connection, sealed: str, condition: str, *values: Any) -> None:
    connection.execute(
        f"INSERT INTO sidecar_usage_days (sealed, day, provider, model, priced, {_NAMES})"  # noqa: S608
        f" SELECT {sealed}, local_day(start), provider, model, priced, {_SUMS} FROM sidecar_usage_quarters"
        f" WHERE {condition} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1 ON CONFLICT DO UPDATE SET {_ADD}",
        values,
    )


def prune(connection: sqlite3.Connection, zone: Zone, now_ms: int, kept_days: int = KEPT_DAYS) -> bool:
    """Fold away what is older than ``kept_days``; True when there is more to do. ``fold`` comes first.

    Its sums stay as sealed days: no total changes by it, also when the clock was wrong.
    """
    overwrite_deleted(connection)
    before = (now_ms - kept_days * DAY_MS) // QUARTER_MS * QUARTER_MS
    if connection.execute("SELECT 1 FROM sidecar_usage_quarters WHERE start < ? LIMIT 1", (before,)).fetchone():
        last = zone.day_of(before).isoformat()
        _derive_days(connection, "1", "start < ?", before)
        connection.execute("DELETE FROM sidecar_usage_quarters WHERE start < ?", (before,))
        connection.execute("DELETE FROM sidecar_usage_days WHERE sealed = 0 AND day <= ?", (last,))
        _derive_days(connection, "0", "local_day(start) <= ?", last)
    gone = connection.execute(
        "DELETE FROM sidecar_requests WHERE id IN"
        " (SELECT id FROM sidecar_requests WHERE at < ? AND folded = 1 ORDER BY at LIMIT ?)",
        (before, PRUNE_AT_ONCE),
    ).rowcount
    return gone == PRUNE_AT_ONCE


def overwrite_deleted(connection: sqlite3.Connection) -> None:
    """Have this connection overwrite what it deletes, from the first deletion on: ``clear`` cannot reach the pages that
    were freed before it. Some builds of SQLite do so unasked, others do not."""
    connection.execute("PRAGMA secure_delete = ON")


def clear(connection: sqlite3.Connection) -> None:
    """Delete everything, overwriting it in the file. The file keeps its size: compacting it is the app's business."""
    overwrite_deleted(connection)
    for table in ("sidecar_requests", "sidecar_usage_quarters", "sidecar_usage_days", "sidecar_usage_state"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
