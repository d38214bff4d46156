"""The assistant rows are kept close behind their streams, also past a lock (protocol page 8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from sidecar.chat import autosave as module
from sidecar.chat.autosave import Autosave
from sidecar.errors import DatabaseBusy
from sidecar.store.database import Database
from tests.app_database import create_app_database, insert_app, insert_chat, insert_message, rows, write_lock

pytestmark = pytest.mark.anyio


class Watched(Database):
    """Tells when something is to be written, when a lock has kept it from that, and when it was."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, busy_timeout_ms=50)
        self.tried, self.refused, self.written = anyio.Event(), anyio.Event(), anyio.Event()
        self.asked = 0

    async def write(self, *arguments: Any, **options: Any) -> Any:
        self.asked += 1
        self.tried.set()
        try:
            done = await super().write(*arguments, **options)
        except DatabaseBusy:
            self.refused.set()
            raise
        self.written.set()
        return done


async def test_what_a_lock_kept_from_being_saved_is_saved_without_a_further_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.01)
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    message = insert_message(path, insert_chat(path, insert_app(path)), "assistant", "")
    database = Watched(path)
    autosave = Autosave(database)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(autosave.run)
            lock = write_lock(path)
            with autosave.keeping(message, lambda: "Once upon") as touch:
                touch()
                await database.refused.wait()
                lock.close()
                await database.written.wait()
                assert rows(path, "SELECT content FROM messages") == [{"content": "Once upon"}]
            tasks.cancel_scope.cancel()
    await database.aclose()


async def test_a_stream_that_is_over_is_not_saved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words are written by its end; an older text must not come after them."""
    monkeypatch.setattr(module, "INTERVAL_S", 0.01)
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    chat = insert_chat(path, insert_app(path))
    over, running = (insert_message(path, chat, "assistant", "") for _ in range(2))
    database = Watched(path)
    autosave = Autosave(database)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(autosave.run)
            with autosave.keeping(over, lambda: "too late") as touch:
                touch()
            with autosave.keeping(running, lambda: "Once upon") as touch:
                touch()
                await database.written.wait()
            tasks.cancel_scope.cancel()
    await database.aclose()
    assert [row["content"] for row in rows(path, "SELECT content FROM messages ORDER BY id")] == ["", "Once upon"]


async def test_a_stream_that_ends_while_a_lock_keeps_it_from_being_saved_leaves_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.01)
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    chat = insert_chat(path, insert_app(path))
    over, running = (insert_message(path, chat, "assistant", "") for _ in range(2))
    database = Watched(path)
    autosave = Autosave(database)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(autosave.run)
            lock = write_lock(path)
            with autosave.keeping(over, lambda: "too late") as touch:
                touch()
                await database.tried.wait()
            await database.refused.wait()
            lock.close()
            with autosave.keeping(running, lambda: "Once upon") as touch:
                touch()
                await database.written.wait()
            tasks.cancel_scope.cancel()
    await database.aclose()
    assert [row["content"] for row in rows(path, "SELECT content FROM messages ORDER BY id")] == ["", "Once upon"]


async def test_an_answer_that_is_over_before_it_is_due_takes_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0)
    database = Watched(tmp_path / "sqlite.db")
    autosave = Autosave(database)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(autosave.run)
        with autosave.keeping(1, lambda: "saved at its end") as touch:
            touch()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert database.asked == 0
