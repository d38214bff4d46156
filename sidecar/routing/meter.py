"""What every call is counted by: the tier limits before it, today's figures after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypedDict

import anyio
import msgspec
import structlog

from protocol.chat import LimitsReport
from sidecar.catalog.prices import PriceList
from sidecar.engines.base import Target
from sidecar.routing.counted import Unwritten
from sidecar.routing.inputs import Environment
from sidecar.routing.limits import Reservation, Tier, TierLimiter, UsedToday
from sidecar.routing.recording import SettledCall, counted, entries_of
from sidecar.settings.values import AppSettings
from sidecar.store.ledger import Ledger

PRICES_WAIT_S: Final = 1.0
"""How long the end of an answer waits for the price data."""

log = structlog.get_logger("sidecar.routing")


class Today(msgspec.Struct, frozen=True):
    """Today's counters as ``usage:get`` and every ``chat:response:end`` show them."""

    limits: LimitsReport
    tier: Tier
    resets_at: str
    upgrade_prompt: bool
    """Whether to offer Pro: on the free tier, when nothing remains of what Scalix pays for."""


class _Wanted(TypedDict):
    tier: Tier
    metered: bool
    enforced: bool


class Meter:
    """Counts the calls of this process. What Scalix does not pay for is counted and never refused."""

    def __init__(
        self,
        limiter: TierLimiter,
        environment: Environment,
        *,
        ledger: Ledger,
        prices: PriceList,
    ) -> None:
        self._ledger = ledger
        self._prices = prices
        self._limiter = limiter
        self._environment = environment

    async def reserve(self, target: Target, settings: AppSettings) -> Reservation:
        """A place for one call. Raises ``ProviderError`` (scope ``tier``) when the day is used up."""
        return await self._limiter.reserve(_tier(settings), target, enforced=settings.features.rate_limiting)

    async def ready(self) -> None:
        """Have the prices at hand. Waits only after a first answer that was faster than their file is read."""
        if self._prices.is_loaded:
            return
        with anyio.move_on_after(PRICES_WAIT_S):
            await self._prices.load()

    def cost(self, calls: Iterable[SettledCall]) -> float | None:
        """USD of calls together, by what the providers reported; None when that of any answered one is unknown."""
        costs = [
            None if call.usage is None else self._prices.cost(call.target.provider, call.target.wire_model, call.usage)
            for call in calls
            if call.answered
        ]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if known and len(known) == len(costs) else None

    async def settle(self, reservation: Reservation, call: SettledCall, settings: AppSettings) -> None:
        """``note``, and write it down."""
        with costs_figures_only():
            await self.ready()
            self.note(reservation, call, settings)
        await self._limiter.flush()

    def note(self, reservation: Reservation, call: SettledCall, settings: AppSettings) -> None:
        """After the call: it counts when it was answered, whole or in part, and every attempt goes into the ledger.

        Kept in memory until ``unwritten`` is written. ``ready`` comes first.
        """
        if settings.features.enhanced_analytics:
            for entry in entries_of(call, self._prices, self._ledger.clock()):
                self._ledger.record(entry)
        if call.answered:
            usage, _ = counted(call)
            tokens = usage.total_tokens or (usage.input_tokens or 0) + (usage.output_tokens or 0)
            reservation.settle(tokens, target=call.target)
        else:
            reservation.settle(None)

    def unwritten(self) -> Unwritten:
        """What was noted and not written down yet, for whoever writes next."""
        return self._limiter.unwritten()

    async def today(self, settings: AppSettings) -> Today:
        """The figures of this UTC day, those of other processes included."""
        return self._today(settings, await self._limiter.snapshot(**self._wanted(settings)))

    def today_so_far(self, settings: AppSettings) -> Today:
        """The same as of the last write: exact right after it."""
        return self._today(settings, self._limiter.latest(**self._wanted(settings)))

    def _wanted(self, settings: AppSettings) -> _Wanted:
        tier = _tier(settings)
        metered = tier == "pro" or self._environment.get("LITE_LLM_BASE_URL") is not None
        return {"tier": tier, "metered": metered, "enforced": settings.features.rate_limiting}

    def _today(self, settings: AppSettings, used: UsedToday) -> Today:
        tier = _tier(settings)
        return Today(
            limits=LimitsReport(used.requests_today, used.tokens_used, used.remaining_requests),
            tier=tier,
            resets_at=used.resets_at,
            upgrade_prompt=tier == "free" and used.remaining_requests == 0,
        )


@contextmanager
def costs_figures_only() -> Iterator[None]:
    """For counting what an answer took: a mistake in it is logged, and the answer ends as it would have."""
    try:
        yield
    except Exception:
        log.exception("the usage of an answer was not counted", lost="usage")


def _tier(settings: AppSettings) -> Tier:
    return "pro" if settings.pro_enabled else "free"
