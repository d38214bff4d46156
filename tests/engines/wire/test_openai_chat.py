"""Chat completions: what OpenAI says, and how the others differ."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.engines.base import GeneratedFile, ResponseStarted, Source, ToolCall, Usage
from tests.engines.wire.reading import Reading, chunk, data, read, tool_delta

DONE = "[DONE]"
STOP = chunk({}, "stop")


def chat(*values: Any) -> Reading:
    return read("openai-chat", data(*values))


def called(reading: Reading) -> list[tuple[str, str, str]]:
    return [(call.id, call.name, call.arguments) for call in reading.calls]


def test_the_answers_id_and_model_are_given_once() -> None:
    reading = chat(chunk({"content": "a"}), chunk({"content": "b"}), STOP, DONE)
    assert reading.started == [ResponseStarted("chatcmpl-7", "lark-1")]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("content_filter", "content-filter"),
        ("tool_calls", "tool-calls"),
        ("function_call", "tool-calls"),
        ("error", "error"),
        ("insufficient_system_resource", "error"),
        ("weather", "other"),
    ],
)
def test_finish_reasons(raw: str, reason: str) -> None:
    reading = chat(chunk({"content": "a"}), chunk({}, raw), DONE)
    assert (reading.finish, reading.raw) == (reason, raw)


def test_a_done_mark_after_content_finishes_for_an_unknown_reason() -> None:
    reading = chat(chunk({"content": "a"}), DONE)
    assert (reading.text, reading.finish, reading.cut) == ("a", "other", False)


def test_a_done_mark_alone_is_no_answer() -> None:
    assert chat(DONE).cut
    assert chat(chunk({"role": "assistant", "content": ""}), DONE).cut


def test_a_finish_reason_without_a_done_mark_finishes() -> None:
    assert chat(chunk({"content": "a"}), STOP).finish == "stop"


def test_an_empty_finish_reason_is_none() -> None:
    assert chat(chunk({"content": "a"}, "")).cut


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "Hm."},
        {"reasoning": "Hm."},
        {"reasoning": "Hm.", "reasoning_content": "Hm."},
        {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"reasoning_content": None, "reasoning": "Hm.", "content": None},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
        {"content": [{"type": "thinking", "thinking": "Hm."}]},
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "H"},
                {"type": "reasoning.summary", "summary": "m."},
            ]
        },
        {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.encrypted", "data": "c2VjcmV0"}]},
    ],
)
def test_reasoning_under_every_vendors_name(delta: dict[str, Any]) -> None:
    reading = chat(chunk(delta), chunk({"content": "Yes."}), STOP, DONE)
    assert (reading.reasoning, reading.text) == ("Hm.", "Yes.")


def test_content_as_a_list_of_parts() -> None:
    parts = [
        {"type": "text", "text": "Ye"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "s."},
    ]
    assert chat(chunk({"content": parts}), STOP).text == "Yes."


def test_a_refusal_is_shown_and_the_vendors_reason_kept() -> None:
    reading = chat(chunk({"content": None, "refusal": "I "}), chunk({"refusal": "can't."}), STOP, DONE)
    assert (reading.text, reading.finish) == ("I can't.", "stop")


def test_groks_sign_that_it_is_still_thinking_is_shown_once() -> None:
    beats = [chunk({"reasoning_content": "Thinking... "})] * 3
    reading = chat(*beats, chunk({"reasoning_content": "Two."}), chunk({"reasoning_content": "Two."}), STOP, DONE)
    assert reading.reasoning == "Thinking... Two.Two."


@pytest.mark.parametrize(
    "odd",
    [
        {"refusal": False},
        {"refusal": {}},
        {"reasoning_content": 5},
        {"reasoning": [None]},
        {"reasoning_details": {"text": "x"}},
        {"tool_calls": {}},
        {"tool_calls": "none"},
        {"images": False},
        {"annotations": {"url": "x"}},
        {"annotations": [None, {"type": "url_citation"}]},
    ],
)
def test_members_of_an_odd_type_do_not_cost_the_answer(odd: dict[str, Any]) -> None:
    reading = chat(chunk({"content": "Yes", **odd}), chunk({"content": "."}), STOP, DONE)
    assert (reading.text, reading.reasoning, reading.finish, reading.error) == ("Yes.", "", "stop", None)


def test_images_that_come_as_data_urls() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/webp;base64,UklGRg=="}}
    reading = chat(chunk({"content": "", "images": [image]}), STOP, DONE)
    assert reading.files == [GeneratedFile("image/webp", "UklGRg==")]


# --- tool calls ------------------------------------------------------------------------------------------------------


def test_parallel_calls_in_pieces_that_interleave() -> None:
    reading = chat(
        chunk(tool_delta(0, "", id="a", name="one")),
        chunk(tool_delta(1, "", id="b", name="two")),
        chunk(tool_delta(1, '{"x":')),
        chunk(tool_delta(0, '{"y":1}')),
        chunk(tool_delta(1, "2}")),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert called(reading) == [("a", "one", '{"y":1}'), ("b", "two", '{"x":2}')]
    assert reading.inputs == {"a": '{"y":1}', "b": '{"x":2}'}


def test_a_call_whose_arguments_come_whole() -> None:
    reading = chat(chunk(tool_delta(0, '{"x":2}', id="b", name="two")), chunk({}, "tool_calls"), DONE)
    assert called(reading) == [("b", "two", '{"x":2}')]


def test_calls_that_all_have_index_0_and_are_announced_first() -> None:
    reading = chat(
        chunk(tool_delta(0, "", id="a", name="one")),
        chunk(tool_delta(0, "", id="b", name="one")),
        chunk(tool_delta(0, '{"x":2}')),
        chunk({}, "tool_calls"),
    )
    assert called(reading) == [("a", "one", "{}"), ("b", "one", '{"x":2}')]


def test_calls_that_all_have_index_0_and_no_id() -> None:
    reading = chat(
        chunk(tool_delta(0, '{"x":1}', name="one")),
        chunk(tool_delta(0, '{"x":2}', name="one")),
        chunk(tool_delta(0, '{"x":3}', name="two")),
        chunk({}, "tool_calls"),
    )
    assert [(name, arguments) for _, name, arguments in called(reading)] == [
        ("one", '{"x":1}'),
        ("one", '{"x":2}'),
        ("two", '{"x":3}'),
    ]


def test_an_id_that_changes_within_a_call() -> None:
    reading = chat(
        chunk(tool_delta(0, '{"x":', id="a", name="one")),
        chunk(tool_delta(0, "2", id="b", name="one")),
        chunk(tool_delta(0, "}", id="c")),
        chunk({}, "tool_calls"),
    )
    assert called(reading) == [("a", "one", '{"x":2}')]


@pytest.mark.parametrize("index", [0, None])
def test_a_call_that_is_sent_twice_is_one_call(index: int | None) -> None:
    whole = chunk(tool_delta(index, '{"x":1}', id="a", name="one"))
    reading = chat(whole, whole, chunk({}, "tool_calls"))
    assert called(reading) == [("a", "one", '{"x":1}')]


@pytest.mark.parametrize("indexes", [(0, 1), (0, 0), (None, None)])
def test_two_calls_of_one_id(indexes: tuple[int | None, int | None]) -> None:
    first, second = indexes
    reading = chat(
        chunk(tool_delta(first, '{"x":1}', id="a", name="one")),
        chunk(tool_delta(second, '{"y":2}', id="a", name="two")),
        chunk({}, "tool_calls"),
    )
    assert called(reading) == [("a", "one", '{"x":1}'), ("chatcmpl-7-call-1", "two", '{"y":2}')]


@pytest.mark.parametrize("arguments", ["", None, "  ", "null"])
def test_no_arguments_are_an_empty_object(arguments: str | None) -> None:
    reading = chat(chunk(tool_delta(0, arguments, id="a", name="one")), chunk({}, "tool_calls"), DONE)
    assert called(reading) == [("a", "one", "{}")]


def test_arguments_sent_as_an_object() -> None:
    reading = chat(chunk(tool_delta(0, {"x": 2}, id="a", name="one")), chunk({}, "tool_calls"), DONE)
    assert called(reading) == [("a", "one", '{"x":2}')]


def test_empty_ids_are_no_ids() -> None:
    reading = chat(
        chunk(tool_delta(0, "", id="a", name="one")),
        chunk(tool_delta(0, '{"x":', id="")),
        chunk(tool_delta(0, "2}", id="")),
        chunk({}, "tool_calls"),
    )
    assert called(reading) == [("a", "one", '{"x":2}')]


def test_name_and_id_repeated_in_every_piece() -> None:
    reading = chat(
        chunk(tool_delta(0, '{"x":', id="a", name="one")),
        chunk(tool_delta(0, "2}", id="a", name="one")),
        chunk({}, "tool_calls"),
    )
    assert called(reading) == [("a", "one", '{"x":2}')]


def test_calls_that_all_have_index_0() -> None:
    reading = chat(
        chunk(tool_delta(0, '{"x":1}', id="a", name="one")),
        chunk(tool_delta(0, '{"x":2}', id="b", name="one")),
        chunk({}, "tool_calls"),
    )
    assert called(reading) == [("a", "one", '{"x":1}'), ("b", "one", '{"x":2}')]


def test_pieces_without_an_index_belong_to_their_id_or_to_the_latest_call() -> None:
    reading = chat(
        chunk(tool_delta(None, "", id="a", name="one")),
        chunk(tool_delta(None, '{"x":1}')),
        chunk(tool_delta(None, "", id="b", name="two")),
        chunk(tool_delta(None, '{"x":2}')),
        chunk(tool_delta(None, "", id="a")),
        chunk({}, "tool_calls"),
    )
    assert called(reading) == [("a", "one", '{"x":1}'), ("b", "two", '{"x":2}')]


def test_a_call_without_an_id_gets_one_that_no_other_answer_has() -> None:
    calls = {"tool_calls": [{"function": {"name": "one", "arguments": "{}"}}, {"function": {"name": "two"}}]}
    reading = chat(chunk(calls), chunk({}, "tool_calls"))
    assert called(reading) == [("chatcmpl-7-call-0", "one", "{}"), ("chatcmpl-7-call-1", "two", "{}")]


def test_a_name_that_comes_after_the_first_arguments() -> None:
    reading = chat(
        chunk(tool_delta(0, '{"x":', id="a")), chunk(tool_delta(0, "2}", name="one")), chunk({}, "tool_calls")
    )
    assert called(reading) == [("a", "one", '{"x":2}')]
    assert reading.inputs == {"a": '{"x":2}'}


def test_a_call_that_is_never_named_is_reported_all_the_same() -> None:
    reading = chat(chunk(tool_delta(0, '{"x":2}', id="a")), chunk({}, "tool_calls"))
    assert (called(reading), reading.inputs) == ([("a", "", '{"x":2}')], {"a": '{"x":2}'})


def test_the_legacy_function_call() -> None:
    reading = chat(
        chunk({"function_call": {"name": "one", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"x":2}'}}),
        chunk({}, "function_call"),
        DONE,
    )
    assert called(reading) == [("chatcmpl-7-call-0", "one", '{"x":2}')]
    assert reading.finish == "tool-calls"


def test_arguments_cut_by_the_length_limit_are_given_as_they_are() -> None:
    reading = chat(chunk(tool_delta(0, '{"x":', id="a", name="one")), chunk({}, "length"), DONE)
    assert called(reading) == [("a", "one", '{"x":')]
    assert reading.finish == "length"


def test_an_unfinished_call_of_a_broken_stream_is_no_call() -> None:
    reading = chat(chunk(tool_delta(0, '{"x":2}', id="a", name="one")))
    assert reading.cut
    assert reading.calls == []


# --- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 20,
                "completion_tokens": 9,
                "total_tokens": 29,
                "prompt_tokens_details": {"cached_tokens": 16},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(20, 9, 5, 16, None, 29),
        ),
        ({"prompt_tokens": 20, "completion_tokens": 9}, Usage(20, 9, total_tokens=29)),
        (
            {"prompt_tokens": 20, "completion_tokens": 9, "prompt_tokens_details": None, "total_tokens": None},
            Usage(20, 9, total_tokens=29),
        ),
        (
            {"prompt_tokens": 20, "completion_tokens": 9, "prompt_cache_hit_tokens": 16},  # DeepSeek
            Usage(20, 9, None, 16, None, 29),
        ),
        ({"prompt_tokens": 20, "completion_tokens": 9, "cached_tokens": 16}, Usage(20, 9, None, 16, None, 29)),
        ({"prompt_tokens": 20, "completion_tokens": 9, "num_cached_tokens": 16}, Usage(20, 9, None, 16, None, 29)),
        (
            {"prompt_tokens": 20, "completion_tokens": 9, "prompt_tokens_details": {"cache_creation_input_tokens": 4}},
            Usage(20, 9, None, None, 4, 29),
        ),
        ({"prompt_tokens": 20, "completion_tokens": 9, "reasoning_tokens": 3}, Usage(20, 9, 3, None, None, 29)),
        (
            # xAI: reasoning is outside the completion, as the total shows
            {
                "prompt_tokens": 20,
                "completion_tokens": 9,
                "total_tokens": 129,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            Usage(20, 109, 100, None, None, 129),
        ),
        (
            # xAI: both outside
            {
                "prompt_tokens": 20,
                "completion_tokens": 9,
                "total_tokens": 129,
                "prompt_tokens_details": {"cached_tokens": 300},
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            Usage(320, 109, 100, 300, None, 429),
        ),
        ({"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 100}, Usage(20, 9, total_tokens=29)),
        ({"prompt_tokens": 20, "total_tokens": 29}, Usage(20, total_tokens=29)),
        ({"prompt_tokens": 20}, Usage(20, total_tokens=20)),
        ({"total_tokens": 29}, Usage(total_tokens=29)),
        (
            # xAI: cached tokens that outnumber the prompt are outside it
            {"prompt_tokens": 20, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 300}},
            Usage(320, 9, None, 300, None, 329),
        ),
        ({"prompt_tokens": 20.0, "completion_tokens": 9.0}, Usage(20, 9, total_tokens=29)),
        ({"prompt_tokens": "20", "completion_tokens": "9"}, Usage(20, 9, total_tokens=29)),
        ({"prompt_tokens": 20, "completion_tokens": "a few", "total_tokens": -3}, Usage(20, total_tokens=20)),
    ],
)
def test_usage_under_every_vendors_names(usage: dict[str, Any], expected: Usage) -> None:
    assert chat(chunk({"content": "a"}), STOP, chunk(usage=usage), DONE).usage == expected


def test_the_last_usage_counts_and_null_is_none() -> None:
    reading = chat(
        chunk({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}),
        chunk({"content": "b"}, usage=None),
        chunk({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
        DONE,
    )
    assert reading.usage == Usage(3, 2, total_tokens=5)
    assert chat(chunk({"content": "a"}, usage=None), STOP, DONE).usage is None


def test_groqs_own_usage() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    reading = chat(chunk({"content": "a"}), chunk({}, "stop", x_groq={"id": "req_1", "usage": usage}), DONE)
    assert reading.usage == Usage(3, 2, total_tokens=5)


def test_moonshots_usage_within_the_choice() -> None:
    last = chunk({}, "stop")
    last["choices"][0]["usage"] = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert chat(chunk({"content": "a"}), last, DONE).usage == Usage(3, 2, total_tokens=5)


def test_perplexitys_search_results_become_sources_with_their_titles() -> None:
    found = {"search_results": [{"title": "Ponds", "url": "https://ponds.example/1", "date": "2026-01-31"}]}
    cited = {**found, "citations": ["https://ponds.example/1"]}
    reading = chat(chunk({"content": "a"}, **found), chunk({"content": "b"}, "stop", **cited), DONE)
    assert reading.sources == [Source("1", "https://ponds.example/1", "Ponds")]


def test_citations_become_sources_once() -> None:
    cited = {"citations": ["https://ponds.example/1", "https://ponds.example/2"]}
    reading = chat(chunk({"content": "a"}, **cited), chunk({"content": "b"}, "stop", **cited), DONE)
    assert [source.url for source in reading.sources] == cited["citations"]


def test_cited_pages_of_a_search_become_sources_once() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "https://ponds.example/1", "title": "Ponds"}}
    reading = chat(chunk({"content": "a"}), chunk({"annotations": [cited, cited]}), STOP, DONE)
    assert reading.sources == [Source("1", "https://ponds.example/1", "Ponds")]


# --- the proxy's members ---------------------------------------------------------------------------------------------


def test_members_the_proxy_adds_are_passed_on() -> None:
    account = {"requests_today": 41, "tokens_used": 9000, "remaining_requests": 9}
    reading = chat(
        chunk({"content": "a"}),
        chunk({}, "stop"),
        chunk(usage=account, upgrade_prompt=False, analytics={"cost_savings": "$1.00"}, model_selection=None),
        DONE,
    )
    assert reading.metadata == [{"upgrade_prompt": False, "analytics": {"cost_savings": "$1.00"}, "usage": account}]
    assert reading.usage is None


def test_an_account_mixed_into_the_token_usage_gives_both() -> None:
    mixed = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "requests_today": 41}
    reading = chat(chunk({"content": "a"}), chunk({}, "stop", usage=mixed), DONE)
    assert reading.metadata == [{"usage": mixed}]
    assert reading.usage == Usage(3, 2, total_tokens=5)


def test_an_ordinary_stream_has_no_proxy_members() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert chat(chunk({"content": "a"}), chunk({}, "stop", usage=usage), DONE).metadata == []


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "kind", "code", "status"),
    [
        ({"message": "No.", "type": "rpm", "code": "rate_limit_exceeded"}, "No.", "rpm", "rate_limit_exceeded", 429),
        ({"message": "Poor.", "type": "insufficient_quota", "code": None}, "Poor.", "insufficient_quota", None, 429),
        ({"message": "Worker lost.", "code": 502}, "Worker lost.", None, "502", 502),
        ({"message": "Long.", "code": "context_length_exceeded"}, "Long.", None, "context_length_exceeded", 400),
        ({"message": "litellm.Timeout", "type": None, "code": "408"}, "litellm.Timeout", None, "408", 408),
        ({"message": "Odd.", "type": "brand_new"}, "Odd.", "brand_new", None, None),
        ("Out of memory", "Out of memory", None, None, None),
        ({"type": "server_error"}, "The model server reported an error without a message.", "server_error", None, 500),
    ],
)  # fmt: skip
def test_errors_in_the_stream(error: Any, message: str, kind: str | None, code: str | None, status: int | None) -> None:
    value = {"error": error}
    reading = chat(chunk({"content": "Half an ans"}), value, DONE)
    assert reading.text == "Half an ans"
    assert reading.error is not None
    assert (reading.error.message, reading.error.type, reading.error.code, reading.error.status) == (
        message,
        kind,
        code,
        status,
    )
    assert json.loads(reading.error.body or "") == value
    assert reading.finish is None
    assert not reading.cut


def test_an_error_beside_choices_comes_after_their_text() -> None:
    reading = chat(chunk({"content": "Half"}, "error", error={"code": 429, "message": "Provider returned error"}))
    assert reading.text == "Half"
    assert reading.error is not None
    assert reading.error.status == 429


def test_an_event_named_error() -> None:
    reading = read("openai-chat", b'event: error\ndata: {"message": "Gone", "code": 500}\n\n')
    assert reading.error is not None
    assert (reading.error.message, reading.error.status) == ("Gone", 500)


def test_an_error_in_a_field_of_that_name() -> None:
    """llama.cpp's, before it wrote errors as data."""
    stream = data(chunk({"content": "Half"})) + b'error: {"code":500,"message":"Gone","type":"server_error"}\n\n'
    reading = read("openai-chat", stream)
    assert reading.text == "Half"
    assert reading.error is not None
    assert (reading.error.message, reading.error.status) == ("Gone", 500)


@pytest.mark.parametrize(
    ("value", "message", "code", "status"),
    [
        (
            {"code": "The service is currently unavailable", "error": "Too many birds."},  # xAI
            "Too many birds.",
            "The service is currently unavailable",
            503,
        ),
        ({"object": "error", "message": "No.", "type": "invalid_request_error", "code": 3000}, "No.", "3000", 400),
        ({"message": "No such route."}, "No such route.", None, None),
        ({"code": "InvalidApiKey", "message": "Wrong key.", "request_id": "r"}, "Wrong key.", "InvalidApiKey", 401),
        ({"code": "Throttling.RateQuota", "message": "Wait.", "request_id": "r"}, "Wait.", "Throttling.RateQuota", 429),
        ({"error": {}}, "The model server reported an error without a message.", None, None),
        ({"error": True, "code": 502}, "The model server reported an error without a message.", "502", 502),
    ],
)  # fmt: skip
def test_errors_of_other_shapes(value: dict[str, Any], message: str, code: str | None, status: int | None) -> None:
    body = json.dumps(value).encode()
    for reading in (chat(chunk({"content": "Half"}), value, DONE), read("openai-chat", body), chat(value)):
        assert reading.error is not None
        assert (reading.error.message, reading.error.code, reading.error.status) == (message, code, status)
        assert not reading.cut


def test_a_null_error_is_no_error() -> None:
    assert chat(chunk({"content": "a"}, "stop", error=None), DONE).finish == "stop"


# --- answers that are not event streams ------------------------------------------------------------------------------

WHOLE = {
    "id": "chatcmpl-9",
    "object": "chat.completion",
    "model": "lark-1",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Two birds.",
                "reasoning_content": "Hm.",
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "one", "arguments": "{}"}}],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


@pytest.mark.parametrize("indent", [None, 2])
def test_an_answer_that_was_not_streamed(indent: int | None) -> None:
    body = json.dumps(WHOLE, indent=indent).encode()
    for pieces in ([body], [body[at : at + 5] for at in range(0, len(body), 5)], [b"\xef\xbb\xbf\n " + body + b"\n"]):
        reading = read("openai-chat", *pieces)
        assert (reading.text, reading.reasoning, reading.finish) == ("Two birds.", "Hm.", "tool-calls")
        assert reading.calls == [ToolCall("a", "one", "{}")]
        assert reading.usage == Usage(3, 2, total_tokens=5)


def test_lines_of_json_without_framing_are_read_as_they_come() -> None:
    lines = [json.dumps(value).encode() + b"\n" for value in (chunk({"content": "a"}), chunk({"content": "b"}), STOP)]
    reading = read("openai-chat", *lines)
    assert (reading.text, reading.finish) == ("ab", "stop")
    assert read("openai-chat", b"".join(lines)).text == "ab"
    assert read("openai-chat", lines[0]).text == "a"
    assert read("openai-chat", lines[0]).cut


def test_an_error_body_of_another_framework() -> None:
    reading = read("openai-chat", b'{"detail": "Not authenticated"}')
    assert reading.error is not None
    assert reading.error.message == "Not authenticated"


def test_arguments_nested_without_end_do_not_stop_the_reading() -> None:
    deep = '{"x":' + "[" * 100_000 + "]" * 100_000 + "}"
    reading = read(
        "openai-chat",
        data(
            chunk(tool_delta(0, deep, id="a", name="one")),
            chunk(tool_delta(0, '{"y":1}', name="one")),
            chunk({}, "tool_calls"),
        ),
    )
    assert "".join(call.arguments for call in reading.calls) == deep + '{"y":1}'


def test_a_list_of_errors_is_an_error() -> None:
    """Cloudflare's gateways answer with status 200 or not, but in this form."""
    body = b'{"success": false, "errors": [{"code": 10000, "message": "Authentication error"}], "result": null}'
    error = read("openai-chat", body).error
    assert error is not None
    assert "Authentication error" in error.message


def test_an_empty_object_may_be_written_as_a_list() -> None:
    """As PHP does."""
    reading = read("openai-chat", data(chunk({"content": "a"}), chunk([], "stop", usage=[]), "[DONE]"))  # type: ignore[arg-type]
    assert (reading.text, reading.finish, reading.error) == ("a", "stop", None)
