"""``initialize``: what it is given, and what it says about it (protocol page 2)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.app_database import create_app_database
from tests.host import RpcError, memory_host

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"paths": {"userData": "/tmp/\0x"}}, "paths.userData"),
        ({"paths": {"database": "\0"}}, "paths.database"),
        ({"paths": {"settingsFile": "~nobody-of-this-name/x"}}, "paths.settingsFile"),
        ({"paths": {"appsRoot": 5}}, "paths.appsRoot"),
        ({"processId": "5"}, "processId"),
        ({"protocolVersion": 2}, "protocolVersion"),
        ({"capabilities": {"chunks": "some"}}, "capabilities.chunks"),
    ],
)
async def test_what_cannot_be_is_named_and_the_next_attempt_works(
    tmp_path: Path, params: dict[str, Any], path: str
) -> None:
    async with memory_host(tmp_path) as host:
        with pytest.raises(RpcError) as caught:
            await host.request("initialize", params)
        assert (caught.value.code, caught.value.data["path"]) == (-32602, path)
        assert (await host.initialize())["protocolVersion"] == 1


async def test_it_is_told_once_when_all_that_a_first_chat_needs_is_loaded(tmp_path: Path) -> None:
    told: list[bool] = []
    async with memory_host(tmp_path, on_loaded=lambda: told.append("aiohttp" in sys.modules)) as host:
        assert await host.request("ping") == {}
        assert not told
        await host.initialize()
        with anyio.fail_after(10):
            while not told:
                await anyio.lowlevel.checkpoint()
        await host.request("get-language-model-providers")
    assert told == [True]


async def test_paths_may_be_given_each(tmp_path: Path) -> None:
    database, settings = tmp_path / "a" / "b.db", tmp_path / "c" / "d.json"
    for file in (database, settings):
        file.parent.mkdir()
    create_app_database(database)
    settings.write_text('{"thinkingBudget": "low", "telemetryUserId": "me"}')
    async with memory_host(tmp_path / "elsewhere") as host:
        paths = {"database": str(database), "settingsFile": str(settings)}
        told = (await host.initialize(paths=paths, unknown=1))["database"]
        assert (told["path"], told["exists"], told["writable"]) == (str(database), True, True)
        assert (await host.request("get-user-settings"))["thinkingBudget"] == "low"
