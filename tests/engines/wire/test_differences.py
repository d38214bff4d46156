"""Where the decoders differ from the AI SDK 6 on purpose: one row per difference, each with its reason.

Found by giving both the same bytes: some 4,000 streams in the vendors' shapes, written or generated, and every event
of the recorded ones dropped, doubled and swapped. What the vendor said wins; the AI SDK decides where the bytes leave
it open. ``sdk`` is what its providers make of the stream (a release in brackets: the others agree with us).
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.engines.base import Dialect, GeneratedFile, Usage
from tests.engines.wire.reading import (
    block_delta,
    block_start,
    block_stop,
    chunk,
    data,
    message_end,
    message_start,
    named,
    part,
    read,
    tool_delta,
)


class Row(msgspec.Struct, frozen=True):
    """A stream, what both make of it, and why."""

    wire: str
    dialect: Dialect
    stream: bytes
    ours: dict[str, Any]
    sdk: str
    why: str


def chat(*values: Any) -> bytes:
    return data(*values, "[DONE]")


def response(kind: str = "completed", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {"id": "resp_1", "status": kind, **more}}


def item(value: dict[str, Any], kind: str = "done", index: int = 0) -> dict[str, Any]:
    return {"type": f"response.output_item.{kind}", "output_index": index, "item": value}


def cohere(reason: str, **usage: Any) -> bytes:
    text = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "a"}}}}
    return named(text, {"type": "message-end", "delta": {"finish_reason": reason, "usage": usage}})


def cohere_call(index: int, kind: str, **function: Any) -> dict[str, Any]:
    call = {"id": f"c{index}", "type": "function", "function": function}
    return {"type": f"tool-call-{kind}", "index": index, "delta": {"message": {"tool_calls": call}}}


A = chunk({"content": "a"})
STOP = chunk({}, "stop")
CALLED = chunk({}, "tool_calls")
MESSAGE = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "a"}]}
THOUGHT = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]}
XAI = {"prompt_tokens": 12, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 290}}

COUNTS = [
    Row(
        "xAI's completion_tokens, reasoning beside them",
        "openai-chat",
        chat(A, STOP, chunk(usage={**XAI, "total_tokens": 303})),
        {"usage": Usage(12, 291, 290, None, None, 303)},
        "output 1, total 13: @ai-sdk/openai-compatible, and @ai-sdk/xai 3.0.0, 3.0.1 and 3.0.4 to 3.0.50. 3.0.2, 3.0.3"
        " and all from 3.0.51 to the newest, 3.0.138, agree with us",
        "plainly wrong: xAI documents and bills reasoning beside completion_tokens, its total_tokens is the sum of all"
        " three, and the AI SDK gave up the other reading because its text tokens came out negative (vercel/ai 12425)",
    ),
    Row(
        "reasoning beside the output in a Responses total",
        "openai-responses",
        named(
            response(
                usage={
                    "input_tokens": 12,
                    "output_tokens": 1,
                    "output_tokens_details": {"reasoning_tokens": 290},
                    "total_tokens": 303,
                }
            )
        ),
        {"usage": Usage(12, 291, 290, None, None, 303)},
        "output 1",
        "as above",
    ),
    Row(
        "cached tokens under another vendor's name",
        "openai-chat",
        chat(A, STOP, chunk(usage={"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4})),
        {"usage": Usage(9, 2, None, 4, None, 11)},
        "cached 0, except from @ai-sdk/deepseek",
        "a custom endpoint may be any vendor's; what it reported is known",
    ),
    Row(
        "Cohere's cached_tokens",
        "cohere",
        cohere("COMPLETE", tokens={"input_tokens": 9, "output_tokens": 2}, cached_tokens=4),
        {"usage": Usage(9, 2, None, 4, None, 11)},
        "left out; read since in their repository (vercel/ai 22070)",
        "the vendor reported it",
    ),
    Row(
        "counts that are null",
        "openai-chat",
        chat(A, STOP, chunk(usage={"prompt_tokens": 9, "completion_tokens": None})),
        {"usage": Usage(9, None, total_tokens=9)},
        "output 0",
        "not reported is not nothing: an unknown count is estimated in the ledger, a zero is not",
    ),
]

ENDS = [
    Row(
        "no finish marker",
        "openai-chat",
        data(A),
        {"text": "a", "finish": None, "cut": True},
        "other, no error (newer @ai-sdk/openai-compatible: error)",
        "the answer is not complete: it is STREAM_INTERRUPTED and may be continued",
    ),
    Row(
        "Anthropic's stop_reason without message_stop",
        "anthropic",
        named(message_start(), block_delta(0, "text_delta", text="a"), message_end("end_turn")[0]),
        {"text": "a", "finish": "stop", "cut": False},
        "no finish at all",
        "the reason is the marker; what follows says nothing new",
    ),
    Row(
        "the last event without its blank line",
        "google",
        data(part({"text": "a"}), part({"text": "b"}, finish="STOP"))[:-2],
        {"text": "ab", "finish": "stop"},
        "the last event is lost",
        "it is whole; only the framing is missing",
    ),
    Row(
        "an answer that is not a stream",
        "openai-chat",
        b'{"choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]}',
        {"text": "a", "finish": "stop"},
        "no text",
        "servers that cannot stream, gateways that collect",
    ),
    Row(
        "events without a blank line between them",
        "openai-chat",
        chat(A, STOP).replace(b"\n\n", b"\n"),
        {"text": "a", "finish": "stop"},
        "no text",
        "each line is whole",
    ),
    Row(
        "JSON that is broken in mid-stream",
        "openai-chat",
        data(A, '{"choices": [', chunk({"content": "b"}), STOP),
        {"text": "a", "finish": None},
        "an error, and then the rest",
        "a gap of unknown size must not look like an answer",
    ),
    Row(
        "half a surrogate pair without its partner",
        "openai-chat",
        data('{"choices": [{"delta": {"content": "a\\ud83d"}}]}', STOP),
        {"text": "a\ufffd", "finish": "stop"},
        "the half itself",
        "it has no UTF-8 form and cannot leave this process",
    ),
    Row(
        "a finish reason of another vendor",
        "openai-chat",
        chat(A, chunk({}, "eos")),
        {"finish": "stop", "raw": "eos"},
        "other, except from the vendor's own package",
        "one dialect, many servers; the word has one meaning. So: model_length, error, insufficient_system_resource",
    ),
    Row(
        "Gemini's blocked prompt",
        "google",
        data({"promptFeedback": {"blockReason": "SAFETY"}}),
        {"finish": "content-filter", "cut": False},
        "other (@ai-sdk/google of early 2026)",
        "it was filtered, and the user should be told so",
    ),
    Row(
        "Gemini's call after STOP",
        "google",
        data(part({"text": "a"}, finish="STOP"), part({"functionCall": {"name": "one", "args": {}}})),
        {"finish": "tool-calls"},
        "stop",
        "there is a call to make",
    ),
    Row(
        "a Responses answer that is incomplete without saying why",
        "openai-responses",
        named(response("incomplete")),
        {"finish": "other", "raw": "incomplete"},
        "stop",
        "the vendor says it did not stop by itself",
    ),
    Row(
        "Cohere's other errors",
        "cohere",
        cohere("ERROR_TOXIC"),
        {"finish": "content-filter"},
        "other",
        "the word says it; ERROR_LIMIT is length likewise",
    ),
]

CONTENT = [
    Row(
        "refusals",
        "openai-chat",
        chat(chunk({"refusal": "No."}), STOP),
        {"text": "No.", "finish": "stop"},
        "dropped by earlier releases; text and content-filter since",
        "the user must see it; the reason is the vendor's",
    ),
    Row(
        "reasoning under any name",
        "openai-chat",
        chat(chunk({"reasoning": "Hm."}), chunk({"reasoning_content": "Hm."}), A, STOP),
        {"reasoning": "Hm.Hm.", "text": "a"},
        "each package reads its vendor's name",
        "one dialect, many servers",
    ),
    Row(
        "reasoning in OpenRouter's details only",
        "openai-chat",
        chat(chunk({"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}]}), A, STOP),
        {"reasoning": "Hm."},
        "dropped, except by OpenRouter's own package",
        "the vendor sent it",
    ),
    Row(
        "Grok's repeated reasoning",
        "openai-chat",
        chat(chunk({"reasoning_content": "ha"}), chunk({"reasoning_content": "ha"}), A, STOP),
        {"reasoning": "haha"},
        "ha: a delta equal to the last is dropped",
        'only the sign that it still thinks ("Thinking... ") repeats by design; words may',
    ),
    Row(
        "text in the start of Anthropic's blocks",
        "anthropic",
        named(message_start(), block_start(0, "text", text="a"), block_stop(0), *message_end("end_turn")),
        {"text": "a"},
        "dropped",
        "imitations of the API put a whole block there",
    ),
    Row(
        "Responses text that has no deltas",
        "openai-responses",
        named(item(MESSAGE), response()),
        {"text": "a", "finish": "stop"},
        "dropped",
        "servers that send an item at once",
    ),
    Row(
        "Responses reasoning that has no deltas",
        "openai-responses",
        named(item({**THOUGHT, "summary": []}, "added"), item(THOUGHT), response()),
        {"reasoning": "Hm."},
        "dropped, except by @ai-sdk/xai",
        "as above",
    ),
    Row(
        "images of Responses' own tool",
        "openai-responses",
        named(item({"type": "image_generation_call", "id": "i", "result": "UklGRg=="}), response()),
        {"files": [GeneratedFile("image/png", "UklGRg==")]},
        "a tool result",
        "results of server tools are not for the app; the image is",
    ),
    Row(
        "images among Gemini's thoughts",
        "google",
        data(part({"inlineData": {"mimeType": "image/png", "data": "UklGRg=="}, "thought": True}, finish="STOP")),
        {"files": []},
        "a file",
        "a draft the model rejected; the final image follows",
    ),
]

CALLS = [
    Row(
        "a call without arguments",
        "openai-chat",
        chat(chunk(tool_delta(0, "", id="a", name="one")), CALLED),
        {"calls": [("one", "{}", False)]},
        "an empty string, which streamText reads as {}",
        "arguments are always JSON",
    ),
    Row(
        "calls that all have index 0",
        "openai-chat",
        chat(
            chunk(tool_delta(0, '{"x":1}', id="a", name="one")),
            chunk(tool_delta(0, '{"x":2}', id="b", name="one")),
            CALLED,
        ),
        {"calls": [("one", '{"x":1}', False), ("one", '{"x":2}', False)]},
        "one call with both arguments, or the first only (newer @ai-sdk/openai: two)",
        "another id and new arguments are another call",
    ),
    Row(
        "a call that is sent twice",
        "openai-chat",
        chat(*[chunk(tool_delta(0, '{"x":1}', id="a", name="one"))] * 2, CALLED),
        {"calls": [("one", '{"x":1}', False)]},
        "two calls, or one with both arguments glued together (earlier @ai-sdk/openai: one)",
        "same id, same name, same arguments: the same call",
    ),
    Row(
        "a call without an id",
        "openai-chat",
        chat(chunk(tool_delta(0, '{"x":1}', name="one")), CALLED),
        {"calls": [("one", '{"x":1}', False)]},
        "an error (newer @ai-sdk/openai: an invented id)",
        "the call is clear; the id is only ours to match the result",
    ),
    Row(
        "the older function_call",
        "openai-chat",
        chat(chunk({"function_call": {"name": "one", "arguments": "{}"}}), chunk({}, "function_call")),
        {"calls": [("one", "{}", False)], "finish": "tool-calls"},
        "dropped",
        "old servers know nothing else",
    ),
    Row(
        "Cohere's calls in turns",
        "cohere",
        named(
            cohere_call(0, "start", name="one", arguments=""),
            cohere_call(1, "start", name="two", arguments=""),
            cohere_call(0, "delta", arguments="{}"),
            cohere_call(1, "delta", arguments='{"x":1}'),
            {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
        ),
        {"calls": [("one", "{}", False), ("two", '{"x":1}', False)]},
        "an error; a call without its end is dropped",
        "each piece says its index",
    ),
    Row(
        "input of Anthropic's mcp_tool_use",
        "anthropic",
        named(
            message_start(),
            block_start(0, "mcp_tool_use", id="m", name="echo", input={}),
            block_delta(0, "input_json_delta", partial_json='{"x":1}'),
            block_stop(0),
            *message_end("end_turn"),
        ),
        {"calls": [("echo", '{"x":1}', True)], "finish": "stop"},
        "{}, the input of the block's start",
        "the deltas are the input",
    ),
    Row(
        "a tool of Anthropic's that is not in the AI SDK's list",
        "anthropic",
        named(
            message_start(),
            block_start(0, "server_tool_use", id="s", name="some_new_tool", input={"x": 1}),
            block_stop(0),
            *message_end("end_turn"),
        ),
        {"calls": [("some_new_tool", '{"x":1}', True)], "finish": "stop"},
        "dropped",
        "what the vendor did is told, and there is nothing to run",
    ),
    Row(
        "Responses' custom_tool_call",
        "openai-responses",
        named(item({"type": "custom_tool_call", "id": "t", "name": "write_sql", "input": "a"}), response()),
        {"calls": [], "finish": "stop"},
        "a call to make since @ai-sdk/openai 3.0.37; earlier ones agree with us",
        "the app offers functions only; who sends this (xAI, for its own searches) has run it already",
    ),
    Row(
        "what the computer was used for",
        "openai-responses",
        named(item({"type": "computer_call", "id": "t", "action": {"type": "click"}}), response()),
        {"calls": [("computer_use", '{"type":"click"}', True)]},
        "an empty text as input",
        "arguments are always JSON",
    ),
    Row(
        "a Responses call whose item is never completed",
        "openai-responses",
        named(
            item({"type": "function_call", "id": "f", "call_id": "a", "name": "one"}, "added"),
            {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{}"},
            response(),
        ),
        {"calls": [("one", "{}", False)], "finish": "tool-calls"},
        "dropped, stop",
        "the vendor said that the arguments are complete",
    ),
]


@pytest.mark.parametrize("row", [*COUNTS, *ENDS, *CONTENT, *CALLS], ids=lambda row: row.wire)
def test_what_we_make_of_it(row: Row) -> None:
    reading = read(row.dialect, row.stream)
    seen = msgspec.structs.asdict(reading)
    seen["calls"] = [(call.name, call.arguments, call.provider_executed) for call in reading.calls]
    assert {name: seen[name] for name in row.ours} == row.ours
