"""What every call is counted by: the tier limits before it, today's figures after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from protocol.chat import LimitsReport
from sidecar.catalog.prices import PriceList
from sidecar.engines.base import Target
from sidecar.engines.base import Usage as Tokens
from sidecar.routing.attempts import Attempt
from sidecar.routing.inputs import Environment
from sidecar.routing.limits import Reservation, Tier, TierLimiter
from sidecar.settings.store import SettingsStore
from sidecar.store.ledger import Ledger, LedgerEntry


class Today(msgspec.Struct, frozen=True):
    """Today's counters as ``usage:get`` and every ``chat:response:end`` show them."""

    limits: LimitsReport
    tier: Tier
    resets_at: str
    upgrade_prompt: bool
    """Whether to offer Pro: on the free tier, when nothing remains of what Scalix pays for."""


class SettledCall(msgspec.Struct, frozen=True, kw_only=True):
    """One routed call that is over."""

    kind: Literal["chat", "llm"]
    call_id: str
    attempts: Sequence[Attempt]
    target: Target
    """Who was asked last."""
    usage: Tokens | None
    chat_id: int | None = None


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
        attempts, usage = call.attempts, call.usage
        if (await self._settings.switches()).enhanced_analytics:
            for entry in self._entries(call):
                self._ledger.record(entry)
        if any(attempt.outcome == "ok" or attempt.ttft_ms is not None for attempt in attempts):
            tokens = (
                0 if usage is None else usage.total_tokens or (usage.input_tokens or 0) + (usage.output_tokens or 0)
            )
            await reservation.commit(tokens, target=call.target)
        else:
            await reservation.release()

    def _entries(self, call: SettledCall) -> Iterator[LedgerEntry]:
        """One entry per attempt; tokens and cost belong to the last one, which is the one that answered."""
        now, usage, last = self._ledger.clock(), call.usage, len(call.attempts)
        first = f"{call.attempts[0].provider}/{call.attempts[0].name}" if call.attempts else ""
        for number, attempt in enumerate(call.attempts, start=1):
            counted = usage if number == last else None
            name = f"{attempt.provider}/{attempt.name}"
            yield LedgerEntry(
                at=now,
                kind=call.kind,
                call_id=call.call_id,
                attempt=number,
                provider=attempt.provider,
                model=attempt.name,
                outcome=attempt.outcome,
                ms=attempt.ms,
                chat_id=call.chat_id,
                route=call.target.route if number == last else None,
                code=attempt.code,
                ttft_ms=attempt.ttft_ms,
                input_tokens=counted.input_tokens if counted else None,
                output_tokens=counted.output_tokens if counted else None,
                reasoning_tokens=counted.reasoning_tokens if counted else None,
                cached_tokens=counted.cached_input_tokens if counted else None,
                cache_write_tokens=counted.cache_write_tokens if counted else None,
                cost_usd=self.cost(call.target, counted) if counted else None,
                fallback_from=first if name != first else None,
            )

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
