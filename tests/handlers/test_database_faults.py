"""What each call says when the app's database cannot be used, over the wire (protocol page 2 and 3)."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import pytest

from tests.app_database import (
    create_app_database,
    execute,
    insert_app,
    insert_chat,
    insert_model,
    insert_provider,
    rows,
)
from tests.host import Host, RpcError, memory_host

pytestmark = pytest.mark.anyio

UNREADABLE, TOO_NEW, BUSY = "DATABASE_UNREADABLE", "DATABASE_TOO_NEW", "DATABASE_BUSY"

SETTINGS: Final = {"telemetryUserId": "me", "thinkingBudget": "low", "ofTomorrow": [1]}

NEEDS_ROWS: Final[dict[str, Any]] = {"chat:count-tokens": {"chatId": 1, "input": "x"}}
NEEDS_TO_WRITE: Final[dict[str, Any]] = {
    "settings:migrate": {},
    "chat:stream": {"chatId": 1, "prompt": "x", "model": {"provider": "openai", "name": "m"}},
    "create-custom-language-model-provider": {"id": "b", "name": "b", "apiBaseUrl": "http://a.test/v1"},
    "edit-custom-language-model-provider": {"id": "a", "name": "b", "apiBaseUrl": "http://a.test/v1"},
    "delete-custom-language-model-provider": {"providerId": "custom::a"},
    "create-custom-language-model": {"apiName": "n", "displayName": "m", "providerId": "openai"},
    "delete-custom-language-model": {"modelId": "m"},
    "delete-custom-model": {"providerId": "openai", "modelApiName": "m"},
}
CHANGES: Final = frozenset(method for method in NEEDS_TO_WRITE if method.startswith(("create", "edit", "delete")))
"""Those of one transaction each."""
WORKS_WITHOUT: Final[dict[str, Any]] = {
    "get-language-model-providers": {},
    "get-language-models": {"providerId": "openai"},
    "get-language-models-by-providers": {},
    "features:get": {},
    "usage:get": {},
    "analytics:get": {},
    "providers:health": {},
    "chat:cancel": {"chatId": 1},
}


def make(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "sqlite.db"
    create_app_database(path)
    insert_chat(path, insert_app(path, name="app", path=str(folder)), None)
    insert_provider(path, "custom::a")
    insert_model(path, "openai", "m")
    (folder / "user-settings.json").write_text(json.dumps(SETTINGS))
    return path


@contextmanager
def read_only(*paths: Path) -> Iterator[None]:
    """Nobody may write there, root neither."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root and shutil.which("chattr") is None:
        pytest.skip("root writes everywhere, and there is no chattr to stop it")
    modes = [path.stat().st_mode for path in paths]
    for path, mode in zip(paths, modes, strict=True):
        path.chmod(mode & ~0o222)
    try:
        if root:
            made = subprocess.run(["chattr", "+i", *paths], check=False, capture_output=True)
            if made.returncode != 0:
                pytest.skip("this file system has no read-only files for root")
        yield
    finally:
        if root:
            subprocess.run(["chattr", "-i", *paths], check=False, capture_output=True)
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


def read_only_file(path: Path) -> AbstractContextManager[None]:
    return read_only(path)


def read_only_folder(path: Path) -> AbstractContextManager[None]:
    return read_only(path.parent)


def read_only_wal(path: Path) -> AbstractContextManager[None]:
    execute(path, "PRAGMA journal_mode = wal")
    return read_only(path.parent)


def missing(path: Path) -> AbstractContextManager[None]:
    path.unlink()
    return nullcontext()


def empty(path: Path) -> AbstractContextManager[None]:
    path.write_bytes(b"")
    return nullcontext()


def short(path: Path) -> AbstractContextManager[None]:
    path.write_bytes(b"SQLite format 3\0" + b"x" * 50)
    return nullcontext()


def no_database(path: Path) -> AbstractContextManager[None]:
    path.write_bytes(b"This is a text file. " * 300)
    return nullcontext()


def truncated(path: Path) -> AbstractContextManager[None]:
    path.write_bytes(path.read_bytes()[:5000])
    return nullcontext()


def from_the_future(path: Path) -> AbstractContextManager[None]:
    execute(path, "INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('x', 1900000000000)")
    return nullcontext()


KNOWN, FUTURE = 1_755_545_060_076, 1_900_000_000_000


class Fault(NamedTuple):
    """How the database is broken, and what is said: by ``initialize``, by calls that read rows, by those that write.

    ``settings``: whether they can still be changed, in their file.
    """

    make: Callable[[Path], AbstractContextManager[None]]
    schema: int | None
    reading: str | None
    writing: str
    settings: bool = True


FAULTS: Final = [
    Fault(missing, None, UNREADABLE, UNREADABLE),
    Fault(empty, None, UNREADABLE, UNREADABLE),
    Fault(short, None, UNREADABLE, UNREADABLE),
    Fault(no_database, None, UNREADABLE, UNREADABLE),
    Fault(truncated, None, UNREADABLE, UNREADABLE),
    Fault(from_the_future, FUTURE, None, TOO_NEW),
    Fault(read_only_file, KNOWN, None, UNREADABLE),
    Fault(read_only_folder, KNOWN, None, UNREADABLE, settings=False),
    Fault(read_only_wal, None, UNREADABLE, UNREADABLE, settings=False),
]


async def code_of(host: Host, method: str, params: Any) -> str | None:
    """The error's code; None when there was none."""
    try:
        await host.request(method, params)
    except RpcError as error:
        code: str = error.data["code"]
        return code
    return None


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.make.__name__ for fault in FAULTS])
async def test_what_does_not_need_it_works_and_the_rest_says_why(tmp_path: Path, fault: Fault) -> None:
    path = make(tmp_path / "user data")
    with fault.make(path):
        before = path.read_bytes() if path.exists() else None
        async with memory_host(path.parent, {"SCALIX_NO_MIGRATION": "1"}) as host:
            told = (await host.initialize())["database"]
            assert (told["path"], told["exists"]) == (str(path), before is not None)
            assert (told["schemaVersion"], told["writable"]) == (fault.schema, False)
            for method, params in WORKS_WITHOUT.items():
                assert (method, await code_of(host, method, params)) == (method, None)
            for method, params in NEEDS_ROWS.items():
                assert (method, await code_of(host, method, params)) == (method, fault.reading)
            for method, params in NEEDS_TO_WRITE.items():
                if fault.make is read_only_folder and method == "settings:migrate":
                    continue  # the backup is what cannot be made first
                assert (method, await code_of(host, method, params)) == (method, fault.writing)
            assert (await host.request("get-user-settings"))["thinkingBudget"] == "low"
            change = await code_of(host, "set-user-settings", {"hasRunBefore": True})
            assert (change is None) is fault.settings
        assert (path.read_bytes() if path.exists() else None) == before
    after = json.loads((path.parent / "user-settings.json").read_text())
    assert after == ({**SETTINGS, "hasRunBefore": True} if fault.settings else SETTINGS)


async def test_a_folder_where_nothing_may_be_written_is_named_in_the_answer(tmp_path: Path) -> None:
    path = make(tmp_path / "user data")
    with read_only_folder(path):
        async with memory_host(path.parent, {"SCALIX_NO_MIGRATION": "1"}) as host:
            await host.initialize()
            with pytest.raises(RpcError, match=r"^-32000 Failed to write settings: ") as caught:
                await host.request("set-user-settings", {"hasRunBefore": True})
            assert os.strerror(errno.EPERM) in caught.value.message or os.strerror(errno.EACCES) in caught.value.message
            with pytest.raises(RpcError, match="cannot be written"):
                await host.request("chat:stream", NEEDS_TO_WRITE["chat:stream"])


@pytest.mark.parametrize("journal", ["delete", "wal"])
async def test_locked_for_longer_than_anybody_waits(tmp_path: Path, journal: str) -> None:
    """The app's own patience is ten seconds; whoever is still locked out then is told so, and no change is lost."""
    path = make(tmp_path)
    execute(path, f"PRAGMA journal_mode = {journal}")
    codes: dict[str, str | None] = {}
    refused = anyio.Event()
    async with memory_host(tmp_path) as host:
        await host.initialize()
        assert await code_of(host, "settings:migrate", {}) is None

        async def ask(method: str, params: Any) -> None:
            codes[method] = await code_of(host, method, params)
            if codes[method] == BUSY and {done for done, code in codes.items() if code == BUSY} >= CHANGES:
                refused.set()

        with closing(sqlite3.connect(path, isolation_level=None)) as app:
            app.execute("BEGIN EXCLUSIVE")
            async with anyio.create_task_group() as tasks:
                for method, params in {**NEEDS_ROWS, **NEEDS_TO_WRITE, **WORKS_WITHOUT}.items():
                    tasks.start_soon(ask, method, params)
                tasks.start_soon(ask, "set-user-settings", {"thinkingBudget": "high"})
                with anyio.fail_after(14):
                    await refused.wait()
                app.execute("ROLLBACK")
        for method in (*WORKS_WITHOUT, "set-user-settings"):
            assert (method, codes[method]) == (method, None)
        assert (await host.request("set-user-settings", {"hasRunBefore": True}))["thinkingBudget"] == "high"
    kept = {row["key"]: json.loads(row["value"]) for row in rows(path, "SELECT key, value FROM sidecar_settings")}
    assert kept == json.loads((tmp_path / "user-settings.json").read_text())
    assert kept == {**SETTINGS, "thinkingBudget": "high", "hasRunBefore": True}
