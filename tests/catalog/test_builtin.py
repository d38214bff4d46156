"""The built-in catalogue (app contract 15.1, 15.2) and what is known of models by name."""

from __future__ import annotations

import msgspec
import pytest

from protocol.language_models import LanguageModel
from sidecar.catalog.builtin import (
    CLOUD_PROVIDERS,
    LOCAL_PROVIDERS,
    MODELS,
    PROVIDERS,
    BuiltinModel,
    builtin_model,
    builtin_models,
    builtin_provider,
)
from sidecar.catalog.facts import UNKNOWN, ModelFacts, infer_facts


def shown(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


def test_providers_are_listed_cloud_first_in_the_app_s_order() -> None:
    cloud = "openai anthropic google openrouter auto azure grok mistral cohere together perplexity"
    assert " ".join(provider.id for provider in PROVIDERS) == f"{cloud} ollama lmstudio"


def test_a_cloud_provider_has_an_empty_gateway_prefix_rather_than_none() -> None:
    assert shown(builtin_provider("openai")) == {
        "id": "openai",
        "name": "OpenAI",
        "hasFreeTier": False,
        "websiteUrl": "https://platform.openai.com/api-keys",
        "gatewayPrefix": "",
        "envVarName": "OPENAI_API_KEY",
        "type": "cloud",
    }


def test_the_auto_provider_needs_no_environment_variable_and_says_nothing_of_a_free_tier() -> None:
    assert shown(builtin_provider("auto")) == {
        "id": "auto",
        "name": "Scalix",
        "websiteUrl": "https://academy.scalix.world/settings",
        "gatewayPrefix": "scalix/",
        "type": "cloud",
    }


def test_a_local_provider_has_a_name_and_a_free_tier_only() -> None:
    assert shown(list(LOCAL_PROVIDERS)) == [
        {"id": "ollama", "name": "Ollama", "hasFreeTier": True, "type": "local"},
        {"id": "lmstudio", "name": "LM Studio", "hasFreeTier": True, "type": "local"},
    ]


def test_the_number_of_models_per_provider_is_the_app_s() -> None:
    assert {provider.id: len(builtin_models(provider.id)) for provider in CLOUD_PROVIDERS} == {
        "openai": 7,
        "anthropic": 4,
        "google": 2,
        "openrouter": 13,
        "auto": 1,
        "azure": 4,
        "grok": 5,
        "mistral": 3,
        "cohere": 2,
        "together": 2,
        "perplexity": 2,
    }


def test_a_model_that_refuses_a_token_limit_carries_none() -> None:
    gpt_5 = builtin_model("openai", "gpt-5")
    assert gpt_5 is not None
    wire = shown(gpt_5.as_result())
    assert isinstance(wire, dict)
    assert wire.pop("description")
    assert wire == {
        "name": "gpt-5",
        "apiName": "gpt-5",
        "displayName": "GPT 5",
        "contextWindow": 400000,
        "temperature": 1,
        "type": "cloud",
    }


def test_the_default_model_is_tagged() -> None:
    auto = builtin_model("auto", "auto")
    assert auto is not None
    result = auto.as_result()
    assert (result.tag, result.max_output_tokens, result.context_window) == ("Default", 32000, 1000000)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.provider_id}/{model.api_name}")
def test_every_model_can_be_shown_and_found_again(model: BuiltinModel) -> None:
    assert builtin_model(model.provider_id, model.api_name) is model
    again = msgspec.json.decode(msgspec.json.encode(model.as_result()), type=LanguageModel)
    assert again.name == again.api_name
    assert 0 < len(again.description) <= 100
    assert "\n" not in again.description


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.provider_id}/{model.api_name}")
def test_the_catalogue_and_the_rules_by_name_agree_on_what_is_sent(model: BuiltinModel) -> None:
    guess = infer_facts(model.api_name)
    if guess is UNKNOWN:
        assert model.facts.accepts_temperature
    else:
        assert guess == model.facts


REASONING = ModelFacts(accepts_temperature=False, reasoning="effort", image_input=True)


@pytest.mark.parametrize("name", ["gpt-5", "gpt-5.1-codex", "openai/gpt-5-mini", "o3", "o1", "o4-mini-2025-04-16"])
def test_openai_reasoning_models_take_effort_and_no_temperature(name: str) -> None:
    assert infer_facts(name) == REASONING


@pytest.mark.parametrize("name", ["o3-mini", "o1-mini", "o1-preview"])
def test_the_first_small_reasoning_models_read_no_images(name: str) -> None:
    assert infer_facts(name).image_input is False


@pytest.mark.parametrize("name", ["gpt-5-chat", "gpt-5.1-chat-latest"])
def test_chat_variants_of_gpt_5_do_not_reason(name: str) -> None:
    facts = infer_facts(name)
    assert facts.accepts_temperature
    assert facts.reasoning == "none"


@pytest.mark.parametrize(
    "name",
    [
        "claude-3-7-sonnet-latest",
        "anthropic/claude-3.7-sonnet",
        "claude-opus-4-1",
        "gemini-2.5-flash-lite",
        "gemini-pro-latest",
    ],
)
def test_claude_and_gemini_think_by_budget(name: str) -> None:
    assert infer_facts(name).reasoning == "budget"


@pytest.mark.parametrize("name", ["llama3.1:8b", "test-model", "ollama-o1", "", "gpt4all-j", "octo-7b"])
def test_an_unknown_model_is_asked_without_restrictions(name: str) -> None:
    assert infer_facts(name) == ModelFacts()
