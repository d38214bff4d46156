"""The settings store on one installation: reading, setting, migrating, and living beside the app."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import time
from typing import Any

import anyio
import pytest

from sidecar.errors import FeatureDisabled, SecretLocked, SettingsUnreadable, ValidationFailed
from sidecar.secret import SecretText
from sidecar.settings.file import ChangedMeanwhile, SettingsFile
from sidecar.settings.not_written import SettingsNotWritten
from sidecar.settings.schema import defaults
from tests.app_database import execute, insert_provider, rows
from tests.settings.installation import Installation

pytestmark = pytest.mark.anyio

FULL = {
    "selectedModel": {"name": "gpt-5", "provider": "openai"},
    "providerSettings": {"openai": {"apiKey": {"value": "sk-1", "encryptionType": "plaintext"}}},
    "telemetryUserId": "me",
    "thinkingBudget": "high",
    "ofANewerBuild": {"n": 1},
}


def no_room(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_without_a_file_the_defaults_of_the_app_are_shown_and_written(installation: Installation) -> None:
    async with installation.store() as store:
        shown = await store.get_for_host()
        user = shown.pop("telemetryUserId")
        assert shown == defaults()
        assert installation.in_file() == {**defaults(), "telemetryUserId": user}
    async with installation.store() as store:
        assert (await store.load()).telemetry_user_id == user


async def test_reading_a_file_that_is_there_changes_nothing(installation: Installation) -> None:
    installation.write_file('{"providerSettings":{},"n":1.0}')
    async with installation.store() as store:
        await store.get_for_host()
        await store.load()
        await store.features()
        await store.migrate(dry_run=True)
    assert installation.file.read_text() == '{"providerSettings":{},"n":1.0}'
    assert [path.name for path in installation.beside("user-settings")] == ["user-settings.json"]
    assert not rows(installation.path, "SELECT 1 FROM sqlite_master WHERE name LIKE 'sidecar%'")


async def test_the_typed_settings(installation: Installation) -> None:
    installation.write_file(
        {
            **FULL,
            "enableScalixPro": True,
            "providerSettings": {
                "auto": {"apiKey": {"value": " pro \n"}},
                "azure": {"resourceName": "r ", "baseUrl": ""},
            },
            "maxChatTurnsInContext": 5,
            "supabase": {"accessToken": {"value": "t0k3n"}},
            "autoFallback": True,
        }
    )
    async with installation.store() as store:
        settings = await store.load()
        assert await store.load() is settings
    assert settings.pro_enabled and settings.pro_api_key == SecretText("pro")
    assert settings.provider_settings["azure"].resource_name == "r"
    assert settings.provider_settings["azure"].base_url is None
    assert (settings.max_chat_turns_in_context, settings.auto_fallback, settings.thinking_budget) == (5, True, "high")
    assert settings.supabase_access_token == SecretText("t0k3n")
    assert "t0k3n" not in repr(settings)


async def test_the_pro_key_of_the_environment_counts_when_the_settings_have_none(installation: Installation) -> None:
    installation.write_file({"enableScalixPro": True})
    async with installation.store(environ={"SCALIX_PRO_API_KEY": "scalix_x"}) as store:
        assert (await store.load()).pro_enabled


async def test_migrating_takes_the_file_over_backs_it_up_and_is_done_once(installation: Installation) -> None:
    installation.write_file({**FULL, "selectedModel": {"name": "grok-1", "provider": "grok"}})
    before = installation.file.read_bytes()
    async with installation.store() as store:
        planned = await store.migrate(dry_run=True)
        assert installation.file.read_bytes() == before
        report = await store.migrate()
        assert (report.status, report.from_version, report.to_version) == ("migrated", 0, 1)
        assert planned.changes == report.changes and planned.improvements == report.improvements
        assert {item.id for item in report.improvements} == {"settings-safe", "model-replaced"}
        (backup,) = installation.beside("before-sidecar")
        assert report.backup == str(backup) and backup.read_bytes() == before
        assert installation.in_table() == installation.in_file()
        assert installation.in_file()["selectedModel"]["name"] == "grok-2-1212"
        assert (await store.migrate()).status == "up-to-date"
        assert (await store.migrate(dry_run=True)).status == "up-to-date"
    assert installation.beside("before-sidecar") == [backup]


async def test_without_room_for_a_backup_nothing_is_migrated(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.write_file({**FULL, "selectedModel": {"name": "grok-1", "provider": "grok"}})
    before = installation.file.read_bytes()
    monkeypatch.setattr(SettingsFile, "keep_before_migration", no_room)
    async with installation.store() as store:
        with pytest.raises(SettingsNotWritten, match=r"no room for .*; no backup .*, so nothing was migrated"):
            await store.migrate()
    assert installation.file.read_bytes() == before
    assert not rows(installation.path, "SELECT 1 FROM sqlite_master WHERE name = 'sidecar_settings'")


async def test_a_file_that_needs_no_translation_is_not_rewritten_by_the_migration(installation: Installation) -> None:
    installation.write_file(json.dumps(FULL, indent=7))
    before = installation.file.read_bytes()
    async with installation.store() as store:
        await store.migrate()
    assert installation.file.read_bytes() == before


async def test_a_new_installation_has_nothing_to_migrate_and_is_told_nothing(installation: Installation) -> None:
    async with installation.store() as store:
        assert (await store.migrate()).status == "nothing-to-migrate"
        await store.load()
        assert (await store.migrate()).status == "up-to-date"
    other = Installation(installation.folder / "other")
    async with other.store() as store:
        await store.load()
        report = await store.migrate()
        assert (report.status, report.changes, report.improvements) == ("nothing-to-migrate", (), ())
        await store.set({"hasRunBefore": True})
    assert other.in_table() == other.in_file()


async def test_two_processes_migrating_at_once_migrate_once(installation: Installation) -> None:
    installation.write_file(FULL)
    reports: list[str] = []
    async with installation.store() as one, installation.store() as other, anyio.create_task_group() as tasks:
        for store in (one, other):

            async def migrate(store: Any = store) -> None:
                reports.append((await store.migrate()).status)

            tasks.start_soon(migrate)
    assert sorted(reports) == ["migrated", "up-to-date"]
    assert installation.in_table() == FULL


async def test_a_selected_model_of_a_deleted_provider_is_reset_by_the_migration(installation: Installation) -> None:
    insert_provider(installation.path, "custom::here")
    for provider, expected in (("custom::here", "custom::here"), ("custom::gone", "auto")):
        installation.write_file({"selectedModel": {"name": "m", "provider": provider}})
        async with installation.store() as store:
            await store.migrate()
            assert (await store.load()).selected_model.provider == expected
        execute(installation.path, "DELETE FROM sidecar_settings")
        execute(installation.path, "DELETE FROM sidecar_settings_state")


@pytest.mark.parametrize("migrated", [True, False])
async def test_setting_merges_at_the_top_and_keeps_every_other_byte(installation: Installation, migrated: bool) -> None:
    installation.write_file(
        '{"n": 1.0, "big": 123456789012345678901234567890, "telemetryUserId": "me",'
        ' "providerSettings": {"a": {"x": 2e0}}, "hasRunBefore": false}'
    )
    async with installation.store() as store:
        if migrated:
            await store.migrate()
        shown = await store.set({"hasRunBefore": True, "providerSettings": {"a": {"x": 2}, "b": {}}})
    assert shown["hasRunBefore"] is True and shown["n"] == 1.0
    assert installation.file.read_text() == (
        '{\n  "providerSettings": {\n    "a": {"x": 2e0},\n    "b": {}\n  },\n  "telemetryUserId": "me",\n'
        '  "hasRunBefore": true,\n  "n": 1.0,\n  "big": 123456789012345678901234567890\n}'
    )
    if migrated:
        assert installation.in_table() == installation.in_file()
    assert json.loads(installation.beside(".bak")[-1].read_text())["hasRunBefore"] is False


async def test_null_removes_and_a_wrong_value_changes_nothing(installation: Installation) -> None:
    installation.write_file(FULL)
    async with installation.store() as store:
        await store.migrate()
        assert "thinkingBudget" not in await store.set({"thinkingBudget": None})
        before = installation.file.read_bytes()
        for partial, path in (
            ({"hasRunBefore": True, "releaseChannel": "hourly"}, "releaseChannel"),
            ({"providerSettings": {"a": {"apiKey": "sk-bare-text"}}}, "providerSettings.a.apiKey"),
            ({"x": float("nan")}, "'x'"),
        ):
            with pytest.raises(ValidationFailed, match=r"^Failed to write settings: ") as caught:
                await store.set(partial)
            assert caught.value.path == path
            assert "bare" not in str(caught.value)
        assert installation.file.read_bytes() == before
    assert "thinkingBudget" not in {**installation.in_table(), **installation.in_file()}


async def test_a_bad_value_is_named_kept_and_not_overwritten(installation: Installation) -> None:
    installation.write_file({**FULL, "selectedChatMode": "plan", "maxChatTurnsInContext": "many"})
    async with installation.store() as store:
        await store.migrate()
        settings = await store.load()
        assert (settings.selected_chat_mode, settings.max_chat_turns_in_context) == ("build", None)
        assert settings.selected_model.name == "gpt-5"
        assert ["maxChatTurnsInContext" in settings.warnings[0], "selectedChatMode" in settings.warnings[1]] == [
            True
        ] * 2
        await store.set({"hasRunBefore": True})
    assert installation.in_file()["selectedChatMode"] == "plan"
    assert installation.in_table()["maxChatTurnsInContext"] == "many"


async def test_what_the_app_writes_later_is_merged_and_what_it_drops_is_restored(installation: Installation) -> None:
    installation.write_file(FULL)
    async with installation.store() as store:
        await store.migrate()
        await store.set({"autoFallback": True})
        installation.write_file(
            {
                "telemetryUserId": "me",
                "selectedModel": FULL["selectedModel"],
                "releaseChannel": "beta",
                "providerSettings": {**FULL["providerSettings"], "google": {"apiKey": {"value": "g"}}},
            }
        )
        settings = await store.load()
        assert settings.auto_fallback is True
        assert settings.provider_settings["google"].api_key == SecretText("g")
        assert settings.thinking_budget is None
    assert installation.in_file() == installation.in_table()
    assert installation.in_file()["ofANewerBuild"] == {"n": 1}


async def test_a_file_reset_by_the_app_and_a_deleted_file_come_back(installation: Installation) -> None:
    installation.write_file(FULL)
    async with installation.store() as store:
        await store.migrate()
        installation.write_file({**defaults(), "telemetryUserId": "new", "hasRunBefore": True})
        await store.load()
        assert installation.in_file() == {**defaults(), **FULL, "hasRunBefore": True}
        known = installation.in_file()
        installation.file.unlink()
        await store.load()
        assert installation.in_file() == known


async def test_a_change_by_another_process_is_seen_at_once(installation: Installation) -> None:
    installation.write_file(FULL)
    async with installation.store() as one, installation.store() as other:
        await one.migrate()
        await other.load()
        await one.set({"thinkingBudget": "low"})
        assert (await other.load()).thinking_budget == "low"
        await other.set({"releaseChannel": "beta"})
        assert (await one.get_for_host())["releaseChannel"] == "beta"


async def test_secrets_are_shown_open_stored_sealed_and_asked_for_once(installation: Installation) -> None:
    sealed = {name: installation.host.seal(name) for name in ("a", "b", "t")}
    installation.write_file(
        {
            "providerSettings": {"a": {"apiKey": sealed["a"]}, "b": {"apiKey": sealed["b"]}},
            "githubAccessToken": sealed["t"],
        }
    )
    async with installation.store() as store:
        await store.migrate()
        shown = await store.get_for_host()
        assert shown["providerSettings"]["a"]["apiKey"] == {"value": "a", "encryptionType": "electron-safe-storage"}
        assert [kind for kind, _ in installation.host.questions] == ["decrypt"]
        shown["providerSettings"]["b"] = {"apiKey": {"value": "changed"}}
        shown["providerSettings"]["c"] = {"apiKey": {"value": "c"}}
        await store.set({"providerSettings": shown["providerSettings"]})
        assert (await store.load()).provider_settings["c"].api_key == SecretText("c")
    stored = installation.in_file()["providerSettings"]
    assert stored == {
        "a": {"apiKey": sealed["a"]},
        "b": {"apiKey": installation.host.seal("changed")},
        "c": {"apiKey": installation.host.seal("c")},
    }
    assert "changed" not in installation.path.read_bytes().decode("latin-1")
    assert [kind for kind, _ in installation.host.questions] == ["decrypt", "encrypt"]


async def test_a_locked_secret_is_reported_left_out_and_survives_everything_but_a_null(
    installation: Installation,
) -> None:
    lost = installation.host.seal("lost")
    installation.host.lost = {lost["value"]}
    installation.write_file(
        {"providerSettings": {"a": {"apiKey": lost}, "b": {"apiKey": {"value": "b"}}}, "vercelAccessToken": lost}
    )
    async with installation.store() as store:
        report = await store.migrate()
        assert report.locked_secrets == ("vercelAccessToken", "providerSettings.a.apiKey")
        shown = await store.get_for_host()
        assert shown["providerSettings"] == {"a": {}, "b": {"apiKey": {"value": "b"}}}
        assert "vercelAccessToken" not in shown
        settings = await store.load()
        assert settings.provider_settings["a"].locked and not settings.provider_settings["b"].locked
        assert settings.locked_secrets == report.locked_secrets
        for partial in ({"a": {}}, {"b": {}}, {}):
            await store.set({"providerSettings": partial})
            assert installation.in_file()["providerSettings"]["a"]["apiKey"] == lost
        await store.set({"providerSettings": {"a": {"apiKey": None}}})
        assert installation.in_file()["providerSettings"] == {"a": {}}
    assert installation.in_table()["vercelAccessToken"] == lost


async def test_a_host_that_cannot_encrypt_means_nothing_is_written(installation: Installation) -> None:
    installation.write_file(FULL)
    installation.host.refusing = True
    async with installation.store() as store:
        await store.migrate()
        with pytest.raises(SecretLocked):
            await store.set({"hasRunBefore": True, "providerSettings": {"x": {"apiKey": {"value": "sk-new"}}}})
    assert installation.in_file() == FULL


async def test_without_safe_storage_a_secret_is_plain_and_says_so(installation: Installation) -> None:
    async with installation.store(secrets=False) as store:
        await store.set({"providerSettings": {"x": {"apiKey": {"value": " k "}}}})
    assert installation.in_file()["providerSettings"]["x"]["apiKey"] == {"value": "k", "encryptionType": "plaintext"}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")
async def test_permissions_and_links_of_the_file_are_kept(installation: Installation) -> None:
    target = installation.folder / "elsewhere" / "real.json"
    target.parent.mkdir()
    target.write_text("{}")
    target.chmod(0o640)
    installation.file.symlink_to(target)
    async with installation.store() as store:
        await store.set({"hasRunBefore": True})
    assert installation.file.is_symlink()
    assert json.loads(target.read_text())["hasRunBefore"] is True
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


async def test_a_change_within_one_tick_of_the_clock_is_seen(installation: Installation) -> None:
    installation.write_file(FULL)
    async with installation.store() as store:
        await store.load()
        before = installation.file.stat()
        installation.write_file({**FULL, "selectedModel": {"name": "gpt-4", "provider": "openai"}})
        os.utime(installation.file, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = installation.file.stat()
        assert (after.st_mtime_ns, after.st_size, after.st_ino) == (before.st_mtime_ns, before.st_size, before.st_ino)
        assert (await store.load()).selected_model.name == "gpt-4"


async def test_a_read_only_file_is_told_and_nothing_changes(installation: Installation) -> None:
    installation.write_file(FULL)
    async with installation.store() as store:
        await store.migrate()
        installation.file.chmod(0o444)
        with pytest.raises(SettingsNotWritten, match=r"^Failed to write settings: .*\(the file is read-only\)"):
            await store.set({"hasRunBefore": True})
        assert (await store.get_for_host())["hasRunBefore"] is False
    assert installation.in_table() == installation.in_file() == FULL


async def test_what_a_killed_writer_left_is_swept(installation: Installation) -> None:
    left, fresh = (installation.folder / f"user-settings.json.{name}.tmp" for name in ("1-1", "2-2"))
    for path in (left, fresh):
        path.write_text("secret")
    os.utime(left, (time.time() - 3600,) * 2)
    async with installation.store() as store:
        await store.set({"hasRunBefore": True})
    assert installation.beside(".tmp") == [fresh]


async def test_a_damaged_file_is_kept_reported_and_never_replaced_by_defaults(installation: Installation) -> None:
    installation.write_file('{"providerSettings": {"openai": {"apiKey"')
    os.utime(installation.file, (1, 1))
    broken = installation.file.read_bytes()
    async with installation.store() as store:
        settings = await store.load()
        assert "damaged" in settings.warnings[0]
        for attempt in (store.get_for_host(), store.migrate(), store.migrate(dry_run=True)):
            with pytest.raises(SettingsUnreadable):
                await attempt
        with pytest.raises(SettingsUnreadable, match=r"^Failed to write settings: "):
            await store.set({"hasRunBefore": True})
    assert installation.file.read_bytes() == broken
    (copy,) = installation.beside(".recovery-")
    assert copy.read_bytes() == broken


async def test_a_damaged_file_of_which_no_copy_can_be_made_is_told_as_such(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.write_file("{")
    os.utime(installation.file, (1, 1))
    monkeypatch.setattr(SettingsFile, "keep_for_recovery", no_room)
    async with installation.store() as store:
        assert "is damaged, and no copy could be made (No space left on device)" in (await store.load()).warnings[0]
    assert installation.file.read_text() == "{"


async def test_an_app_that_writes_the_file_whenever_it_is_to_be_replaced_is_told_to_the_user(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*_: Any) -> None:
        raise ChangedMeanwhile

    installation.write_file(FULL)
    monkeypatch.setattr(SettingsFile, "write", changed)
    async with installation.store() as store:
        with pytest.raises(SettingsNotWritten, match=r"the app keeps writing .* Try again in a moment"):
            await store.set({"hasRunBefore": True})
    assert installation.in_file() == FULL


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
@pytest.mark.parametrize("what", ["a folder", "a pipe", "a link to itself"])
async def test_what_is_no_file_is_told_and_left_alone(installation: Installation, what: str) -> None:
    make: Any = {
        "a folder": installation.file.mkdir,
        "a pipe": lambda: os.mkfifo(installation.file),
        "a link to itself": lambda: installation.file.symlink_to(installation.file.name),
    }[what]
    make()
    async with installation.store() as store:
        assert "cannot be read" in (await store.load()).warnings[0]
        for attempt in (store.get_for_host(), store.set({"hasRunBefore": True}), store.migrate()):
            with pytest.raises(SettingsUnreadable, match="cannot be read"):
                await attempt
    assert not installation.file.is_file()


async def test_a_file_damaged_after_the_migration_is_kept_and_the_table_stands_in(installation: Installation) -> None:
    installation.write_file(FULL)
    async with installation.store() as store:
        await store.migrate()
        installation.write_file('{"half":')
        os.utime(installation.file, (1, 1))
        assert (await store.get_for_host())["thinkingBudget"] == "high"
        assert installation.file.read_text() == '{"half":'
        await store.set({"hasRunBefore": True})
        assert not (await store.load()).warnings
    assert installation.in_file() == {**FULL, "hasRunBefore": True}
    assert [copy.read_text() for copy in installation.beside(".recovery-")] == ['{"half":']


async def test_the_rollout_is_decided_without_the_schema(installation: Installation) -> None:
    installation.write_file(FULL)
    async with installation.store() as store:
        assert (await store.rollout())[1] is None
        assert await store.set_features({"rolloutPercent": 0, "rateLimiting": False}) == {
            "liteLLM": True,
            "legacyAISDK": True,
            "enhancedAnalytics": True,
            "rateLimiting": False,
            "rolloutPercent": 0,
        }
        assert isinstance((await store.rollout())[1], FeatureDisabled)
    async with installation.store(environ={"LITE_LLM_ENABLED": "true"}) as store:
        assert (await store.rollout())[1] is None
        assert (await store.features())["rolloutPercent"] == 0


async def test_a_thousand_keys_are_served_in_under_five_milliseconds(installation: Installation) -> None:
    installation.write_file({**FULL, **{f"key{number}": {"n": number, "t": "x" * 40} for number in range(1000)}})
    async with installation.store() as store:
        await store.migrate()
        await store.get_for_host()
        times = []
        for _ in range(20):
            start = time.perf_counter()
            await store.get_for_host()
            times.append(time.perf_counter() - start)
    assert min(times) < 0.005
