"""What every call is counted by: the tier limits before it, today's figures after it."""

from __future__ import annotations

import msgspec

from protocol.chat import LimitsReport
from sidecar.catalog.prices import PriceList
from sidecar.engines.base import Target
from sidecar.engines.base import Usage as Tokens
from sidecar.routing.inputs import Environment
from sidecar.routing.limits import Reservation, Tier, TierLimiter
from sidecar.routing.recording import SettledCall, counted, entries_of
from sidecar.settings.store import SettingsStore
from sidecar.store.ledger import Ledger


class Today(msgspec.Struct, frozen=True):
    """Today's counters as ``usage:get`` and every ``chat:response:end`` show them."""

    limits: LimitsReport
    tier: Tier
    resets_at: str
    upgrade_prompt: bool
    """Whether to offer Pro: on the free tier, when nothing remains of what Scalix pays for."""


class Meter:
    """Counts the calls of this process. What Scalix does not pay for is counted and never refused."""

    def __init__(
        self,
        limiter: TierLimiter,
        settings: SettingsStore,
        environment: Environment,
        *,
        ledger: Ledger,
        prices: PriceList,
    ) -> None:
        self._ledger = ledger
        self._prices = prices
        self._limiter = limiter
        self._settings = settings
        self._environment = environment

    async def reserve(self, target: Target) -> Reservation:
        """A place for one call. Raises ``ProviderError`` (scope ``tier``) when the day is used up."""
        tier = await self._tier()
        return await self._limiter.reserve(tier, target, enforced=await self._enforced())

    def cost(self, target: Target, usage: Tokens) -> float | None:
        """USD of one call, or None when unknown."""
        return self._prices.cost(target.provider, target.wire_model, usage)

    async def settle(self, reservation: Reservation, call: SettledCall) -> None:
        """After the call: it counts when it was answered, whole or in part, and every attempt goes into the ledger."""
        if (await self._settings.switches()).enhanced_analytics:
            for entry in entries_of(call, self._prices, self._ledger.clock()):
                self._ledger.record(entry)
        if call.answered:
            usage, _ = counted(call)
            tokens = usage.total_tokens or (usage.input_tokens or 0) + (usage.output_tokens or 0)
            await reservation.commit(tokens, target=call.target)
        else:
            await reservation.release()

    async def today(self) -> Today:
        """The figures of this UTC day."""
        tier = await self._tier()
        metered = tier == "pro" or self._environment.get("LITE_LLM_BASE_URL") is not None
        used = await self._limiter.snapshot(tier, metered=metered, enforced=await self._enforced())
        return Today(
            limits=LimitsReport(used.requests_today, used.tokens_used, used.remaining_requests),
            tier=tier,
            resets_at=used.resets_at,
            upgrade_prompt=tier == "free" and used.remaining_requests == 0,
        )

    async def _tier(self) -> Tier:
        return "pro" if (await self._settings.load()).pro_enabled else "free"

    async def _enforced(self) -> bool:
        return (await self._settings.switches()).rate_limiting
