"""Gemini's streamGenerateContent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.engines.base import GeneratedFile, ResponseStarted, Source, ToolCall, Usage
from tests.engines.wire.reading import Reading, data, part, read


def gemini(*values: dict[str, Any]) -> Reading:
    return read("google", data(*values))


STOP = part({"text": ""}, finish="STOP")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content-filter"),
        ("RECITATION", "content-filter"),
        ("BLOCKLIST", "content-filter"),
        ("PROHIBITED_CONTENT", "content-filter"),
        ("SPII", "content-filter"),
        ("IMAGE_SAFETY", "content-filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("MALFORMED_RESPONSE", "error"),
        ("UNEXPECTED_TOOL_CALL", "error"),
        ("IMAGE_PROHIBITED_CONTENT", "content-filter"),
        ("OTHER", "other"),
        ("FINISH_REASON_UNSPECIFIED", "other"),
        ("BRAND_NEW", "other"),
    ],
)
def test_finish_reasons(raw: str, reason: str) -> None:
    reading = gemini(part({"text": "a"}), part(finish=raw))
    assert (reading.finish, reading.raw) == (reason, raw)


def test_the_answers_id_and_model_are_given_once() -> None:
    assert gemini(part({"text": "a"}), STOP).started == [ResponseStarted("r-5", "heron-2")]


def test_a_refused_prompt_finishes_as_content_filter() -> None:
    reading = gemini(
        {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}}
    )
    assert (reading.text, reading.finish, reading.raw) == ("", "content-filter", "PROHIBITED_CONTENT")
    assert reading.usage == Usage(9, total_tokens=9)


def test_a_candidate_without_content_or_parts() -> None:
    bare = {"candidates": [{"finishReason": "MAX_TOKENS", "index": 0}]}
    empty = {"candidates": [{"content": {"role": "model"}, "index": 0}]}
    none: dict[str, Any] = {"candidates": []}
    assert gemini(none, empty, bare).finish == "length"
    assert gemini(none, empty).cut


def test_thoughts_are_reasoning() -> None:
    reading = gemini(
        part({"text": "Hm.", "thought": True, "thoughtSignature": "c2ln"}),
        part({"text": "Two.", "thought": False}, {"text": "", "thoughtSignature": "bm90"}),
        STOP,
    )
    assert (reading.reasoning, reading.text, reading.signatures) == ("Hm.", "Two.", ["c2ln"])


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ({"name": "one", "args": {"x": 2}}, '{"x":2}'),
        ({"name": "one", "args": {}}, "{}"),
        ({"name": "one"}, "{}"),
        ({"name": "one", "args": None}, "{}"),
    ],
)
def test_function_calls(call: dict[str, Any], arguments: str) -> None:
    reading = gemini(part({"functionCall": call}), STOP)
    assert reading.calls == [ToolCall("r-5-call-0", "one", arguments)]
    assert (reading.finish, reading.raw) == ("tool-calls", "STOP")


def test_a_call_keeps_the_signature_that_came_with_it() -> None:
    whole = {"functionCall": {"name": "one", "args": {}}, "thoughtSignature": "c2ln"}
    streamed_call = {"functionCall": {"name": "two", "willContinue": True}, "thoughtSignature": "dHdv"}
    reading = gemini(part(whole), part(streamed_call), part({"functionCall": {}}), STOP)
    assert [call.signature for call in reading.calls] == ["c2ln", "dHdv"]


def test_two_calls_in_one_chunk_with_the_finish_reason_beside_them() -> None:
    calls = [{"functionCall": {"name": name, "args": {}}} for name in ("one", "two")]
    reading = gemini(part(*calls, finish="STOP"))
    assert [(call.id, call.name) for call in reading.calls] == [("r-5-call-0", "one"), ("r-5-call-1", "two")]
    assert reading.finish == "tool-calls"


def test_a_call_after_the_first_stop_is_a_reason_of_its_own() -> None:
    reading = gemini(part({"text": "a"}, finish="STOP"), part({"functionCall": {"name": "one", "id": "f-1"}}))
    assert reading.calls == [ToolCall("f-1", "one", "{}")]
    assert reading.finish == "tool-calls"


def streamed(*parts: tuple[str, dict[str, Any]], goes_on: bool = True) -> dict[str, Any]:
    call: dict[str, Any] = {"partialArgs": [{"jsonPath": path, **value} for path, value in parts]}
    return part({"functionCall": {**call, "willContinue": True} if goes_on else call})


@pytest.mark.parametrize("last", ["empty", "missing"])
def test_arguments_that_are_streamed_value_by_value(last: str) -> None:
    reading = gemini(
        part({"functionCall": {"name": "cook", "willContinue": True}}),
        streamed(("$.dish.name", {"stringValue": "Las", "willContinue": True})),
        streamed(("$.dish.name", {"stringValue": "agne"})),
        part({"functionCall": {"willContinue": True}}),
        streamed(("$.dish.steps[0].minutes", {"numberValue": 40}), ("$.dish.steps[1]['at once']", {"boolValue": True})),
        streamed(("$.note", {"nullValue": "NULL_VALUE"}), goes_on=False),
        *([part({"functionCall": {}})] if last == "empty" else []),
        STOP,
    )
    (call,) = reading.calls
    assert call.name == "cook"
    assert json.loads(call.arguments) == {
        "dish": {"name": "Lasagne", "steps": [{"minutes": 40}, {"at once": True}]},
        "note": None,
    }
    assert reading.inputs == {call.id: call.arguments}
    assert reading.finish == "tool-calls"


def test_a_streamed_call_is_closed_by_the_next_call_and_by_the_finish_reason() -> None:
    reading = gemini(
        part({"functionCall": {"name": "one", "willContinue": True}}),
        streamed(("$.x", {"numberValue": 1})),
        part({"functionCall": {"name": "two", "willContinue": True}}),
        streamed(("$.y", {"numberValue": 2})),
        STOP,
    )
    assert [(call.name, json.loads(call.arguments)) for call in reading.calls] == [("one", {"x": 1}), ("two", {"y": 2})]


def test_a_path_with_an_absurd_position_does_not_take_the_memory() -> None:
    reading = gemini(
        part({"functionCall": {"name": "one", "willContinue": True}}),
        streamed(("$.x[999999999]", {"numberValue": 1}), ("$.y", {"numberValue": 2})),
        STOP,
    )
    assert [json.loads(call.arguments) for call in reading.calls] == [{"y": 2}]


def test_the_vendors_own_tools_are_reported_and_nothing_is_left_to_run() -> None:
    reading = gemini(
        part({"executableCode": {"language": "PYTHON", "code": "1+1"}}),
        part({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}),
        part({"toolCall": {"toolType": "GOOGLE_SEARCH", "args": {"q": "birds"}}}),
        part({"text": "Two."}),
        STOP,
    )
    assert [(call.name, json.loads(call.arguments), call.provider_executed) for call in reading.calls] == [
        ("code_execution", {"language": "PYTHON", "code": "1+1"}, True),
        ("server:GOOGLE_SEARCH", {"q": "birds"}, True),
    ]
    assert (reading.text, reading.finish) == ("Two.", "stop")


def test_images_become_files() -> None:
    reading = gemini(part({"inlineData": {"mimeType": "image/webp", "data": "UklGRg=="}}), STOP)
    assert reading.files == [GeneratedFile("image/webp", "UklGRg==")]


def test_grounding_becomes_sources_once() -> None:
    grounding = {"groundingChunks": [{"web": {"uri": "https://ponds.example/1", "title": "Ponds"}}, {"maps": {}}]}
    values = [part({"text": text}) for text in "ab"]
    for value in values:
        value["candidates"][0]["groundingMetadata"] = grounding
    assert gemini(*values, STOP).sources == [Source("1", "https://ponds.example/1", "Ponds")]


def test_places_of_the_map_become_sources() -> None:
    value = part({"text": "a"})
    place = {"maps": {"uri": "https://maps.example/7", "title": "North pond", "placeId": "places/7"}}
    value["candidates"][0]["groundingMetadata"] = {"groundingChunks": [place]}
    assert gemini(value, STOP).sources == [Source("1", "https://maps.example/7", "North pond")]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            # what the vendor's own tools read is in its total only
            {
                "promptTokenCount": 20,
                "candidatesTokenCount": 9,
                "toolUsePromptTokenCount": 500,
                "totalTokenCount": 529,
            },
            Usage(20, 9, total_tokens=29),
        ),
        (
            {"promptTokenCount": 20, "candidatesTokenCount": 4, "thoughtsTokenCount": 5, "totalTokenCount": 29},
            Usage(20, 9, 5, None, None, 29),
        ),
        ({"promptTokenCount": 20, "candidatesTokenCount": 9}, Usage(20, 9, total_tokens=29)),
        (
            {"promptTokenCount": 20, "cachedContentTokenCount": 16, "candidatesTokenCount": 9, "totalTokenCount": 29},
            Usage(20, 9, None, 16, None, 29),
        ),
        ({"trafficType": "ON_DEMAND"}, None),
    ],
)
def test_usage(usage: dict[str, Any], expected: Usage | None) -> None:
    first = part({"text": "a"}, usageMetadata={"trafficType": "ON_DEMAND"})
    assert gemini(first, part(finish="STOP", usageMetadata=usage)).usage == expected


@pytest.mark.parametrize(
    ("word", "code"), [("RESOURCE_EXHAUSTED", 429), ("UNAVAILABLE", 503), ("INVALID_ARGUMENT", 400)]
)
def test_errors(word: str, code: int) -> None:
    error = {"error": {"code": code, "message": "No birds today.", "status": word}}
    bodies = [
        data(part({"text": "Half"}), error),
        json.dumps([part({"text": "Half"}), error], indent=1).encode(),
    ]
    for body in bodies:
        reading = read("google", body)
        assert reading.text == "Half"
        assert reading.error is not None
        assert (reading.error.message, reading.error.type, reading.error.status) == ("No birds today.", word, code)


def test_an_array_of_chunks_and_a_single_answer() -> None:
    array = json.dumps([part({"text": "Two "}), part({"text": "birds."}, finish="STOP")], indent=2).encode()
    for pieces in ([array], [array[at : at + 7] for at in range(0, len(array), 7)]):
        reading = read("google", *pieces)
        assert (reading.text, reading.finish) == ("Two birds.", "stop")
    single = read("google", json.dumps(part({"text": "Two."}, finish="STOP")).encode())
    assert (single.text, single.finish) == ("Two.", "stop")
