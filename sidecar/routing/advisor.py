"""``models:recommend``: the models this user could ask now, ranked by what was measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protocol.usage import RecommendParams, RecommendResult
from sidecar.catalog.builtin import CLOUD_PROVIDERS, MODELS
from sidecar.routing.breaker import CircuitBreaker
from sidecar.routing.inputs import Environment
from sidecar.routing.recommend import ModelOption, can_do, needs_of, rank, recommendation
from sidecar.routing.track_record import Evidence, Observation, TrackRecord
from sidecar.settings.store import SettingsStore
from sidecar.store.ledger import Ledger, LedgerEntry

CHARS_PER_TOKEN = 4
"""The app's estimate (app contract 6)."""


class ModelAdvisor:
    """Watches the ledger's entries as they are recorded; gives advice on request."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        settings: SettingsStore,
        environment: Environment,
        breaker: Callable[[], CircuitBreaker],
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._breaker = breaker
        self._clock = clock
        self._record = TrackRecord()
        ledger.listeners.append(self._observe)

    async def recommend(self, params: RecommendParams) -> RecommendResult:
        """The answer to ``models:recommend``; with no data it is the app's own order."""
        needs = needs_of(params.needs or (), len(params.prompt or "") // CHARS_PER_TOKEN)
        options = [option for option in await self._options() if can_do(option, needs)]
        return recommendation(rank(options, self._evidence, needs), needs)

    async def keyed_providers(self) -> set[str]:
        """Cloud providers with a key, in the settings or the environment."""
        settings = await self._settings.load()
        keyed = {name for name, entry in settings.provider_settings.items() if entry.api_key}
        return keyed | {
            provider.id
            for provider in CLOUD_PROVIDERS
            if isinstance(provider.env_var_name, str) and self._environment.get(provider.env_var_name)
        }

    async def _options(self) -> list[ModelOption]:
        keyed = await self.keyed_providers() - {"auto"}
        states: Mapping[tuple[str, str], str] = {
            (health.provider, health.name): health.state for health in self._breaker().health()
        }
        return [
            ModelOption(
                provider=model.provider_id,
                name=model.api_name,
                display_name=model.display_name,
                context_window=model.context_window,
                max_output_tokens=model.max_output_tokens,
                reads_images=model.facts.image_input,
                reasons=model.facts.reasoning != "none",
                open_circuit=states.get((model.provider_id, model.api_name)) == "open",
            )
            for model in MODELS
            if model.provider_id in keyed
        ]

    def _evidence(self, provider: str, name: str) -> Evidence:
        return self._record.evidence(provider, name, self._clock())

    def _observe(self, entry: LedgerEntry) -> None:
        self._record.observe(
            Observation(
                provider=entry.provider,
                model=entry.model,
                at=entry.at,
                outcome=entry.outcome,
                code=entry.code,
                ttft_ms=entry.ttft_ms,
                ms=entry.ms,
                output_tokens=entry.output_tokens,
            )
        )
