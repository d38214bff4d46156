"""A database that cannot be used: the file alone serves, nothing is lost, and the table catches up."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from sidecar.errors import DatabaseBusy, DatabaseTooNew, DatabaseUnreadable, StoreError
from sidecar.settings.not_written import SettingsNotWritten
from sidecar.settings.store import RETRY_AFTER_S
from tests.app_database import create_app_database, execute
from tests.settings.desktop_app import DesktopApp
from tests.settings.installation import Installation

pytestmark = pytest.mark.anyio

SETTINGS = {"telemetryUserId": "me", "thinkingBudget": "low", "tomorrow": [1]}


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def short(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"x" * 50)


def no_database(path: Path) -> None:
    path.write_bytes(b"This is a text file. " * 300)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def from_the_future(path: Path) -> None:
    path.unlink()
    create_app_database(path, schema_version=1_900_000_000_000, more_columns=True)


FAULTS = [
    (missing, DatabaseUnreadable),
    (empty, DatabaseUnreadable),
    (short, DatabaseUnreadable),
    (no_database, DatabaseUnreadable),
    (truncated, DatabaseUnreadable),
    (from_the_future, DatabaseTooNew),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.parametrize("migrated", [True, False])
async def test_the_file_alone_serves_and_takes_changes(
    installation: Installation, fault: Callable[[Path], None], error: type[StoreError], migrated: bool
) -> None:
    installation.write_file(SETTINGS)
    if migrated:
        async with installation.store() as store:
            await store.migrate()
    fault(installation.path)
    damaged = installation.path.read_bytes() if installation.path.exists() else None
    async with installation.store() as store:
        assert (await store.load()).thinking_budget == "low"
        assert (await store.set({"thinkingBudget": "high"}))["thinkingBudget"] == "high"
        assert (await store.rollout())[1] is None
        with pytest.raises(error):
            await store.migrate()
    assert installation.in_file() == {**SETTINGS, "thinkingBudget": "high"}
    assert (installation.path.read_bytes() if installation.path.exists() else None) == damaged


async def test_a_table_of_a_newer_sidecar_is_read_by_name_and_not_written(installation: Installation) -> None:
    installation.write_file(SETTINGS)
    async with installation.store() as store:
        await store.migrate()
    execute(installation.path, "ALTER TABLE sidecar_settings ADD COLUMN note TEXT")
    execute(
        installation.path, "INSERT INTO sidecar_settings (key, value, updated_at) VALUES ('autoFallback', 'true', 1)"
    )
    execute(installation.path, "INSERT INTO sidecar_migrations VALUES ('9999_tomorrow', 'now', '9')")
    before = installation.in_table()
    async with installation.store() as store:
        assert (await store.load()).auto_fallback is True
        await store.set({"thinkingBudget": "high"})
        assert (await store.load()).thinking_budget == "high"
        with pytest.raises(DatabaseTooNew):
            await store.migrate()
    assert installation.in_table() == before
    assert installation.in_file() == {**SETTINGS, "thinkingBudget": "high", "autoFallback": True}


@pytest.mark.parametrize("journal", ["delete", "wal"])
async def test_a_locked_database_costs_no_change(installation: Installation, journal: str) -> None:
    installation.write_file(SETTINGS)
    execute(installation.path, f"PRAGMA journal_mode = {journal}")
    now = [0.0]
    async with installation.store(busy_timeout_ms=20, clock=lambda: now[0]) as store:
        await store.migrate()
        with closing(sqlite3.connect(installation.path, isolation_level=None)) as app:
            assert app.execute("PRAGMA journal_mode").fetchone()[0] == journal
            app.execute("BEGIN EXCLUSIVE")
            assert (await store.load()).thinking_budget == "low"
            await store.set({"thinkingBudget": "high"})
            assert (await store.load()).thinking_budget == "high"
            with pytest.raises(DatabaseBusy):
                await store.migrate()
            app.execute("ROLLBACK")
        assert installation.in_table()["thinkingBudget"] == "low"
        now[0] += RETRY_AFTER_S
        assert (await store.load()).thinking_budget == "high"
    assert installation.in_table() == {**SETTINGS, "thinkingBudget": "high"}


async def test_what_the_app_drops_while_the_database_is_locked_is_not_lost(installation: Installation) -> None:
    """Keys and members the app does not know: changed in the file alone, and gone from it before the lock is."""
    entry = {"apiKey": installation.host.seal("key"), "resourceName": "old"}
    installation.write_file({**SETTINGS, "autoFallback": False, "providerSettings": {"azure": entry}})
    now = [0.0]
    async with installation.store(busy_timeout_ms=20, clock=lambda: now[0]) as store:
        await store.migrate()
        with closing(sqlite3.connect(installation.path, isolation_level=None)) as app:
            app.execute("BEGIN EXCLUSIVE")
            plain = (await store.get_for_host())["providerSettings"]["azure"]
            changed = {**plain, "resourceName": "new"}
            await store.set({"autoFallback": True, "providerSettings": {"azure": changed}, "sidecarRolloutPercent": 50})
            DesktopApp(installation.file, installation.host).write({"thinkingBudget": "high"})
            assert "autoFallback" not in installation.in_file()
            shown = await store.get_for_host()
            assert (shown["autoFallback"], shown["thinkingBudget"]) == (True, "high"), "at once"
            await store.set({"hasRunBefore": True})
            DesktopApp(installation.file, installation.host).write({"hasRunBefore": False})
            app.execute("ROLLBACK")
        now[0] += RETRY_AFTER_S
        await store.load()
    found = installation.in_table()
    assert (found["autoFallback"], found["sidecarRolloutPercent"]) == (True, 50)
    assert (found["thinkingBudget"], found["hasRunBefore"]) == ("high", False), "what the app changed stays"
    assert found["providerSettings"]["azure"]["resourceName"] == "new"
    assert found["tomorrow"] == [1]
    assert installation.in_file() == found


async def test_a_file_that_is_again_as_both_sides_agreed_does_not_hide_what_was_changed(
    installation: Installation,
) -> None:
    app = DesktopApp(installation.file, installation.host)
    app.write({"thinkingBudget": "low"})
    now = [0.0]
    async with installation.store(busy_timeout_ms=20, clock=lambda: now[0]) as store:
        await store.migrate()
        await store.load()
        agreed = installation.file.read_bytes()
        with closing(sqlite3.connect(installation.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await store.set({"autoFallback": True})
            app.write({})
            assert installation.file.read_bytes() == agreed
            other.execute("ROLLBACK")
        now[0] += RETRY_AFTER_S
        assert (await store.load()).auto_fallback is True
    assert installation.in_table()["autoFallback"] is True
    assert installation.in_file()["autoFallback"] is True


async def test_a_key_taken_out_while_the_database_is_locked_stays_out(installation: Installation) -> None:
    installation.write_file({**SETTINGS, "autoFallback": True})
    now = [0.0]
    async with installation.store(busy_timeout_ms=20, clock=lambda: now[0]) as store:
        await store.migrate()
        with closing(sqlite3.connect(installation.path, isolation_level=None)) as app:
            app.execute("BEGIN EXCLUSIVE")
            await store.load()
            assert "autoFallback" not in await store.set({"autoFallback": None})
            app.execute("ROLLBACK")
        now[0] += RETRY_AFTER_S
        assert "autoFallback" not in await store.get_for_host()
        assert "autoFallback" not in installation.in_table()
        assert (await store.set({"autoFallback": False}))["autoFallback"] is False
    async with installation.store() as store:
        assert (await store.get_for_host())["autoFallback"] is False


@pytest.mark.parametrize("app_was_first", [False, True])
async def test_a_reset_by_the_app_takes_the_keys_with_it(installation: Installation, app_was_first: bool) -> None:
    """``reset-all`` deletes the database and the file, while the sidecar runs (app contract 13.6)."""
    installation.write_file({**SETTINGS, "providerSettings": {"openai": {"apiKey": {"value": "sk-old"}}}})
    async with installation.store() as store:
        await store.migrate()
        assert (await store.load()).thinking_budget == "low"
        installation.path.unlink()
        installation.file.unlink()
        if app_was_first:
            DesktopApp(installation.file, installation.host).write({})
        shown = await store.get_for_host()
        assert (shown["providerSettings"], shown.get("thinkingBudget")) == ({}, None)
        assert shown["telemetryUserId"] != "me"
        await store.set({"hasRunBefore": True})
        create_app_database(installation.path)
        assert (await store.migrate()).status == "migrated"
        assert (await store.get_for_host())["providerSettings"] == {}
    assert installation.in_table() == installation.in_file()
    assert installation.in_file()["providerSettings"] == {}
    assert "tomorrow" not in installation.in_file()


async def test_a_database_that_was_away_learns_what_it_missed(installation: Installation) -> None:
    installation.write_file(SETTINGS)
    async with installation.store() as store:
        await store.migrate()
    installation.path.rename(installation.folder / "aside")
    async with installation.store() as store:
        await store.set({"thinkingBudget": "high"})
    (installation.folder / "aside").rename(installation.path)
    async with installation.store() as store:
        assert (await store.load()).thinking_budget == "high"
    assert installation.in_table()["thinkingBudget"] == "high"


async def test_when_neither_takes_the_change_it_is_an_error(installation: Installation) -> None:
    installation.write_file(SETTINGS)
    installation.file.chmod(0o444)
    installation.path.unlink()
    async with installation.store() as store:
        with pytest.raises(SettingsNotWritten, match=r"^Failed to write settings: "):
            await store.set({"thinkingBudget": "high"})
    assert installation.in_file() == SETTINGS


async def test_a_damaged_row_counts_as_missing_and_the_file_still_has_it(installation: Installation) -> None:
    installation.write_file(SETTINGS)
    async with installation.store() as store:
        await store.migrate()
        execute(installation.path, "UPDATE sidecar_settings SET value = '{' WHERE key = 'thinkingBudget'")
        execute(installation.path, "UPDATE sidecar_settings_state SET revision = revision + 1")
        assert (await store.load()).thinking_budget == "low"
        await store.set({"hasRunBefore": True})
    assert installation.in_table() == installation.in_file()


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
async def test_a_sidecar_that_cannot_have_the_table_waits_for_the_one_that_writes_the_file(
    installation: Installation,
) -> None:
    """The one inside its transaction has looked at the file for the last time; the other has only the file."""
    installation.write_file(SETTINGS)
    done = threading.Event()

    def other_sidecar() -> None:
        async def change() -> None:
            async with installation.store(busy_timeout_ms=20) as store:
                await store.set({"thinkingBudget": "high"})

        anyio.run(change)
        done.set()

    other = threading.Thread(target=other_sidecar)

    def step(name: str) -> None:
        if name == "file: checked":
            other.start()
            done.wait(0.5)

    async with installation.store() as store:
        await store.migrate()
    async with installation.store(step=step) as store:
        await store.set({"hasRunBefore": True})
    await anyio.to_thread.run_sync(other.join)
    async with installation.store() as store:
        await store.load()
    expected = {**SETTINGS, "thinkingBudget": "high", "hasRunBefore": True}
    assert installation.in_table() == installation.in_file() == expected
