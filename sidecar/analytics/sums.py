"""Reading the ledger: exact sums over any period, from whole days, whole quarters of an hour and single attempts.

A period is cut into the local days it covers whole, the quarters left over at its ends, and the attempts left over at
*their* ends. Days and quarters are sums already, so a year costs no more than its days.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from operator import add
from typing import Any, Final, NamedTuple

from sidecar.store import ledger_tables as tables
from sidecar.store.latency_histogram import percentile, unpack
from sidecar.store.ledger_tables import HISTOGRAM, MEASURES, QUARTER_MS
from sidecar.store.zone import Zone

_COUNT: Final = len(MEASURES)

CHARTED: Final = frozenset(
    {"calls", "ok", "errors", "fallbacks", "input_tokens", "output_tokens", "cost_usd", "costed", "uncosted", "ok_ms"}
)
"""What sums by day and hour hold; their other measures are 0."""


class Sums:
    """The measures of ``ledger_tables.MEASURES`` added up, by name, and the histogram of times to the first token."""

    __slots__ = ("histogram", "values")

    def __init__(self) -> None:
        self.values: list[Any] = [0] * _COUNT
        self.histogram = 0

    def add_row(self, row: Sequence[Any], offset: int) -> None:
        """Add what stands in a row from ``offset`` on, in the order of the measures; then the histogram, if any."""
        self.values = list(map(add, self.values, row[offset : offset + _COUNT]))
        if len(row) > offset + _COUNT:
            self.histogram += unpack(row[offset + _COUNT])

    def add(self, other: Sums) -> None:
        """Add other sums."""
        self.add_row(other.values, 0)
        self.histogram += other.histogram

    def __getitem__(self, measure: str) -> Any:
        return self.values[_INDEX[measure]]

    def ttft_ms(self, share: float) -> float | None:
        """A percentile of the time to the first token, within 5 %."""
        return percentile(self.histogram, share)


_INDEX: Final = {name: index for index, name in enumerate(MEASURES)}


class ModelKey(NamedTuple):
    """``priced`` False: the part of a model's use whose price nobody knows."""

    provider: str
    model: str
    priced: bool


class Period(NamedTuple):
    """From ``since`` up to but not including ``until``, ms since the epoch."""

    since: int
    until: int


def first_moment(connection: sqlite3.Connection, zone: Zone) -> int | None:
    """Where the ledger begins; None when it is empty."""
    moments = [row[0] for row in connection.execute("SELECT MIN(at) FROM sidecar_requests")]
    moments += [row[0] for row in connection.execute("SELECT MIN(start) FROM sidecar_usage_quarters")]
    for row in connection.execute("SELECT MIN(day) FROM sidecar_usage_days WHERE sealed = 1"):
        if (day := _date(row[0])) is not None:
            moments.append(zone.start_of(day))
    return min((moment for moment in moments if isinstance(moment, int)), default=None)


def last_moment(connection: sqlite3.Connection) -> int | None:
    """When the newest attempt ended."""
    found = connection.execute("SELECT MAX(at) FROM sidecar_requests").fetchone()[0]
    return found if isinstance(found, int) else None


def read_models(connection: sqlite3.Connection, zone: Zone, period: Period) -> dict[ModelKey, Sums]:
    """Sums by model."""
    models: dict[ModelKey, Sums] = {}
    for source in _sources(connection, zone, period, "provider, model, priced", histogram=True):
        for row in source:
            key = ModelKey(str(row[0]), str(row[1]), bool(row[2]))
            models.setdefault(key, Sums()).add_row(row, 3)
    return models


def read_days(connection: sqlite3.Connection, zone: Zone, period: Period) -> dict[int, Sums]:
    """Sums (``CHARTED`` measures only) by local day, by the ms of its start."""
    days: dict[int, Sums] = {}
    starts: dict[Any, int] = {}
    for source in _sources(connection, zone, period, "slot", histogram=False):
        for row in source:
            slot = row[0]
            if slot not in starts:
                day = zone.day_of(slot) if isinstance(slot, int) else _date(slot)
                starts[slot] = period.since if day is None else zone.start_of(day)
            days.setdefault(starts[slot], Sums()).add_row(row, 1)
    return days


def read_hours(connection: sqlite3.Connection, zone: Zone, period: Period) -> dict[int, Sums]:
    """Sums (``CHARTED`` measures only) by local hour, by the ms of its start; as far back as attempts are kept."""
    hours: dict[int, Sums] = {}
    for source in _quarters_and_attempts(connection, [period], "slot", histogram=False):
        for row in source:
            hours.setdefault(zone.start_of_hour(row[0]), Sums()).add_row(row, 1)
    return hours


# --- where sums come from ------------------------------------------------------------------------------------------


def _sources(
    connection: sqlite3.Connection, zone: Zone, period: Period, group: str, *, histogram: bool
) -> Iterator[sqlite3.Cursor]:
    """Grouped rows that together cover the period: the group's columns, the measures, the histogram if wanted."""
    first, end = _whole_days(zone, period)
    ours = tables.days_are_of(connection) == zone.name
    rest = [period]
    if first < end:
        names = group.replace("slot", "day")
        sums = _stored_sums(histogram)
        for sealed in (0, 1) if ours else (1,):  # each by itself: its days are in their order already
            yield connection.execute(
                f"SELECT {names}, {sums} FROM sidecar_usage_days"  # noqa: S608
                f" WHERE sealed = ? AND day >= ? AND day < ? GROUP BY {names}",
                (sealed, first.isoformat(), end.isoformat()),
            )
        if ours:
            middle = Period(zone.start_of(first), zone.start_of(end))
            rest = [Period(period.since, middle.since), Period(middle.until, period.until)]
            yield _attempts(connection, middle, group, histogram=histogram, only="folded = 0")
    yield from _quarters_and_attempts(connection, rest, group, histogram=histogram)


def _whole_days(zone: Zone, period: Period) -> tuple[date, date]:
    """The local days a period covers whole: the first one, and the one after the last."""
    first, end = zone.day_of(period.since), zone.day_of(period.until)
    if zone.start_of(first) < period.since:
        first += timedelta(days=1)
    # A day that begins off the quarters (no zone of today does) is left to the quarters.
    return (first, end) if zone.start_of(end) % QUARTER_MS == 0 == zone.start_of(first) % QUARTER_MS else (end, end)


def _quarters_and_attempts(
    connection: sqlite3.Connection, periods: Sequence[Period], group: str, *, histogram: bool
) -> Iterator[sqlite3.Cursor]:
    for since, until in periods:
        if since >= until:
            continue
        first = -(-since // QUARTER_MS) * QUARTER_MS
        end = until // QUARTER_MS * QUARTER_MS
        if first >= end:
            yield _attempts(connection, Period(since, until), group, histogram=histogram)
            continue
        names = group.replace("slot", "start")
        yield connection.execute(
            f"SELECT {names}, {_stored_sums(histogram)} FROM sidecar_usage_quarters"  # noqa: S608
            f" WHERE start >= ? AND start < ? GROUP BY {names}",
            (first, end),
        )
        yield _attempts(connection, Period(first, end), group, histogram=histogram, only="folded = 0")
        yield _attempts(connection, Period(since, first), group, histogram=histogram)
        yield _attempts(connection, Period(end, until), group, histogram=histogram)


def _attempts(
    connection: sqlite3.Connection, period: Period, group: str, *, histogram: bool, only: str = "1"
) -> sqlite3.Cursor:
    slot = f"at / {QUARTER_MS} * {QUARTER_MS}"
    names = group.replace("slot", slot).replace("priced", tables.RAW_PRICED)
    sums = _sums(MEASURES, charted=not histogram)
    if histogram:
        sums += f", {tables.RAW_HISTOGRAM}"
    numbers = "1" if group == "slot" else "1, 2, 3"
    return connection.execute(
        f"SELECT {names}, {sums} FROM sidecar_requests"  # noqa: S608
        f" WHERE at >= ? AND at < ? AND {only} GROUP BY {numbers}",
        period,
    )


def _stored_sums(histogram: bool) -> str:
    sums = _sums({name: name for name in MEASURES}, charted=not histogram)
    return f"{sums}, histogram_sum({HISTOGRAM})" if histogram else sums


def _sums(columns: Mapping[str, str], *, charted: bool) -> str:
    """Every measure's sum, or 0 for those that no chart shows: they are half of the work over a year."""
    return ", ".join(f"SUM({sql})" if name in CHARTED or not charted else "0" for name, sql in columns.items())


def _date(text: Any) -> date | None:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return None
