"""The parts that most sessions never ask for, and how they are put together: the composition root's other half.

Single model calls, help chat and budget, usage and analytics. Their code is imported by the first call of one of their
channels (``handlers.later``), so everything here is imported inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from sidecar.handlers.later import LaterHandlers
from sidecar.rpc.router import Handler, Router

if TYPE_CHECKING:
    from protocol.usage import HealthResult, UserBudget
    from sidecar.account.help_chat import HelpChat
    from sidecar.analytics.figures import Reference
    from sidecar.app import Application, Services
    from sidecar.llm.service import LlmService
    from sidecar.routing.slots import StreamSlots
    from sidecar.secret import SecretText

LLM: Final = ("llm:stream", "llm:cancel")
ACCOUNT: Final = ("help:chat:start", "help:chat:cancel", "get-user-budget")
USAGE: Final = ("usage:get", "analytics:get", "analytics:clear", "models:recommend", "providers:health")
SCALARS: Final = {"llm:cancel": "callId", "help:chat:cancel": "sessionId"}


class SeldomUsed:
    """Made of the other services when it is first wanted."""

    def __init__(self, application: Application, services: Services, slots: StreamSlots) -> None:
        self._application = application
        self._services = services
        self._slots = slots
        self._calls: LlmService | None = None
        self._help: HelpChat | None = None

    def register(self, router: Router) -> None:
        """Announce every channel."""

        def add(names: tuple[str, ...], make: Callable[[], Mapping[str, Handler]], *modules: str) -> None:
            router.add(LaterHandlers(names, make, modules).methods(), SCALARS)

        add(LLM, self._llm_handlers, "sidecar.handlers.llm")
        add(ACCOUNT, self._account_handlers, "sidecar.handlers.account", "sidecar.account.budget")
        add(USAGE, self._usage_handlers, "sidecar.handlers.usage", "sidecar.analytics.health")

    async def cancel_all(self) -> None:
        """Stop every stream; each has said its last word when this returns."""
        for streams in (self._calls, self._help):
            if streams is not None:
                await streams.cancel_all()

    # --- single model calls --------------------------------------------------------------------------------------

    def _llm_handlers(self) -> Mapping[str, Handler]:
        from sidecar.handlers.llm import LlmHandlers
        from sidecar.llm.service import LlmService

        services = self._services
        self._calls = LlmService(
            caller=services.caller,
            route=services.planner.route,
            open_lane=self._application.open_lane,
            start=services.planner.start_call,
            meter=services.meter,
            slots=self._slots,
        )
        return LlmHandlers(self._calls).methods()

    # --- Scalix's own services -----------------------------------------------------------------------------------

    def _account_handlers(self) -> Mapping[str, Handler]:
        from sidecar.account.help_chat import HELP_BASE, HelpChat
        from sidecar.handlers.account import AccountHandlers

        self._help = HelpChat(
            engine=self._services.engines,
            key=self._pro_key,
            base=self._services.environ.get("SCALIX_HELP_URL") or HELP_BASE,
            open_lane=self._application.open_lane,
            spawn=self._application.spawn,
        )
        return AccountHandlers(self._help, self._budget).methods()

    async def _pro_key(self) -> SecretText | None:
        return (await self._services.settings.load()).pro_api_key

    async def _budget(self) -> UserBudget | None:
        from sidecar.account.budget import USER_SERVICE, budget_or_none

        services = self._services
        return await budget_or_none(
            services.engines.http.get,
            base=services.environment.get("SCALIX_API_URL") or USER_SERVICE,
            key=await self._pro_key(),
            environ=services.environment,
            test_build=services.test_build,
        )

    # --- usage, analytics, health --------------------------------------------------------------------------------

    def _usage_handlers(self) -> Mapping[str, Handler]:
        from sidecar.analytics.report import Analytics
        from sidecar.handlers.usage import UsageHandlers

        services = self._services
        analytics = Analytics(services.ledger, services.prices, self._reference, self._analytics_enabled)
        return UsageHandlers(services.meter, services.settings, self._health, analytics, services.advisor).methods()

    async def _analytics_enabled(self) -> bool:
        return (await self._services.settings.switches()).enhanced_analytics

    async def _reference(self) -> Reference:
        """What savings are measured against: the selected model, and every other one that could be asked."""
        from sidecar.analytics.figures import Reference

        selected = (await self._services.settings.load()).selected_model
        options = await self._services.advisor.options(local=False)
        return Reference(
            selected=None if selected.provider == "auto" else (selected.provider, selected.name),
            keyed=tuple((each.provider, each.name) for each in options),
        )

    async def _health(self, probing: bool) -> HealthResult:
        from sidecar.analytics.health import provider_health

        services = self._services
        result = await provider_health(services.ledger, services.caller.breaker.health())
        if not probing:
            return result
        from sidecar.routing.probe import probe_all

        probes = await probe_all(services.settings, services.catalog, services.environment, services.engines.http.get)
        return msgspec.structs.replace(result, probes=probes)
