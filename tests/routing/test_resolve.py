"""From the user's choice to the endpoints (app contract 9, 10, 15; protocol page 9)."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import ErrorCode
from sidecar.catalog.catalog import CustomRows
from sidecar.engines.base import Target
from sidecar.errors import MissingApiKey, NotFound, ProviderError, SecretLocked, SidecarError, ValidationFailed
from sidecar.routing.catalog_view import CatalogSnapshot
from sidecar.routing.inputs import (
    CatalogView,
    ContextFile,
    Environment,
    ModelChoice,
    ModelInfo,
    ProviderInfo,
    RoutingSettings,
)
from sidecar.routing.pro import takes_files
from sidecar.routing.resolve import Route, engine_enabled, find_route
from sidecar.secret import SecretText

PRO_KEY = "scalix_0123456789abcdef"
FILES = (ContextFile("src/a.ts", "code", force=True), ContextFile("b", "x"))


class Catalogue:
    """The built-in catalogue plus two custom providers."""

    def __init__(self) -> None:
        self._builtin = CatalogSnapshot(CustomRows([], []))
        self.custom = {
            "custom::mine": ProviderInfo(
                id="custom::mine", name="Mine", type="custom", env_var="MINE_KEY", api_base_url="http://mine.test/v1/"
            ),
            "custom::blank": ProviderInfo(id="custom::blank", name="Blank", type="custom", api_base_url=" "),
        }

    def provider(self, provider_id: str) -> ProviderInfo | None:
        return self.custom.get(provider_id) or self._builtin.provider(provider_id)

    def model(self, provider_id: str, name: str, custom_model_id: int | None) -> ModelInfo | None:
        if provider_id == "custom::mine" and (custom_model_id == 5 or name == "big"):
            return ModelInfo(max_output_tokens=4000, context_window=64_000)
        return self._builtin.model(provider_id, name, custom_model_id)

    def provider_ids(self) -> list[str]:
        return [*self._builtin.provider_ids(), *self.custom]

    def model_names(self, provider_id: str) -> list[str]:
        return ["big"] if provider_id == "custom::mine" else list(self._builtin.model_names(provider_id))


CATALOGUE: CatalogView = Catalogue()


def route(
    provider: str, name: str, environ: dict[str, str] | None = None, *, files: Any = (), **settings: Any
) -> Route:
    return find_route(
        ModelChoice(provider, name), RoutingSettings(**settings), CATALOGUE, Environment(environ or {}), files=files
    )


def first(provider: str, name: str, environ: dict[str, str] | None = None, **settings: Any) -> Target:
    return route(provider, name, environ, **settings).targets[0]


def keys(**named: str) -> dict[str, SecretText]:
    return {provider: SecretText(key) for provider, key in named.items()}


def failing(provider: str, name: str, environ: dict[str, str] | None = None, **settings: Any) -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        route(provider, name, environ, **settings)
    return caught.value


# --- own keys ------------------------------------------------------------------------------------------------------

VENDORS = [
    ("openai", "OPENAI_API_KEY", "openai-responses", "https://api.openai.com/v1"),
    ("anthropic", "ANTHROPIC_API_KEY", "anthropic", "https://api.anthropic.com/v1"),
    ("google", "GEMINI_API_KEY", "google", "https://generativelanguage.googleapis.com/v1beta"),
    ("openrouter", "OPENROUTER_API_KEY", "openai-chat", "https://openrouter.ai/api/v1"),
    ("grok", "GROK_API_KEY", "openai-chat", "https://api.x.ai/v1"),
    ("mistral", "MISTRAL_API_KEY", "openai-chat", "https://api.mistral.ai/v1"),
    ("cohere", "COHERE_API_KEY", "cohere", "https://api.cohere.com/v2"),
    ("together", "TOGETHER_API_KEY", "openai-chat", "https://api.together.xyz/v1"),
    ("perplexity", "PERPLEXITY_API_KEY", "openai-chat", "https://api.perplexity.ai"),
]


@pytest.mark.parametrize(("provider", "variable", "dialect", "base"), VENDORS)
def test_each_vendor_is_called_at_its_own_base_with_the_users_key(
    provider: str, variable: str, dialect: str, base: str
) -> None:
    found = route(provider, "some-model", {variable: "from-environment"})
    (target,) = found.targets
    assert (target.dialect, target.base_url, target.route) == (dialect, base, "direct")
    assert (target.provider, target.model, target.wire_model) == (provider, "some-model", "some-model")
    assert target.api_key == SecretText("from-environment")
    assert (target.body, target.attempt_header) == ({}, None)
    assert not found.allow_fallback


@pytest.mark.parametrize(("provider", "variable", "dialect", "base"), VENDORS)
def test_each_vendors_base_can_be_replaced(provider: str, variable: str, dialect: str, base: str) -> None:
    environ = {variable: "k", f"SCALIX_{provider.upper()}_BASE_URL": "http://127.0.0.1:9/v9/"}
    assert first(provider, "m", environ).base_url == "http://127.0.0.1:9/v9"
    replaced = first(provider, "m", environ, base_urls={provider: "https://gateway.test/x"})
    assert replaced.base_url == "https://gateway.test/x"
    assert replaced.dialect == dialect


@pytest.mark.parametrize(("provider", "variable", "dialect", "base"), VENDORS)
def test_without_a_key_the_user_is_told_where_to_put_one(provider: str, variable: str, dialect: str, base: str) -> None:
    error = failing(provider, "m")
    assert isinstance(error, MissingApiKey)
    assert error.message.endswith(
        f"API key is missing. Add it in Settings, or set the {variable} environment variable."
    )


def test_a_key_of_the_settings_wins_and_is_trimmed() -> None:
    target = first("openai", "gpt-4.1", {"OPENAI_API_KEY": "env"}, keys=keys(openai="  mine\n"))
    assert target.api_key == SecretText("mine")
    assert first("openai", "gpt-4.1", {"OPENAI_API_KEY": "env"}, keys=keys(openai=" ")).api_key == SecretText("env")


@pytest.mark.parametrize(
    ("key", "index", "point"),
    [("sk-“x", 3, "U+201C"), ("a b", 1, "U+0020"), ("é", 0, "U+00E9"), ("ab😀", 2, "U+1F600")],
)
def test_a_key_no_header_can_carry_is_refused_before_any_request(key: str, index: int, point: str) -> None:
    for error in (failing("openai", "gpt-4.1", keys=keys(openai=key)), failing("openai", "m", {"OPENAI_API_KEY": key})):
        assert error.message.startswith(
            f"OpenAI API key contains an invalid character at index {index} ({point}). Paste only the raw API key"
        )
        assert error.code is ErrorCode.VALIDATION
        assert key not in error.message


def test_a_locked_key_is_told_as_such_unless_the_environment_has_one() -> None:
    error = failing("openai", "gpt-4.1", locked=frozenset({"openai"}))
    assert isinstance(error, SecretLocked)
    assert "could not be decrypted" in error.message
    assert first("openai", "m", {"OPENAI_API_KEY": "k"}, locked=frozenset({"openai"})).api_key == SecretText("k")


def test_open_router_is_told_who_calls() -> None:
    target = first("openrouter", "m", keys=keys(openrouter="k"))
    assert target.headers == {"HTTP-Referer": "https://scalix.world", "X-Title": "Scalix"}


def test_an_unknown_provider_is_told_in_the_apps_words() -> None:
    error = failing("nobody", "m")
    assert isinstance(error, NotFound)
    assert error.message == "Configuration not found for provider: nobody"


@pytest.mark.parametrize(
    ("provider", "name", "limit", "temperature", "reasoning"),
    [
        ("openai", "gpt-5", None, None, "effort"),
        ("openai", "gpt-4.1", 32768, 0, "none"),
        ("openai", "o3-mini", 32000, None, "effort"),
        ("anthropic", "claude-sonnet-4-20250514", 16000, 0, "budget"),
        ("google", "gemini-2.5-pro", 65535, 0, "budget"),
        ("openrouter", "openai/gpt-5", 32000, None, "effort"),
        ("openai", "typed-by-hand", None, None, "none"),
    ],
)
def test_only_what_the_model_takes_is_sent(
    provider: str, name: str, limit: int | None, temperature: float | None, reasoning: str
) -> None:
    target = first(provider, name, keys=keys(**{provider: "k"}))
    assert (target.max_output_tokens, target.temperature, target.reasoning) == (limit, temperature, reasoning)


def test_an_unknown_models_window_is_the_apps_default() -> None:
    assert first("openai", "typed-by-hand", keys=keys(openai="k")).context_window == 128_000


# --- Azure ---------------------------------------------------------------------------------------------------------


def test_azure_takes_resource_and_key_from_settings_or_environment() -> None:
    environ = {"AZURE_RESOURCE_NAME": "res", "AZURE_API_KEY": "env"}
    target = first("azure", "gpt-5", environ)
    assert target.base_url == "https://res.openai.azure.com/openai/v1"
    assert (target.query, dict(target.headers), target.api_key) == (
        {"api-version": "preview"},
        {"api-key": "env"},
        None,
    )
    own = first("azure", "gpt-5", environ, keys=keys(azure="mine"), azure_resource_name="other")
    assert (own.base_url, own.headers["api-key"]) == ("https://other.openai.azure.com/openai/v1", "mine")
    assert "mine" not in repr(own)


def test_azure_says_what_is_missing() -> None:
    assert failing("azure", "gpt-5", {"AZURE_API_KEY": "k"}).message == (
        "Azure OpenAI resource name is required. "
        "Provide it in Settings or set the AZURE_RESOURCE_NAME environment variable."
    )
    error = failing("azure", "gpt-5", {"AZURE_RESOURCE_NAME": "res"})
    assert isinstance(error, MissingApiKey)
    assert error.message == (
        "Azure OpenAI API key is required. Provide it in Settings or set the AZURE_API_KEY environment variable."
    )
    wrong = failing("azure", "m", azure_resource_name="https://res.openai.azure.com", keys=keys(azure="k"))
    assert "give the name, not its URL" in wrong.message


def test_azure_at_another_base_needs_no_resource_name() -> None:
    target = first("azure", "m", {"SCALIX_AZURE_BASE_URL": "http://a.test/"}, keys=keys(azure="k"))
    assert (target.base_url, target.headers["api-key"]) == ("http://a.test", "k")


def test_the_azure_test_server_gets_the_fake_key() -> None:
    target = first("azure", "m", {"TEST_AZURE_BASE_URL": "http://localhost:1/azure"})
    assert (target.base_url, target.query) == ("http://localhost:1/azure", {})
    assert target.api_key == SecretText("fake-api-key-for-testing")


# --- local and custom ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "base"),
    [
        (None, "http://localhost:11434/v1"),
        ("http://box:1/", "http://box:1/v1"),
        ("http://box:1/v1", "http://box:1/v1"),
        ("box", "http://box:11434/v1"),
        ("::1", "http://[::1]:11434/v1"),
        ("[::1]:8080", "http://[::1]:8080/v1"),
    ],
)
def test_ollama_is_called_where_it_is(host: str | None, base: str) -> None:
    target = first("ollama", "llama3", {} if host is None else {"OLLAMA_HOST": host})
    assert (target.base_url, target.dialect, target.route, target.api_key) == (base, "openai-chat", "local", None)
    assert (target.temperature, target.max_output_tokens, target.context_window) == (None, None, 128_000)


def test_lm_studio_is_called_where_it_is() -> None:
    assert first("lmstudio", "m").base_url == "http://localhost:1234/v1"
    assert first("lmstudio", "m", {"LM_STUDIO_BASE_URL": "http://b:2"}).base_url == "http://b:2/v1"
    assert first("lmstudio", "m", {"LM_STUDIO_BASE_URL_FOR_TESTING": "http://t:3"}).base_url == "http://t:3/v1"


def test_a_custom_provider_needs_a_url_and_may_do_without_a_key() -> None:
    target = first("custom::mine", "anything")
    assert (target.base_url, target.route, target.api_key) == ("http://mine.test/v1", "custom", None)
    assert first("custom::mine", "m", {"MINE_KEY": "k"}).api_key == SecretText("k")
    assert failing("custom::blank", "m").message == "Custom provider custom::blank is missing the API Base URL."


def test_a_custom_models_own_limits_are_sent() -> None:
    choice = ModelChoice("custom::mine", "renamed", 5)
    (target,) = find_route(choice, RoutingSettings(), CATALOGUE, Environment({})).targets
    assert (target.max_output_tokens, target.context_window, target.temperature) == (4000, 64_000, None)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://x", "must start with http:// or https://"),
        ("localhost:1234", "must start with http:// or https://"),
        ("http://", "has no valid host name"),
        ("http://a b/", "has no valid host name"),
        ("http://x:port/", "is not a valid URL"),
        ("http://[::1/", "is not a valid URL"),
        ("https://user:hunter2@x/", "must not contain a user name or password"),
    ],
)
def test_a_base_that_cannot_be_called_is_explained(url: str, words: str) -> None:
    error = failing("openai", "m", keys=keys(openai="k"), base_urls={"openai": url})
    assert isinstance(error, ValidationFailed)
    assert words in error.message
    assert "hunter2" not in error.message


def test_a_pasted_endpoint_and_its_query_are_understood() -> None:
    url = "https://gw.test/openai/chat/completions?api-version=1&x="
    target = first("mistral", "m", keys=keys(mistral="k"), base_urls={"mistral": url})
    assert (target.base_url, target.query) == ("https://gw.test/openai", {"api-version": "1", "x": ""})


# --- auto ----------------------------------------------------------------------------------------------------------

THREE_KEYS = {"GEMINI_API_KEY": "g", "ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"}


def names(found: Route) -> list[tuple[str, str]]:
    return [(target.provider, target.model) for target in found.targets]


def test_auto_keeps_the_apps_order_and_then_takes_every_keyed_model() -> None:
    found = route("auto", "auto", {**THREE_KEYS, "MINE_KEY": "k"})
    assert names(found)[:3] == [
        ("google", "gemini-2.5-flash"),
        ("anthropic", "claude-sonnet-4-20250514"),
        ("openai", "gpt-4.1"),
    ]
    assert {provider for provider, _ in names(found)} == {"google", "anthropic", "openai", "custom::mine"}
    assert len(set(names(found))) == len(names(found)) == 7 + 4 + 2 + 1
    assert found.allow_fallback
    assert all(target.automatic for target in found.targets)


def test_auto_leaves_out_providers_without_a_key() -> None:
    found = route("auto", "auto", {"ANTHROPIC_API_KEY": "a", "MISTRAL_API_KEY": "m"})
    assert names(found)[0] == ("anthropic", "claude-sonnet-4-20250514")
    assert {provider for provider, _ in names(found)} == {"anthropic", "mistral"}


def test_auto_sends_its_own_limit_and_temperature_to_the_apps_three() -> None:
    sent = [(each.max_output_tokens, each.temperature) for each in route("auto", "auto", THREE_KEYS).targets[:3]]
    assert sent == [(32000, 0)] * 3


def test_auto_never_asks_another_model_for_more_than_it_can_give() -> None:
    limits = {each.model: each.max_output_tokens for each in route("auto", "auto", THREE_KEYS).targets}
    assert limits["claude-3-5-haiku-20241022"] == 8000
    assert limits["gemini-2.5-pro"] == 32000
    assert limits["gpt-5"] is None


def test_auto_without_any_key_says_so_in_the_apps_words() -> None:
    error = failing("auto", "auto")
    assert error.message == "No API keys available for any model supported by the 'auto' provider."
    assert error.code is ErrorCode.MISSING_API_KEY


def test_auto_warns_of_a_key_it_cannot_use_and_takes_the_next() -> None:
    found = route("auto", "auto", {"GEMINI_API_KEY": "g“", "OPENAI_API_KEY": "o"}, locked=frozenset({"anthropic"}))
    assert names(found)[0] == ("openai", "gpt-4.1")
    assert [warning.split(" API key")[0] for warning in found.warnings] == ["Google", "The saved Anthropic"]
    assert isinstance(failing("auto", "auto", locked=frozenset({"google"})), SecretLocked)


def test_a_chosen_model_has_no_substitute_unless_the_user_wants_one() -> None:
    assert names(route("openai", "gpt-5", THREE_KEYS)) == [("openai", "gpt-5")]
    found = route("openai", "gpt-4.1", THREE_KEYS, auto_fallback=True)
    assert found.allow_fallback
    assert names(found)[:2] == [("openai", "gpt-4.1"), ("google", "gemini-2.5-flash")]
    assert names(found).count(("openai", "gpt-4.1")) == 1
    assert not any(target.automatic for target in found.targets)


# --- Pro -----------------------------------------------------------------------------------------------------------

PRO = {"pro_enabled": True, "keys": {"auto": SecretText(PRO_KEY)}}
GATEWAY = {**PRO, "lazy_edits": False, "smart_context": False}


def test_the_engine_is_called_with_its_headers_and_options() -> None:
    target = first("openai", "gpt-4.1", files=FILES, smart_context_mode="balanced", **PRO)
    assert (target.base_url, target.dialect, target.route) == (
        "https://engine.scalix.world/v1",
        "openai-chat",
        "engine",
    )
    assert target.headers == {"X-Scalix-Client": "desktop-app", "X-Scalix-Version": "1.0.0"}
    assert target.attempt_header == "X-Scalix-Request-Id"
    assert target.api_key == SecretText(PRO_KEY)
    assert target.body == {
        "scalix_options": {
            "files": [
                {"path": "src/a.ts", "content": "code", "force": True},
                {"path": "b", "content": "x", "force": False},
            ],
            "enable_lazy_edits": True,
            "enable_smart_files_context": True,
            "smart_context_mode": "balanced",
        }
    }
    assert takes_files(target)


def test_engine_options_follow_the_settings_and_need_files() -> None:
    options = first("openai", "gpt-4.1", files=FILES, ask_mode=True, **PRO).body["scalix_options"]
    assert (options["enable_lazy_edits"], "smart_context_mode" in options) == (False, False)
    assert first("openai", "gpt-4.1", **PRO).body == {}


def test_the_gateway_is_called_when_both_modes_are_off() -> None:
    target = first(
        "anthropic", "claude-sonnet-4-20250514", {"SCALIX_GATEWAY_URL": "http://g/v1/"}, files=FILES, **GATEWAY
    )
    assert (target.base_url, target.route) == ("http://g/v1", "gateway")
    assert target.wire_model == "anthropic/claude-sonnet-4-20250514"
    assert (target.headers, target.attempt_header, target.body) == ({}, None, {})


@pytest.mark.parametrize(
    ("provider", "name", "sent"),
    [
        ("openai", "gpt-5", "gpt-5"),
        ("google", "gemini-2.5-pro", "gemini/gemini-2.5-pro"),
        ("auto", "auto", "scalix/auto"),
        ("openrouter", "deepseek/deepseek-chat-v3-0324:free", "openrouter/deepseek/deepseek-chat-v3-0324"),
        ("grok", "grok-1", "grok/grok-1"),
        ("azure", "gpt-5", "gpt-5"),
    ],
)
def test_behind_pro_a_model_is_named_with_its_prefix_and_without_free(provider: str, name: str, sent: str) -> None:
    target = first(provider, name, **PRO)
    assert target.wire_model == sent
    assert (target.provider, target.model) == (provider, name)


@pytest.mark.parametrize(("level", "budget"), [(None, 4000), ("low", 1000), ("medium", 4000), ("high", -1)])
@pytest.mark.parametrize("settings", [PRO, GATEWAY])
@pytest.mark.parametrize(("provider", "name"), [("google", "gemini-2.5-pro"), ("auto", "auto")])
def test_google_and_auto_think_with_a_budget_behind_pro(
    provider: str, name: str, settings: dict[str, Any], level: str | None, budget: int
) -> None:
    target = first(provider, name, thinking=level, **settings)
    assert target.body["thinking"] == {"type": "enabled", "include_thoughts": True, "budget_tokens": budget}
    assert target.reasoning == "none"


def test_openais_reasoning_models_get_an_effort_behind_pro_and_the_others_do_not() -> None:
    assert first("openai", "gpt-5", **PRO).body == {"reasoning_effort": "medium"}
    assert first("openai", "gpt-5", thinking="high", **PRO).body == {"reasoning_effort": "high"}
    assert first("openai", "gpt-4.1", **PRO).body == {}
    assert first("anthropic", "claude-sonnet-4-20250514", **PRO).body == {}


@pytest.mark.parametrize("key", ["sk-0123456789abcdef0123", "scalix_short"])
@pytest.mark.parametrize("modes", [True, False])
def test_a_malformed_pro_key_is_refused(key: str, modes: bool) -> None:
    error = failing("openai", "gpt-4.1", pro_enabled=True, keys=keys(auto=key), lazy_edits=modes, smart_context=modes)
    assert error.message == "Invalid Scalix API key format or missing key"


def test_pro_needs_the_switch_and_a_key_which_may_come_from_the_environment() -> None:
    environ = {"OPENAI_API_KEY": "o", "SCALIX_PRO_API_KEY": PRO_KEY}
    assert first("openai", "gpt-4.1", environ).route == "direct"
    assert first("openai", "gpt-4.1", {"OPENAI_API_KEY": "o"}, pro_enabled=True).route == "direct"
    assert first("openai", "gpt-4.1", environ, pro_enabled=True).route == "engine"


def test_pro_leaves_local_and_custom_providers_alone_unless_an_engine_is_named() -> None:
    assert first("ollama", "m", **PRO).route == "local"
    assert first("custom::mine", "m", **PRO).route == "custom"
    target = first("custom::mine", "m", {"SCALIX_ENGINE_URL": "http://e/v1"}, **PRO)
    assert (target.route, target.base_url, target.wire_model) == ("engine", "http://e/v1", "m")


def test_pro_has_one_substitute_behind_the_same_door() -> None:
    found = route("openai", "gpt-5", files=FILES, **PRO)
    assert names(found) == [("openai", "gpt-5"), ("auto", "auto")]
    assert found.allow_fallback
    assert names(route("auto", "auto", **PRO)) == [("auto", "auto"), ("google", "gemini-2.5-flash")]
    assert {target.route for target in found.targets} == {"engine"}


def test_an_own_key_takes_over_from_the_gateway_but_not_from_the_engine() -> None:
    settings = {**GATEWAY, "auto_fallback": True}
    assert "direct" in {target.route for target in route("openai", "gpt-5", THREE_KEYS, **settings).targets}
    settings = {**PRO, "auto_fallback": True}
    assert {target.route for target in route("openai", "gpt-5", THREE_KEYS, **settings).targets} == {"engine"}


def test_a_locked_pro_key_is_told_only_when_nothing_else_would_answer() -> None:
    locked = {"pro_enabled": True, "locked": frozenset({"auto"})}
    assert "Scalix Pro API key could not be decrypted" in failing("auto", "auto", **locked).message
    assert first("auto", "auto", THREE_KEYS, **locked).provider == "google"


# --- the LiteLLM proxy ---------------------------------------------------------------------------------------------

PROXY = {"LITE_LLM_BASE_URL": "http://proxy.test/", "LITE_LLM_MASTER_KEY": "sk-master"}


def test_the_proxy_serves_the_free_tier() -> None:
    target = first("anthropic", "claude-sonnet-4-20250514", PROXY, telemetry_user_id="u-1", files=FILES)
    assert (target.base_url, target.route, target.dialect) == ("http://proxy.test/v1", "proxy", "openai-chat")
    assert target.api_key == SecretText("sk-master")
    assert dict(target.headers) == {"X-User-Tier": "free"}
    assert target.wire_model == "anthropic/claude-sonnet-4-20250514"
    assert target.body == {
        "user": "u-1",
        "scalix_options": {"enable_lazy_edits": False, "enable_smart_files_context": False},
    }
    assert not takes_files(target)


def test_the_proxy_gets_the_engines_request_with_pros_modes_on() -> None:
    target = first("google", "gemini-2.5-pro", PROXY, telemetry_user_id="u", files=FILES[1:], **PRO)
    assert dict(target.headers) == {"X-User-Tier": "pro", "X-Scalix-Key": PRO_KEY}
    assert PRO_KEY not in repr(target)
    assert target.wire_model == "scalix-engine"
    assert target.body["scalix_options"] == {
        "model": "gemini/gemini-2.5-pro",
        "files": [{"path": "b", "content": "x", "force": False}],
        "enable_lazy_edits": True,
        "enable_smart_files_context": True,
    }
    assert target.body["thinking"]["budget_tokens"] == 4000
    assert takes_files(target)


def test_the_proxy_gets_the_picked_model_with_pros_modes_off() -> None:
    target = first("google", "gemini-2.5-pro", PROXY, files=FILES, **GATEWAY)
    assert (target.wire_model, target.headers["X-User-Tier"]) == ("gemini/gemini-2.5-pro", "pro")
    assert "files" not in target.body["scalix_options"]


def test_the_proxys_v1_is_not_doubled_and_its_key_is_optional() -> None:
    target = first("openai", "gpt-4.1", {"LITE_LLM_BASE_URL": "https://p.test/v1"})
    assert (target.base_url, target.api_key) == ("https://p.test/v1", None)


def test_auto_through_the_proxy_needs_no_keys() -> None:
    found = route("auto", "auto", PROXY)
    assert [target.wire_model for target in found.targets] == [
        "gemini/gemini-2.5-flash",
        "anthropic/claude-sonnet-4-20250514",
        "gpt-4.1",
    ]
    assert found.allow_fallback
    assert [target.max_output_tokens for target in found.targets] == [32000] * 3


def test_only_cloud_calls_go_to_the_proxy() -> None:
    assert first("ollama", "m", PROXY).route == "local"
    assert first("custom::mine", "m", PROXY).route == "custom"


@pytest.mark.parametrize(
    ("provider", "environ", "settings", "enabled"),
    [
        ("openai", {}, PRO, True),
        ("openai", {}, GATEWAY, False),
        ("openai", {}, {}, False),
        ("ollama", {}, PRO, False),
        ("ollama", {"SCALIX_ENGINE_URL": "http://e"}, PRO, True),
        ("openai", PROXY, PRO, True),
        ("openai", PROXY, {}, False),
        ("ollama", PROXY, PRO, False),
        ("nobody", {}, PRO, False),
    ],
)
def test_whether_the_code_base_goes_along_as_files_is_known_beforehand(
    provider: str, environ: dict[str, str], settings: dict[str, Any], enabled: bool
) -> None:
    choice = ModelChoice(provider, "m")
    assert engine_enabled(choice, RoutingSettings(**settings), CATALOGUE, Environment(environ)) is enabled
    if provider != "nobody" and (settings or environ):
        assert takes_files(first(provider, "m", environ, **settings)) is enabled


def test_no_secret_shows_in_a_target() -> None:
    environ = {**THREE_KEYS, **{variable: "hunter2" for _, variable, _, _ in VENDORS}, "AZURE_API_KEY": "hunter2"}
    found = route("auto", "auto", {**environ, "AZURE_RESOURCE_NAME": "r"})
    assert ("azure", "gpt-5") in names(found)
    assert "hunter2" not in repr(found)


def test_errors_of_the_resolver_are_provider_errors_where_the_user_has_to_mend_a_key() -> None:
    assert isinstance(failing("openai", "m", pro_enabled=True, keys=keys(auto="x")), ProviderError)
