"""The ``*-language-model*`` channels and ``delete-custom-model``: checks params, asks the catalogue (app contract 1-4).

A missing or wrongly typed field and an empty one carry the same sentence, the app's own; the first is invalid params,
the second a validation error. Fields are checked in the app's order, so that the first complaint is the app's too.
"""

from __future__ import annotations

from typing import Any, Final

from protocol.language_models import (
    MAX_TOKEN_COUNT,
    CreateCustomModelParams,
    EditCustomModelParams,
    LanguageModel,
    LanguageModelProvider,
    SaveCustomProviderParams,
    SavedCustomProvider,
)
from sidecar.catalog.catalog import Catalog
from sidecar.errors import InvalidParams, ValidationFailed
from sidecar.rpc.router import Handler

Params = dict[str, Any]

SCALARS: Final = {
    "get-language-models": "providerId",
    "delete-custom-language-model": "modelId",
    "delete-custom-language-model-provider": "providerId",
}
"""What a bare argument stands for, per method."""

_ID_MISSING: Final = "Provider ID is required"
_LARGEST_ROW_ID: Final = 2**63 - 1


class LanguageModelHandlers:
    """The handlers over one catalogue."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def methods(self) -> dict[str, Handler]:
        """By method name."""
        return {
            "get-language-model-providers": self.get_providers,
            "get-language-models": self.get_models,
            "get-language-models-by-providers": self.get_models_by_providers,
            "create-custom-language-model-provider": self.create_provider,
            "edit-custom-language-model-provider": self.edit_provider,
            "delete-custom-language-model-provider": self.delete_provider,
            "create-custom-language-model": self.create_model,
            "edit-custom-language-model": self.edit_model,
            "delete-custom-language-model": self.delete_model_anywhere,
            "delete-custom-model": self.delete_model,
        }

    async def get_providers(self, _params: Params) -> list[LanguageModelProvider]:
        """App contract 1."""
        return await self._catalog.providers()

    async def get_models(self, params: Params) -> list[LanguageModel]:
        """App contract 2."""
        provider_id = params.get("providerId")
        if not isinstance(provider_id, str):
            raise InvalidParams("Invalid parameters: providerId (string) is required.", path="providerId")
        return await self._catalog.models(provider_id)

    async def get_models_by_providers(self, _params: Params) -> dict[str, list[LanguageModel]]:
        """App contract 3."""
        return await self._catalog.models_by_providers()

    async def create_provider(self, params: Params) -> SavedCustomProvider:
        """App contract 4.1."""
        return await self._catalog.create_provider(_provider_params(params))

    async def edit_provider(self, params: Params) -> SavedCustomProvider:
        """As create, for a provider that exists."""
        return await self._catalog.edit_provider(_provider_params(params))

    async def delete_provider(self, params: Params) -> None:
        """App contract 4.5."""
        await self._catalog.delete_provider(_required(params, "providerId", _ID_MISSING))

    async def create_model(self, params: Params) -> None:
        """App contract 4.2."""
        await self._catalog.create_model(CreateCustomModelParams(**_model_fields(params)))

    async def edit_model(self, params: Params) -> None:
        """As create, for the row ``id``."""
        row_id = _row_id(params, "id", "Model ID (id) is required")
        await self._catalog.edit_model(EditCustomModelParams(id=row_id, **_model_fields(params)))

    async def delete_model_anywhere(self, params: Params) -> None:
        """App contract 4.3: a string is an API name, a number a row id."""
        sentence = "Model API name (modelId) is required"
        by_row = _integer(params.get("modelId")) is not None
        read = _row_id if by_row else _required
        await self._catalog.delete_model_anywhere(read(params, "modelId", sentence))

    async def delete_model(self, params: Params) -> None:
        """App contract 4.4."""
        sentence = "Provider ID and Model API Name are required."
        provider_id = _required(params, "providerId", sentence)
        await self._catalog.delete_model(provider_id, _required(params, "modelApiName", sentence))


def _provider_params(params: Params) -> SaveCustomProviderParams:
    return SaveCustomProviderParams(
        id=_required(params, "id", _ID_MISSING),
        name=_required(params, "name", "Provider name is required"),
        api_base_url=_required(params, "apiBaseUrl", "API base URL is required"),
        env_var_name=_optional_text(params, "envVarName"),
    )


def _model_fields(params: Params) -> dict[str, Any]:
    return {
        "api_name": _required(params, "apiName", "Model API name is required"),
        "display_name": _required(params, "displayName", "Model display name is required"),
        "provider_id": _required(params, "providerId", _ID_MISSING),
        "description": _optional_text(params, "description"),
        "max_output_tokens": _token_count(params, "maxOutputTokens"),
        "context_window": _token_count(params, "contextWindow"),
    }


def _required(params: Params, name: str, sentence: str) -> str:
    """A string with something in it besides blanks, as given."""
    value = params.get(name)
    if not isinstance(value, str):
        raise InvalidParams(sentence, path=name)
    if not value.strip():
        raise ValidationFailed(sentence, path=name)
    return value


def _optional_text(params: Params, name: str) -> str | None:
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidParams(f"{name} must be a string, or left out.", path=name)
    return value


def _token_count(params: Params, name: str) -> int | None:
    value = params.get(name)
    if value is None:
        return None
    count = _integer(value)
    if count is None:
        raise InvalidParams(f"{name} must be a whole number of tokens, or left out.", path=name)
    if not 0 <= count <= MAX_TOKEN_COUNT:
        raise ValidationFailed(f"{name} must be a number of tokens, 0 or more.", path=name)
    return count


def _row_id(params: Params, name: str, sentence: str) -> int:
    row_id = _integer(params.get(name))
    if row_id is None:
        raise InvalidParams(sentence, path=name)
    if not 0 < row_id <= _LARGEST_ROW_ID:
        raise ValidationFailed(sentence, path=name)
    return row_id


def _integer(value: Any) -> int | None:
    """A JSON number without a fraction; JavaScript has one number type, so ``4096.0`` counts. None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None
