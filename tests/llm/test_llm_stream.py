"""``llm:stream``: one model call in the AI SDK's terms (protocol page 5, 6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from protocol import llm as wire
from sidecar.engines.base import (
    Finish,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCall,
    ToolInputDelta,
    ToolInputStart,
    Usage,
)
from sidecar.llm.prompt import messages
from sidecar.llm.stream_parts import PartBuilder
from tests.host import Host, RpcError, memory_host
from tests.installation import MODEL, Installation, installation
from tests.planted import planted
from tests.providers.server import Answer, Pause
from tests.providers.streams import anthropic_stream, gemini_stream, openai_chat_stream, sse

pytestmark = pytest.mark.anyio


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


def call(**more: Any) -> dict[str, Any]:
    prompt = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    ]
    return {"callId": "c1", "model": MODEL, "prompt": prompt, **more}


def parts(host: Host) -> list[dict[str, Any]]:
    found = host.notifications("llm:part", callId="c1")
    assert [params["seq"] for params in found] == list(range(len(found)))
    return [params["part"] for params in found]


async def test_a_mistake_of_our_own_has_a_last_part_too(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    place.answers("Hello")
    async with memory_host(place.folder, capabilities={}) as host:
        with capture_logs() as logged, monkeypatch.context() as patched:
            patched.setattr(PartBuilder, "take", stumble)
            with pytest.raises(RpcError) as failed:
                await host.request("llm:stream", call())
        assert failed.value.data["code"] == "INTERNAL"
        assert [part["type"] for part in parts(host)][-1:] == ["error"]
    assert [entry["exc_info"] for entry in logged if entry["event"] == "the call failed"] == [True]


async def test_a_call_streams_parts_and_ends_with_one_finish(place: Installation) -> None:
    place.answers("Hel", "lo", reasoning=["hm"], usage={"prompt_tokens": 3, "completion_tokens": 2})
    async with memory_host(place.folder, capabilities={}) as host:
        result = await host.request("llm:stream", call())
        found = parts(host)
    assert result["finishReason"] == "stop"
    assert result["usage"]["inputTokens"] == 3
    assert result["model"] == MODEL
    assert result["attempts"][0]["outcome"] == "ok"
    assert [part["type"] for part in found if not part["type"].endswith("delta")] == [
        "reasoning-start", "reasoning-end", "text-start", "text-end", "finish",
    ]  # fmt: skip
    assert "".join(part["delta"] for part in found if part["type"] == "text-delta") == "Hello"
    assert found[-1]["finishReason"] == "stop"
    assert place.provider.last().json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


@pytest.mark.parametrize("given", [None, 0.7])
async def test_a_temperature_nobody_asked_for_is_not_sent(place: Installation, given: float | None) -> None:
    place.provider.answer("/openrouter/chat/completions", Answer.stream(openai_chat_stream(["Hello"])))
    environment = {
        "OPENROUTER_API_KEY": "k" * 30,
        "SCALIX_OPENROUTER_BASE_URL": f"{place.provider.base_url}/openrouter",
    }
    model = {"provider": "openrouter", "name": "qwen/qwen3-coder"}  # the catalogue's temperature is 0
    asked = {} if given is None else {"temperature": given}
    async with memory_host(place.folder, environment, capabilities={}) as host:
        await host.request("llm:stream", call(model=model, **asked))
    assert place.provider.last().json.get("temperature") == given


async def test_a_prompt_that_is_too_long_is_refused_before_it_is_sent(place: Installation) -> None:
    """With the counted tokens, for a model whose window is known."""
    model = {"provider": "anthropic", "name": "claude-sonnet-4-20250514"}
    environment = {"ANTHROPIC_API_KEY": "k" * 30, "SCALIX_ANTHROPIC_BASE_URL": place.provider.base_url}
    prompt = [{"role": "user", "content": [{"type": "text", "text": "a" * 800_000}]}]
    async with memory_host(place.folder, environment, capabilities={}) as host:
        with pytest.raises(RpcError, match="about 200,000 tokens") as caught:
            await host.request("llm:stream", call(model=model, prompt=prompt))
        (part,) = parts(host)
    assert caught.value.data["code"] == "CONTEXT_LENGTH_EXCEEDED"
    assert (caught.value.data["contextWindow"], caught.value.data["totalTokens"]) == (200_000, 200_000)
    assert part["type"] == "error"
    assert place.provider.requests == []


async def test_a_model_nobody_knows_judges_the_length_itself(place: Installation) -> None:
    place.answers("Hello")
    prompt = [{"role": "user", "content": [{"type": "text", "text": "a" * 800_000}]}]
    async with memory_host(place.folder, capabilities={}) as host:
        await host.request("llm:stream", call(prompt=prompt, model={**MODEL, "name": "typed-by-hand"}))


async def test_tools_travel_both_ways(place: Installation) -> None:
    place.answers(tool_calls=[("call_1", "weather", ['{"city":', '"Rome"}'])], finish="tool_calls")
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    history = [
        {"role": "user", "content": [{"type": "text", "text": "?"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "a", "toolName": "weather", "input": {"city": "Oslo"}}],
        },
        {
            "role": "tool",
            "content": [
                {
                    "type": "tool-result",
                    "toolCallId": "a",
                    "toolName": "weather",
                    "output": {"type": "json", "value": {"c": 3}},
                }
            ],
        },
    ]
    tools = [{"type": "function", "name": "weather", "inputSchema": schema}]
    async with memory_host(place.folder, capabilities={}) as host:
        params = call(prompt=history, tools=tools, toolChoice={"type": "required"})
        result = await host.request("llm:stream", params)
        found = parts(host)
    assert result["finishReason"] == "tool-calls"
    (tool_call,) = [part for part in found if part["type"] == "tool-call"]
    assert (tool_call["toolCallId"], tool_call["toolName"], tool_call["input"]) == (
        "call_1", "weather", '{"city":"Rome"}',
    )  # fmt: skip
    body = place.provider.last().json
    assert body["tool_choice"] == "required"
    assert body["tools"][0]["function"]["parameters"] == schema
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "a", "content": '{"c":3}'}


USER = {"role": "user", "content": [{"type": "text", "text": "?"}]}


def vendor(place: Installation, name: str, path: str, *answers: list[bytes]) -> dict[str, str]:
    """The environment in which this provider is the scripted one."""
    place.provider.answer(f"/v1/{path}", *map(Answer.stream, answers))
    keys = {"anthropic": "ANTHROPIC_API_KEY", "google": "GEMINI_API_KEY", "openai": "OPENAI_API_KEY"}
    return {f"SCALIX_{name.upper()}_BASE_URL": f"{place.provider.base_url}/v1", keys[name]: "test-key-of-nobody"}


async def test_signed_thinking_goes_back_to_the_vendor_that_signed_it(place: Installation) -> None:
    model = {"provider": "anthropic", "name": "claude-sonnet-4-20250514"}
    signed = anthropic_stream(["Rome"], thinking=["hm"], signature="c2lnbmVk")
    environment = vendor(place, "anthropic", "messages", signed, signed)
    options = {"anthropic": {"thinking": {"type": "enabled", "budgetTokens": 1024}}}
    async with memory_host(place.folder, environment, capabilities={}) as host:
        await host.request("llm:stream", call(model=model, providerOptions=options))
        (end,) = [part for part in parts(host) if part["type"] == "reasoning-end"]
        thought = {"type": "reasoning", "text": "hm", "providerOptions": end["providerMetadata"]}
        history = [USER, {"role": "assistant", "content": [thought, {"type": "text", "text": "Rome"}]}, USER]
        await host.request("llm:stream", call(callId="c2", model=model, prompt=history, providerOptions=options))
    assert end["providerMetadata"] == {"anthropic": {"signature": "c2lnbmVk"}}
    content = place.provider.last().json["messages"][1]["content"]
    assert content[0] == {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"}


async def test_a_gemini_call_goes_back_with_its_own_signature(place: Installation) -> None:
    model = {"provider": "google", "name": "gemini-3-pro-preview"}
    part = {"functionCall": {"name": "weather", "args": {}}, "thoughtSignature": "c2lnbmVk"}
    called = [sse({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]})]
    path = "models/gemini-3-pro-preview:streamGenerateContent"
    environment = vendor(place, "google", path, called, gemini_stream(["sunny"]))
    async with memory_host(place.folder, environment, capabilities={}) as host:
        await host.request("llm:stream", call(model=model))
        (made,) = [part for part in parts(host) if part["type"] == "tool-call"]
        named = {"toolCallId": made["toolCallId"], "toolName": "weather"}
        sent_back = {"type": "tool-call", **named, "input": {}, "providerOptions": made["providerMetadata"]}
        result = {"type": "tool-result", **named, "output": {"type": "text", "value": "sunny"}}
        history = [USER, {"role": "assistant", "content": [sent_back]}, {"role": "tool", "content": [result]}]
        await host.request("llm:stream", call(callId="c2", model=model, prompt=history))
    assert place.provider.last().json["contents"][1]["parts"][0]["thoughtSignature"] == "c2lnbmVk"


async def test_what_is_left_out_is_warned_of_first_and_in_the_result(place: Installation) -> None:
    environment = vendor(place, "anthropic", "messages", anthropic_stream(["Hi"]))
    search = {"type": "provider-defined", "id": "anthropic.web_search", "name": "search", "args": {}}
    model = {"provider": "anthropic", "name": "claude-sonnet-4-20250514"}
    async with memory_host(place.folder, environment, capabilities={}) as host:
        result = await host.request("llm:stream", call(model=model, seed=7, tools=[search]))
        found = parts(host)
    assert found[0] == {"type": "stream-start", "warnings": result["warnings"]}
    assert [(warning["type"], warning.get("setting"), warning.get("tool")) for warning in result["warnings"]] == [
        ("unsupported-tool", None, "search"),
        ("unsupported-setting", "seed", None),
    ]
    assert (found[-1]["rawFinishReason"], found[-1]["usage"]["outputTokens"]) == ("end_turn", 30)


async def test_marks_for_the_cache_hold_for_a_part_or_up_to_the_end_of_a_message(place: Installation) -> None:
    environment = vendor(place, "anthropic", "messages", anthropic_stream(["Hi"]))
    mark = {"type": "ephemeral", "ttl": "1h"}
    cached = {"providerOptions": {"anthropic": {"cacheControl": mark}}}
    prompt = [
        {"role": "system", "content": "Be brief.", **cached},
        {"role": "user", "content": [{"type": "text", "text": "a", **cached}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}], **cached},
    ]
    model = {"provider": "anthropic", "name": "claude-sonnet-4-20250514"}
    async with memory_host(place.folder, environment, capabilities={}) as host:
        await host.request("llm:stream", call(model=model, prompt=prompt))
    body = place.provider.last().json
    marked = [block["text"] for block in [*body["system"], *body["messages"][0]["content"]] if "cache_control" in block]
    assert marked == ["Be brief.", "a", "d"]
    assert body["system"][0]["cache_control"] == mark


async def test_what_tools_gave_back_reaches_the_model_as_text_and_files(place: Installation) -> None:
    place.answers("ok")
    output = [{"type": "text", "text": "Here:"}, {"type": "media", "data": "iVBORw0=", "mediaType": "image/png"}]
    made = {"type": "tool-call", "toolCallId": "a", "toolName": "look", "input": {}}
    own = {"type": "tool-call", "toolCallId": "b", "toolName": "web_search", "input": {}, "providerExecuted": True}
    found = {
        "type": "tool-result",
        "toolCallId": "b",
        "toolName": "web_search",
        "output": {"type": "json", "value": []},
    }
    result = {"type": "tool-result", "toolCallId": "a", "toolName": "look"}
    history = [
        USER,
        {"role": "assistant", "content": [own, found, made]},
        {"role": "tool", "content": [{**result, "output": {"type": "content", "value": output}}]},
    ]
    broken = [{"role": "tool", "content": [{**result, "output": {"type": "content", "value": [{"type": "video"}]}}]}]
    async with memory_host(place.folder, capabilities={}) as host:
        await host.request("llm:stream", call(prompt=history))
        with pytest.raises(RpcError, match="content output") as refused:
            await host.request("llm:stream", call(callId="c2", prompt=broken))
    sent = place.provider.last().json["messages"]
    assert [entry["id"] for entry in sent[1]["tool_calls"]] == ["a"], (
        "the vendor's own calls stay away with their results"
    )
    assert sent[2] == {"role": "tool", "tool_call_id": "a", "content": "Here:"}
    assert sent[3]["content"][0]["image_url"] == {"url": "data:image/png;base64,iVBORw0="}
    assert refused.value.code == -32602


async def test_a_failed_call_ends_with_one_error_part_and_the_same_error(place: Installation) -> None:
    place.script(Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401))
    async with memory_host(place.folder, capabilities={}) as host:
        with pytest.raises(RpcError) as refused:
            await host.request("llm:stream", call())
        (part,) = parts(host)
    assert (refused.value.data["code"], refused.value.data["status"]) == ("AUTHENTICATION_FAILED", 401)
    assert refused.value.data["details"] == '{"error": {"message": "Incorrect API key provided"}}'
    assert (part["type"], part["error"]["code"]) == ("error", "AUTHENTICATION_FAILED")
    (attempt,) = refused.value.data["attempts"]
    assert type(attempt["ms"]) is int, "whole ms, as in a result"


async def test_calls_and_chats_share_the_sixty_four_places(place: Installation) -> None:
    hold = Pause()
    place.script([*openai_chat_stream(["Hel", "lo"])[:2], hold, *openai_chat_stream(["Hel", "lo"])[2:]])
    one, two = place.chat(), place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch"}) as host:
        chat = await host.start("chat:stream", place.stream_params(one))
        calls = [await host.start("llm:stream", call(callId=f"c{number}")) for number in range(63)]
        await host.until(lambda: len({part["callId"] for part in host.notifications("llm:part")}) == 63)
        for method, params in (("llm:stream", call(callId="more")), ("chat:stream", place.stream_params(two))):
            with pytest.raises(RpcError) as refused:
                await host.request(method, params)
            assert (refused.value.code, refused.value.data["retryable"]) == (-32001, True)
        assert not place.messages(two)
        hold.resume()
        assert await host.answer(chat) == one
        assert [(await host.answer(each))["finishReason"] for each in calls] == ["stop"] * 63
        assert (await host.request("llm:stream", call(callId="more")))["finishReason"] == "stop"


async def test_the_id_of_a_running_call_is_taken(place: Installation) -> None:
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    async with memory_host(place.folder, capabilities={}) as host:
        await host.start("llm:stream", call())
        await host.until(lambda: any(part["type"] == "text-delta" for part in parts(host)))
        with pytest.raises(RpcError, match="still running") as refused:
            await host.request("llm:stream", call())
        assert refused.value.data["code"] == "CONFLICT"
        await host.request("llm:cancel", ["c1"])
    assert len(place.provider.requests) == 1


@pytest.mark.parametrize("call_id", ["", "x" * 257])
async def test_an_id_that_is_none_or_far_too_long_is_refused(place: Installation, call_id: str) -> None:
    async with memory_host(place.folder, capabilities={}) as host:
        with pytest.raises(RpcError, match="callId must have 1 to 256 characters") as refused:
            await host.request("llm:stream", call(callId=call_id))
    assert refused.value.code == -32602


async def test_settings_that_the_app_has_changed_count_in_the_very_next_call(place: Installation) -> None:
    place.provider.answer("/mistral/chat/completions", Answer.stream(openai_chat_stream(["Hello"])))
    asks = call(model={"provider": "mistral", "name": "m"})
    async with memory_host(place.folder, {"SCALIX_MISTRAL_BASE_URL": f"{place.provider.base_url}/mistral"}) as host:
        await host.initialize(capabilities={})
        for days_old, key in ((1, planted("sk-{}-1")), (0.5, planted("sk-{}-2"))):
            place.settings({"providerSettings": {"mistral": {"apiKey": {"value": key}}}}, days_old=days_old)
            for _ in range(2):
                await host.request("llm:stream", asks)
                assert place.provider.requests[-1].headers["authorization"] == f"Bearer {key}"
        place.settings({"sidecarFeatures": {"liteLLM": False}}, days_old=0.2)
        for _ in range(2):
            with pytest.raises(RpcError) as refused:
                await host.request("llm:stream", asks)
            assert refused.value.data["code"] == "FEATURE_DISABLED"


async def test_cancel_stops_the_call_and_closes_the_connection(place: Installation) -> None:
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    async with memory_host(place.folder, capabilities={}) as host:
        running = await host.start("llm:stream", call())
        await host.until(lambda: any(part["type"] == "text-delta" for part in parts(host)))
        assert await host.request("llm:cancel", ["c1"]) is True
        assert [part["type"] for part in parts(host)][-2:] == ["text-end", "error"]
        with pytest.raises(RpcError) as refused:
            await host.answer(running)
        assert refused.value.code == -32800
        with anyio.fail_after(5):
            await place.provider.last().gone.wait()
        assert await host.request("llm:cancel", {"callId": "unknown"}) is True


async def test_a_cancel_sent_right_behind_the_call_finds_it(place: Installation) -> None:
    place.script([Pause()])
    async with memory_host(place.folder, capabilities={}) as host:
        running = await host.start("llm:stream", call())
        assert await host.request("llm:cancel", {"callId": "c1"}) is True
        with pytest.raises(RpcError) as refused:
            await host.answer(running)
        assert refused.value.code == -32800
        assert [part["type"] for part in parts(host)] == ["error"]


def test_what_a_vendors_own_tools_did_is_not_sent_back_by_halves() -> None:
    call_of_its_own = wire.ToolCallPart("b", "web_search", {}, provider_executed=True)
    found = wire.ToolResultPart("b", "web_search", wire.ToolOutput("json", []))
    (message,) = messages([wire.AssistantMessage([wire.TextPart("Found."), call_of_its_own, found])])
    assert message.parts == (TextPart("Found."),)


def test_a_signature_without_text_is_a_block_of_its_own_and_no_other_vendors() -> None:
    builder = PartBuilder()
    builder.dialect = "anthropic"
    events = [ReasoningDelta("", "0", "c2ln"), TextDelta("b", "1")]
    start, end, *_ = builder.take(events)
    assert start == wire.ReasoningStart("reasoning-0")
    assert end == wire.ReasoningEnd("reasoning-0", {"anthropic": {"signature": "c2ln"}})
    _, unsigned, *_ = PartBuilder().take(events)
    assert unsigned == wire.ReasoningEnd("reasoning-0")


def test_blocks_open_and_close_around_their_deltas() -> None:
    builder = PartBuilder()
    events = [
        ReasoningDelta("a", "0"),
        TextDelta("b", "0"),
        TextDelta("", "0"),
        ToolInputStart("t", "f"),
        ToolInputDelta("t", "{}"),
        ToolCall("t", "f", "{}"),
        TextDelta("c", "0"),
        Usage(input_tokens=1),
        Finish("stop"),
    ]
    names = [type(part).__name__ for part in [*builder.take(events), *builder.finish()]]
    assert names == [
        "ReasoningStart", "ReasoningDeltaPart", "ReasoningEnd", "TextStart", "TextDeltaPart", "TextEnd",
        "ToolInputStart", "ToolInputDelta", "ToolInputEnd", "ToolCall", "TextStart", "TextDeltaPart", "TextEnd",
        "FinishPart",
    ]  # fmt: skip
