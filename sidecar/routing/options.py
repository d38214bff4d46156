"""The models this user could ask now: whatever resolves to an endpoint, with its facts and prices.

A model is usable exactly when ``find_route`` finds it an endpoint, so keys, Pro, a proxy and custom servers need no
rules of their own here. Local models are those their servers list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import zip_longest
from typing import Final

import msgspec

from protocol.language_models import LocalModel
from sidecar.catalog.builtin import builtin_model
from sidecar.catalog.facts import UNKNOWN, ModelFacts, infer_facts
from sidecar.catalog.prices import ModelData, PriceList
from sidecar.engines.base import DEFAULT_CONTEXT_WINDOW, Target
from sidecar.errors import SidecarError
from sidecar.routing.inputs import AUTO, CatalogView, Environment, ModelChoice, ModelInfo, RoutingSettings
from sidecar.routing.recommend import ModelOption
from sidecar.routing.resolve import find_route

_MILLION: Final = 1_000_000

Circuits = Collection[tuple[str, str]]
"""(provider, name) of the models whose circuit is open."""


def usable_options(
    settings: RoutingSettings,
    catalog: CatalogView,
    environ: Environment,
    *,
    prices: PriceList,
    local: Iterable[LocalModel] = (),
    down: Circuits = (),
) -> list[ModelOption]:
    """Every usable model, in the app's order: each provider's first model, then each one's second ..."""
    alone = msgspec.structs.replace(settings, auto_fallback=False)
    columns = [
        [
            _option(provider, name, catalog.model(provider, name, None) or ModelInfo(), prices, down, local=on_this)
            for name in catalog.model_names(provider)
        ]
        for provider in catalog.provider_ids()
        if provider != AUTO and (on_this := _runs_here(provider, alone, catalog, environ)) is not None
    ]
    options = [option for row in zip_longest(*columns) for option in row if option is not None]
    return options + [_local(model, down) for model in local]


def option_of(target: Target, prices: PriceList, down: Circuits = ()) -> ModelOption:
    """A resolved target as something to rank."""
    info = ModelInfo(
        max_output_tokens=target.max_output_tokens, context_window=target.context_window, reasoning=target.reasoning
    )
    return _option(target.provider, target.model, info, prices, down, local=target.route == "local")


def _runs_here(provider: str, settings: RoutingSettings, catalog: CatalogView, environ: Environment) -> bool | None:
    """Whether a provider's models run on this machine; None when it has none or they cannot be asked.

    What keeps a model from being asked (no key, no address) is the same for all models of its provider.
    """
    name = next(iter(catalog.model_names(provider)), None)
    if name is None:
        return None
    try:
        return find_route(ModelChoice(provider, name), settings, catalog, environ).targets[0].route == "local"
    except SidecarError:
        return None


def _option(
    provider: str, name: str, info: ModelInfo, prices: PriceList, down: Circuits, *, local: bool
) -> ModelOption:
    data = prices.model(provider, name)
    builtin = builtin_model(provider, name)
    facts = builtin.facts if builtin is not None else infer_facts(name)
    return ModelOption(
        provider=provider,
        name=name,
        display_name=None if builtin is None else builtin.display_name,
        context_window=info.context_window or DEFAULT_CONTEXT_WINDOW,
        max_output_tokens=info.max_output_tokens,
        reads_images=_reads_images(facts, data),
        reasons=info.reasoning != "none" or bool(data and data.supports_reasoning),
        local=local,
        usd_per_million=_usd_per_million(data),
        open_circuit=(provider, name) in down,
    )


def _local(model: LocalModel, down: Circuits) -> ModelOption:
    return ModelOption(
        provider=model.provider,
        name=model.model_name,
        display_name=model.display_name,
        reads_images=infer_facts(model.model_name).image_input,
        local=True,
        open_circuit=(model.provider, model.model_name) in down,
    )


def _reads_images(facts: ModelFacts, data: ModelData | None) -> bool | None:
    if facts is UNKNOWN or facts.image_input is None:
        return None if data is None else data.supports_vision
    return facts.image_input


def _usd_per_million(data: ModelData | None) -> tuple[float, float] | None:
    if data is None:
        return None
    prompt, answer = data.rates.get("input_cost_per_token"), data.rates.get("output_cost_per_token")
    return None if prompt is None or answer is None else (prompt * _MILLION, answer * _MILLION)
