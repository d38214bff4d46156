"""Rows of custom providers and models, in the app's real schema (app contract 15.4)."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.store import language_models as store
from sidecar.store.language_models import CustomProvider, ModelFields
from tests import app_database

ACME = CustomProvider("custom::acme", "Acme", "https://acme.example/v1", None)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    app_database.create_app_database(tmp_path / "sqlite.db")
    with opened(tmp_path / "sqlite.db") as opened_connection:
        yield opened_connection


def test_a_provider_comes_back_as_it_was_written(connection: sqlite3.Connection) -> None:
    store.insert_provider(connection, ACME)
    assert store.find_provider(connection, "custom::acme") == ACME
    assert store.find_provider(connection, "acme") is None


def test_providers_are_in_the_order_they_were_added(connection: sqlite3.Connection) -> None:
    for name in ("zeta", "alpha", "mid"):
        app_database.insert_provider(connection, f"custom::{name}")
    assert [row.id for row in store.list_providers(connection)] == ["custom::zeta", "custom::alpha", "custom::mid"]


def test_an_updated_provider_keeps_its_place_and_its_time_of_creation(connection: sqlite3.Connection) -> None:
    app_database.insert_provider(connection, "custom::acme", created_at=1000, updated_at=1000)
    app_database.insert_provider(connection, "custom::other")
    assert store.update_provider(connection, ACME)
    assert [row.name for row in store.list_providers(connection)] == ["Acme", "test-provider"]
    (row,) = app_database.rows(connection, "SELECT * FROM language_model_providers WHERE id = 'custom::acme'")
    assert row["created_at"] == 1000
    assert row["updated_at"] > 1000


def test_changing_what_is_not_there_says_so(connection: sqlite3.Connection) -> None:
    assert not store.update_provider(connection, ACME)
    assert not store.delete_provider(connection, "custom::acme")
    assert not store.update_model(connection, 1, ModelFields(api_name="a", display_name="A"))
    assert not store.delete_model(connection, 1)
    assert store.delete_models(connection, "custom::acme") == 0


def test_a_model_belongs_to_a_custom_or_a_built_in_provider(connection: sqlite3.Connection) -> None:
    store.insert_provider(connection, ACME)
    custom = store.insert_model(connection, "custom::acme", ModelFields(api_name="a", display_name="A"))
    builtin = store.insert_model(connection, "openai", ModelFields(api_name="b", display_name="B"))
    columns = app_database.rows(
        connection, "SELECT id, builtin_provider_id, custom_provider_id FROM language_models ORDER BY id"
    )
    assert columns == [
        {"id": custom, "builtin_provider_id": None, "custom_provider_id": "custom::acme"},
        {"id": builtin, "builtin_provider_id": "openai", "custom_provider_id": None},
    ]
    assert [row.api_name for row in store.list_models(connection, "openai")] == ["b"]
    assert [row.api_name for row in store.list_models(connection)] == ["a", "b"]


def test_a_model_of_a_provider_that_is_not_there_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        store.insert_model(connection, "custom::nobody", ModelFields(api_name="a", display_name="A"))


def test_deleting_by_name_leaves_the_same_name_of_others(connection: sqlite3.Connection) -> None:
    for provider in ("openai", "anthropic"):
        store.insert_model(connection, provider, ModelFields(api_name="same", display_name="S"))
    assert store.delete_models(connection, "openai", "same") == 1
    assert [row.provider_id for row in store.models_named(connection, "same")] == ["anthropic"]


def test_deleting_a_provider_takes_its_models_along(connection: sqlite3.Connection) -> None:
    store.insert_provider(connection, ACME)
    store.insert_model(connection, ACME.id, ModelFields(api_name="a", display_name="A"))
    store.delete_provider(connection, ACME.id)
    assert store.list_models(connection) == []


def test_columns_of_a_newer_app_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    app_database.create_app_database(path, more_columns=True)
    with opened(path) as connection:
        store.insert_provider(connection, ACME)
        row_id = store.insert_model(connection, ACME.id, ModelFields(api_name="a", display_name="A", context_window=9))
        row = store.find_model(connection, row_id)
        assert store.list_providers(connection) == [ACME]
    assert row is not None
    assert (row.api_name, row.context_window, row.max_output_tokens) == ("a", 9, None)


def test_columns_in_another_order_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    with opened(path) as connection:
        connection.execute(
            "CREATE TABLE language_model_providers"
            " (env_var_name text, api_base_url text, name text, id text PRIMARY KEY)"
        )
        connection.execute(
            "INSERT INTO language_model_providers VALUES (NULL, 'https://acme.example/v1', 'Acme', 'custom::acme')"
        )
        assert store.list_providers(connection) == [ACME]


def test_a_badly_written_row_does_not_hide_the_others(connection: sqlite3.Connection) -> None:
    app_database.insert_model(
        connection, "openai", "odd", display_name=b"caf\xe9", max_output_tokens="many", context_window=-5
    )
    app_database.insert_model(connection, "openai", "fine", context_window=10)
    odd, fine = store.list_models(connection, "openai")
    assert (odd.display_name, odd.max_output_tokens, odd.context_window) == ("caf\ufffd", None, None)
    assert fine.context_window == 10
