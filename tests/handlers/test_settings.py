"""The settings channels: what goes in, what comes out, and what the host is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.errors import InvalidParams, ValidationFailed
from sidecar.handlers.settings import SettingsHandlers
from sidecar.settings.schema import defaults
from tests.settings.installation import Installation

pytestmark = pytest.mark.anyio


class Channels:
    """The handlers of one installation, and what was notified."""

    def __init__(self, handlers: SettingsHandlers, told: list[tuple[str, Any]]) -> None:
        self.handlers = handlers
        self.told = told

    async def call(self, method: str, **params: Any) -> Any:
        """A call as it travels: its result is what the wire carries."""
        return msgspec.json.decode(msgspec.json.encode(await self.handlers.methods()[method](params)))


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
async def channels(installation: Installation) -> AsyncIterator[Channels]:
    told: list[tuple[str, Any]] = []
    async with installation.store() as store:
        yield Channels(SettingsHandlers(store, lambda method, params: told.append((method, params))), told)


async def test_settings_are_read_and_set(channels: Channels) -> None:
    shown = await channels.call("get-user-settings")
    assert {key: value for key, value in shown.items() if key != "telemetryUserId"} == defaults()
    after = await channels.call("set-user-settings", selectedChatMode="ask", ofTomorrow={"n": 1})
    assert after == {**shown, "selectedChatMode": "ask", "ofTomorrow": {"n": 1}}


async def test_what_is_set_is_written_as_the_app_writes_it(channels: Channels, installation: Installation) -> None:
    installation.write_file({"telemetryUserId": "me"})
    await channels.call(
        "set-user-settings",
        releaseChannel="beta",
        supabase={"expiresIn": 5, "later": 1, "refreshToken": {"value": "r"}},
        selectedModel={"customModelId": 3, "provider": "openai", "name": "gpt-4.1"},
    )
    written = json.loads(installation.file.read_text())
    assert list(written) == ["selectedModel", "supabase", "telemetryUserId", "releaseChannel"]
    assert list(written["selectedModel"]) == ["name", "provider", "customModelId"]
    assert list(written["supabase"]) == ["refreshToken", "expiresIn", "later"]
    assert installation.file.read_text() == json.dumps(written, indent=2), "two spaces a level, no newline at the end"


async def test_a_wrong_value_is_a_validation_error_naming_the_field(channels: Channels) -> None:
    with pytest.raises(ValidationFailed) as caught:
        await channels.call("set-user-settings", selectedModel={"name": "x"})
    assert caught.value.path == "selectedModel"


async def test_a_number_beyond_64_bits_does_not_break_the_answer(
    channels: Channels, installation: Installation
) -> None:
    installation.write_file('{"n": 123456789012345678901234567890, "s": "\\ud800"}')
    assert (await channels.call("get-user-settings"))["n"] == pytest.approx(1.2345678901234568e29)


async def test_the_host_is_told_once_of_a_migration(channels: Channels, installation: Installation) -> None:
    installation.write_file({"thinkingBudget": "HIGH", "telemetryUserId": "me"})
    planned = await channels.call("settings:migrate", dryRun=True)
    assert channels.told == []
    done = await channels.call("settings:migrate")
    assert await channels.handlers.migrate_at_start() is not None
    assert (await channels.call("settings:migrate"))["status"] == "up-to-date"
    assert done == {**planned, "backup": str(installation.beside("before-sidecar")[0])}
    assert set(done) == {"status", "fromVersion", "toVersion", "changes", "improvements", "backup", "lockedSecrets"}
    ((method, params),) = channels.told
    assert method == "settings:migrated"
    assert msgspec.to_builtins(params) == {"improvements": done["improvements"]}


async def test_a_start_without_a_database_is_no_failure(channels: Channels, installation: Installation) -> None:
    installation.path.unlink()
    assert await channels.handlers.migrate_at_start() is None
    assert not installation.path.exists()


async def test_features_are_read_and_set(channels: Channels) -> None:
    before = await channels.call("features:get")
    assert before == {
        "liteLLM": True,
        "legacyAISDK": True,
        "enhancedAnalytics": True,
        "rateLimiting": True,
        "rolloutPercent": 100,
    }
    assert await channels.call("features:set", liteLLM=False, rolloutPercent=12.5) == {
        **before,
        "liteLLM": False,
        "rolloutPercent": 12.5,
    }
    with pytest.raises(InvalidParams):
        await channels.call("features:set", rateLimiting="yes")


@pytest.mark.parametrize("params", [{"dryRun": "yes"}, {"dryRun": 1}])
async def test_a_wrong_param_is_named(channels: Channels, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams) as caught:
        await channels.call("settings:migrate", **params)
    assert caught.value.path == "dryRun"
