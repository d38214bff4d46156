"""Changes to custom providers and models, each the work of one transaction (app contract 4).

Functions over a connection: ``store.database.Database.write`` commits what returns and rolls back what raises.
"""

from __future__ import annotations

import sqlite3

import msgspec

from protocol.language_models import CreateCustomModelParams, EditCustomModelParams, SaveCustomProviderParams
from sidecar.catalog.builtin import builtin_provider
from sidecar.catalog.custom import checked_base_url, stored_id
from sidecar.errors import Conflict, NotFound, SidecarError, ValidationFailed
from sidecar.store import language_models as store
from sidecar.store.language_models import CustomModel, CustomProvider, ModelFields


class Removed(msgspec.Struct, frozen=True):
    """What a deletion took away. ``api_name`` None stands for the provider itself, with all its models."""

    provider_id: str
    api_name: str | None
    rows: int


class Renamed(msgspec.Struct, frozen=True):
    """A model whose API name changed."""

    provider_id: str
    before: str
    after: str


def provider_row(params: SaveCustomProviderParams) -> CustomProvider:
    """The row to write. Raises ``ValidationFailed`` for an id or address that cannot work."""
    return CustomProvider(
        id=stored_id(params.id),
        name=params.name.strip(),
        api_base_url=checked_base_url(params.api_base_url),
        env_var_name=(params.env_var_name or "").strip() or None,
    )


def model_fields(params: CreateCustomModelParams) -> ModelFields:
    """The columns to write. Falsy optionals become NULL, so 0 tokens means "not known" (app contract 4.2)."""
    return ModelFields(
        api_name=params.api_name.strip(),
        display_name=params.display_name.strip(),
        description=params.description or None,
        max_output_tokens=params.max_output_tokens or None,
        context_window=params.context_window or None,
    )


def create_provider(connection: sqlite3.Connection, row: CustomProvider, given_id: str) -> None:
    """Add a provider. Raises ``Conflict`` when its *stored* id is taken (app contract 16, row 13)."""
    if store.find_provider(connection, row.id) is not None:
        raise Conflict(f'A provider with ID "{given_id}" already exists', path="id")
    store.insert_provider(connection, row)


def edit_provider(connection: sqlite3.Connection, row: CustomProvider, given_id: str) -> None:
    """Rewrite a provider; its models stay its own. Raises ``NotFound``."""
    if not store.update_provider(connection, row):
        raise NotFound(f'Provider with ID "{given_id}" not found', path="id")


def delete_provider(connection: sqlite3.Connection, provider_id: str) -> bool:
    """Delete a custom provider and its models; False when it is not there, which is fine (app contract 4.5)."""
    if store.find_provider(connection, provider_id) is None:
        return False
    store.delete_models(connection, provider_id)
    if not store.delete_provider(connection, provider_id):
        raise SidecarError(f'Failed to delete provider with ID "{provider_id}" which should have existed.')
    return True


def create_model(connection: sqlite3.Connection, params: CreateCustomModelParams) -> int:
    """Add a model to a cloud or custom provider; its row id.

    Raises ``NotFound`` and ``ValidationFailed`` for the provider, ``Conflict`` when this provider already has a custom
    model with this API name. A built-in model may be shadowed: that is how its limits are changed, and the app edits
    such a row by deleting and creating it, so refusing here would lose it.
    """
    require_provider(connection, params.provider_id, local="Models cannot be added to the local provider {name}")
    fields = model_fields(params)
    _refuse_duplicate(connection, params.provider_id, fields.api_name)
    return store.insert_model(connection, params.provider_id, fields)


def edit_model(connection: sqlite3.Connection, params: EditCustomModelParams) -> Renamed | None:
    """Rewrite a model in place, keeping its row id; what was renamed, if anything.

    Raises ``NotFound`` when this provider has no such row, ``Conflict`` when the new API name is taken.
    """
    row = store.find_model(connection, params.id)
    if row is None or row.provider_id != params.provider_id:
        raise NotFound(f'A model with ID {params.id} was not found for provider "{params.provider_id}"', path="id")
    fields = model_fields(params)
    if fields.api_name != row.api_name:
        _refuse_duplicate(connection, params.provider_id, fields.api_name)
    store.update_model(connection, row.id, fields)
    return None if fields.api_name == row.api_name else Renamed(params.provider_id, row.api_name, fields.api_name)


def delete_model(connection: sqlite3.Connection, provider_id: str, api_name: str) -> Removed:
    """Delete a provider's custom models with this API name (app contract 4.4). Raises ``NotFound``,
    ``ValidationFailed`` for the provider; no such model is no error."""
    require_provider(connection, provider_id, local="Local models cannot be deleted")
    return Removed(provider_id, api_name, store.delete_models(connection, provider_id, api_name))


def delete_model_anywhere(connection: sqlite3.Connection, model_id: str | int) -> Removed | None:
    """Delete a custom model by its API name alone, or by its row id (app contract 4.3; 16, row 14).

    Raises ``NotFound``, and ``Conflict`` when several providers have a model of that name. None when the rows belonged
    to no provider.
    """
    found = _models_meant(connection, model_id)
    if not found:
        raise NotFound(f'A model with API name (modelId) "{model_id}" was not found', path="modelId")
    owners = sorted({model.provider_id for model in found if model.provider_id})
    if len(owners) > 1:
        raise Conflict(
            f'More than one provider has a model with API name "{model_id}" ({", ".join(owners)}). '
            "Delete it with delete-custom-model, which takes the provider ID too.",
            path="modelId",
        )
    for model in found:
        store.delete_model(connection, model.id)
    return Removed(owners[0], found[0].api_name, len(found)) if owners else None


def require_provider(connection: sqlite3.Connection, provider_id: str, *, local: str) -> None:
    """Check that a cloud or custom provider has this id. ``local`` is the sentence for a local one (``{name}``)."""
    builtin = builtin_provider(provider_id)
    if builtin is not None and builtin.type == "local":
        raise ValidationFailed(local.format(name=builtin.name), path="providerId")
    if builtin is None and store.find_provider(connection, provider_id) is None:
        raise NotFound(f'Provider with ID "{provider_id}" not found', path="providerId")


def _models_meant(connection: sqlite3.Connection, model_id: str | int) -> list[CustomModel]:
    if isinstance(model_id, str):
        return store.models_named(connection, model_id)
    row = store.find_model(connection, model_id)
    return [] if row is None else [row]


def _refuse_duplicate(connection: sqlite3.Connection, provider_id: str, api_name: str) -> None:
    if any(model.provider_id == provider_id for model in store.models_named(connection, api_name)):
        raise Conflict(
            f'A model with API name "{api_name}" already exists for provider "{provider_id}"', path="apiName"
        )
