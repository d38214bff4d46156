"""``llm:stream``: one model call in the AI SDK's terms (protocol page 5, 6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from sidecar.engines.base import (
    Finish,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolInputDelta,
    ToolInputStart,
    Usage,
)
from sidecar.llm.stream_parts import PartBuilder
from tests.host import Host, RpcError, memory_host
from tests.installation import MODEL, Installation, installation
from tests.providers.server import Answer, Pause
from tests.providers.streams import openai_chat_stream

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


async def test_a_failed_call_ends_with_one_error_part_and_the_same_error(place: Installation) -> None:
    place.script(Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401))
    async with memory_host(place.folder, capabilities={}) as host:
        with pytest.raises(RpcError) as refused:
            await host.request("llm:stream", call())
        (part,) = parts(host)
    assert refused.value.data["code"] == "AUTHENTICATION_FAILED"
    assert (part["type"], part["error"]["code"]) == ("error", "AUTHENTICATION_FAILED")


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
