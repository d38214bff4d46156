"""Our tables inside the app's database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.errors import DatabaseTooNew
from sidecar.store.database import Database
from sidecar.store.migrations import MIGRATIONS, applied_migrations, ensure_sidecar_tables, unknown_migrations
from tests.app_database import create_app_database, execute, rows

pytestmark = pytest.mark.anyio

APP_TABLES = "SELECT sql FROM sqlite_master WHERE tbl_name NOT LIKE 'sidecar%' ORDER BY name"


async def test_tables_are_made_once_recorded_and_the_apps_are_untouched(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    before = rows(path, APP_TABLES), rows(path, "SELECT * FROM __drizzle_migrations")
    database = Database(path)
    for _ in range(2):
        await database.write(ensure_sidecar_tables)
    await database.aclose()
    recorded = rows(path, "SELECT name, build FROM sidecar_migrations ORDER BY rowid")
    assert [row["name"] for row in recorded] == [migration.name for migration in MIGRATIONS]
    assert (rows(path, APP_TABLES), rows(path, "SELECT * FROM __drizzle_migrations")) == before
    assert rows(path, "PRAGMA journal_mode") == [{"journal_mode": "delete"}]


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE sidecar_settings_state (mine)")
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError):
            ensure_sidecar_tables(connection)
        connection.rollback()
        assert applied_migrations(connection) is None
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["sidecar_settings_state"]


async def test_a_newer_sidecars_database_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    database = Database(path)
    await database.write(ensure_sidecar_tables)
    execute(path, "INSERT INTO sidecar_migrations VALUES ('9999_tomorrow', 'now', '9')")
    with pytest.raises(DatabaseTooNew):
        await database.write(ensure_sidecar_tables)
    assert await database.read(unknown_migrations) == ("9999_tomorrow",)
    await database.aclose()
