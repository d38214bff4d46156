"""``analytics:get``: a period of the ledger, what is still in memory included."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import anyio
import anyio.to_thread

from protocol.usage import AnalyticsParams, AnalyticsResult, SeriesPoint
from sidecar.analytics.figures import Reference, model_figures, point, provider_figures, summary, totals
from sidecar.analytics.sums import (
    ModelKey,
    Period,
    Sums,
    first_moment,
    last_moment,
    read_days,
    read_hours,
    read_models,
)
from sidecar.catalog.prices import PriceList, cost
from sidecar.engines.base import Usage
from sidecar.errors import InvalidParams, StoreError
from sidecar.store.ledger import Ledger, LedgerEntry, in_memory, stored_ids
from sidecar.store.zone import HOUR_MS, Zone, named_zone

DEFAULT_DAYS: Final = 30
DEFAULT_HOURS: Final = 48
LONGEST_HOURLY_DAYS: Final = 31
MOST_POINTS: Final = 1_100
"""A series longer than that (a clock that once stood in 1970) leaves out what is empty."""

WAIT_S: Final = 2.0
"""How long a report waits for a locked database before it is made without."""


EARLIEST_MS: Final = 400 * 24 * HOUR_MS
LATEST_MS: Final = 4_102_444_800_000
"""1971-02-05 and 2100-01-01: periods are cut to what every platform's calendar functions take."""

_SAMPLES: Final = range(1_420_070_400_000, 1_893_456_000_000, 10 * 24 * HOUR_MS)
"""Every tenth day from 2015 to 2030: two zones that agree on all of them are one to the user."""


class Snapshot(NamedTuple):
    """What was read in one look at the tables."""

    models: dict[ModelKey, Sums]
    slots: dict[int, Sums]
    first: int | None
    last: int | None


class Analytics:
    """Reports over the ledger.

    ``reference`` names what savings are measured against, ``enabled`` is the feature switch (``enhancedAnalytics``).
    """

    def __init__(
        self,
        ledger: Ledger,
        prices: PriceList,
        reference: Callable[[], Awaitable[Reference]],
        enabled: Callable[[], Awaitable[bool]],
    ) -> None:
        self._ledger = ledger
        self._prices = prices
        self._reference = reference
        self._enabled = enabled

    async def report(self, params: AnalyticsParams) -> AnalyticsResult:
        """The answer to ``analytics:get``. Raises ``InvalidParams``; a database that cannot be read is a warning."""
        warnings: list[str] = []
        zone, zone_name = _zone(params.time_zone, self._ledger.zone(), warnings)
        now = self._ledger.clock()
        period = _period(params, zone, now)
        hourly = params.bucket == "hour"
        charted = _charted(period, hourly, warnings)
        snapshot = await self.snapshot(period, charted, zone, hourly, warnings)
        await self._prices.load()
        total = totals(snapshot.models, await self._reference(), self._cost_of)
        warnings += _oddities(snapshot, now, self._ledger.dropped)
        warnings += self._odd_prices(snapshot)
        if not await self._enabled():
            warnings.append("Analytics is switched off: new requests are not recorded.")
        return AnalyticsResult(
            analytics=summary(total),
            totals=total,
            models=model_figures(snapshot.models),
            providers=provider_figures(snapshot.models),
            series=_series(snapshot, charted, zone, hourly=hourly),
            since=iso(period.since),
            until=iso(period.until),
            time_zone=zone_name,
            price_version=self._prices.version,
            warnings=warnings,
        )

    async def clear(self) -> None:
        """``analytics:clear``: delete the ledger. Raises ``StoreError``."""
        await self._ledger.clear()

    async def snapshot(
        self, period: Period, charted: Period, zone: Zone, hourly: bool, warnings: list[str]
    ) -> Snapshot:
        """Sums from the database and from what it does not have yet."""
        own = self._ledger.zone()  # of the stored days: a period's total is the same in every zone

        def read(connection: sqlite3.Connection) -> Snapshot:
            slots = read_hours(connection, zone, charted) if hourly else read_days(connection, zone, charted)
            models = read_models(connection, own, period)
            return Snapshot(models, slots, first_moment(connection, zone), last_moment(connection))

        with anyio.move_on_after(WAIT_S):
            await self._ledger.flush()
        unwritten = self._ledger.unwritten()
        found, known = None, set[int]()
        loop = asyncio.get_running_loop()
        with anyio.move_on_after(WAIT_S) as waiting:

            def work(connection: sqlite3.Connection) -> tuple[Snapshot, set[int]]:
                # The lock is there: from here on it is work, and years of use in a far zone take their time.
                loop.call_soon_threadsafe(setattr, waiting, "deadline", math.inf)
                return read(connection), stored_ids(connection, [identifier for identifier, _ in unwritten])

            try:
                result = await self._ledger.read(work, zone)
                found, known = result if result is not None else (None, known)
            except StoreError as error:
                warnings.append(f"Only requests since Scalix was started are counted: {error.message}")
        if waiting.cancelled_caught:
            warnings.append("Only requests since Scalix was started are counted: the app's database is locked.")
        missing = [entry for identifier, entry in unwritten if identifier not in known]
        if missing:
            found = _merged(found, await anyio.to_thread.run_sync(_read_entries, missing, zone, read))
        return found or Snapshot({}, {}, None, None)

    def _odd_prices(self, snapshot: Snapshot) -> list[str]:
        used = sorted({(key.provider, key.model) for key in snapshot.models})
        odd = [f"{provider}/{name}" for provider, name in used if (m := self._prices.model(provider, name)) and m.odd]
        return [f"The price data has prices that are no prices for {_listed(odd)}; they are not used."] if odd else []

    def _cost_of(self, provider: str, model: str, tokens: Usage) -> float | None:
        data = self._prices.model(provider, model)
        return None if data is None else cost(data.rates, tokens)


# --- the period ----------------------------------------------------------------------------------------------------


def moment(text: str, path: str) -> int:
    """ISO 8601 as ms since the epoch; without an offset it is UTC. Raises ``InvalidParams``."""
    try:
        parsed = datetime.fromisoformat(text)
        return int((parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise InvalidParams(
            f"{path} must be an ISO 8601 date and time, such as 2026-01-31T12:00:00Z.", path=path
        ) from error


def iso(ms: int) -> str:
    """ms since the epoch as ISO 8601 UTC."""
    text = datetime.fromtimestamp(ms / 1000, tz=UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _period(params: AnalyticsParams, zone: Zone, now: int) -> Period:
    until = _within(now + 1 if params.until is None else moment(params.until, "until"))
    if params.since is not None:
        since = _within(moment(params.since, "since"))
    elif params.bucket == "hour":
        since = zone.start_of_hour(until - 1) - (DEFAULT_HOURS - 1) * HOUR_MS
    else:
        since = zone.start_of(zone.day_of(until - 1) - timedelta(days=DEFAULT_DAYS - 1))
    if since > until:
        raise InvalidParams("since must not be later than until.", path="since")
    return Period(since, until)


def _within(ms: int) -> int:
    return min(max(ms, EARLIEST_MS), LATEST_MS)


def _zone(name: str | None, local: Zone, warnings: list[str]) -> tuple[Zone, str]:
    """The zone asked for and what to call it. One that agrees with the ledger's own is taken to be that one."""
    if not name:
        return local, "local"
    found = named_zone(name)
    if found is None:
        warnings.append(f'The time zone "{name}" is not known here; days are those of this computer.')
        return local, "local"
    same = all(found.at(at).utcoffset() == local.at(at).utcoffset() for at in _SAMPLES)
    return (local if same else found), name


def _charted(period: Period, hourly: bool, warnings: list[str]) -> Period:
    longest = LONGEST_HOURLY_DAYS * 24 * HOUR_MS
    if not hourly or period.until - period.since <= longest:
        return period
    warnings.append(f"The series by hour shows the last {LONGEST_HOURLY_DAYS} days of the period.")
    return Period(period.until - longest, period.until)


# --- putting together ----------------------------------------------------------------------------------------------


def _series(snapshot: Snapshot, period: Period, zone: Zone, *, hourly: bool) -> list[SeriesPoint]:
    """One point per local day or hour, from the first that has data on, without gaps."""
    if not snapshot.slots or snapshot.first is None:
        return []
    starts = _starts(max(period.since, snapshot.first), period.until, zone, hourly=hourly)
    if len(starts) > MOST_POINTS:
        starts = []
    points = sorted({*starts, *snapshot.slots})
    empty = Sums()
    pattern = "%Y-%m-%dT%H:00" if hourly else "%Y-%m-%d"
    return [point(iso(at), zone.at(at).strftime(pattern), snapshot.slots.get(at, empty)) for at in points]


def _starts(since: int, until: int, zone: Zone, *, hourly: bool) -> Sequence[int]:
    if hourly:
        return list(dict.fromkeys(zone.start_of_hour(at) for at in range(zone.start_of_hour(since), until, HOUR_MS)))
    first, last = zone.day_of(since), zone.day_of(max(since, until - 1))
    days = min((last - first).days + 1, MOST_POINTS + 1)
    return [zone.start_of(first + timedelta(days=number)) for number in range(days)]


def _read_entries(
    entries: Sequence[LedgerEntry], zone: Zone, read: Callable[[sqlite3.Connection], Snapshot]
) -> Snapshot:
    connection = in_memory(entries, zone)
    try:
        return read(connection)
    finally:
        connection.close()


def _merged(left: Snapshot | None, right: Snapshot) -> Snapshot:
    if left is None:
        return right
    for key, sums in right.models.items():
        left.models.setdefault(key, Sums()).add(sums)
    for slot, sums in right.slots.items():
        left.slots.setdefault(slot, Sums()).add(sums)
    first = [each for each in (left.first, right.first) if each is not None]
    last = [each for each in (left.last, right.last) if each is not None]
    return Snapshot(left.models, left.slots, min(first, default=None), max(last, default=None))


def _oddities(snapshot: Snapshot, now: int, dropped: int) -> list[str]:
    """Sentences about what is odd in these figures."""
    found = []
    odd = sum(sums["odd"] for sums in snapshot.models.values())
    unpriced = sorted({f"{key.provider}/{key.model}" for key in snapshot.models if not key.priced})
    if odd:
        found.append(f"{odd} requests have an outcome or a cost that this version does not understand.")
    if unpriced:
        found.append(f"No price is known for {_listed(unpriced)}: what they cost is not part of the sums.")
    if snapshot.last is not None and snapshot.last > now:
        found.append("Some requests are dated later than now: the clock of this computer was set back.")
    if dropped:
        found.append(f"{dropped} requests could not be stored because the app's database could not be written.")
    return found


def _listed(names: Sequence[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
