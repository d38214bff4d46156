"""Cohere's chat, version 2."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.engines.base import ResponseStarted, ToolCall, Usage
from tests.engines.wire.reading import Reading, named, read


def cohere(*values: dict[str, Any]) -> Reading:
    return read("cohere", named(*values))


def content(index: int, kind: str = "content-delta", **fields: str) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": {"content": fields}}}


def end(reason: str, **more: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, **more}}


def tool(kind: str, index: int, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": {"tool_calls": fields}}}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool-calls"),
        ("ERROR", "error"),
        ("TIMEOUT", "error"),
        ("ERROR_TOXIC", "content-filter"),
        ("BRAND_NEW", "other"),
    ],
)
def test_finish_reasons(raw: str, reason: str) -> None:
    reading = cohere(content(0, text="a"), end(raw))
    assert (reading.finish, reading.raw) == (reason, raw)


def test_the_answers_id() -> None:
    assert cohere({"type": "message-start", "id": "c-1"}, end("COMPLETE")).started == [ResponseStarted("c-1")]


def test_text_of_a_contents_start_counts_too() -> None:
    start = content(0, "content-start", type="text", text="Two")
    assert cohere(start, content(0, text=" birds."), end("COMPLETE")).text == "Two birds."


def test_parallel_calls() -> None:
    reading = cohere(
        tool("tool-call-start", 0, id="a", type="function", function={"name": "one", "arguments": ""}),
        tool("tool-call-delta", 0, function={"arguments": '{"x":2}'}),
        {"type": "tool-call-end", "index": 0},
        tool("tool-call-start", 1, id="b", type="function", function={"name": "two", "arguments": '{"y":3}'}),
        {"type": "tool-call-end", "index": 1},
        tool("tool-call-start", 2, id="c", type="function", function={"name": "three"}),
        end("TOOL_CALL"),
    )
    assert reading.calls == [
        ToolCall("a", "one", '{"x":2}'),
        ToolCall("b", "two", '{"y":3}'),
        ToolCall("c", "three", "{}"),
    ]


def test_the_plan_before_calls_and_citations_are_not_text() -> None:
    reading = cohere(
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will count."}}},
        content(0, text="Two."),
        {"type": "citation-start", "index": 0, "delta": {"message": {"citations": {"start": 0, "text": "Two"}}}},
        {"type": "citation-end", "index": 0},
        end("COMPLETE"),
    )
    assert (reading.text, reading.reasoning) == ("Two.", "")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"billed_units": {"input_tokens": 2}, "tokens": {"input_tokens": 20, "output_tokens": 9}},
            Usage(20, 9, total_tokens=29),
        ),
        ({"billed_units": {"input_tokens": 2, "output_tokens": 9}}, Usage(2, 9, total_tokens=11)),
        ({"tokens": {"input_tokens": 20, "output_tokens": 9}, "cached_tokens": 16}, Usage(20, 9, None, 16, None, 29)),
        (None, None),
    ],
)
def test_usage(usage: Any, expected: Usage | None) -> None:
    assert cohere(content(0, text="a"), end("COMPLETE", usage=usage)).usage == expected


@pytest.mark.parametrize(
    "error",
    [
        end("ERROR", error="No birds today."),
        {"type": "error", "message": "No birds today."},
    ],
)
def test_errors_in_the_stream(error: dict[str, Any]) -> None:
    reading = cohere(content(0, text="Half"), error)
    assert reading.text == "Half"
    assert reading.error is not None
    assert reading.error.message == "No birds today."


def test_an_error_body() -> None:
    reading = read("cohere", b'{"id": "c-1", "message": "invalid api token"}')
    assert reading.error is not None
    assert reading.error.message == "invalid api token"


def test_an_answer_that_was_not_streamed() -> None:
    body = {
        "id": "c-1",
        "finish_reason": "TOOL_CALL",
        "message": {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Two."}],
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "one", "arguments": '{"x":2}'}}],
        },
        "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}},
    }
    reading = read("cohere", json.dumps(body).encode())
    assert (reading.text, reading.reasoning, reading.finish) == ("Two.", "Hm.", "tool-calls")
    assert reading.calls == [ToolCall("a", "one", '{"x":2}')]
    assert reading.usage == Usage(3, 2, total_tokens=5)
