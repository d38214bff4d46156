"""Every listed provider answers a chat, each in its own dialect (app contract 9, 10; protocol page 9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.host import memory_host
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer
from tests.providers.streams import (
    anthropic_stream,
    cohere_stream,
    gemini_stream,
    openai_chat_stream,
    openai_responses_stream,
)

pytestmark = pytest.mark.anyio

KEY = planted()
PATCH = {"capabilities": {"chunks": "patch"}}
ENVIRONMENT = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GEMINI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "azure": "AZURE_API_KEY",
    "grok": "GROK_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "cohere": "COHERE_API_KEY",
    "together": "TOGETHER_API_KEY",
    "perplexity": "PERPLEXITY_API_KEY",
}
LOCAL = {"OLLAMA_HOST": "ollama", "LM_STUDIO_BASE_URL": "lmstudio"}
GEMINI = "models/gemini-2.5-flash:streamGenerateContent"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        chat = openai_chat_stream(["Hel", "lo"], reasoning=["hm"])
        answers = {
            "openai/responses": openai_responses_stream(["Hel", "lo"], reasoning=["hm"]),
            "anthropic/messages": anthropic_stream(["Hel", "lo"], thinking=["hm"]),
            f"google/{GEMINI}": gemini_stream(["Hel", "lo"], thoughts=["hm"]),
            "cohere/chat": cohere_stream(["Hel", "lo"], thinking=["hm"]),
        }
        answers |= {
            f"{name}/chat/completions": chat
            for name in (
                "openrouter",
                "azure",
                "grok",
                "mistral",
                "together",
                "perplexity",
                "ollama/v1",
                "lmstudio/v1",
                "v1",
            )
        }
        for path, steps in answers.items():
            made.provider.answer(f"/{path}", Answer.stream(steps))
        yield made


def environment(place: Installation) -> dict[str, str]:
    keys = dict.fromkeys(ENVIRONMENT.values(), KEY)
    bases = {f"SCALIX_{name.upper()}_BASE_URL": f"{place.provider.base_url}/{name}" for name in ENVIRONMENT}
    local = {f"{name}": f"{place.provider.base_url}/{path}" for name, path in LOCAL.items()}
    return keys | bases | local


async def ask(place: Installation, provider: str, name: str, **settings: Any) -> dict[str, Any]:
    """Stream one answer from this model; the request's JSON body."""
    chat = place.chat()
    async with memory_host(place.folder, environment(place), **PATCH) as host:
        if settings:
            await host.request("set-user-settings", settings)
        model = {"provider": provider, "name": name}
        result = await host.request("chat:stream", place.stream_params(chat, model=model, files=[]))
        assert result == chat, host.terminals(chat)
        assert host.text(chat) == "<think>hm</think>Hello"
        assert host.terminals(chat)[0]["finishReason"] == "stop"
    body: dict[str, Any] = place.provider.last().json
    return body


BEARER = {"authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("provider", "name", "path", "headers"),
    [
        ("openai", "gpt-4.1", "openai/responses", BEARER),
        ("anthropic", "claude-sonnet-4-20250514", "anthropic/messages",
         {"x-api-key": KEY, "anthropic-version": "2023-06-01"}),
        ("google", "gemini-2.5-flash", f"google/{GEMINI}", {"x-goog-api-key": KEY}),
        ("cohere", "command-r", "cohere/chat", BEARER),
        ("openrouter", "qwen/qwen3-coder", "openrouter/chat/completions", BEARER | {"x-title": "Scalix"}),
        ("azure", "gpt-5-chat", "azure/chat/completions", {"api-key": KEY}),
        ("grok", "grok-beta", "grok/chat/completions", BEARER),
        ("mistral", "mistral-large-latest", "mistral/chat/completions", BEARER),
        ("together", "meta-llama/llama-3.3-70b-instruct-turbo", "together/chat/completions", BEARER),
        ("perplexity", "llama-3.1-sonar-large-128k-online", "perplexity/chat/completions", BEARER),
        ("auto", "auto", f"google/{GEMINI}", {"x-goog-api-key": KEY}),
    ],
)  # fmt: skip
async def test_the_request_goes_where_the_vendor_wants_it(
    place: Installation, provider: str, name: str, path: str, headers: dict[str, str]
) -> None:
    await ask(place, provider, name)
    request = place.provider.last()
    assert request.path == f"/{path}"
    assert headers.items() <= request.headers.items()
    assert KEY not in str(request.query), "a key never travels in a URL"


@pytest.mark.parametrize(
    ("provider", "name", "member", "value"),
    [
        ("openai", "gpt-5", "reasoning", {"summary": "auto", "effort": "low"}),
        ("anthropic", "claude-sonnet-4-20250514", "thinking", {"type": "enabled", "budget_tokens": 1024}),
        ("google", "gemini-2.5-flash", "generationConfig",
         {"maxOutputTokens": 65535, "temperature": 0,
          "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 1000}}),
        ("openrouter", "openai/gpt-5", "reasoning", {"effort": "low"}),
        ("openrouter", "anthropic/claude-3.7-sonnet", "reasoning", {"max_tokens": 1024}),
        ("openrouter", "google/gemini-2.5-pro", "reasoning", {"max_tokens": 1024}),
        ("azure", "gpt-5", "reasoning_effort", "low"),
        ("cohere", "command-a-reasoning-08-2025", "thinking", {"type": "enabled", "token_budget": 1000}),
        ("grok", "grok-3-mini", "reasoning_effort", "low"),
        ("together", "openai/gpt-oss-120b", "reasoning_effort", "low"),
        ("ollama", "gpt-oss:20b", "reasoning_effort", "low"),
        ("lmstudio", "openai/gpt-oss-20b", "reasoning_effort", "low"),
        ("custom::testing", "gpt-5", "reasoning_effort", "low"),
    ],
)  # fmt: skip
async def test_the_thinking_budget_counts_on_direct_connections(
    place: Installation, provider: str, name: str, member: str, value: dict[str, Any]
) -> None:
    body = await ask(place, provider, name, thinkingBudget="low")
    assert body[member] == value


async def test_a_model_that_refuses_a_parameter_does_not_get_it(place: Installation) -> None:
    gpt5 = await ask(place, "openai", "gpt-5")
    assert not {"temperature", "max_output_tokens", "max_tokens"} & set(gpt5)
    claude = await ask(place, "anthropic", "claude-sonnet-4-20250514", thinkingBudget="high")
    assert "temperature" not in claude
    assert claude["max_tokens"] > claude["thinking"]["budget_tokens"]


async def test_auto_hands_over_to_the_next_keyed_model_and_says_so(place: Installation) -> None:
    down = Answer.json({"error": {"message": "overloaded"}}, status=503, headers={"retry-after-ms": "1"})
    place.provider.answer(f"/google/{GEMINI}", down)
    chat = place.chat()
    async with memory_host(place.folder, environment(place), **PATCH) as host:
        params = place.stream_params(chat, model={"provider": "auto", "name": "auto"}, files=[])
        assert await host.request("chat:stream", params) == chat
        (end,) = host.terminals(chat)
        (fallback,) = host.notifications("model:fallback")
    assert fallback["from"] == {"provider": "google", "name": "gemini-2.5-flash"}
    assert fallback["to"] == end["model"] == {"provider": "anthropic", "name": "claude-sonnet-4-20250514"}
    assert fallback["code"] == "MODEL_UNAVAILABLE"
    assert [a["outcome"] for a in end["attempts"]] == ["error", "error", "error", "ok"]


async def test_a_bad_key_of_a_chosen_model_is_told_and_burns_through_nothing(place: Installation) -> None:
    refused = Answer.json({"error": {"message": "invalid x-api-key", "type": "authentication_error"}}, status=401)
    place.provider.answer("/anthropic/messages", refused)
    chat = place.chat()
    async with memory_host(place.folder, environment(place), **PATCH) as host:
        await host.request("set-user-settings", {"autoFallback": True})
        model = {"provider": "anthropic", "name": "claude-sonnet-4-20250514"}
        assert await host.request("chat:stream", place.stream_params(chat, model=model, files=[])) == "error"
        (error,) = host.terminals(chat)
    assert (error["code"], error["kind"]) == ("AUTHENTICATION_FAILED", "auth")
    assert len(place.provider.requests) == 1
    assert KEY not in str(error)


@pytest.mark.parametrize(("key", "index"), [("sk-with blank", 7), ("sk-línea", 4), ("sk-new\nline" + "x" * 10, 6)])
async def test_a_key_that_cannot_be_one_is_refused_before_any_request(
    place: Installation, key: str, index: int
) -> None:
    chat = place.chat()
    async with memory_host(place.folder, environment(place) | {"OPENAI_API_KEY": key}, **PATCH) as host:
        model = {"provider": "openai", "name": "gpt-4.1"}
        assert await host.request("chat:stream", place.stream_params(chat, model=model, files=[])) == "error"
        (error,) = host.terminals(chat)
    assert f"invalid character at index {index}" in error["error"]
    assert key not in str(error)
    assert place.provider.requests == []


async def test_what_is_no_answer_at_all_is_handed_on(place: Installation) -> None:
    """A sign-in page tells nothing about the request: the next model may answer it."""
    page = Answer.text("<html><title>Sign in</title></html>", content_type="text/html")
    place.provider.answer("/anthropic/messages", page)
    chat = place.chat()
    async with memory_host(place.folder, environment(place), **PATCH) as host:
        await host.request("set-user-settings", {"autoFallback": True})
        model = {"provider": "anthropic", "name": "claude-sonnet-4-20250514"}
        assert await host.request("chat:stream", place.stream_params(chat, model=model, files=[])) == chat
        (end,) = host.terminals(chat)
    assert [a.get("code") for a in end["attempts"]] == ["MODEL_UNAVAILABLE", None]


async def test_a_model_that_refuses_parameters_is_asked_without_them(place: Installation) -> None:
    """Once; the next chat knows it, and none of it shows as an attempt."""
    sentences = (
        "Unsupported value: 'temperature' does not support 0 with this model.",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    )
    refusals = [Answer.json({"error": {"message": sentence}}, status=400) for sentence in sentences]
    place.provider.answer("/grok/chat/completions", *refusals, Answer.stream(openai_chat_stream(["Hello"])))
    async with memory_host(place.folder, environment(place), **PATCH) as host:
        for chat in (place.chat(), place.chat()):
            params = place.stream_params(chat, model={"provider": "grok", "name": "grok-beta"}, files=[])
            assert await host.request("chat:stream", params) == chat, host.terminals(chat)
            assert [a["outcome"] for a in host.terminals(chat)[0]["attempts"]] == ["ok"]
    assert len(place.provider.requests) == 4
    known = place.provider.last().json
    assert known["max_completion_tokens"] == 32_000
    assert not {"temperature", "max_tokens"} & known.keys()


async def test_every_request_to_the_engine_has_a_number_of_its_own(place: Installation) -> None:
    """Also the one that goes out again without what was refused, and the fallback's."""
    refused = {"error": {"message": "Unsupported parameter: 'thinking' is not supported with this model."}}
    busy = {"error": {"message": "Overloaded"}}
    place.provider.answer(
        "/engine/chat/completions",
        Answer.json(refused, status=400),
        Answer.json(busy, status=503, headers={"Retry-After": "0"}),
        Answer.stream(openai_chat_stream(["Hello"])),
    )
    chat = place.chat()
    environ = {"SCALIX_ENGINE_URL": f"{place.provider.base_url}/engine"}
    settings = {
        "enableScalixPro": True,
        "enableProLazyEditsMode": True,
        "providerSettings": {"auto": {"apiKey": {"value": "scalix_" + KEY}}},
    }
    async with memory_host(place.folder, environ, **PATCH) as host:
        await host.request("set-user-settings", settings)
        await host.request(
            "chat:stream", place.stream_params(chat, model={"provider": "google", "name": "gemini-2.5-pro"})
        )
    ids = [request.headers["x-scalix-request-id"].rpartition(":") for request in place.provider.requests]
    assert [number for _, _, number in ids] == ["attempt-1", "attempt-2", "attempt-3"]
    assert len({call for call, _, _ in ids}) == 1
    assert ["thinking" in request.json for request in place.provider.requests] == [True, False, False]


@pytest.mark.parametrize(("provider", "asked"), [("mistral", False), ("perplexity", False), ("together", True)])
async def test_usage_is_asked_for_where_it_does_not_come_by_itself(
    place: Installation, provider: str, asked: bool
) -> None:
    """Mistral answers 422 to the question."""
    body = await ask(place, provider, "some-model")
    assert ("stream_options" in body) is asked
