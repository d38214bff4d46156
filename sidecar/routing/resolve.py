"""Which endpoints may answer: from the user's choice and settings to ordered targets (app contract 9).

Pure: no request, no file, no clock. The first candidate is what the user chose; the others may take over when it
fails, under the rules of ``routing.runner``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Final

import msgspec

from sidecar.engines.base import Target
from sidecar.errors import MissingApiKey, NotFound, SidecarError
from sidecar.routing.direct import direct_target, sendable_temperature
from sidecar.routing.inputs import (
    AUTO,
    CatalogView,
    ContextFile,
    Environment,
    ModelChoice,
    ModelInfo,
    ProviderInfo,
    RoutingSettings,
)
from sidecar.routing.keys import find_key, locked, pro_key
from sidecar.routing.pro import engine_modes_on, pro_target, proxy_target, served_by_pro, takes_files
from sidecar.secret import SecretText

AUTO_ORDER: Final = (
    ModelChoice("google", "gemini-2.5-flash"),
    ModelChoice("anthropic", "claude-sonnet-4-20250514"),
    ModelChoice("openai", "gpt-4.1"),
)
"""What ``auto`` tries first without Pro (app contract 9, step 3)."""

AUTO_CHOICE: Final = ModelChoice(AUTO, AUTO)

_Door = Callable[[ModelChoice], Target]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """The candidates in order, and what may be done with them. ``warnings`` are sentences for the user; ``window`` is
    the chosen model's context window in tokens, None for a model the catalogue does not know."""

    targets: tuple[Target, ...]
    allow_fallback: bool
    window: int | None = None
    warnings: tuple[str, ...] = ()


def find_route(
    choice: ModelChoice,
    settings: RoutingSettings,
    catalog: CatalogView,
    environ: Environment,
    *,
    files: Sequence[ContextFile] = (),
) -> Route:
    """Every endpoint that may answer for ``choice``, the chosen one first.

    ``files`` goes into the body of engine requests only. Raises ``NotFound`` (no such provider), ``MissingApiKey``,
    ``SecretLocked``, ``ValidationFailed`` (a base URL, a key no header can carry) and ``ProviderError`` (a key that is
    not Scalix's), always about what the user chose: a fallback that cannot be used is left out.
    """
    route = _Resolver(settings, catalog, environ, files).route(choice)
    model = catalog.model(choice.provider, choice.name, choice.custom_model_id)
    return msgspec.structs.replace(route, window=None if model is None else model.context_window)


def engine_enabled(choice: ModelChoice, settings: RoutingSettings, catalog: CatalogView, environ: Environment) -> bool:
    """Whether the engine would serve ``choice``, so that the code base goes along as files and not as messages."""
    provider = catalog.provider(choice.provider)
    if provider is None or pro_key(settings, environ) is None or not engine_modes_on(settings):
        return False
    if environ.get("LITE_LLM_BASE_URL") is not None and provider.type == "cloud":
        return True
    return served_by_pro(provider, environ)


class _Resolver:
    """One resolution; holds its inputs so that the steps below stay short."""

    def __init__(
        self,
        settings: RoutingSettings,
        catalog: CatalogView,
        environ: Environment,
        files: Sequence[ContextFile],
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._environ = environ
        self._files = files
        self._pro_key = pro_key(settings, environ)
        self._proxied = environ.get("LITE_LLM_BASE_URL") is not None
        self._warnings: list[str] = []

    def route(self, choice: ModelChoice) -> Route:
        provider = self._provider(choice)
        if self._proxied and provider.type == "cloud":
            return self._through(choice, self._proxy)
        if self._pro_key is not None and served_by_pro(provider, self._environ):
            return self._through(choice, self._pro)
        try:
            return self._direct_route(choice, provider)
        except MissingApiKey as error:
            if self._pro_locked():
                raise locked(ProviderInfo(id=AUTO, name="Scalix Pro", env_var="SCALIX_PRO_API_KEY")) from error
            raise

    # --- doors Scalix pays for -----------------------------------------------------------------------------------

    def _through(self, choice: ModelChoice, door: _Door) -> Route:
        """``choice`` through the proxy or Pro, then one other model through the same door.

        Just one: engine and gateway have fallbacks of their own behind the door.
        """
        key = self._pro_key
        if choice.provider == AUTO and key is None:
            order = AUTO_ORDER
            targets = [msgspec.structs.replace(door(each), automatic=True) for each in order]
            targets = [self._as_selected(target, each) for target, each in zip(targets, order, strict=True)]
        else:
            other = AUTO_CHOICE if key is not None and choice.provider != AUTO else AUTO_ORDER[0]
            if other == ModelChoice(choice.provider, choice.name):
                other = AUTO_ORDER[1]
            targets = [door(choice), door(other)]
        if self._settings.auto_fallback and not any(map(takes_files, targets)):
            # Not after the engine: its prompt has no code base in it for anybody else to read.
            targets += self._keyed(AUTO_ORDER, spread=False)
        return Route(targets=tuple(targets), allow_fallback=True, warnings=tuple(self._warnings))

    def _proxy(self, choice: ModelChoice) -> Target:
        provider, model = self._provider(choice), self._model(choice)
        return proxy_target(
            choice,
            provider,
            model,
            settings=self._settings,
            environ=self._environ,
            pro_key=self._pro_key,
            files=self._files,
        )

    def _pro(self, choice: ModelChoice) -> Target:
        provider, model = self._provider(choice), self._model(choice)
        key = self._pro_key or SecretText("")
        return pro_target(
            choice, provider, model, settings=self._settings, environ=self._environ, key=key, files=self._files
        )

    def _pro_locked(self) -> bool:
        return self._settings.pro_enabled and self._pro_key is None and AUTO in self._settings.locked

    # --- the user's own keys -------------------------------------------------------------------------------------

    def _direct_route(self, choice: ModelChoice, provider: ProviderInfo) -> Route:
        if choice.provider == AUTO:
            return self._auto_route()
        targets = [direct_target(choice, provider, self._model(choice), self._settings, self._environ)]
        if self._settings.auto_fallback:
            chosen = (choice.provider, choice.name)
            targets += [each for each in self._keyed(AUTO_ORDER) if (each.provider, each.model) != chosen]
        return Route(
            targets=tuple(targets), allow_fallback=self._settings.auto_fallback, warnings=tuple(self._warnings)
        )

    def _auto_route(self) -> Route:
        problems: list[SidecarError] = []
        targets = self._keyed(AUTO_ORDER, problems=problems)
        if not targets:
            if problems:
                raise problems[0]
            raise MissingApiKey(
                "No API keys available for any model supported by the 'auto' provider.", provider=AUTO, model=AUTO
            )
        first = {(each.provider, each.name) for each in AUTO_ORDER}
        shaped = [
            self._as_selected(each, ModelChoice(each.provider, each.model))
            if (each.provider, each.model) in first
            else self._within_selected(each)
            for each in targets
        ]
        self._warnings += [problem.message for problem in problems]
        automatic = tuple(msgspec.structs.replace(each, automatic=True) for each in shaped)
        return Route(targets=automatic, allow_fallback=True, warnings=tuple(self._warnings))

    def _keyed(
        self,
        first: Sequence[ModelChoice],
        *,
        spread: bool = True,
        problems: list[SidecarError] | None = None,
    ) -> list[Target]:
        """Targets for ``first`` and, with ``spread``, for every other model of a provider that has a key.

        Keys and URLs that cannot be used go to ``problems``, one per provider.
        """
        found: list[Target] = []
        unusable: set[str] = set()
        for choice in [*first, *(self._others(first) if spread else ())]:
            if choice.provider in unusable:
                continue
            try:
                if (target := self._keyed_target(choice)) is not None:
                    found.append(target)
            except SidecarError as error:
                unusable.add(choice.provider)
                if problems is not None:
                    problems.append(error)
        return found

    def _keyed_target(self, choice: ModelChoice) -> Target | None:
        provider = self._catalog.provider(choice.provider)
        if provider is None or find_key(provider, self._settings, self._environ) is None:
            return None
        return direct_target(choice, provider, self._model(choice), self._settings, self._environ)

    def _others(self, first: Sequence[ModelChoice]) -> Iterator[ModelChoice]:
        """Every model of the cloud and custom providers but ``first``: each provider's first model, then each one's
        second ..., because the next model of a vendor that is down is rarely the one that answers."""
        providers = [self._catalog.provider(each) for each in self._catalog.provider_ids()]
        columns = [
            [ModelChoice(each.id, name) for name in self._catalog.model_names(each.id)]
            for each in providers
            if each is not None and each.type != "local" and each.id != AUTO
        ]
        for row in zip_longest(*columns):
            yield from (choice for choice in row if choice is not None and choice not in first)

    # --- facts ---------------------------------------------------------------------------------------------------

    def _provider(self, choice: ModelChoice) -> ProviderInfo:
        provider = self._catalog.provider(choice.provider)
        if provider is None:
            raise NotFound(f"Configuration not found for provider: {choice.provider}", provider=choice.provider)
        return provider

    def _model(self, choice: ModelChoice) -> ModelInfo:
        return self._catalog.model(choice.provider, choice.name, choice.custom_model_id) or ModelInfo()

    def _as_selected(self, target: Target, choice: ModelChoice) -> Target:
        """``target`` with the token limit and temperature of ``auto``, as the app sends (app contract 7.9)."""
        selected, own = self._model(AUTO_CHOICE), self._model(choice)
        temperature = sendable_temperature(selected) if own.accepts_temperature else None
        return msgspec.structs.replace(target, max_output_tokens=selected.max_output_tokens, temperature=temperature)

    def _within_selected(self, target: Target) -> Target:
        """``target`` with no more output than ``auto`` asks for; a model that takes no limit gets none."""
        limit, own = self._model(AUTO_CHOICE).max_output_tokens, target.max_output_tokens
        return msgspec.structs.replace(target, max_output_tokens=None if own is None else min(own, limit or own))
