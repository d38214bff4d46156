"""Providers, models and local discovery: params and results of the channels of app contract 1 to 5.

Results leave absent optionals out. Params here say what a *valid* call looks like; the app's own sentences for
invalid ones are given by the handlers.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

MAX_TOKEN_COUNT = 2**53 - 1
"""The largest integer JavaScript holds exactly; no token count comes near it."""

TokenCount = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKEN_COUNT)]
"""A number of tokens. 0 means "not known", as in the app's form."""


# --- results -----------------------------------------------------------------------------------------------------


class LanguageModelProvider(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One provider (app contract 1). Which fields are filled depends on ``type``."""

    id: str
    """For custom providers the stored id, with its ``custom::`` prefix."""
    name: str
    has_free_tier: bool | UnsetType = UNSET
    website_url: str | UnsetType = UNSET
    gateway_prefix: str | UnsetType = UNSET
    """What the Pro gateway wants before a model name; may be the empty string."""
    env_var_name: str | UnsetType = UNSET
    api_base_url: str | UnsetType = UNSET
    type: Literal["cloud", "local", "custom"]


class LanguageModel(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One model of a provider (app contract 2): built-in (``cloud``) or a row of the database (``custom``)."""

    id: int | UnsetType = UNSET
    """Row id; custom models only."""
    name: str | UnsetType = UNSET
    """Same as ``api_name``; built-in models only."""
    api_name: str
    display_name: str
    description: str
    max_output_tokens: int | UnsetType = UNSET
    """Tokens. Left out where the vendor refuses the field or the limit is not known."""
    context_window: int | UnsetType = UNSET
    """Tokens."""
    temperature: float | UnsetType = UNSET
    tag: str | UnsetType = UNSET
    """A word shown next to the name in the picker."""
    type: Literal["cloud", "custom"]


class SavedCustomProvider(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What creating or editing a custom provider answers."""

    id: str
    """The stored id, the one every other call takes (app contract 16, row 13)."""
    bare_id: str
    """The id without ``custom::``, as the app used to answer."""
    name: str
    api_base_url: str
    env_var_name: str | UnsetType = UNSET
    type: Literal["custom"] = "custom"


class LocalModel(msgspec.Struct, frozen=True, rename="camel"):
    """A model that a local server has."""

    provider: Literal["ollama", "lmstudio"]
    model_name: str
    display_name: str


class LocalModels(msgspec.Struct, frozen=True, rename="camel"):
    """Result of ``local-models:list-ollama`` and ``local-models:list-lmstudio``."""

    models: list[LocalModel]


# --- params ------------------------------------------------------------------------------------------------------


class GetLanguageModelsParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``get-language-models``."""

    provider_id: str


class SaveCustomProviderParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``create-`` and ``edit-custom-language-model-provider``.

    ``id`` is bare or already prefixed with ``custom::``; an empty ``env_var_name`` means none.
    """

    id: str
    name: str
    api_base_url: str
    env_var_name: str | None = None


class CreateCustomModelParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``create-custom-language-model``."""

    api_name: str
    display_name: str
    provider_id: str
    description: str | None = None
    max_output_tokens: TokenCount | None = None
    context_window: TokenCount | None = None


class EditCustomModelParams(CreateCustomModelParams, frozen=True, rename="camel", kw_only=True):
    """Params of ``edit-custom-language-model``: those of create, and the row it changes. The row keeps its id."""

    id: int


class DeleteCustomLanguageModelParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``delete-custom-language-model``: an API name as the app sends it, or a row id."""

    model_id: str | int


class DeleteCustomModelParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``delete-custom-model``."""

    provider_id: str
    model_api_name: str


class DeleteCustomProviderParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``delete-custom-language-model-provider``; the stored id."""

    provider_id: str
