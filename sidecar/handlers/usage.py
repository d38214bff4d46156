"""``usage:get``, ``analytics:*``, ``models:recommend`` and ``providers:health`` (protocol page 5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from protocol.usage import (
    AnalyticsParams,
    AnalyticsResult,
    HealthParams,
    HealthResult,
    RecommendParams,
    RecommendResult,
    UsageResult,
)
from sidecar.analytics.report import Analytics
from sidecar.handlers.params import convert
from sidecar.routing.advisor import ModelAdvisor
from sidecar.routing.meter import Meter
from sidecar.rpc.router import Handler
from sidecar.settings.store import SettingsStore


class UsageHandlers:
    """The channels about what was used."""

    def __init__(
        self,
        meter: Meter,
        settings: SettingsStore,
        health: Callable[[bool], Awaitable[HealthResult]],
        analytics: Analytics,
        advisor: ModelAdvisor,
    ) -> None:
        self._meter = meter
        self._settings = settings
        self._health_now = health
        self._analytics = analytics
        self._advisor = advisor

    def methods(self) -> dict[str, Handler]:
        """By method name."""
        return {
            "usage:get": self._usage,
            "analytics:get": self._report,
            "analytics:clear": self._clear,
            "models:recommend": self._recommend,
            "providers:health": self._health,
        }

    async def _usage(self, _: dict[str, Any]) -> UsageResult:
        today = await self._meter.today(await self._settings.load())
        return UsageResult(
            usage=today.limits, tier=today.tier, resets_at=today.resets_at, upgrade_prompt=today.upgrade_prompt
        )

    async def _report(self, params: dict[str, Any]) -> AnalyticsResult:
        return await self._analytics.report(convert(params, AnalyticsParams))

    async def _clear(self, _: dict[str, Any]) -> bool:
        """Forget everything the ledger holds."""
        await self._analytics.clear()
        return True

    async def _recommend(self, params: dict[str, Any]) -> RecommendResult:
        return await self._advisor.recommend(convert(params, RecommendParams))

    async def _health(self, params: dict[str, Any]) -> HealthResult:
        """How each model called lately has been doing; on request, whether each provider answers now."""
        return await self._health_now(bool(convert(params, HealthParams).probe))
