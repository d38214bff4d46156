"""The catalogue as routing sees it: which entry a choice means (app contract 6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.catalog.catalog import Catalog
from sidecar.routing.catalog_view import CatalogSnapshot, catalog_snapshot
from sidecar.routing.inputs import ModelInfo
from sidecar.store.database import Database
from tests import app_database

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    app_database.create_app_database(tmp_path / "sqlite.db")
    return tmp_path / "sqlite.db"


@pytest.fixture
async def catalog(path: Path) -> AsyncIterator[Catalog]:
    database = Database(path)
    yield Catalog(database)
    await database.aclose()


async def test_a_built_in_model_is_known_without_a_database(tmp_path: Path) -> None:
    database = Database(tmp_path / "missing.db")
    seen = await catalog_snapshot(Catalog(database))
    await database.aclose()
    found = seen.model("openai", "o3-mini", None)
    assert (found.max_output_tokens, found.context_window, found.accepts_temperature) == (32000, 200000, False)
    assert seen.provider("openai") is not None
    assert seen.provider("custom::testing") is None


async def test_a_custom_model_has_no_temperature_of_its_own(catalog: Catalog, path: Path) -> None:
    app_database.insert_provider(path)
    app_database.insert_model(path, max_output_tokens=100)
    seen = await catalog_snapshot(catalog)
    assert seen.model("custom::testing", "test-model", None) == ModelInfo(max_output_tokens=100)


async def test_the_row_id_wins_over_the_name_and_the_name_over_a_dangling_id(catalog: Catalog, path: Path) -> None:
    shadow = app_database.insert_model(path, "openai", "gpt-4.1", max_output_tokens=7)
    foreign = app_database.insert_model(path, "google", "gpt-4.1", max_output_tokens=8)
    seen = await catalog_snapshot(catalog)

    def limit(custom_model_id: int | None) -> int | None:
        return seen.model("openai", "gpt-4.1", custom_model_id).max_output_tokens

    assert [limit(None), limit(shadow), limit(foreign), limit(999)] == [32768, 7, 32768, 32768]


async def test_of_two_custom_models_of_one_name_the_first_is_meant(catalog: Catalog, path: Path) -> None:
    app_database.insert_provider(path)
    for tokens in (1, 2):
        app_database.insert_model(path, max_output_tokens=tokens)
    assert (await catalog_snapshot(catalog)).model("custom::testing", "test-model", None).max_output_tokens == 1


async def test_of_a_model_nobody_listed_its_name_tells_what_it_takes(catalog: Catalog) -> None:
    seen: CatalogSnapshot = await catalog_snapshot(catalog)
    assert seen.model("openai", "o9-mini", None) == ModelInfo(reasoning="effort", accepts_temperature=False)
    assert seen.model("ollama", "llama3", 1) == ModelInfo()


async def test_a_custom_provider_is_known_by_its_stored_id(catalog: Catalog, path: Path) -> None:
    app_database.insert_provider(path)
    app_database.insert_model(path)
    seen = await catalog_snapshot(catalog)
    found = seen.provider("custom::testing")
    assert found is not None
    assert (found.type, found.api_base_url) == ("custom", "http://localhost:3500/v1")
    assert seen.provider("testing") is None
    assert seen.provider_ids()[-1] == "custom::testing"
    assert seen.model_names("custom::testing") == ["test-model"]
