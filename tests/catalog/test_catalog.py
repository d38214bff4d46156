"""Listing models, and what happens when the app's database is missing, broken, old, new or locked."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from protocol.language_models import CreateCustomModelParams, SaveCustomProviderParams
from sidecar.catalog.catalog import Catalog
from sidecar.errors import DatabaseBusy, DatabaseTooNew, DatabaseUnreadable, NotFound, StoreError
from sidecar.store.database import Database
from tests import app_database

pytestmark = pytest.mark.anyio

NEW_PROVIDER = SaveCustomProviderParams(id="acme", name="Acme", api_base_url="https://acme.example/v1")
BUILT_IN_PROVIDERS = 13
BUILT_IN_MODELS = 45


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sqlite.db"


@pytest.fixture
async def catalog(path: Path) -> AsyncIterator[Catalog]:
    database = Database(path, busy_timeout_ms=50)
    yield Catalog(database, listing_wait_ms=50)
    await database.aclose()


async def lists_the_built_in_part_only(catalog: Catalog) -> None:
    assert len(await catalog.providers()) == BUILT_IN_PROVIDERS
    by_provider = await catalog.models_by_providers()
    assert sum(len(models) for models in by_provider.values()) == BUILT_IN_MODELS
    assert len(await catalog.models("anthropic")) == 4


def overwrite_all_but_the_first_page(path: Path) -> None:
    page = 4096
    content = bytearray(path.read_bytes())
    assert len(content) > page
    content[page:] = b"\xff" * (len(content) - page)
    path.write_bytes(content)


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[None]:
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        yield
    finally:
        path.parent.chmod(0o755)


# --- faults ------------------------------------------------------------------------------------------------------


async def test_without_a_database_the_built_in_part_is_listed_and_nothing_is_created(
    catalog: Catalog, path: Path
) -> None:
    await lists_the_built_in_part_only(catalog)
    with pytest.raises(NotFound):
        await catalog.models("custom::testing")
    with pytest.raises(DatabaseUnreadable):
        await catalog.create_provider(NEW_PROVIDER)
    assert not path.exists()


@pytest.mark.parametrize(
    "content", [b"", b"short", b"x" * 99, b"no database at all. " * 200, b"SQLite format 3\x00" + b"\xff" * 4096]
)
async def test_a_file_that_is_no_database_leaves_the_built_in_part(
    catalog: Catalog, path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    await lists_the_built_in_part_only(catalog)
    with pytest.raises(DatabaseUnreadable):
        await catalog.models("custom::testing")
    with pytest.raises(DatabaseUnreadable):
        await catalog.create_provider(NEW_PROVIDER)
    assert path.read_bytes() == content


async def test_a_damaged_page_leaves_the_built_in_part(catalog: Catalog, path: Path) -> None:
    app_database.create_app_database(path)
    for number in range(50):
        app_database.insert_provider(path, f"custom::{number}", name="n" * 200)
    overwrite_all_but_the_first_page(path)
    await lists_the_built_in_part_only(catalog)


async def test_a_database_the_app_has_not_migrated_that_far_leaves_the_built_in_part(
    catalog: Catalog, path: Path
) -> None:
    app_database.create_app_database(path, schema_version=1746556241557)
    await lists_the_built_in_part_only(catalog)
    with pytest.raises(DatabaseUnreadable, match="Start Scalix"):
        await catalog.create_provider(NEW_PROVIDER)


async def test_the_first_schema_with_custom_models_is_enough(catalog: Catalog, path: Path) -> None:
    app_database.create_app_database(path, schema_version=1747095436506)
    await catalog.create_provider(NEW_PROVIDER)
    assert (await catalog.providers())[-1].id == "custom::acme"


async def test_a_newer_app_s_database_is_read_but_not_written(catalog: Catalog, path: Path) -> None:
    app_database.create_app_database(path, schema_version=app_database.NEWEST_SCHEMA + 1, more_columns=True)
    app_database.insert_provider(path)
    assert (await catalog.providers())[-1].id == "custom::testing"
    with pytest.raises(DatabaseTooNew):
        await catalog.create_provider(NEW_PROVIDER)
    assert len(app_database.rows(path, "SELECT * FROM language_model_providers")) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are POSIX's")
async def test_a_file_that_may_not_be_written_is_still_listed(catalog: Catalog, path: Path) -> None:
    app_database.create_app_database(path)
    app_database.insert_provider(path)
    with read_only(path):
        assert (await catalog.providers())[-1].id == "custom::testing"
        if os.geteuid() != 0:  # root may write everywhere
            with pytest.raises(StoreError):
                await catalog.create_provider(NEW_PROVIDER)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program in the middle of a write, as far as keeping readers out."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def test_a_locked_database_leaves_the_built_in_part_until_it_is_free(catalog: Catalog, path: Path) -> None:
    app_database.create_app_database(path)
    app_database.insert_provider(path)
    with locked(path):
        await lists_the_built_in_part_only(catalog)
        with pytest.raises(DatabaseBusy):
            await catalog.models("custom::testing")
        with pytest.raises(DatabaseBusy):
            await catalog.create_provider(NEW_PROVIDER)
    assert (await catalog.providers())[-1].id == "custom::testing"
    assert await catalog.models("custom::testing") == []
    await catalog.create_provider(NEW_PROVIDER)


async def test_a_list_gives_up_on_a_lock_long_before_other_reads_do(path: Path) -> None:
    app_database.create_app_database(path)
    app_database.insert_provider(path)
    database = Database(path, busy_timeout_ms=60_000)
    catalog = Catalog(database, listing_wait_ms=20)
    try:
        # Opened before the lock, so that the reading connection itself is what gives up, not only the list.
        assert await catalog.models("custom::testing") == []
        with anyio.fail_after(10):
            with locked(path):
                assert len(await catalog.providers()) == BUILT_IN_PROVIDERS
                # Needs no lock: it only has to get past the list's own read.
                assert await database.read(lambda connection: connection.execute("SELECT 1").fetchone()[0]) == 1
        assert (await catalog.providers())[-1].id == "custom::testing"
    finally:
        await database.aclose()


async def test_a_database_that_appears_later_is_used(catalog: Catalog, path: Path) -> None:
    await lists_the_built_in_part_only(catalog)
    app_database.create_app_database(path)
    app_database.insert_provider(path)
    assert (await catalog.providers())[-1].id == "custom::testing"


async def test_a_name_with_a_broken_character_is_listed_as_the_app_shows_it(catalog: Catalog, path: Path) -> None:
    app_database.create_app_database(path)
    app_database.insert_provider(path)
    app_database.execute(path, "UPDATE language_model_providers SET name = CAST(x'61ff' AS TEXT)")
    assert (await catalog.providers())[-1].name == "a\ufffd"


# --- size --------------------------------------------------------------------------------------------------------


async def test_two_hundred_custom_models_are_listed_in_no_time(path: Path) -> None:
    app_database.create_app_database(path)
    app_database.insert_provider(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for number in range(200):
            app_database.insert_model(connection, api_name=f"model-{number}")
    database = Database(path)
    catalog = Catalog(database)
    try:
        await catalog.models_by_providers()
        spent: list[float] = []
        for _ in range(9):
            began = time.perf_counter()
            found = await catalog.models_by_providers()
            spent.append((time.perf_counter() - began) * 1000)
        assert len(found["custom::testing"]) == 200
        # The best of nine: what the code needs, whatever else the machine does.
        assert min(spent) < 10, spent
    finally:
        await database.aclose()


async def test_a_cancelled_creation_leaves_the_catalogue_usable(catalog: Catalog, path: Path) -> None:
    app_database.create_app_database(path)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await catalog.create_provider(NEW_PROVIDER)
    await catalog.create_model(CreateCustomModelParams(api_name="a", display_name="A", provider_id="openai"))
    assert (await catalog.models("openai"))[-1].api_name == "a"
