"""Sums over a period are those of its attempts, however the period lies and whatever the time zone."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.analytics.sums import Period, Sums, read_days, read_hours, read_models
from sidecar.store import ledger_tables as tables
from sidecar.store.ledger import LedgerEntry, in_memory
from sidecar.store.zone import Zone, named_zone
from tests.store.ledger_entries import DAY, HOUR, NOON, entry

ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati")
SPAN = 9 * DAY
BERLIN_SUMMER = 1_774_746_000_000
"""2026-03-29T01:00:00Z: Berlin's clocks jump from 2 to 3."""


def zone_of(name: str) -> Zone:
    found = named_zone(name)
    assert found is not None
    return found


def history(start: int, seed: int = 1, count: int = 3000) -> list[LedgerEntry]:
    generator = random.Random(seed)
    return [
        entry(
            at=start + generator.randrange(SPAN),
            call_id=str(number),
            provider=generator.choice(["openai", "ollama"]),
            outcome=generator.choice(["ok", "ok", "ok", "error", "cancelled"]),
            ms=float(generator.randrange(100, 9000)),
            ttft_ms=generator.choice([None, 50.0, 700.0]),
            input_tokens=generator.choice([None, 10, 2000]),
            cost_usd=generator.choice([None, 0.25]),
        )
        for number in range(count)
    ]


HISTORY = history(BERLIN_SUMMER - 4 * DAY)


@pytest.fixture(scope="module", params=ZONES)
def place(request: pytest.FixtureRequest) -> Iterator[tuple[sqlite3.Connection, Zone]]:
    """The history in the tables of one zone, the last entries not folded yet."""
    zone = zone_of(request.param)
    connection = in_memory(HISTORY[:2900], zone)
    with_tail = in_memory(HISTORY, zone)
    late = with_tail.execute("SELECT * FROM sidecar_requests WHERE id > 2900").fetchall()
    with_tail.close()
    for row in late:
        connection.execute(f"INSERT INTO sidecar_requests VALUES ({', '.join('?' * len(row))})", [*row[:-1], 0])
    yield connection, zone
    connection.close()


def expected(entries: Sequence[LedgerEntry], period: Period) -> tuple[int, int, int, float]:
    inside = [each for each in entries if period.since <= each.at < period.until]
    return (
        len(inside),
        sum(each.outcome == "ok" for each in inside),
        sum(each.input_tokens or 0 for each in inside),
        sum(each.cost_usd or 0.0 for each in inside),
    )


def found(sums: Sequence[Sums]) -> tuple[int, int, int, float]:
    return (
        sum(each["calls"] for each in sums),
        sum(each["ok"] for each in sums),
        sum(each["input_tokens"] for each in sums),
        sum(each["cost_usd"] for each in sums),
    )


edges = st.integers(BERLIN_SUMMER - 5 * DAY, BERLIN_SUMMER + 6 * DAY)


@settings(max_examples=25, deadline=None)
@given(edges, edges, st.sampled_from(ZONES))
def test_any_period_in_any_zone_is_exact(
    place: tuple[sqlite3.Connection, Zone], one: int, other: int, asked: str
) -> None:
    connection, _ = place
    zone = zone_of(asked)  # also one that the days were not summed in
    tables.prepare(connection, zone)
    period = Period(min(one, other), max(one, other))
    right = expected(HISTORY, period)
    models = read_models(connection, zone, period)
    assert found(list(models.values())) == right
    assert found(list(read_days(connection, zone, period).values())) == right
    assert found(list(read_hours(connection, zone, period).values())) == right
    timed = sum(each.ttft_ms is not None and period.since <= each.at < period.until for each in HISTORY)
    assert sum((s.histogram >> 32 * b) & 0xFFFFFFFF for s in models.values() for b in range(118)) == timed


@pytest.mark.parametrize("name", ZONES)
def test_days_and_hours_are_the_users_own(name: str) -> None:
    zone = zone_of(name)
    connection = in_memory(HISTORY, zone)
    period = Period(BERLIN_SUMMER - 5 * DAY, BERLIN_SUMMER + 6 * DAY)
    days = read_days(connection, zone, period)
    by_day: dict[int, int] = {}
    by_hour: dict[tuple[str, str], int] = {}
    for each in HISTORY:
        local = zone.at(each.at)
        by_day[zone.start_of(local.date())] = by_day.get(zone.start_of(local.date()), 0) + 1
        key = (local.strftime("%Y-%m-%dT%H"), str(local.utcoffset()))
        by_hour[key] = by_hour.get(key, 0) + 1
    assert {slot: sums["calls"] for slot, sums in days.items()} == by_day
    hours = read_hours(connection, zone, period)
    assert sorted(sums["calls"] for sums in hours.values()) == sorted(by_hour.values())
    assert all(zone.at(slot).minute == 0 for slot in hours)
    connection.close()


def test_the_day_the_clocks_change_has_23_hours() -> None:
    zone = zone_of("Europe/Berlin")
    day = zone.day_of(BERLIN_SUMMER)
    start = zone.start_of(day)
    entries = [entry(at=start + hour * HOUR, call_id=str(hour)) for hour in range(24)]
    connection = in_memory(entries, zone)
    days = read_days(connection, zone, Period(start, start + 2 * DAY))
    assert [sums["calls"] for sums in days.values()] == [23, 1]
    connection.close()


def test_the_machines_own_zone_counts_days_like_the_calendar() -> None:
    from sidecar.store.zone import machine_zone

    zone = machine_zone()
    for at in range(NOON, NOON + 400 * DAY, 11 * HOUR):
        day = zone.day_of(at)
        assert zone.start_of(day) <= at < zone.start_of(day) + 25 * HOUR
        assert zone.at(zone.start_of(day)).hour in {0, 1}
