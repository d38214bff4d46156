"""The Responses API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.engines.base import GeneratedFile, ResponseStarted, Source, ToolCall, Usage
from tests.engines.wire.reading import Reading, chunk, data, named, read


def responses(*values: dict[str, Any]) -> Reading:
    return read("openai-responses", named(*values))


def text(delta: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta",
        "output_index": index,
        "item_id": f"m_{index}",
        "delta": delta,
        **more,
    }


def done(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def added(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def end(kind: str = "completed", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {"id": "resp_1", "status": kind, **more}}


def test_the_answers_id_and_model_are_given_once() -> None:
    created = {"type": "response.created", "response": {"id": "resp_1", "model": "lark-2"}}
    progress = {"type": "response.in_progress", "response": {"id": "resp_1", "model": "lark-2"}}
    assert responses(created, progress, text("a"), end()).started == [ResponseStarted("resp_1", "lark-2")]


@pytest.mark.parametrize(
    ("last", "reason", "raw"),
    [
        (end(), "stop", None),
        (end("incomplete", incomplete_details={"reason": "max_output_tokens"}), "length", "max_output_tokens"),
        (end("incomplete", incomplete_details={"reason": "content_filter"}), "content-filter", "content_filter"),
        (end("incomplete", incomplete_details={"reason": "pause"}), "other", "pause"),
        (end("incomplete"), "other", "incomplete"),
        (end("done"), "stop", None),
    ],
)
def test_finish_reasons(last: dict[str, Any], reason: str, raw: str | None) -> None:
    reading = responses(text("a"), last)
    assert (reading.finish, reading.raw) == (reason, raw)


def test_a_done_mark_is_passed_over() -> None:
    assert read("openai-responses", named(text("a"), end()) + b"data: [DONE]\n\n").finish == "stop"
    assert read("openai-responses", named(text("a")) + b"data: [DONE]\n\n").cut


def test_reasoning_summaries_and_reasoning_text() -> None:
    reading = responses(
        {"type": "response.reasoning_summary_text.delta", "item_id": "r", "summary_index": 0, "delta": "One. "},
        {"type": "response.reasoning_summary_text.delta", "item_id": "r", "summary_index": 1, "delta": "Two. "},
        {"type": "response.reasoning_text.delta", "item_id": "r", "content_index": 0, "delta": "Three."},
        text("a"),
        end(),
    )
    assert reading.reasoning == "One. Two. Three."


@pytest.mark.parametrize("kind", ["summary", "content"])
def test_reasoning_that_never_came_as_deltas(kind: str) -> None:
    name, place = (
        ("reasoning_summary_text", "summary_index") if kind == "summary" else ("reasoning_text", "content_index")
    )
    item = {"type": "reasoning", "id": "r", "summary": [], kind: [{"text": "One. "}, {"text": "Two."}]}
    parts = [
        {"type": f"response.{name}.done", "item_id": "r", "output_index": 0, place: at, "text": words}
        for at, words in enumerate(["One. ", "Two."])
    ]
    deltas = [{"type": f"response.{name}.delta", "item_id": "r", "output_index": 0, place: 0, "delta": "One. "}]
    start = added({"type": "reasoning", "id": "r"})
    assert responses(start, done(item), text("a", 1), end()).reasoning == "One. Two."
    assert responses(start, *parts, done(item), text("a", 1), end()).reasoning == "One. Two."
    assert responses(start, *deltas, *parts, done(item), text("a", 1), end()).reasoning == "One. Two."
    assert responses(done(item), text("a", 1), end()).reasoning == "One. Two."


def test_reasoning_of_several_items() -> None:
    delta = {"type": "response.reasoning_summary_text.delta", "summary_index": 0}
    items = [
        [
            {**delta, "item_id": f"r{at}", "output_index": at, "delta": words},
            done({"type": "reasoning", "id": f"r{at}", "summary": [{"text": words}]}, at),
        ]
        for at, words in ((0, "One. "), (1, "Two. "))
    ]
    last = done({"type": "reasoning", "id": "r2", "summary": [{"text": "Three."}]}, 2)
    assert responses(*items[0], *items[1], last, text("a", 3), end()).reasoning == "One. Two. Three."


def test_a_refusal_is_shown() -> None:
    refusal = {"type": "response.refusal.delta", "output_index": 0, "item_id": "m", "delta": "I can't."}
    reading = responses(refusal, {**refusal, "type": "response.refusal.done", "refusal": "I can't."}, end())
    assert (reading.text, reading.finish) == ("I can't.", "stop")


def test_text_that_never_came_as_deltas_is_read_from_the_item() -> None:
    item = {"type": "message", "id": "m_0", "content": [{"type": "output_text", "text": "Two birds."}]}
    whole = {"type": "response.output_text.done", "output_index": 0, "item_id": "m_0", "text": "Two birds."}
    assert responses(done(item), end()).text == "Two birds."
    assert responses(whole, end()).text == "Two birds."
    assert responses(whole, done(item), end()).text == "Two birds."
    assert responses(text("Two birds."), whole, done(item), end(output=[item])).text == "Two birds."
    assert responses(end(output=[item])).text == "Two birds."
    assert responses(text("Two birds."), end(output=[{"type": "reasoning"}, item])).text == "Two birds."
    assert responses(text("Two birds.", output_index=None), done(item), end()).text == "Two birds."


def test_item_ids_that_change_from_event_to_event() -> None:
    reading = responses(
        added({"type": "message", "id": "m_0"}),
        text("Two ", item_id="x1"),
        text("birds.", item_id="x2"),
        done({"type": "message", "id": "x3", "content": [{"type": "output_text", "text": "Two birds."}]}),
        added({"type": "function_call", "id": "f", "call_id": "a", "name": "one", "arguments": ""}, 1),
        {"type": "response.function_call_arguments.delta", "output_index": 1, "item_id": "y1", "delta": '{"x":2}'},
        done({"type": "function_call", "id": "y2", "call_id": "a", "name": "one", "arguments": '{"x":2}'}, 1),
        end(),
    )
    assert reading.text == "Two birds."
    assert reading.calls == [ToolCall("a", "one", '{"x":2}')]


@pytest.mark.parametrize("arguments", ['{"x":2}', ""])
def test_a_function_call_that_comes_whole(arguments: str) -> None:
    item = {"type": "function_call", "id": "f", "call_id": "a", "name": "one", "arguments": arguments}
    reading = responses(done(item), end())
    assert reading.calls == [ToolCall("a", "one", arguments or "{}")]
    assert reading.inputs == {"a": arguments}
    assert reading.finish == "tool-calls"


def test_a_call_whose_end_does_not_say_its_place() -> None:
    item = {"type": "function_call", "id": "f", "call_id": "a", "name": "one", "arguments": ""}
    last = {"type": "response.output_item.done", "item": {**item, "arguments": '{"x":2}'}}
    other = added({**item, "id": "g", "call_id": "b"}, 0), done({**item, "id": "g", "call_id": "b"}, 0)
    reading = responses(other[0], added(item, 1), last, other[1], end())
    assert reading.calls == [ToolCall("a", "one", '{"x":2}'), ToolCall("b", "one", "{}")]


def test_a_call_whose_arguments_were_complete_though_its_item_was_not() -> None:
    start = added({"type": "function_call", "id": "f", "call_id": "a", "name": "one", "arguments": ""})
    arguments = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"x":2}'}
    reading = responses(start, arguments, end())
    assert (reading.calls, reading.finish) == ([ToolCall("a", "one", '{"x":2}')], "tool-calls")
    short = responses(start, arguments, end("incomplete", incomplete_details={"reason": "max_output_tokens"}))
    assert (short.calls, short.finish) == ([], "length")
    assert responses(start, end()).calls == []


SERVER_ITEMS: list[tuple[dict[str, Any], str, Any]] = [
    ({"type": "web_search_call", "action": {"query": "birds"}}, "web_search", {}),
    ({"type": "file_search_call", "queries": ["birds"]}, "file_search", {}),
    ({"type": "image_generation_call", "result": None}, "image_generation", {}),
    (
        {"type": "code_interpreter_call", "code": "1+1", "container_id": "c"},
        "code_interpreter",
        {"code": "1+1", "containerId": "c"},
    ),
    ({"type": "mcp_call", "name": "echo", "arguments": '{"m":1}'}, "mcp.echo", {"m": 1}),
    ({"type": "mcp_approval_request", "name": "echo", "arguments": '{"m":1}'}, "mcp.echo", {"m": 1}),
    ({"type": "computer_call", "action": {"type": "click"}}, "computer_use", {"type": "click"}),
    ({"type": "x_search_call"}, "x_search", {}),
    ({"type": "x_search_call", "name": "x_keyword_search", "arguments": '{"q":1}'}, "x_search", {"q": 1}),
    ({"type": "tool_search_call", "arguments": {"q": "birds"}}, "tool_search", {"q": "birds"}),
]  # fmt: skip


@pytest.mark.parametrize(("item", "name", "arguments"), SERVER_ITEMS)
def test_the_vendors_own_tools_are_reported_and_nothing_is_left_to_run(
    item: dict[str, Any], name: str, arguments: Any
) -> None:
    reading = responses(added({**item, "id": "t_1"}), done({**item, "id": "t_1"}), text("a", 1), end())
    (call,) = reading.calls
    assert (call.id, call.name, json.loads(call.arguments), call.provider_executed) == ("t_1", name, arguments, True)
    assert reading.finish == "stop"


@pytest.mark.parametrize(
    ("item", "name", "arguments"),
    [
        (
            {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "timeout_ms": 5, "env": {}}},
            "local_shell",
            {"action": {"type": "exec", "command": ["ls"], "timeoutMs": 5, "env": {}}},
        ),
        (
            {"type": "shell_call", "action": {"commands": ["ls"], "timeout_ms": None}},
            "shell",
            {"action": {"commands": ["ls"]}},
        ),
        (
            {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
            "apply_patch",
            {"callId": "c_1", "operation": {"type": "delete_file", "path": "a"}},
        ),
    ],
)
def test_tools_that_only_the_client_could_run(item: dict[str, Any], name: str, arguments: Any) -> None:
    reading = responses(done({**item, "id": "t_1", "call_id": "c_1"}), text("a", 1), end())
    (call,) = reading.calls
    assert (call.id, call.name, json.loads(call.arguments), call.provider_executed) == ("c_1", name, arguments, False)


def test_an_item_nobody_knows_may_have_any_shape() -> None:
    odd = {"type": "some_new_call", "id": "t_1", "content": "text", "summary": {"a": 1}, "output_format": 3}
    reading = responses(added(odd), done(odd), text("a", 1), end())
    assert (reading.text, reading.calls, reading.finish, reading.error) == ("a", [], "stop", None)


def test_a_generated_image() -> None:
    item = {"type": "image_generation_call", "id": "ig_1", "result": "UklGRg==", "output_format": "webp"}
    assert responses(done(item), end()).files == [GeneratedFile("image/webp", "UklGRg==")]


def test_url_citations_become_sources_once() -> None:
    cited = {
        "type": "response.output_text.annotation.added",
        "annotation": {"type": "url_citation", "url": "https://ponds.example/1", "title": "Ponds", "start_index": 0},
    }
    reading = responses(text("a"), cited, cited, end())
    assert reading.sources == [Source("1", "https://ponds.example/1", "Ponds")]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "input_tokens": 20,
                "input_tokens_details": {"cached_tokens": 16},
                "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 5},
                "total_tokens": 29,
            },
            Usage(20, 9, 5, 16, None, 29),
        ),
        ({"input_tokens": 20, "output_tokens": 9}, Usage(20, 9, total_tokens=29)),
        (
            {"input_tokens": 20, "input_tokens_details": {"cached_tokens": 300}, "output_tokens": 9},
            Usage(320, 9, None, 300, None, 329),
        ),
        (
            # xAI: reasoning outside the output, as the total shows
            {
                "input_tokens": 20,
                "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
                "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 100},
                "total_tokens": 129,
            },
            Usage(20, 109, 100, 4, 3, 129),
        ),
        (None, None),
    ],
)
def test_usage(usage: Any, expected: Usage | None) -> None:
    assert responses(text("a"), end(usage=usage)).usage == expected


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "error": {"type": "rate_limit", "code": "rate_limit_exceeded", "message": "Slow down."}},
        {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down.", "param": None, "sequence_number": 3},
        end("failed", error={"code": "rate_limit_exceeded", "message": "Slow down."}),
        end("completed", error={"code": "rate_limit_exceeded", "message": "Slow down."}),
    ],
)
def test_errors_in_the_stream(error: dict[str, Any]) -> None:
    again = end("failed", error={"code": "server_error", "message": "second"})
    reading = responses(text("Half"), error, again)
    assert reading.text == "Half"
    assert reading.error is not None
    assert (reading.error.message, reading.error.code, reading.error.status) == (
        "Slow down.",
        "rate_limit_exceeded",
        429,
    )
    assert reading.finish is None


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("insufficient_quota", 429),
        ("server_error", 500),
        ("context_length_exceeded", 400),
        ("invalid_prompt", 400),
        ("model_not_found", 404),
        ("brand_new", None),
    ],
)
def test_the_status_is_guessed_from_the_code(code: str, status: int | None) -> None:
    reading = responses(end("failed", error={"code": code, "message": "No."}))
    assert reading.error is not None
    assert reading.error.status == status


def test_the_code_beside_a_sentence() -> None:
    reading = responses(text("Half"))
    assert reading.cut
    reading = read("openai-responses", b'data: {"code": "The service is currently unavailable", "error": "Busy."}\n\n')
    assert reading.error is not None
    assert (reading.error.message, reading.error.status) == ("Busy.", 503)


def test_chat_completions_where_responses_were_asked_for() -> None:
    reading = read("openai-responses", data(chunk({"content": "a"}), chunk({}, "stop"), "[DONE]"))
    assert reading.error is not None
    assert "API type" in reading.error.message


def test_a_failure_without_an_error_object_is_an_error_all_the_same() -> None:
    reading = responses(end("failed"))
    assert reading.error is not None
    assert reading.error.message


def test_an_answer_that_was_not_streamed() -> None:
    body = {
        "id": "resp_1",
        "object": "response",
        "model": "lark-2",
        "status": "completed",
        "error": None,
        "text": {"format": {"type": "text"}},
        "output": [
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Two.", "annotations": []}]},
            {"type": "function_call", "id": "f", "call_id": "a", "name": "one", "arguments": "{}"},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    }
    reading = read("openai-responses", json.dumps(body, indent=1).encode())
    assert (reading.text, reading.reasoning, reading.finish) == ("Two.", "Hm.", "tool-calls")
    assert reading.calls == [ToolCall("a", "one", "{}")]
    assert reading.usage == Usage(3, 2, total_tokens=5)
    failed = read("openai-responses", json.dumps({**body, "status": "failed", "error": {"message": "No."}}).encode())
    assert failed.error is not None
    assert failed.error.message == "No."
