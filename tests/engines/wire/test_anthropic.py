"""The Messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.engines.base import ResponseStarted, Source, ToolCall, Usage
from tests.engines.wire.reading import (
    Reading,
    block_delta,
    block_start,
    block_stop,
    message_end,
    message_start,
    named,
    read,
)


def messages(*values: dict[str, Any]) -> Reading:
    return read("anthropic", named(*values))


TEXT = (block_start(0, "text", text=""), block_delta(0, "text_delta", text="Two birds."), block_stop(0))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool-calls"),
        ("refusal", "content-filter"),
        ("compaction", "other"),
        ("brand_new", "other"),
    ],
)
def test_finish_reasons(raw: str, reason: str) -> None:
    reading = messages(message_start(input_tokens=3), *TEXT, *message_end(raw))
    assert (reading.finish, reading.raw) == (reason, raw)


def test_the_stop_reason_finishes_even_when_the_stop_event_is_missing() -> None:
    delta, stop = message_end("end_turn")
    assert messages(message_start(), *TEXT, delta).finish == "stop"
    assert messages(message_start(), *TEXT, stop).finish == "other"
    assert messages(message_start(), *TEXT).cut


def test_the_last_of_two_stop_reasons_counts() -> None:
    reading = messages(message_start(), *message_end("pause_turn"), *message_end("end_turn"))
    assert (reading.finish, reading.raw) == ("stop", "end_turn")


def test_the_answers_id_and_model_are_given_once_although_the_start_is_repeated() -> None:
    reading = messages(message_start(input_tokens=3), message_start(input_tokens=3), *TEXT, *message_end("end_turn"))
    assert reading.started == [ResponseStarted("msg_3", "wren-4")]
    assert reading.text == "Two birds."


def test_thinking_with_its_signature() -> None:
    reading = messages(
        message_start(),
        block_start(0, "thinking", thinking="", signature=""),
        block_delta(0, "thinking_delta", thinking="Hm."),
        block_delta(0, "signature_delta", signature="c2ln"),
        block_stop(0),
        block_start(1, "redacted_thinking", data="hidden"),
        block_stop(1),
        *TEXT,
        *message_end("end_turn"),
    )
    assert (reading.reasoning, reading.signatures, reading.text) == ("Hm.", ["c2ln"], "Two birds.")


def test_text_of_a_blocks_start_and_of_a_compaction() -> None:
    reading = messages(
        message_start(),
        block_start(0, "compaction", content=None),
        block_delta(0, "compaction_delta", content="So far: birds. "),
        block_stop(0),
        block_start(1, "text", text="Two"),
        block_delta(1, "text_delta", text=" birds."),
        block_stop(1),
        *message_end("end_turn"),
    )
    assert reading.text == "So far: birds. Two birds."


@pytest.mark.parametrize(("kind", "executed"), [("tool_use", False), ("server_tool_use", True), ("mcp_tool_use", True)])
@pytest.mark.parametrize(
    ("initial", "pieces", "arguments"),
    [
        ({}, ["", '{"x":', "2}"], '{"x":2}'),
        ({}, [], "{}"),
        ({}, [""], "{}"),
        ({"x": 2}, [], '{"x":2}'),
    ],
)
def test_calls(kind: str, executed: bool, initial: dict[str, Any], pieces: list[str], arguments: str) -> None:
    reading = messages(
        message_start(),
        block_start(0, kind, id="a", name="one", input=initial),
        *(block_delta(0, "input_json_delta", partial_json=piece) for piece in pieces),
        block_stop(0),
        *message_end("end_turn" if executed else "tool_use"),
    )
    assert reading.calls == [ToolCall("a", "one", arguments, executed)]


def test_a_message_that_starts_with_its_content() -> None:
    start = message_start(input_tokens=3, output_tokens=2)
    start["message"]["content"] = [
        {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {"stdout": "1"}},
        {"type": "text", "text": "Two."},
        {"type": "tool_use", "id": "a", "name": "one", "input": {"x": 2}},
    ]
    start["message"]["stop_reason"] = "tool_use"
    reading = messages(start, {"type": "message_stop"})
    assert (reading.text, reading.finish) == ("Two.", "tool-calls")
    assert reading.calls == [ToolCall("a", "one", '{"x":2}')]


@pytest.mark.parametrize(
    ("name", "pieces", "given"),
    [
        ("bash_code_execution", ['{"comm', 'and":"ls"}'], {"type": "bash_code_execution", "command": "ls"}),
        ("text_editor_code_execution", ["{}"], {"type": "text_editor_code_execution"}),
        ("code_execution", ['{"code":"1+1"}'], {"type": "programmatic-tool-call", "code": "1+1"}),
        ("code_execution", ['{"type":"encrypted","code":"?"}'], {"type": "encrypted", "code": "?"}),
        ("code_execution", ["{}"], {}),
    ],
)
def test_the_tools_of_code_execution_have_one_name(name: str, pieces: list[str], given: dict[str, Any]) -> None:
    reading = messages(
        message_start(),
        block_start(0, "server_tool_use", id="s", name=name, input={}),
        *(block_delta(0, "input_json_delta", partial_json=piece) for piece in pieces),
        block_stop(0),
        *message_end("end_turn"),
    )
    (call,) = reading.calls
    assert (call.id, call.name, json.loads(call.arguments)) == ("s", "code_execution", given)
    assert (call.provider_executed, reading.inputs["s"]) == (True, call.arguments)


def test_a_block_nobody_knows_may_have_any_shape() -> None:
    reading = messages(
        message_start(),
        block_start(0, "some_new_block", text={"a": 1}, thinking=[], signature=3, id=4, name={}),
        block_stop(0),
        block_start(1, "text", text="a"),
        block_stop(1),
        *message_end("end_turn"),
    )
    assert (reading.text, reading.reasoning, reading.finish, reading.error) == ("a", "", "stop", None)


def test_search_results_and_citations_become_sources_once() -> None:
    page = {"url": "https://ponds.example/1", "title": "Ponds"}
    reading = messages(
        message_start(),
        block_start(0, "web_search_tool_result", tool_use_id="s", content=[{"type": "web_search_result", **page}]),
        block_stop(0),
        block_start(1, "text", text=""),
        block_delta(1, "citations_delta", citation={"type": "web_search_result_location", **page}),
        block_delta(1, "text_delta", text="Two."),
        block_stop(1),
        *message_end("end_turn"),
    )
    assert reading.sources == [Source("1", "https://ponds.example/1", "Ponds")]
    assert reading.text == "Two."


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ({"input_tokens": 20, "output_tokens": 1}, {"output_tokens": 9}, Usage(20, 9, total_tokens=29)),
        (
            {"input_tokens": 4, "cache_read_input_tokens": 13, "cache_creation_input_tokens": 3, "output_tokens": 1},
            {"output_tokens": 9},
            Usage(20, 9, None, 13, 3, 29),
        ),
        ({"input_tokens": 43}, {"input_tokens": 61, "output_tokens": 2}, Usage(61, 2, total_tokens=63)),
        (
            {"input_tokens": 20, "cache_read_input_tokens": 5},
            {"input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 9},
            Usage(25, 9, None, 5, None, 34),
        ),
        (
            # compaction is outside the top level
            {"input_tokens": 20},
            {
                "output_tokens": 9,
                "iterations": [
                    {"type": "compaction", "input_tokens": 100, "output_tokens": 30},
                    {"type": "message", "input_tokens": 20, "output_tokens": 9},
                    {"type": "advisor_message", "input_tokens": 7, "output_tokens": 7},
                ],
            },
            Usage(120, 39, total_tokens=159),
        ),
        (
            # a fallback model answered: the top level is its count
            {"input_tokens": 20},
            {
                "output_tokens": 9,
                "iterations": [
                    {"type": "message", "input_tokens": 20, "output_tokens": 40},
                    {"type": "fallback_message", "input_tokens": 20, "output_tokens": 9},
                ],
            },
            Usage(20, 9, total_tokens=29),
        ),
    ],
)
def test_usage(first: dict[str, Any], last: dict[str, Any], expected: Usage) -> None:
    assert messages(message_start(**first), *TEXT, *message_end("end_turn", **last)).usage == expected


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("overloaded_error", 529),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("request_too_large", 413),
        ("brand_new", None),
    ],
)
def test_errors_in_the_stream(kind: str, status: int | None) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "No birds today."}, "request_id": "req_1"}
    reading = messages(message_start(), *TEXT, error)
    assert reading.text == "Two birds."
    assert reading.error is not None
    assert (reading.error.message, reading.error.type, reading.error.status) == ("No birds today.", kind, status)
    assert json.loads(reading.error.body or "") == error


def test_an_answer_that_was_not_streamed() -> None:
    body = {
        "id": "msg_3",
        "type": "message",
        "role": "assistant",
        "model": "wren-4",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "text", "text": "Two."},
            {"type": "tool_use", "id": "a", "name": "one", "input": {}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    reading = read("anthropic", json.dumps(body).encode())
    assert (reading.text, reading.reasoning, reading.finish) == ("Two.", "Hm.", "tool-calls")
    assert reading.calls == [ToolCall("a", "one", "{}")]
    assert reading.usage == Usage(3, 2, total_tokens=5)
