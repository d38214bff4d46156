"""The models this user could ask now: whatever resolves to an endpoint, with its facts and prices.

A model is usable exactly when ``find_route`` finds it an endpoint, so keys, Pro, a proxy and custom servers need no
rules of their own here. Local models are those their servers list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Final

import msgspec

from protocol.language_models import LocalModel
from sidecar.catalog.builtin import builtin_model
from sidecar.catalog.facts import UNKNOWN, ModelFacts, infer_facts
from sidecar.catalog.prices import ModelData, PriceList
from sidecar.engines.base import Target
from sidecar.errors import SidecarError
from sidecar.routing.inputs import AUTO, CatalogView, Environment, ModelChoice, RoutingSettings
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
    options = []
    for choice in _choices(catalog):
        try:
            target = find_route(choice, alone, catalog, environ).targets[0]
        except SidecarError:
            continue
        options.append(option_of(target, prices, down, named=choice))
    return options + [_local(model, down) for model in local]


def option_of(target: Target, prices: PriceList, down: Circuits = (), named: ModelChoice | None = None) -> ModelOption:
    """A resolved target as something to rank."""
    provider, name = (target.provider, target.model) if named is None else (named.provider, named.name)
    data = prices.model(provider, name)
    builtin = builtin_model(provider, name)
    facts = builtin.facts if builtin is not None else infer_facts(name)
    return ModelOption(
        provider=provider,
        name=name,
        display_name=None if builtin is None else builtin.display_name,
        context_window=target.context_window,
        max_output_tokens=target.max_output_tokens,
        reads_images=_reads_images(facts, data),
        reasons=target.reasoning != "none" or bool(data and data.supports_reasoning),
        local=target.route == "local",
        usd_per_million=_usd_per_million(data),
        open_circuit=(provider, name) in down,
    )


def _choices(catalog: CatalogView) -> Iterator[ModelChoice]:
    columns: Sequence[Sequence[ModelChoice]] = [
        [ModelChoice(provider, name) for name in catalog.model_names(provider)]
        for provider in catalog.provider_ids()
        if provider != AUTO
    ]
    for row in zip_longest(*columns):
        yield from (choice for choice in row if choice is not None)


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
