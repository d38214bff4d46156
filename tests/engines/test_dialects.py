"""Every vendor in its own dialect: the request as the server saw it, the events as the caller got them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from protocol.errors import ErrorCode
from sidecar.engines.base import (
    FilePart,
    Finish,
    Message,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from sidecar.engines.dialects.unsupported import unsupported_settings
from sidecar.engines.select import Engines
from sidecar.errors import ProviderError, StreamInterrupted
from tests.engines.calls import KEY, PROMPT, call, collect, reasoning_of, text_of
from tests.engines.vendors import PATHS, STREAMS, to
from tests.providers import (
    Answer,
    Drop,
    Pause,
    Recorded,
    ScriptedProvider,
    TrickleUntilGone,
)

pytestmark = pytest.mark.anyio

every_dialect = pytest.mark.parametrize("dialect", list(PATHS))


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    made = Engines({"SCALIX_TIMEOUT_FIRST_TOKEN_S": "5", "SCALIX_TIMEOUT_IDLE_S": "0.2"})
    yield made
    await made.aclose()


async def sent(
    engines: Engines, provider: ScriptedProvider, dialect: str, target: dict[str, Any] | None = None, **overrides: Any
) -> Recorded:
    provider.handle(PATHS[dialect], lambda _: Answer.stream(STREAMS[dialect]))
    await collect(engines, call(to(provider, dialect, **(target or {})), **overrides))
    return provider.last()


# --- what all have in common -------------------------------------------------------------------------------------


@every_dialect
async def test_an_answer_comes_as_the_same_events(engines: Engines, provider: ScriptedProvider, dialect: str) -> None:
    provider.answer(PATHS[dialect], Answer.stream(STREAMS[dialect]))
    events = await collect(engines, call(to(provider, dialect)))
    assert text_of(events) == "Hello"
    assert reasoning_of(events) == "hm"
    assert [event.reason for event in events if isinstance(event, Finish)] == ["stop"]
    usage = [event for event in events if isinstance(event, Usage)][-1]
    assert (usage.input_tokens, usage.output_tokens) == (9, 5)


@every_dialect
async def test_the_key_is_in_a_header_and_never_in_the_address(
    engines: Engines, provider: ScriptedProvider, dialect: str
) -> None:
    request = await sent(engines, provider, dialect)
    names = {"anthropic": "x-api-key", "google": "x-goog-api-key"}
    holders = [name for name, value in request.headers.items() if KEY in value]
    assert holders == [names.get(dialect, "authorization")]
    assert KEY not in request.path + str(request.query)
    assert request.headers["content-type"] == "application/json"


@every_dialect
async def test_a_stream_cut_before_its_finish_marker_is_interrupted(
    engines: Engines, provider: ScriptedProvider, dialect: str
) -> None:
    provider.answer(PATHS[dialect], Answer.stream([*STREAMS[dialect][:-3], Drop()]))
    with pytest.raises(StreamInterrupted) as caught:
        await collect(engines, call(to(provider, dialect)))
    assert (caught.value.provider, caught.value.request_id) == ("p", "req-1")


@every_dialect
async def test_keep_alives_do_not_hide_a_stall(engines: Engines, provider: ScriptedProvider, dialect: str) -> None:
    provider.answer(PATHS[dialect], Answer.stream([*STREAMS[dialect][:-3], TrickleUntilGone(b": ping\n\n")]))
    with anyio.fail_after(5), pytest.raises(ProviderError, match="stopped sending") as caught:
        await collect(engines, call(to(provider, dialect)))
    assert caught.value.code is ErrorCode.TIMEOUT


@every_dialect
async def test_cancelling_closes_the_connection_within_50_ms(
    engines: Engines, provider: ScriptedProvider, dialect: str
) -> None:
    pause = Pause()
    provider.answer(PATHS[dialect], Answer.stream([*STREAMS[dialect][:-3], pause]))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, engines, call(to(provider, dialect)))
            await pause.reached.wait()
            start = anyio.current_time()
            tasks.cancel_scope.cancel()
        await provider.last().gone.wait()
    assert (provider.last().gone_at or start + 1) - start < 0.05


@every_dialect
@pytest.mark.parametrize("status", [401, 429, 529])
async def test_a_refusal_is_classified_alike(
    engines: Engines, provider: ScriptedProvider, dialect: str, status: int
) -> None:
    provider.answer(PATHS[dialect], Answer.json({"error": {"message": "No."}}, status=status))
    with pytest.raises(ProviderError, match=r"^No\.$") as caught:
        await collect(engines, call(to(provider, dialect)))
    codes = {401: ErrorCode.AUTHENTICATION_FAILED, 429: ErrorCode.RATE_LIMIT_EXCEEDED, 529: ErrorCode.MODEL_UNAVAILABLE}
    assert (caught.value.code, caught.value.status) == (codes[status], status)


@every_dialect
async def test_the_targets_headers_query_and_body_come_last(
    engines: Engines, provider: ScriptedProvider, dialect: str
) -> None:
    extras = {"headers": {"X-Team": "7"}, "query": {"tenant": "t"}, "body": {"user": "u-1"}}
    request = await sent(engines, provider, dialect, extras)
    assert request.headers["x-team"] == "7"
    assert request.query == ({"alt": "sse"} if dialect == "google" else {}) | {"tenant": "t"}
    assert request.json["user"] == "u-1"


IMAGE = {
    "openai-chat": {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}},
    "openai-responses": {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0="},
    "anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}},
    "google": {"inlineData": {"mimeType": "image/png", "data": "iVBORw0="}},
    "cohere": {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}},
}


@every_dialect
async def test_an_image_travels_in_the_vendors_shape(
    engines: Engines, provider: ScriptedProvider, dialect: str
) -> None:
    prompt = (Message(role="user", parts=(TextPart("Look"), FilePart("image/png", base64="iVBORw0="))),)
    body = (await sent(engines, provider, dialect, messages=prompt)).json
    holder = {"openai-responses": "input", "google": "contents"}.get(dialect, "messages")
    content = body[holder][0]["parts" if dialect == "google" else "content"]
    assert content[1] == IMAGE[dialect]
    assert content[0].get("text") == "Look"


PNG = FilePart("image/png", base64="iVBORw0=")


@pytest.mark.parametrize(
    ("dialect", "where", "expected"),
    [
        (
            "anthropic",
            lambda body: body["messages"][1]["content"][0]["content"],
            [{"type": "text", "text": "Here:"}, IMAGE["anthropic"]],
        ),
        (
            "openai-responses",
            lambda body: body["input"][1]["output"],
            [{"type": "input_text", "text": "Here:"}, IMAGE["openai-responses"]],
        ),
        ("google", lambda body: body["contents"][1]["parts"][1], IMAGE["google"]),
        ("openai-chat", lambda body: body["messages"][2], {"role": "user", "content": [IMAGE["openai-chat"]]}),
        ("cohere", lambda body: body["messages"][2], {"role": "user", "content": [IMAGE["cohere"]]}),
    ],
)
async def test_an_image_that_a_tool_gave_back_reaches_the_model_as_an_image(
    engines: Engines, provider: ScriptedProvider, dialect: str, where: Any, expected: Any
) -> None:
    prompt = (
        Message("assistant", (ToolCallPart("c1", "look", "{}"),)),
        Message("tool", (ToolResultPart("c1", "look", "Here:", files=(PNG,)),)),
    )
    body = (await sent(engines, provider, dialect, messages=prompt)).json
    assert where(body) == expected


SAMPLING = {"top_k": 5, "presence_penalty": 0.1, "frequency_penalty": 0.2, "seed": 7, "stop": ("END",)}


@pytest.mark.parametrize(
    ("dialect", "sent_as", "left_out"),
    [
        ("openai-chat", {"presence_penalty": 0.1, "frequency_penalty": 0.2, "seed": 7, "stop": ["END"]}, {}),
        ("cohere", {"presence_penalty": 0.1, "frequency_penalty": 0.2, "seed": 7, "k": 5}, {}),
        ("google", {"presencePenalty": 0.1, "frequencyPenalty": 0.2, "seed": 7, "topK": 5}, {}),
        (
            "anthropic",
            {"top_k": 5, "temperature": 0.5},
            {"presencePenalty": "presence_penalty", "frequencyPenalty": "frequency_penalty", "seed": "seed"},
        ),
        (
            "openai-responses",
            {},
            {
                "temperature": "temperature",
                "topK": "top_k",
                "presencePenalty": "presence_penalty",
                "frequencyPenalty": "frequency_penalty",
                "seed": "seed",
                "stopSequences": "stop",
            },
        ),
    ],
)
async def test_a_setting_is_sent_or_named_as_unsupported(
    engines: Engines, provider: ScriptedProvider, dialect: str, sent_as: dict[str, Any], left_out: dict[str, str]
) -> None:
    body = (await sent(engines, provider, dialect, temperature=0.5, **SAMPLING)).json
    members = body["generationConfig"] if dialect == "google" else body
    assert {name: members.get(name) for name in sent_as} == sent_as
    assert list(unsupported_settings(call(to(provider, dialect), temperature=0.5, **SAMPLING))) == list(left_out)
    assert members.keys() & set(left_out.values()) == set()


# --- Anthropic ---------------------------------------------------------------------------------------------------

CONVERSATION = (
    Message.of("system", "Be brief."),
    Message.of("user", "weather?"),
    Message(
        role="assistant",
        parts=(
            ReasoningPart("hm", signature="c2ln"),
            ReasoningPart("unsigned"),
            ToolCallPart("c1", "weather", '{"city":"Rome"}'),
        ),
    ),
    Message(role="tool", parts=(ToolResultPart("c1", "weather", "sunny"),)),
    Message.of("user", "and tomorrow?"),
)
TOOLS = (Tool("weather", "The weather", {"type": "object", "properties": {"city": {"type": "string"}}}),)


async def test_anthropic_gets_a_system_prompt_of_its_own_and_alternating_turns(
    engines: Engines, provider: ScriptedProvider
) -> None:
    request = await sent(engines, provider, "anthropic", messages=CONVERSATION, tools=TOOLS, tool_choice="auto")
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.json == {
        "model": "claude-sonnet-4-20250514",
        "max_tokens": 4096,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "sunny"},
                    {"type": "text", "text": "and tomorrow?"},
                ],
            },
        ],
        "stream": True,
        "tools": [{"name": "weather", "description": "The weather", "input_schema": TOOLS[0].input_schema}],
        "tool_choice": {"type": "auto"},
    }


async def test_anthropic_thinks_on_top_of_the_answers_limit_and_without_temperature(
    engines: Engines, provider: ScriptedProvider
) -> None:
    asked = {"reasoning": "budget", "max_output_tokens": 1000, "temperature": 0.0}
    body = (await sent(engines, provider, "anthropic", asked, thinking="medium")).json
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 4000}
    assert body["max_tokens"] == 5000
    assert "temperature" not in body


@pytest.mark.parametrize(
    ("model", "thinking", "effort"),
    [
        ("claude-sonnet-4-20250514", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-3-7-sonnet-latest", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-haiku-4-5-20251001", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-opus-4-6", {"type": "adaptive"}, {"effort": "low"}),
        ("claude-opus-4-7", {"type": "adaptive", "display": "summarized"}, {"effort": "low"}),
        ("claude-sonnet-5", {"type": "adaptive", "display": "summarized"}, {"effort": "low"}),
        ("claude-sonnet-5-20260801", {"type": "adaptive", "display": "summarized"}, {"effort": "low"}),
    ],
)
async def test_anthropic_is_asked_to_think_as_its_generation_does(
    engines: Engines, provider: ScriptedProvider, model: str, thinking: dict[str, Any], effort: dict[str, str] | None
) -> None:
    asked = {"model": model, "wire_model": model, "reasoning": "budget", "max_output_tokens": 9000, "temperature": 0.0}
    body = (await sent(engines, provider, "anthropic", asked, thinking="low")).json
    assert (body["thinking"], body.get("output_config")) == (thinking, effort)
    assert body["max_tokens"] == 9000 + thinking.get("budget_tokens", 0)
    assert "temperature" not in body


@pytest.mark.parametrize(("model", "limit"), [("claude-sonnet-4-20250514", 4096), ("claude-opus-4-5", 64_000)])
async def test_anthropic_gets_a_limit_even_when_nobody_knows_one(
    engines: Engines, provider: ScriptedProvider, model: str, limit: int
) -> None:
    body = (await sent(engines, provider, "anthropic", {"model": model, "wire_model": model})).json
    assert body["max_tokens"] == limit


@pytest.mark.parametrize("reasoning", ["none", "budget"])
async def test_anthropic_does_not_think_unless_user_and_model_want_it(
    engines: Engines, provider: ScriptedProvider, reasoning: str
) -> None:
    thinking = "high" if reasoning == "none" else None
    asked = {"reasoning": reasoning, "max_output_tokens": 1000, "temperature": 0.0}
    body = (await sent(engines, provider, "anthropic", asked, thinking=thinking)).json
    assert "thinking" not in body
    assert (body["max_tokens"], body["temperature"]) == (1000, 0.0)


async def test_anthropic_refuses_trailing_blanks_of_a_prefill_and_empty_text(
    engines: Engines, provider: ScriptedProvider
) -> None:
    prompt = (Message.of("user", "go on"), Message.of("assistant", " "), Message.of("assistant", "so far \n"))
    body = (await sent(engines, provider, "anthropic", messages=prompt)).json
    assert body["messages"][1:] == [{"role": "assistant", "content": [{"type": "text", "text": "so far"}]}]


async def test_anthropic_caches_up_to_every_mark(engines: Engines, provider: ScriptedProvider) -> None:
    mark = {"type": "ephemeral"}
    prompt = (
        Message("system", (TextPart("Be brief.", mark),)),
        Message("user", (TextPart("a", mark), FilePart("image/png", base64="iVBORw0=", cache_control=mark))),
        Message("assistant", (ToolCallPart("c1", "weather", "{}", cache_control=mark),)),
        Message("tool", (ToolResultPart("c1", "weather", "sunny", cache_control=mark),)),
    )
    tools = (Tool("weather", None, {"type": "object"}, mark),)
    body = (await sent(engines, provider, "anthropic", messages=prompt, tools=tools)).json
    blocks = [*body["system"], *body["tools"], *(block for message in body["messages"] for block in message["content"])]
    assert [block.get("cache_control") for block in blocks] == [mark] * 6


@pytest.mark.parametrize(
    ("options", "members"),
    [
        (
            {"thinking": {"type": "enabled", "budgetTokens": 2000}},
            {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 3000},
        ),
        ({"thinking": {"type": "disabled"}}, {"temperature": 0.5, "max_tokens": 1000}),
        ({"disableParallelToolUse": True}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    ],
)
async def test_anthropics_own_options_are_heard(
    engines: Engines, provider: ScriptedProvider, options: dict[str, Any], members: dict[str, Any]
) -> None:
    asked = {"provider_options": options, "tools": TOOLS, "max_output_tokens": 1000, "temperature": 0.5}
    body = (await sent(engines, provider, "anthropic", **asked)).json
    assert {name: body.get(name) for name in members} == members
    assert ("thinking" in body) == ("thinking" in members)
    named = list(unsupported_settings(call(to(provider, "anthropic"), **asked)))
    assert named == (["temperature"] if "thinking" in members else [])


# --- Google ------------------------------------------------------------------------------------------------------


async def test_gemini_gets_contents_and_a_generation_config(engines: Engines, provider: ScriptedProvider) -> None:
    request = await sent(
        engines,
        provider,
        "google",
        {"reasoning": "budget"},
        messages=CONVERSATION,
        tools=TOOLS,
        tool_choice={"toolName": "weather"},
        max_output_tokens=100,
        temperature=0,
        top_p=0.9,
        stop=("END",),
        thinking="high",
    )
    assert request.query == {"alt": "sse"}
    assert request.json == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "weather?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Rome"}}}]},
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "name": "weather",
                            "response": {"name": "weather", "content": "sunny"},
                        }
                    },
                    {"text": "and tomorrow?"},
                ],
            },
        ],
        "generationConfig": {
            "maxOutputTokens": 100,
            "temperature": 0,
            "topP": 0.9,
            "stopSequences": ["END"],
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": -1},
        },
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "weather",
                        "description": "The weather",
                        "parametersJsonSchema": TOOLS[0].input_schema,
                    }
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
    }


@pytest.mark.parametrize(
    ("model", "thinking", "config"),
    [
        ("gemini-2.5-flash", None, {"includeThoughts": True}),
        ("gemini-2.5-flash", "low", {"includeThoughts": True, "thinkingBudget": 1000}),
        ("gemini-2.5-flash", "medium", {"includeThoughts": True, "thinkingBudget": 4000}),
        ("gemini-3-pro-preview", "high", {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-3-pro-preview", "medium", {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-3-flash-preview", "medium", {"includeThoughts": True, "thinkingLevel": "medium"}),
        ("gemini-3.7-flash", "low", {"includeThoughts": True, "thinkingLevel": "low"}),
    ],
)
async def test_gemini_thinks_as_the_user_set_it(
    engines: Engines, provider: ScriptedProvider, model: str, thinking: Any, config: dict[str, Any]
) -> None:
    provider.answer(f"/v1/models/{model}:streamGenerateContent", Answer.stream(STREAMS["google"]))
    target = to(provider, "google", wire_model=model, reasoning="budget")
    await collect(engines, call(target, thinking=thinking))
    assert provider.last().json["generationConfig"]["thinkingConfig"] == config


async def test_gemini_3_gets_a_signature_for_calls_that_have_lost_theirs(
    engines: Engines, provider: ScriptedProvider
) -> None:
    provider.answer("/v1/models/gemini-3-pro:streamGenerateContent", Answer.stream(STREAMS["google"]))
    await collect(engines, call(to(provider, "google", wire_model="gemini-3-pro"), messages=CONVERSATION))
    (part,) = provider.last().json["contents"][1]["parts"]
    assert part["thoughtSignature"] == "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="


async def test_gemini_gets_the_signature_that_its_call_came_with(engines: Engines, provider: ScriptedProvider) -> None:
    provider.answer("/v1/models/gemini-3-pro:streamGenerateContent", Answer.stream(STREAMS["google"]))
    calls = Message("assistant", (ToolCallPart("a", "f", "{}", signature="c2ln"), ToolCallPart("b", "g", "{}")))
    await collect(engines, call(to(provider, "google", wire_model="gemini-3-pro"), messages=(*PROMPT, calls)))
    first, second = provider.last().json["contents"][1]["parts"]
    assert first["thoughtSignature"] == "c2ln"
    assert "thoughtSignature" not in second


# --- OpenAI's Responses ------------------------------------------------------------------------------------------


async def test_a_reasoning_model_gets_a_developer_prompt_a_summary_and_no_temperature(
    engines: Engines, provider: ScriptedProvider
) -> None:
    request = await sent(
        engines,
        provider,
        "openai-responses",
        {"reasoning": "effort"},
        messages=CONVERSATION,
        tools=TOOLS,
        max_output_tokens=100,
        temperature=0,
        thinking="high",
    )
    assert request.json == {
        "model": "gpt-5",
        "input": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Rome"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            {"role": "user", "content": [{"type": "input_text", "text": "and tomorrow?"}]},
        ],
        "stream": True,
        "max_output_tokens": 100,
        "reasoning": {"summary": "auto", "effort": "high"},
        "tools": [
            {
                "type": "function",
                "name": "weather",
                "description": "The weather",
                "parameters": TOOLS[0].input_schema,
                "strict": False,
            }
        ],
    }


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5-chat-latest"])
async def test_other_models_keep_temperature_and_system(
    engines: Engines, provider: ScriptedProvider, model: str
) -> None:
    body = (await sent(engines, provider, "openai-responses", {"wire_model": model}, temperature=0.5)).json
    assert body["temperature"] == 0.5
    assert body["input"][0] == {"role": "system", "content": "Be brief."}
    assert "reasoning" not in body


# --- Cohere ------------------------------------------------------------------------------------------------------


async def test_cohere_has_names_of_its_own_for_sampling(engines: Engines, provider: ScriptedProvider) -> None:
    request = await sent(
        engines,
        provider,
        "cohere",
        tools=(*TOOLS, Tool("other", None, {})),
        tool_choice={"toolName": "weather"},
        temperature=0,
        top_p=0.9,
        top_k=5,
        stop=("END",),
        max_output_tokens=100,
        response_format={"type": "json", "schema": {"type": "object"}},
    )
    body = request.json
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert {name: body[name] for name in ("max_tokens", "temperature", "p", "k", "stop_sequences", "tool_choice")} == {
        "max_tokens": 100,
        "temperature": 0,
        "p": 0.9,
        "k": 5,
        "stop_sequences": ["END"],
        "tool_choice": "REQUIRED",
    }
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather"]
    assert body["response_format"] == {"type": "json_object", "json_schema": {"type": "object"}}
