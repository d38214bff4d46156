"""Daily limits per tier for what Scalix pays for: engine, gateway, proxy. Own keys and local models are counted only.

A call reserves its place before it goes out and commits or releases it after, in one immediate transaction each, so
that two sidecars on one database cannot both take the last place. A reservation whose process died expires.

The limiter must never be the reason that a chat does not work: with a database that is missing, locked or not
writable it counts in memory, says so, and writes down what it counted when the database is back.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

import anyio
import msgspec

from protocol.errors import ErrorCode
from sidecar.engines.base import Target
from sidecar.errors import DatabaseBusy, DatabaseUnreadable, ProviderError, StoreError
from sidecar.routing.inputs import Environment
from sidecar.store.database import Database

T = TypeVar("T")

Tier = Literal["free", "pro"]

FREE_REQUESTS_PER_DAY: Final = 50
FREE_TOKENS_PER_DAY: Final = 100_000
"""Our own defaults; Pro has none. ``SCALIX_FREE_REQUESTS_PER_DAY``, ``SCALIX_FREE_TOKENS_PER_DAY``,
``SCALIX_PRO_REQUESTS_PER_DAY`` and ``SCALIX_PRO_TOKENS_PER_DAY`` replace them (a number, or ``unlimited``)."""

DAY_S: Final = 86_400
STALE_S: Final = 600
"""Seconds after which a reservation that was never settled no longer counts."""

KEPT_DAYS: Final = 7
DATABASE_WAIT_S: Final = 1.0
"""How long a call waits for a locked database before it is counted in memory."""

_PAID_ROUTES: Final = frozenset({"engine", "gateway", "proxy"})


class TierLimits(msgspec.Struct, frozen=True):
    """Requests and tokens per UTC day, by tier; None is unlimited."""

    free_requests: int | None = FREE_REQUESTS_PER_DAY
    free_tokens: int | None = FREE_TOKENS_PER_DAY
    pro_requests: int | None = None
    pro_tokens: int | None = None

    @classmethod
    def from_environment(cls, environ: Environment) -> TierLimits:
        """The defaults with what the environment replaces; a value that is no count leaves the default."""
        base = cls()
        return cls(
            _limit(environ.get("SCALIX_FREE_REQUESTS_PER_DAY"), base.free_requests),
            _limit(environ.get("SCALIX_FREE_TOKENS_PER_DAY"), base.free_tokens),
            _limit(environ.get("SCALIX_PRO_REQUESTS_PER_DAY"), base.pro_requests),
            _limit(environ.get("SCALIX_PRO_TOKENS_PER_DAY"), base.pro_tokens),
        )

    def of(self, tier: Tier) -> tuple[int | None, int | None]:
        """(requests, tokens) per day."""
        return (self.free_requests, self.free_tokens) if tier == "free" else (self.pro_requests, self.pro_tokens)


class Tally(msgspec.Struct, frozen=True):
    """What was used today: by everything, and by what Scalix pays for."""

    requests: int = 0
    tokens: int = 0
    paid_requests: int = 0
    paid_tokens: int = 0


class Usage(msgspec.Struct, frozen=True):
    """Today's figures (protocol page 5). ``remaining_requests`` None: nothing limits. ``resets_at`` is ISO 8601 UTC."""

    requests_today: int
    tokens_used: int
    remaining_requests: int | None
    resets_at: str


class _Row(msgspec.Struct):
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


def is_paid(target: Target) -> bool:
    """Whether Scalix pays for calls to this target."""
    return target.route in _PAID_ROUTES


class Reservation:
    """A place for one call. Settle it once, with ``commit`` or ``release``; later calls do nothing."""

    def __init__(self, limiter: TierLimiter, row: _Row, warning: str | None) -> None:
        self._limiter = limiter
        self._row = row
        self._open = True
        self.warning = warning
        """A sentence for the user when the count is kept in memory only."""

    def settle(self, tokens: int | None, *, target: Target | None = None) -> None:
        """In memory: the call used ``tokens``, or came to nothing and does not count (None).

        ``target`` says who answered in the end, where that may differ. ``TierLimiter.unwritten`` has the rest.
        """
        if not self._open:
            return
        self._open = False
        if tokens is None:
            self._limiter._forget(self._row)
            return
        paid = self._row.paid if target is None else is_paid(target)
        row = msgspec.structs.replace(self._row, tokens=max(0, tokens), settled=True, paid=paid)
        self._limiter._pending[row.id] = row

    async def commit(self, tokens: int, *, target: Target | None = None) -> None:
        """``settle``, and write it down."""
        if self._open:
            self.settle(tokens, target=target)
            await self._limiter.flush()

    async def release(self) -> None:
        """The call came to nothing: it does not count."""
        if self._open:
            self.settle(None)
            await self._limiter.flush()


class Unwritten(msgspec.Struct, frozen=True):
    """What the limiter has in memory only, to be written in a transaction of its own or of another writer.

    ``write`` raises ``sqlite3.Error``; call ``written`` with its result when the transaction was committed. A
    transaction that fails loses nothing: the same rows are unwritten next time.
    """

    limiter: TierLimiter
    rows: dict[str, _Row]
    dropped: frozenset[str]
    now: int

    def write(self, connection: sqlite3.Connection) -> Tally:
        """On the writer's thread."""
        return _prepared(connection, self.rows, self.now, self.dropped)

    def written(self, tally: Tally) -> None:
        """On the event loop."""
        self.limiter._written(self.rows, self.now, tally)
        self.limiter._dropped -= self.dropped


class TierLimiter:
    """Counts and limits. ``clock`` gives seconds since 1970. ``database`` None: in memory only."""

    def __init__(
        self, database: Database | None, limits: TierLimits, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock
        self._pending: dict[str, _Row] = {}
        """Rows the database does not have yet."""
        self._dropped: set[str] = set()
        """Ids of rows that are to be deleted: their calls came to nothing."""
        self._known: tuple[int, Tally] = (0, Tally())
        """The day and tally last read from the database."""

    @asynccontextmanager
    async def reserved(
        self, tier: Tier, target: Target, *, enforced: bool = True, estimated_tokens: int = 0
    ) -> AsyncIterator[Reservation]:
        """``reserve`` for the length of a block; a reservation not committed in it is released."""
        reservation = await self.reserve(tier, target, enforced=enforced, estimated_tokens=estimated_tokens)
        try:
            yield reservation
        finally:
            with anyio.CancelScope(shield=True):
                await reservation.release()

    async def reserve(
        self, tier: Tier, target: Target, *, enforced: bool = True, estimated_tokens: int = 0
    ) -> Reservation:
        """A place for one call to ``target``; ``enforced`` False (the feature is off) only counts.

        ``estimated_tokens`` counts against parallel calls until the real figure is known. Raises ``ProviderError``
        (RATE_LIMIT_EXCEEDED, scope ``tier``) when the day's requests or tokens are used up. What Scalix does not pay
        for is never refused, and does not wait for the database.
        """
        now = int(self._clock())
        row = _Row(str(uuid.uuid4()), _day(now), is_paid(target), max(0, estimated_tokens), False, now)
        if not row.paid:
            self._pending[row.id] = row
            return Reservation(self, row, None)
        requests, tokens = self._limits.of(tier) if enforced else (None, None)

        def fits(tally: Tally) -> bool:
            return (requests is None or tally.paid_requests < requests) and (
                tokens is None or tally.paid_tokens < tokens
            )

        def work(connection: sqlite3.Connection) -> tuple[Tally, bool]:
            tally = _prepared(connection, pending, now, frozenset())
            if fits(tally):
                _save(connection, [row])
                return _plus(tally, [row], now), True
            return tally, False

        pending = self._pending_now(now)
        warning = None
        try:
            tally, free = await self._write(work)
            self._written(pending, now, tally)
        except StoreError as error:
            tally = self._in_memory(now)
            free = fits(tally)
            if free:
                self._pending[row.id] = row
            warning = f"Today's usage is counted until Scalix is closed only. {error.message}"
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                self._forget(row)
                await self.flush()
            raise
        if not free:
            raise self._refusal(tier, requests, tally, now)
        return Reservation(self, row, warning)

    async def snapshot(self, tier: Tier, *, metered: bool, enforced: bool = True) -> Usage:
        """Today's figures. ``metered``: the user's calls are paid by Scalix, so that a limit applies at all."""
        now = int(self._clock())
        pending = set(self._pending)
        try:
            stored = await self._read(lambda connection: _tally_stored(connection, now, pending))
            self._known = (_day(now), stored)
        except StoreError:
            pass
        return self.latest(tier, metered=metered, enforced=enforced)

    def latest(self, tier: Tier, *, metered: bool, enforced: bool = True) -> Usage:
        """Today's figures as far as this process knows them: exact right after something was written."""
        now = int(self._clock())
        tally = self._in_memory(now)
        limit = self._limits.of(tier)[0] if metered and enforced else None
        remaining = None if limit is None else max(0, limit - tally.paid_requests)
        return Usage(tally.requests, tally.tokens, remaining, _iso((_day(now) + 1) * DAY_S))

    # --- settling --------------------------------------------------------------------------------------------------

    def unwritten(self) -> Unwritten:
        """What was settled since it was last written down."""
        now = int(self._clock())
        return Unwritten(self, self._pending_now(now), frozenset(self._dropped), now)

    async def flush(self) -> None:
        """Write down what was settled; kept in memory where the database cannot take it."""
        unwritten = self.unwritten()
        if not (unwritten.rows or unwritten.dropped):
            return
        try:
            tally = await self._write(unwritten.write)
        except StoreError:
            return
        unwritten.written(tally)

    def _forget(self, row: _Row) -> None:
        self._pending.pop(row.id, None)
        if row.paid:
            self._dropped.add(row.id)

    def _pending_now(self, now: int) -> dict[str, _Row]:
        """The rows to write down: what is settled or limited. Long past days are dropped."""
        self._pending = {key: row for key, row in self._pending.items() if row.day >= _day(now) - KEPT_DAYS}
        return {key: row for key, row in self._pending.items() if row.settled or row.paid}

    def _written(self, rows: dict[str, _Row], now: int, tally: Tally) -> None:
        for key, row in rows.items():
            if self._pending.get(key) is row:
                del self._pending[key]
        self._known = (_day(now), tally)

    def _in_memory(self, now: int) -> Tally:
        """The last known tally of today plus what is not written down yet."""
        day, known = self._known
        return _plus(known if day == _day(now) else Tally(), self._pending.values(), now)

    # --- the database ----------------------------------------------------------------------------------------------

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        database = self._reachable()
        with anyio.move_on_after(DATABASE_WAIT_S):
            return await database.write(work)
        raise _busy()

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        database = self._reachable()
        with anyio.move_on_after(DATABASE_WAIT_S):
            return await database.read(work)
        raise _busy()

    def _reachable(self) -> Database:
        if self._database is None:
            raise DatabaseUnreadable("There is no database.")
        return self._database

    def _refusal(self, tier: Tier, requests: int | None, tally: Tally, now: int) -> ProviderError:
        free = tier == "free"
        what = (
            f"all {requests} requests" if requests is not None and tally.paid_requests >= requests else "all the tokens"
        )
        way_out = "Upgrade to Scalix Pro or use your own API key" if free else "Use your own API key"
        resets = (_day(now) + 1) * DAY_S
        return ProviderError(
            f"You have used {what} of today's {'free' if free else 'Pro'} plan. {way_out}, "
            "or wait until the limit resets at 00:00 UTC.",
            code=ErrorCode.RATE_LIMIT_EXCEEDED,
            retry_after_ms=(resets - now) * 1000,
            extra={"scope": "tier", "upgrade_prompt": free, "resets_at": _iso(resets)},
        )


# --- rows ----------------------------------------------------------------------------------------------------------


def _prepared(connection: sqlite3.Connection, pending: dict[str, _Row], now: int, dropped: frozenset[str]) -> Tally:
    """Write down ``pending``, drop what is stale or old or came to nothing, and count."""
    create_limit_tables(connection)
    connection.executemany("DELETE FROM sidecar_limits WHERE id = ?", [(identifier,) for identifier in dropped])
    _save(connection, pending.values())
    connection.execute(
        "DELETE FROM sidecar_limits WHERE day < ? OR (settled = 0 AND abs(created_at - ?) > ?)",
        (_day(now) - KEPT_DAYS, now, STALE_S),
    )
    return _tally_stored(connection, now, set())


def _save(connection: sqlite3.Connection, rows: Iterable[_Row]) -> None:
    connection.executemany(
        "INSERT INTO sidecar_limits (id, day, paid, tokens, settled, created_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET paid = excluded.paid, tokens = excluded.tokens, settled = excluded.settled"
        " WHERE settled = 0",
        [(row.id, row.day, row.paid, row.tokens, row.settled, row.created_at) for row in rows],
    )


def _tally_stored(connection: sqlite3.Connection, now: int, without: set[str]) -> Tally:
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
    row = connection.execute(query, (_day(now), _day(now) + 1, now, STALE_S, *without)).fetchone()
    return Tally(*map(int, row))


def _plus(tally: Tally, rows: Iterable[_Row], now: int) -> Tally:
    """``tally`` with those of ``rows`` that count today, by the rule of ``_tally_stored``.

    Rows of tomorrow do: they were written before the clock was set back, and setting it back gives nothing back.
    """
    requests, tokens = tally.requests, tally.tokens
    paid_requests, paid_tokens = tally.paid_requests, tally.paid_tokens
    for row in rows:
        stale = not row.settled and abs(row.created_at - now) > STALE_S
        if stale or not 0 <= row.day - _day(now) <= 1:
            continue
        requests, tokens = requests + 1, tokens + row.tokens
        if row.paid:
            paid_requests, paid_tokens = paid_requests + 1, paid_tokens + row.tokens
    return Tally(requests, tokens, paid_requests, paid_tokens)


def _day(seconds: int) -> int:
    return seconds // DAY_S


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _limit(text: str | None, default: int | None) -> int | None:
    if text is None:
        return default
    if text.lower() in {"unlimited", "none"}:
        return None
    return int(text) if text.isascii() and text.isdigit() else default


def _busy() -> DatabaseBusy:
    return DatabaseBusy("The app's database is locked by another program.")
