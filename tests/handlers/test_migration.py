"""The migration as the host sees it: by itself, once, and never in anybody's way."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.app_database import rows
from tests.host import Host, RpcError, memory_host
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer
from tests.providers.streams import openai_chat_stream

pytestmark = pytest.mark.anyio

SETTINGS: dict[str, Any] = {
    "selectedModel": {"name": "test-model", "provider": "custom::testing"},
    "telemetryUserId": "me",
    "thinkingBudget": 9000,
    "ofTomorrow": {"n": 1.0},
}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        made.answers("Hello")
        (tmp_path / "user-settings.json").write_text(json.dumps(SETTINGS))
        yield made


def in_table(place: Installation) -> dict[str, Any]:
    found = rows(place.database, "SELECT name FROM sqlite_master WHERE name = 'sidecar_settings'")
    return (
        {row["key"]: json.loads(row["value"]) for row in rows(place.database, "SELECT * FROM sidecar_settings")}
        if found
        else {}
    )


async def settled(host: Host) -> dict[str, Any]:
    """The migration of the start is done: whoever asks for one waits behind it."""
    result: dict[str, Any] = await host.request("settings:migrate", {"dryRun": True})
    return result


async def test_it_runs_by_itself_at_the_first_start_and_is_told_once(place: Installation) -> None:
    async with memory_host(place.folder) as host:
        await host.initialize()
        told = await host.notification("settings:migrated")
        assert [item["id"] for item in told["improvements"]] == ["settings-safe", "thinking-budget"]
        assert (await host.request("settings:migrate"))["status"] == "up-to-date"
        assert len(host.notifications("settings:migrated")) == 1
    assert in_table(place) == {**SETTINGS, "thinkingBudget": "high"}
    async with memory_host(place.folder) as host:
        await host.initialize()
        assert (await settled(host))["status"] == "up-to-date"
        assert (await host.request("settings:migrate"))["status"] == "up-to-date"
        assert host.notifications("settings:migrated") == []


async def test_told_not_to_it_waits_to_be_asked(place: Installation) -> None:
    async with memory_host(place.folder, {"SCALIX_NO_MIGRATION": "1"}) as host:
        await host.initialize()
        await host.request("get-user-settings")
        planned = await settled(host)
        assert (planned["status"], planned["backup"], in_table(place)) == ("migrated", None, {})
        assert host.notifications("settings:migrated") == []
        assert json.loads((place.folder / "user-settings.json").read_text()) == SETTINGS
        done = await host.request("settings:migrate")
        assert {**done, "backup": None} == planned
        assert json.loads(Path(done["backup"]).read_text()) == SETTINGS
        assert len(host.notifications("settings:migrated")) == 1
    assert in_table(place) == {**SETTINGS, "thinkingBudget": "high"}


async def test_of_two_sidecars_that_start_together_one_migrates(place: Installation) -> None:
    async with memory_host(place.folder) as one, memory_host(place.folder) as other:
        done = []

        async def start(host: Host) -> None:
            await host.initialize()
            done.append((await host.request("settings:migrate"))["status"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start, one)
            tasks.start_soon(start, other)
        assert sorted(done) in (["migrated", "up-to-date"], ["up-to-date", "up-to-date"])
        for host in (one, other):
            assert (await host.request("settings:migrate"))["status"] == "up-to-date"
        assert len(one.notifications("settings:migrated") + other.notifications("settings:migrated")) == 1
    assert in_table(place) == {**SETTINGS, "thinkingBudget": "high"}


async def test_a_new_installation_has_nothing_to_tell(place: Installation) -> None:
    (place.folder / "user-settings.json").unlink()
    async with memory_host(place.folder) as host:
        await host.initialize()
        assert (await host.request("settings:migrate"))["status"] in {"nothing-to-migrate", "up-to-date"}
        await host.request("set-user-settings", {"hasRunBefore": True})
        assert host.notifications("settings:migrated") == []
    assert in_table(place)["hasRunBefore"] is True


# --- secrets and damaged files -------------------------------------------------------------------------------------


def sealed(text: str) -> dict[str, str]:
    return {"value": base64.b64encode(text[::-1].encode()).decode(), "encryptionType": "electron-safe-storage"}


async def test_one_locked_secret_is_reported_and_takes_nothing_else_with_it(place: Installation) -> None:
    good, lost, at_home = planted("good-{}-1"), planted("lost-{}-1"), planted("home-{}-1")
    providers = {
        "openrouter": {"apiKey": sealed(good)},
        "mistral": {"apiKey": sealed(lost)},
        "grok": {"apiKey": sealed(planted("grok-{}-1"))},
    }
    file = place.folder / "user-settings.json"
    file.write_text(json.dumps({**SETTINGS, "providerSettings": providers}))
    environ = {"GROK_API_KEY": at_home}
    for name in ("openrouter", "mistral", "grok"):
        environ[f"SCALIX_{name.upper()}_BASE_URL"] = f"{place.provider.base_url}/{name}"
        place.provider.answer(f"/{name}/chat/completions", Answer.stream(openai_chat_stream(["Hello"])))

    def decrypt(params: Any) -> Any:
        """The keychain has forgotten all but one."""
        return {
            "secrets": [
                {"id": each["id"], "plaintext": good}
                if each["value"] == sealed(good)["value"]
                else {"id": each["id"], "error": "Error while decrypting the ciphertext"}
                for each in params["secrets"]
            ]
        }

    async with memory_host(place.folder, environ) as host:
        host.answer_host["host:decrypt-secrets"] = decrypt
        await host.initialize(capabilities={"secrets": True, "chunks": "patch"})
        result = await host.request("settings:migrate")
        assert result["lockedSecrets"] == ["providerSettings.mistral.apiKey", "providerSettings.grok.apiKey"]
        shown = (await host.request("get-user-settings"))["providerSettings"]
        assert shown == {"openrouter": {"apiKey": {**sealed(good), "value": good}}, "mistral": {}, "grok": {}}
        codes = {}
        for name in ("openrouter", "mistral", "grok"):
            chat = place.chat()
            await host.request("chat:stream", place.stream_params(chat, model={"provider": name, "name": "m"}))
            codes[name] = host.terminals(chat)[0].get("code")
        assert codes == {"openrouter": None, "mistral": "SECRET_LOCKED", "grok": None}
        used = {request.path: request.headers["authorization"] for request in place.provider.requests}
        assert used == {
            "/openrouter/chat/completions": f"Bearer {good}",
            "/grok/chat/completions": f"Bearer {at_home}",
        }
        # The renderer sends the whole container back without the keys it was not shown, then clears one on purpose.
        await host.request("set-user-settings", {"providerSettings": shown, "hasRunBefore": True})
        assert json.loads(file.read_text())["providerSettings"] == providers
        await host.request("set-user-settings", {"providerSettings": {**shown, "mistral": {"apiKey": None}}})
    kept = {**providers, "mistral": {}}
    assert json.loads(file.read_text())["providerSettings"] == in_table(place)["providerSettings"] == kept


async def test_a_damaged_file_is_kept_and_told_and_keys_of_the_environment_still_work(place: Installation) -> None:
    file = place.folder / "user-settings.json"
    damaged = json.dumps({**SETTINGS, "providerSettings": {"openai": {"apiKey": sealed(planted())}}})[:-20]
    file.write_text(damaged)
    environ = {"OPENROUTER_API_KEY": planted(), "SCALIX_OPENROUTER_BASE_URL": f"{place.provider.base_url}/openrouter"}
    place.provider.answer("/openrouter/chat/completions", Answer.stream(openai_chat_stream(["Hello"])))
    async with memory_host(place.folder, environ) as host:
        await host.initialize()
        for method, params in (
            ("get-user-settings", None),
            ("set-user-settings", {"hasRunBefore": True}),
            ("settings:migrate", None),
        ):
            with pytest.raises(RpcError) as caught:
                await host.request(method, params)
            assert caught.value.data["code"] == "SETTINGS_UNREADABLE"
        chat = place.chat()
        model = {"provider": "openrouter", "name": "m"}
        assert await host.request("chat:stream", place.stream_params(chat, model=model)) == chat
    assert file.read_text() == damaged
    (copy,) = place.folder.glob("user-settings.json.recovery-*")
    assert copy.read_text() == damaged
    assert in_table(place) == {}
