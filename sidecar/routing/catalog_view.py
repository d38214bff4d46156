"""The catalogue as of one moment, so that resolving a model is a pure function (``routing.inputs.CatalogView``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from protocol.language_models import LanguageModelProvider
from sidecar.catalog.builtin import PROVIDERS, builtin_model, builtin_models, builtin_provider
from sidecar.catalog.catalog import Catalog, CustomRows
from sidecar.catalog.custom import provider_result
from sidecar.catalog.facts import ModelFacts, infer_facts
from sidecar.routing.inputs import ModelInfo, ProviderInfo
from sidecar.settings.values import AppSettings
from sidecar.store.language_models import CustomModel

T = TypeVar("T")


class CatalogSnapshot:
    """Built-in entries plus the custom rows read once."""

    def __init__(self, custom: CustomRows) -> None:
        self._custom = custom
        self._rows: dict[str | None, list[CustomModel]] = {}
        self._first: dict[tuple[str | None, str], CustomModel] = {}
        """By provider and api name, the first row of that name."""
        for row in custom.models:
            self._rows.setdefault(row.provider_id, []).append(row)
            self._first.setdefault((row.provider_id, row.api_name), row)

    def provider(self, provider_id: str) -> ProviderInfo | None:
        """The provider, or None when no such id is listed."""
        builtin = builtin_provider(provider_id)
        if builtin is not None:
            return _provider_info(builtin)
        row = next((row for row in self._custom.providers if row.id == provider_id), None)
        return None if row is None else _provider_info(provider_result(row))

    def model(self, provider_id: str, name: str, custom_model_id: int | None) -> ModelInfo:
        """The custom row with that id first, else the first of that name, built-in ones first (app contract 6).

        Of a model that is not listed (local ones never are) its name tells what it takes.
        """
        chosen: CustomModel | None = None
        if custom_model_id is not None:
            rows = self._rows.get(provider_id, ())
            chosen = next((row for row in rows if row.id == custom_model_id), None)
        if chosen is None:
            builtin = builtin_model(provider_id, name)
            if builtin is not None:
                limits = (builtin.max_output_tokens, builtin.context_window)
                return _model_info(limits, builtin.temperature, builtin.facts)
            chosen = self._first.get((provider_id, name))
        if chosen is None:
            return _model_info((None, None), None, infer_facts(name))
        return _model_info((chosen.max_output_tokens, chosen.context_window), None, infer_facts(chosen.api_name))

    def provider_ids(self) -> Sequence[str]:
        """Every provider id, in catalogue order."""
        return [*(provider.id for provider in PROVIDERS), *(row.id for row in self._custom.providers)]

    def model_names(self, provider_id: str) -> Sequence[str]:
        """The api names of a provider's models, in catalogue order."""
        custom = [row.api_name for row in self._rows.get(provider_id, ())]
        return [*(model.api_name for model in builtin_models(provider_id)), *custom]


class CallStart(msgspec.Struct, frozen=True):
    """What a model call starts from, read once: everything later in it sees the same settings and models."""

    settings: AppSettings
    catalog: CatalogSnapshot


async def catalog_snapshot(catalog: Catalog) -> CatalogSnapshot:
    """The catalogue as it is now; without custom rows when the database cannot be read."""
    return CatalogSnapshot(await catalog.custom_rows())


def _provider_info(provider: LanguageModelProvider) -> ProviderInfo:
    return ProviderInfo(
        id=provider.id,
        name=provider.name,
        type=provider.type,
        env_var=_set(provider.env_var_name),
        gateway_prefix=_set(provider.gateway_prefix),
        api_base_url=_set(provider.api_base_url),
    )


def _model_info(limits: tuple[int | None, int | None], temperature: float | None, facts: ModelFacts) -> ModelInfo:
    return ModelInfo(
        max_output_tokens=limits[0],
        context_window=limits[1],
        temperature=temperature,
        reasoning=facts.reasoning,
        accepts_temperature=facts.accepts_temperature,
    )


def _set(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value
