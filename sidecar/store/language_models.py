"""Rows of ``language_model_providers`` and ``language_models``: the custom ones (app contract 15.4).

Pure functions over a connection; transactions, threads and time-outs are ``store.database``'s. Columns are named in
every statement, so further columns of a newer app do no harm. Lists are in row order, which is the order they were
added in.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

CUSTOM_PREFIX: Final = "custom::"
"""Begins the stored id of every custom provider."""

_PROVIDER_COLUMNS: Final = "id, name, api_base_url, env_var_name"
_MODEL_COLUMNS: Final = ", ".join(
    (
        "id",
        "api_name",
        "display_name",
        "builtin_provider_id",
        "custom_provider_id",
        "description",
        "max_output_tokens",
        "context_window",
    )
)


class CustomProvider(msgspec.Struct, frozen=True):
    """A row of ``language_model_providers``; ``id`` as stored."""

    id: str
    name: str
    api_base_url: str
    env_var_name: str | None


class CustomModel(msgspec.Struct, frozen=True):
    """A row of ``language_models``. ``provider_id`` is None for the orphans older apps could write."""

    id: int
    provider_id: str | None
    api_name: str
    display_name: str
    description: str | None
    max_output_tokens: int | None
    context_window: int | None


class ModelFields(msgspec.Struct, frozen=True, kw_only=True):
    """What a model row says besides whose it is. Token counts: None when not known."""

    api_name: str
    display_name: str
    description: str | None = None
    max_output_tokens: int | None = None
    context_window: int | None = None


def provider_column(provider_id: str) -> str:
    """Which column of ``language_models`` names this provider: a custom or a built-in one (app contract 2)."""
    return "custom_provider_id" if provider_id.startswith(CUSTOM_PREFIX) else "builtin_provider_id"


def list_providers(connection: sqlite3.Connection) -> list[CustomProvider]:
    """All custom providers."""
    found = connection.execute(f"SELECT {_PROVIDER_COLUMNS} FROM language_model_providers ORDER BY rowid")  # noqa: S608
    return [_provider(row) for row in found]


def find_provider(connection: sqlite3.Connection, provider_id: str) -> CustomProvider | None:
    """The custom provider with this stored id."""
    row = connection.execute(
        f"SELECT {_PROVIDER_COLUMNS} FROM language_model_providers WHERE id = ?",  # noqa: S608
        (provider_id,),
    ).fetchone()
    return None if row is None else _provider(row)


def insert_provider(connection: sqlite3.Connection, provider: CustomProvider) -> None:
    """Add a provider; its id must be free."""
    connection.execute(
        f"INSERT INTO language_model_providers ({_PROVIDER_COLUMNS}) VALUES (?, ?, ?, ?)",  # noqa: S608
        (provider.id, provider.name, provider.api_base_url, provider.env_var_name),
    )


def update_provider(connection: sqlite3.Connection, provider: CustomProvider) -> bool:
    """Rewrite the provider with this id; False when there is none."""
    cursor = connection.execute(
        "UPDATE language_model_providers SET name = ?, api_base_url = ?, env_var_name = ?, updated_at = unixepoch()"
        " WHERE id = ?",
        (provider.name, provider.api_base_url, provider.env_var_name, provider.id),
    )
    return cursor.rowcount > 0


def delete_provider(connection: sqlite3.Connection, provider_id: str) -> bool:
    """Delete the provider row and nothing else; False when there is none."""
    return connection.execute("DELETE FROM language_model_providers WHERE id = ?", (provider_id,)).rowcount > 0


def list_models(connection: sqlite3.Connection, provider_id: str | None = None) -> list[CustomModel]:
    """Custom models of one provider, or of all of them."""
    statement = f"SELECT {_MODEL_COLUMNS} FROM language_models"  # noqa: S608
    if provider_id is None:
        found = connection.execute(f"{statement} ORDER BY rowid")
    else:
        found = connection.execute(
            f"{statement} WHERE {provider_column(provider_id)} = ? ORDER BY rowid", (provider_id,)
        )
    return [_model(row) for row in found]


def find_model(connection: sqlite3.Connection, row_id: int) -> CustomModel | None:
    """The custom model with this row id."""
    row = connection.execute(
        f"SELECT {_MODEL_COLUMNS} FROM language_models WHERE id = ?",  # noqa: S608
        (row_id,),
    ).fetchone()
    return None if row is None else _model(row)


def models_named(connection: sqlite3.Connection, api_name: str) -> list[CustomModel]:
    """Every custom model with this API name, of whatever provider."""
    found = connection.execute(
        f"SELECT {_MODEL_COLUMNS} FROM language_models WHERE api_name = ? ORDER BY rowid",  # noqa: S608
        (api_name,),
    )
    return [_model(row) for row in found]


def insert_model(connection: sqlite3.Connection, provider_id: str, fields: ModelFields) -> int:
    """Add a model to a built-in or custom provider; its row id."""
    column = provider_column(provider_id)
    cursor = connection.execute(
        f"INSERT INTO language_models ({column}, api_name, display_name, description, max_output_tokens,"  # noqa: S608
        " context_window) VALUES (?, ?, ?, ?, ?, ?)",
        (provider_id, *_values(fields)),
    )
    return int(cursor.lastrowid or 0)


def update_model(connection: sqlite3.Connection, row_id: int, fields: ModelFields) -> bool:
    """Rewrite the model with this row id; False when there is none."""
    cursor = connection.execute(
        "UPDATE language_models SET api_name = ?, display_name = ?, description = ?, max_output_tokens = ?,"
        " context_window = ?, updated_at = unixepoch() WHERE id = ?",
        (*_values(fields), row_id),
    )
    return cursor.rowcount > 0


def delete_model(connection: sqlite3.Connection, row_id: int) -> bool:
    """Delete one model; False when there is none."""
    return connection.execute("DELETE FROM language_models WHERE id = ?", (row_id,)).rowcount > 0


def delete_models(connection: sqlite3.Connection, provider_id: str, api_name: str | None = None) -> int:
    """Delete a provider's models, all or those with this API name; how many there were."""
    statement = f"DELETE FROM language_models WHERE {provider_column(provider_id)} = ?"  # noqa: S608
    if api_name is None:
        return connection.execute(statement, (provider_id,)).rowcount
    return connection.execute(f"{statement} AND api_name = ?", (provider_id, api_name)).rowcount


def _values(fields: ModelFields) -> tuple[str | int | None, ...]:
    return (
        fields.api_name,
        fields.display_name,
        fields.description,
        fields.max_output_tokens,
        fields.context_window,
    )


# Both take the columns in the order they are asked for: to look each up by its name is much of a long list's cost.


def _provider(row: sqlite3.Row) -> CustomProvider:
    identifier, name, api_base_url, env_var_name = row
    return CustomProvider(_text(identifier), _text(name), _text(api_base_url), _text(env_var_name) or None)


def _model(row: sqlite3.Row) -> CustomModel:
    identifier, api_name, display_name, builtin_provider, custom_provider, description, output, window = row
    provider_id = custom_provider or builtin_provider
    return CustomModel(
        id=identifier,
        provider_id=_text(provider_id) if provider_id else None,
        api_name=_text(api_name),
        display_name=_text(display_name),
        description=_text(description) or None,
        max_output_tokens=_count(output),
        context_window=_count(window),
    )


# SQLite checks no column types: a row another program wrote badly must not hide all the others.


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value > 0 else None
