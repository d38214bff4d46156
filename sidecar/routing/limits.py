"""Daily limits per tier for what Scalix pays for: engine, gateway, proxy. Own keys and local models are counted only.

A call reserves its place before it goes out, in an immediate transaction, so that two sidecars on one database cannot
both take the last place, and settles it after. A reservation whose process died expires.

The limiter must never be the reason that a chat does not work: with a database that is missing, locked or not
writable it counts in memory, says so, and writes down what it counted when the database is back.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

import anyio
import msgspec
import structlog

from protocol.errors import ErrorCode
from sidecar.engines.base import Target
from sidecar.errors import DatabaseBusy, ProviderError, StoreError
from sidecar.routing.counted import Counted, Unwritten
from sidecar.routing.inputs import Environment
from sidecar.routing.pro import is_paid
from sidecar.store.database import Database
from sidecar.store.limits import DAY_S, LimitRow, Tally, create_limit_tables, day_of, plus, save_rows, stored_tally

T = TypeVar("T")

_Decision = tuple[Tally, Tally]
"""What is stored of today, and that with what this process has not written down yet."""

Tier = Literal["free", "pro"]

FREE_REQUESTS_PER_DAY: Final = 50
FREE_TOKENS_PER_DAY: Final = 100_000
"""Our own defaults; Pro has none."""

DATABASE_WAIT_S: Final = 1.0
"""How long a call waits for a locked database before it is counted in memory."""

_VARIABLES: Final = {
    "free_requests": "SCALIX_FREE_REQUESTS_PER_DAY",
    "free_tokens": "SCALIX_FREE_TOKENS_PER_DAY",
    "pro_requests": "SCALIX_PRO_REQUESTS_PER_DAY",
    "pro_tokens": "SCALIX_PRO_TOKENS_PER_DAY",
}
"""What replaces them: a number, or ``unlimited``."""
_UNLIMITED: Final = frozenset({"unlimited", "none"})

log = structlog.get_logger("sidecar.routing")


class TierLimits(msgspec.Struct, frozen=True):
    """Requests and tokens per UTC day, by tier; None is unlimited."""

    free_requests: int | None = FREE_REQUESTS_PER_DAY
    free_tokens: int | None = FREE_TOKENS_PER_DAY
    pro_requests: int | None = None
    pro_tokens: int | None = None

    @classmethod
    def from_environment(cls, environ: Environment) -> TierLimits:
        """The defaults with what the environment replaces; a value that is no count leaves the default
        (``unusable_limits`` says so)."""
        replaced = {
            field: _limit(text)
            for field, name in _VARIABLES.items()
            if (text := environ.get(name)) is not None and _is_limit(text)
        }
        return cls(**replaced)

    def of(self, tier: Tier) -> tuple[int | None, int | None]:
        """(requests, tokens) per day."""
        return (self.free_requests, self.free_tokens) if tier == "free" else (self.pro_requests, self.pro_tokens)


def unusable_limits(environ: Environment) -> list[str]:
    """A sentence for each variable that holds no limit."""
    return [
        f"{name} is {text!r}, which is neither a number nor unlimited; the limit is the usual one."
        for name in _VARIABLES.values()
        if (text := environ.get(name)) is not None and not _is_limit(text)
    ]


class UsedToday(msgspec.Struct, frozen=True):
    """Today's figures (protocol page 5). ``remaining_requests`` None: nothing limits. ``resets_at`` is ISO 8601 UTC."""

    requests_today: int
    tokens_used: int
    remaining_requests: int | None
    resets_at: str


class Reservation:
    """A place for one call. Settle it once; later calls do nothing."""

    def __init__(self, counted: Counted, row: LimitRow, warning: str | None) -> None:
        self._counted = counted
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
            self._counted.forget(self._row)
            return
        paid = self._row.paid if target is None else is_paid(target)
        self._counted.put(msgspec.structs.replace(self._row, tokens=max(0, tokens), settled=True, paid=paid))


class TierLimiter:
    """Counts and limits. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, limits: TierLimits, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock
        self._counted = Counted()

    async def reserve(self, tier: Tier, target: Target, *, enforced: bool = True) -> Reservation:
        """A place for one call to ``target``; ``enforced`` False (the feature is off) only counts.

        Raises ``ProviderError`` (RATE_LIMIT_EXCEEDED, scope ``tier``) when the day's requests or tokens are used up.
        What Scalix does not pay for, or does not limit, is never refused and does not wait for the database. Where
        there is a limit, the place is taken in a transaction, and nobody waits until it is written: from its beginning
        on it holds the lock.
        """
        now = int(self._clock())
        row = LimitRow(str(uuid.uuid4()), day_of(now), is_paid(target), 0, False, now)
        requests, tokens = self._limits.of(tier) if enforced else (None, None)
        if not row.paid or (requests is None and tokens is None):
            self._counted.put(row)
            return Reservation(self._counted, row, None)

        def fits(tally: Tally) -> bool:
            return (requests is None or tally.paid_requests < requests) and (
                tokens is None or tally.paid_tokens < tokens
            )

        pending = self._counted.rows

        def work(connection: sqlite3.Connection, decided: Callable[[_Decision], None]) -> _Decision:
            stored = stored_tally(connection, now, {*pending, row.id})
            tally = plus(stored, pending.values(), now)
            decided((stored, tally))
            if fits(tally):
                create_limit_tables(connection)
                save_rows(connection, [row])
            return stored, tally

        warning = None
        try:
            stored, tally = await self._decided(work)
            self._counted.learn(now, stored, pending)
        except StoreError as error:
            tally = self._counted.today(now)
            warning = f"Today's usage is counted until Scalix is closed only. {error.message}"
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                self._counted.forget(row)
                await self.flush()
            raise
        if not fits(tally):
            raise self._refusal(tier, requests, tally, now)
        self._counted.put(row)  # until something is written: the commit may fail
        return Reservation(self._counted, row, warning)

    async def snapshot(self, tier: Tier, *, metered: bool, enforced: bool = True) -> UsedToday:
        """Today's figures. ``metered``: the user's calls are paid by Scalix, so that a limit applies at all."""
        now = int(self._clock())
        pending = self._counted.rows
        try:
            stored = await self._read(lambda connection: stored_tally(connection, now, pending))
            self._counted.learn(now, stored, pending)
        except StoreError:
            pass
        return self.latest(tier, metered=metered, enforced=enforced)

    def latest(self, tier: Tier, *, metered: bool, enforced: bool = True) -> UsedToday:
        """Today's figures as far as this process knows them: exact right after something was written."""
        now = int(self._clock())
        tally = self._counted.today(now)
        requests, tokens = self._limits.of(tier) if metered and enforced else (None, None)
        remaining = None if requests is None else max(0, requests - tally.paid_requests)
        if tokens is not None and tally.paid_tokens >= tokens:
            remaining = 0  # the next one is refused
        return UsedToday(tally.requests, tally.tokens, remaining, _iso((day_of(now) + 1) * DAY_S))

    # --- settling --------------------------------------------------------------------------------------------------

    def unwritten(self) -> Unwritten:
        """What was settled since it was last written down."""
        return self._counted.unwritten(int(self._clock()))

    async def flush(self) -> None:
        """Write down what was settled; kept in memory while the database cannot take it, given up where it will not."""
        unwritten = self.unwritten()
        if not (unwritten.rows or unwritten.dropped):
            return
        try:
            tally = await self._write(unwritten.write)
        except StoreError:
            return
        except sqlite3.Error:
            log.exception("the usage of a call was not written down", lost="usage")
            tally = None
        unwritten.written(tally)

    # --- the database ----------------------------------------------------------------------------------------------

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with anyio.move_on_after(DATABASE_WAIT_S):
            return await self._database.write(work)
        raise _busy()

    async def _decided(self, work: Callable[[sqlite3.Connection, Callable[[_Decision], None]], _Decision]) -> _Decision:
        """What ``work`` decided, not written down yet."""
        with anyio.move_on_after(DATABASE_WAIT_S):
            return await self._database.begin_decision(work).value()
        raise _busy()

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with anyio.move_on_after(DATABASE_WAIT_S):
            return await self._database.read(work)
        raise _busy()

    def _refusal(self, tier: Tier, requests: int | None, tally: Tally, now: int) -> ProviderError:
        free = tier == "free"
        what = (
            f"all {requests} requests" if requests is not None and tally.paid_requests >= requests else "all the tokens"
        )
        way_out = "Upgrade to Scalix Pro or use your own API key" if free else "Use your own API key"
        resets = (day_of(now) + 1) * DAY_S
        return ProviderError(
            f"You have used {what} of today's {'free' if free else 'Pro'} plan. {way_out}, "
            "or wait until the limit resets at 00:00 UTC.",
            code=ErrorCode.RATE_LIMIT_EXCEEDED,
            retry_after_ms=(resets - now) * 1000,
            extra={"scope": "tier", "upgrade_prompt": free, "resets_at": _iso(resets)},
        )


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _is_limit(text: str) -> bool:
    return text.lower() in _UNLIMITED or (text.isascii() and text.isdigit())


def _limit(text: str) -> int | None:
    return None if text.lower() in _UNLIMITED else int(text)


def _busy() -> DatabaseBusy:
    return DatabaseBusy("The app's database is locked by another program.")
