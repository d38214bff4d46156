"""What older builds wrote, in today's terms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.settings.migrate import RETIRED_MODELS, CustomCatalogue, translated
from sidecar.settings.schema import problems_of

NONE = CustomCatalogue(frozenset(), {})


def translate(settings: dict[str, Any], custom: CustomCatalogue | None = NONE) -> dict[str, Any]:
    work = translated({key: json.dumps(value) for key, value in settings.items()}, custom)
    again = translated(work.document, custom)
    assert again.document == work.document
    assert [change for change in again.changes if change.action != "kept"] == []
    return {key: json.loads(text) for key, text in work.document.items()}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Medium", "medium"),
        ("minimal", "low"),
        ("xhigh", "high"),
        (1000, "low"),
        (4000, "medium"),
        (-1, "high"),
        (8000, "high"),
    ],
)
def test_an_old_thinking_budget_becomes_a_word(old: Any, new: str) -> None:
    assert translate({"thinkingBudget": old}) == {"thinkingBudget": new}


@pytest.mark.parametrize("value", ["low", "sideways", True, None, [1]])
def test_a_thinking_budget_nobody_knows_stays(value: Any) -> None:
    assert translate({"thinkingBudget": value}) == {"thinkingBudget": value}


def test_a_retired_model_gives_way_unless_it_is_the_users_own() -> None:
    old = {"selectedModel": {"name": "grok-1", "provider": "grok", "extra": 1}}
    assert translate(old)["selectedModel"] == {"name": "grok-2-1212", "provider": "grok", "extra": 1}
    assert translate(old, CustomCatalogue(frozenset(), {7: ("grok", "grok-1")})) == old


def test_nothing_retired_is_offered_as_a_replacement() -> None:
    assert not {(provider, new) for (provider, _), new in RETIRED_MODELS.items()} & set(RETIRED_MODELS)


def test_a_selected_model_whose_provider_is_gone_becomes_auto() -> None:
    old = {"selectedModel": {"name": "m", "provider": "custom::gone"}}
    assert translate(old) == {"selectedModel": {"name": "auto", "provider": "auto"}}
    assert translate(old, CustomCatalogue(frozenset({"custom::gone"}), {})) == old
    assert translate(old, None) == old


def test_a_row_id_that_is_gone_is_dropped_and_the_name_stays() -> None:
    old = {"selectedModel": {"name": "gpt-5", "provider": "openai", "customModelId": 9}}
    assert translate(old) == {"selectedModel": {"name": "gpt-5", "provider": "openai"}}


def test_provider_entries_move_to_the_ids_of_this_app_with_their_ciphertext() -> None:
    sealed = {"value": "abc==", "encryptionType": "electron-safe-storage"}
    old = {
        "selectedModel": {"name": "m", "provider": "xai"},
        "providerSettings": {
            "xai": {"apiKey": sealed, "more": 1},
            "gemini": {"apiKey": sealed},
            "google": {"apiKey": 1},
        },
    }
    new = translate(old)
    assert new["selectedModel"]["provider"] == "grok"
    assert new["providerSettings"]["grok"] == {"apiKey": sealed, "more": 1}
    assert new["providerSettings"]["gemini"] == {"apiKey": sealed}, "an entry with its own key is not overwritten"


def test_pro_survives_the_renaming_of_the_product() -> None:
    assert translate({"enableDyadPro": True}) == {"enableDyadPro": True, "enableScalixPro": True}
    assert translate({"enableDyadPro": True, "enableScalixPro": False})["enableScalixPro"] is False


def test_deprecated_keys_are_kept_and_named() -> None:
    work = translated({"enableProSaverMode": "true", "runtimeMode": '"local-node"', "experiments": "{}"}, NONE)
    assert work.document["enableProSaverMode"] == "true"
    assert work.document["runtimeMode2"] == '"host"'
    assert [(change.key, change.action) for change in work.changes if change.action == "kept"] == [
        ("enableProSaverMode", "kept"),
        ("runtimeMode", "kept"),
    ]


def test_every_translation_is_valid_for_the_app() -> None:
    old = {"thinkingBudget": 3, "selectedChatMode": "agent", "selectedModel": {"name": "x", "provider": "custom::y"}}
    assert [problem for key, value in translate(old).items() for problem in problems_of(key, value)] == []
