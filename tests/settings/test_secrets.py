"""Secrets: opened on demand, sealed again, locked when the host cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.errors import SecretLocked
from sidecar.secret import SecretText
from sidecar.settings.secrets import RETRY_AFTER_S, Vault
from tests.settings.installation import Host

pytestmark = pytest.mark.anyio


def settings(**keys: Any) -> dict[str, Any]:
    return {"providerSettings": {name: {"apiKey": envelope} for name, envelope in keys.items()}}


async def test_all_secrets_are_opened_by_one_question_and_only_once() -> None:
    host = Host()
    vault = Vault(host.bridge())
    values = {
        **settings(a=host.seal(" k1 \n"), b=host.seal("k2"), c={"value": "plain"}),
        "githubAccessToken": host.seal("t"),
    }
    await vault.unlock(values)
    await vault.unlock(values)
    assert host.questions == [
        ("decrypt", ["githubAccessToken", "providerSettings.a.apiKey", "providerSettings.b.apiKey"])
    ]
    assert vault.plain(values["providerSettings"]["a"]["apiKey"]) == SecretText("k1")
    assert vault.locked(values) == ()


async def test_a_secret_that_cannot_be_opened_is_locked_alone_and_asked_for_again_later() -> None:
    host, now = Host(), [0.0]
    vault = Vault(host.bridge(), clock=lambda: now[0])
    values = settings(good=host.seal("k"), bad=host.seal("lost"))
    host.lost = {values["providerSettings"]["bad"]["apiKey"]["value"]}
    await vault.unlock(values)
    assert vault.locked(values) == ("providerSettings.bad.apiKey",)
    host.lost = set()
    await vault.unlock(values)
    assert len(host.questions) == 1
    now[0] = RETRY_AFTER_S
    await vault.unlock(values)
    assert vault.locked(values) == ()


async def test_without_a_host_plain_envelopes_still_work() -> None:
    vault = Vault(None)
    values = settings(sealed=Host.seal("k"), plain={"value": "p", "encryptionType": "plaintext"}, bare={"value": "b"})
    await vault.unlock(values)
    assert vault.locked(values) == ("providerSettings.sealed.apiKey",)
    assert vault.plain(values["providerSettings"]["bare"]["apiKey"]) == SecretText("b")


async def test_a_new_secret_is_sealed_and_an_old_one_keeps_its_ciphertext() -> None:
    host = Host()
    vault = Vault(host.bridge())
    current = settings(old={**host.seal("k"), "value": host.seal("k")["value"]})
    await vault.unlock(current)
    partial = {
        **settings(old={"value": "k", "encryptionType": "electron-safe-storage"}, new={"value": "fresh"}),
        "aws": {"accessKeyId": {"value": "id"}, "region": "eu"},
        "sentry": {"dsn": {"value": "https://dsn"}},
    }
    sealed = await vault.seal(partial, current)
    assert sealed["providerSettings"]["old"] == current["providerSettings"]["old"]
    assert sealed["providerSettings"]["new"]["apiKey"] == host.seal("fresh")
    assert sealed["aws"] == {"accessKeyId": host.seal("id"), "region": "eu"}
    assert sealed["sentry"]["dsn"] == host.seal("https://dsn")
    assert [kind for kind, _ in host.questions] == ["decrypt", "encrypt"]


async def test_ciphertext_handed_back_is_not_sealed_twice() -> None:
    host = Host()
    current = settings(a=host.seal("k"))
    assert await Vault(host.bridge()).seal(current, current) == current
    assert host.questions == []


async def test_a_host_that_cannot_encrypt_stops_the_write() -> None:
    host = Host()
    host.refusing = True
    with pytest.raises(SecretLocked, match=r"Failed to write settings: .*providerSettings.a.apiKey") as caught:
        await Vault(host.bridge()).seal(settings(a={"value": "sk-very-secret"}), {})
    assert "very-secret" not in str(caught.value) + json.dumps(caught.value.data())


async def test_a_new_secret_given_as_bare_text_is_sealed_and_an_old_one_stays_as_it_is() -> None:
    host = Host()
    partial = {"aws": {"accessKeyId": "AKIA-new", "secretAccessKey": "old", "region": "eu"}}
    sealed = await Vault(host.bridge()).seal(partial, {"aws": {"accessKeyId": "AKIA-old", "secretAccessKey": "old"}})
    assert sealed == {"aws": {"accessKeyId": host.seal("AKIA-new"), "secretAccessKey": "old", "region": "eu"}}
    assert await Vault(None).seal(partial, {}) == partial


async def test_an_empty_secret_is_not_sent_to_the_host() -> None:
    host = Host()
    sealed = await Vault(host.bridge()).seal(settings(a={"value": "  "}), {})
    assert sealed == settings(a={"value": "", "encryptionType": "plaintext"})
    assert host.questions == []


async def test_a_host_that_answers_nonsense_leaves_secrets_locked() -> None:
    async def nonsense(_: list[dict[str, Any]]) -> Any:
        return [1, {"id": "providerSettings.a.apiKey", "plaintext": 5}, {}]

    bridge = Host().bridge()
    vault = Vault(type(bridge)(decrypt=nonsense, encrypt=nonsense))
    values = settings(a=Host.seal("k"))
    await vault.unlock(values)
    assert vault.locked(values) == ("providerSettings.a.apiKey",)
    with pytest.raises(SecretLocked):
        await vault.seal(settings(b={"value": "new"}), {})


async def test_nothing_shows_a_secret() -> None:
    host = Host()
    vault = Vault(host.bridge())
    values = settings(a=host.seal("sk-hidden"))
    await vault.unlock(values)
    assert "sk-hidden" not in repr(vault) + repr(vars(vault)) + repr(
        vault.plain(values["providerSettings"]["a"]["apiKey"])
    )
