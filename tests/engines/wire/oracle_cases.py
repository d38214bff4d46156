"""Answers in the vendors' shapes, written for the comparison with litellm: what each vendor's streams have in them."""

from __future__ import annotations

from typing import Any

from sidecar.engines.base import Dialect
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
    tool_delta,
)
from tests.engines.wire.samples import SAMPLES

TEXT = "Two birds, 世界 🌍."
PIECES = ("Two ", "birds, ", "世界 🌍.")


# --- chat completions --------------------------------------------------------------------------------------------

ROLE = chunk({"role": "assistant", "content": ""})
WORDS = tuple(chunk({"content": piece}) for piece in PIECES)
USAGE = {"prompt_tokens": 21, "completion_tokens": 13, "total_tokens": 34}
FULL_USAGE = {
    **USAGE,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 4},
}

CHAT: dict[str, bytes] = {
    "text": data(ROLE, *WORDS, chunk({}, "stop"), "[DONE]"),
    "usage": data(ROLE, *WORDS, chunk({}, "stop"), chunk(usage=FULL_USAGE), "[DONE]"),
    "usage with the finish": data(ROLE, *WORDS, chunk({}, "stop", usage=USAGE), "[DONE]"),
    "usage in every chunk": data(*(chunk({"content": p}, usage=USAGE) for p in PIECES), chunk({}, "stop", usage=USAGE)),
    "reasoning_content": data(ROLE, chunk({"reasoning_content": "Count."}), *WORDS, chunk({}, "stop"), "[DONE]"),
    "reasoning": data(ROLE, chunk({"reasoning": "Count."}), *WORDS, chunk({}, "stop"), "[DONE]"),
    "length": data(ROLE, *WORDS, chunk({}, "length"), "[DONE]"),
    "content filter": data(ROLE, *WORDS, chunk({}, "content_filter"), "[DONE]"),
    "refusal": data(ROLE, chunk({"refusal": "I will not."}), chunk({}, "stop"), "[DONE]"),
    "two calls": data(
        chunk({"role": "assistant", "content": None, **tool_delta(0, "", id="call_a", name="one")}),
        chunk(tool_delta(0, '{"x":')),
        chunk(tool_delta(0, "2}")),
        chunk(tool_delta(1, '{"y":3}', id="call_b", name="two")),
        chunk({}, "tool_calls"),
        "[DONE]",
    ),
    "a call without arguments": data(
        ROLE, chunk(tool_delta(0, "", id="call_a", name="one")), chunk({}, "tool_calls"), "[DONE]"
    ),
    "keep-alives": b": OPENROUTER PROCESSING\n\n" + data(ROLE, *WORDS[:1]) + b": ping\n\n"
    + data(*WORDS[1:], chunk({}, "stop"), "[DONE]"),
    "lines end in CRLF": data(ROLE, *WORDS, chunk({}, "stop"), "[DONE]").replace(b"\n", b"\r\n"),
    "content in parts": data(
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Count."}]}]}),
        *WORDS,
        chunk({}, "stop"),
        "[DONE]",
    ),
    "without an end mark": data(ROLE, *WORDS, chunk({}, "stop")),
    "without a reason": data(ROLE, *WORDS, "[DONE]"),
    "cut": data(ROLE, *WORDS[:2]),
    "error event": data(ROLE, *WORDS[:2], {"error": {"message": "Overloaded", "type": "server_error", "code": 503}}),
    "an unknown reason": data(ROLE, *WORDS, chunk({}, "brand_new"), "[DONE]"),
    "the same word 150 times": data(ROLE, *[chunk({"content": "ha "})] * 150, chunk({}, "stop"), "[DONE]"),
}  # fmt: skip


# --- responses ---------------------------------------------------------------------------------------------------


def response(status: str, **more: Any) -> dict[str, Any]:
    """The response object of an event; a whole one, since litellm checks it."""
    return {
        "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": status, "model": "lark-2",
        "output": [], "parallel_tool_calls": True, "tools": [], "tool_choice": "auto", "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "temperature": 1.0, "top_p": 1.0,
        **more,
    }  # fmt: skip


RESPONSES_USAGE = {
    "input_tokens": 21, "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 13, "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 34,
}  # fmt: skip


def message(pieces: tuple[str, ...] = PIECES, index: int = 0, kind: str = "output_text") -> list[dict[str, Any]]:
    """A message item, from its beginning to its end."""
    item = {"type": "message", "id": f"m_{index}", "role": "assistant", "status": "in_progress", "content": []}
    at = {"item_id": f"m_{index}", "output_index": index, "content_index": 0}
    field = "refusal" if kind == "refusal" else "text"
    whole: dict[str, Any] = {"type": kind, field: "".join(pieces)}
    if kind == "output_text":
        whole["annotations"] = []
    return [
        {"type": "response.output_item.added", "output_index": index, "item": item},
        {"type": "response.content_part.added", **at, "part": {**whole, field: ""}},
        *({"type": f"response.{kind}.delta", **at, "delta": piece} for piece in pieces),
        {"type": f"response.{kind}.done", **at, field: whole[field]},
        {"type": "response.content_part.done", **at, "part": whole},
        {
            "type": "response.output_item.done",
            "output_index": index,
            "item": {**item, "status": "completed", "content": [whole]},
        },
    ]


def thought(*texts: str, index: int = 0) -> list[dict[str, Any]]:
    """A reasoning item with one summary part per text."""
    item = {"type": "reasoning", "id": f"rs_{index}", "summary": []}
    events: list[dict[str, Any]] = [{"type": "response.output_item.added", "output_index": index, "item": item}]
    for number, text in enumerate(texts):
        at = {"item_id": f"rs_{index}", "output_index": index, "summary_index": number}
        whole = {"type": "summary_text", "text": text}
        events += [
            {"type": "response.reasoning_summary_part.added", **at, "part": {**whole, "text": ""}},
            {"type": "response.reasoning_summary_text.delta", **at, "delta": text},
            {"type": "response.reasoning_summary_text.done", **at, "text": text},
            {"type": "response.reasoning_summary_part.done", **at, "part": whole},
        ]
    summary = [{"type": "summary_text", "text": text} for text in texts]
    return [
        *events,
        {"type": "response.output_item.done", "output_index": index, "item": {**item, "summary": summary}},
    ]


def function(call_id: str, name: str, *pieces: str, index: int = 0) -> list[dict[str, Any]]:
    """A function call item."""
    item = {"type": "function_call", "id": f"fc_{index}", "call_id": call_id, "name": name, "arguments": ""}
    at = {"item_id": f"fc_{index}", "output_index": index}
    whole = "".join(pieces)
    return [
        {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress"}},
        *({"type": "response.function_call_arguments.delta", **at, "delta": piece} for piece in pieces),
        {"type": "response.function_call_arguments.done", **at, "arguments": whole},
        {
            "type": "response.output_item.done",
            "output_index": index,
            "item": {**item, "status": "completed", "arguments": whole},
        },
    ]


def responses(*events: dict[str, Any], last: dict[str, Any] | None = None, status: str = "completed") -> bytes:
    """A stream of these events between the first one and the last."""
    start = {"type": "response.created", "response": response("in_progress")}
    end = {"type": f"response.{status}", "response": response(status, **(last or {"usage": RESPONSES_USAGE}))}
    numbered = [{**event, "sequence_number": number} for number, event in enumerate((start, *events, end))]
    return named(*numbered)


RESPONSES: dict[str, bytes] = {
    "text": responses(*message()),
    "reasoning": responses(*thought("Count."), *message(index=1)),
    "reasoning in two parts": responses(*thought("Count.", "Twice."), *message(index=1)),
    "reasoning of an open model": responses(
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_0"}},
        {"type": "response.reasoning_text.delta", "item_id": "rs_0", "output_index": 0, "content_index": 0,
         "delta": "Count."},
        *message(index=1),
    ),
    "two calls": responses(
        *function("call_a", "one", '{"x":', "2}"), *function("call_b", "two", '{"y":3}', index=1)
    ),
    "text and a call": responses(*message(), *function("call_a", "one", '{"x":2}', index=1)),
    "length": responses(
        *message(),
        status="incomplete",
        last={"incomplete_details": {"reason": "max_output_tokens"}, "usage": RESPONSES_USAGE},
    ),
    "content filter": responses(
        *message(), status="incomplete", last={"incomplete_details": {"reason": "content_filter"}}
    ),
    "refusal": responses(*message(("I will ", "not."), kind="refusal")),
    "failed": responses(
        *message()[:4], status="failed", last={"error": {"code": "server_error", "message": "Something broke"}}
    ),
    "error event": named(
        {"type": "response.created", "response": response("in_progress")},
        *message()[:4],
        {"type": "error", "code": "server_error", "message": "Something broke", "param": None},
    ),
    "cut": responses(*message())[:1200],
}  # fmt: skip


# --- anthropic ---------------------------------------------------------------------------------------------------

SAYS = (block_start(0, "text", text=""), *(block_delta(0, "text_delta", text=p) for p in PIECES), block_stop(0))
START = message_start(input_tokens=21, output_tokens=1)
THINKS = (
    block_start(0, "thinking", thinking="", signature=""),
    block_delta(0, "thinking_delta", thinking="Count."),
    block_delta(0, "signature_delta", signature="c2ln"),
    block_stop(0),
)


def later(events: tuple[dict[str, Any], ...], index: int) -> list[dict[str, Any]]:
    """The same block at another place."""
    return [{**event, "index": index} for event in events]


def tool_block(index: int, call_id: str, name: str, *pieces: str, kind: str = "tool_use") -> list[dict[str, Any]]:
    """A tool call block."""
    deltas = (block_delta(index, "input_json_delta", partial_json=piece) for piece in pieces)
    return [block_start(index, kind, id=call_id, name=name, input={}), *deltas, block_stop(index)]


ANTHROPIC: dict[str, bytes] = {
    "text": named(START, {"type": "ping"}, *SAYS, *message_end("end_turn", output_tokens=13)),
    "thinking": named(START, *THINKS, *later(SAYS, 1), *message_end("end_turn", output_tokens=13)),
    "redacted thinking": named(
        START, block_start(0, "redacted_thinking", data="hidden"), block_stop(0), *later(SAYS, 1),
        *message_end("end_turn", output_tokens=13),
    ),
    "cached": named(
        message_start(input_tokens=10, cache_read_input_tokens=8, cache_creation_input_tokens=3, output_tokens=1),
        *SAYS,
        *message_end("end_turn", output_tokens=13),
    ),
    "two calls": named(
        START,
        *tool_block(0, "toolu_a", "one", "", '{"x":', "2}"),
        *tool_block(1, "toolu_b", "two", '{"y":3}'),
        *message_end("tool_use", output_tokens=13),
    ),
    "a call without arguments": named(
        START, *tool_block(0, "toolu_a", "one"), *message_end("tool_use", output_tokens=13)
    ),
    "a server tool": named(
        START,
        *tool_block(0, "srvtoolu_a", "web_search", '{"query":"birds"}', kind="server_tool_use"),
        block_start(1, "web_search_tool_result", tool_use_id="srvtoolu_a", content=[]),
        block_stop(1),
        *later(SAYS, 2),
        *message_end("end_turn", output_tokens=13),
    ),
    "length": named(START, *SAYS, *message_end("max_tokens", output_tokens=13)),
    "pause": named(START, *SAYS, *message_end("pause_turn", output_tokens=13)),
    "refusal": named(START, *SAYS, *message_end("refusal", output_tokens=13)),
    "without the last event": named(START, *SAYS, message_end("end_turn", output_tokens=13)[0]),
    "cut": named(START, *SAYS[:2]),
    "error event": named(START, *SAYS[:2], {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}),
    "an unknown event": named(
        START, {"type": "brand_new", "x": [1]}, *SAYS, *message_end("end_turn", output_tokens=13)
    ),
    "iterations": named(
        START, *SAYS,
        *message_end("end_turn", input_tokens=21, output_tokens=13, iterations=[
            {"type": "message", "input_tokens": 9, "output_tokens": 5},
            {"type": "message", "input_tokens": 12, "output_tokens": 8},
        ]),
    ),
}  # fmt: skip


# --- google ------------------------------------------------------------------------------------------------------

COUNTS = {"promptTokenCount": 21, "candidatesTokenCount": 13, "totalTokenCount": 34}
SPOKEN = tuple(part({"text": piece}) for piece in PIECES[:2])
LAST = PIECES[2]


def spoken(finish: str | None = "STOP", **usage: Any) -> bytes:
    """The text, then this end."""
    return data(*SPOKEN, part({"text": LAST}, finish=finish, usageMetadata=usage or COUNTS))


GOOGLE: dict[str, bytes] = {
    "text": spoken(),
    "usage": spoken(**COUNTS | {"cachedContentTokenCount": 8, "thoughtsTokenCount": 4, "totalTokenCount": 38}),
    "thoughts": data(part({"text": "Count.", "thought": True}), *SPOKEN, part({"text": LAST}, finish="STOP")),
    "length": spoken("MAX_TOKENS"),
    "safety": spoken("SAFETY"),
    "recitation": spoken("RECITATION"),
    "blocked prompt": data({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": COUNTS}),
    "two calls": data(
        part({"functionCall": {"name": "one", "args": {"x": 2}}}),
        part({"functionCall": {"name": "two", "args": {"y": 3}}}, finish="STOP", usageMetadata=COUNTS),
    ),
    "a malformed call": data(part({"text": TEXT}), part(finish="MALFORMED_FUNCTION_CALL", usageMetadata=COUNTS)),
    "a call without arguments": data(part({"functionCall": {"name": "one"}}, finish="STOP")),
    "lines end in CRLF": spoken().replace(b"\n", b"\r\n"),
    "keep-alives": b": keep-alive\n\n" + spoken(),
    "finish in an event of its own": data(*SPOKEN, part({"text": LAST}), part(finish="STOP", usageMetadata=COUNTS)),
    "without a reason": spoken(None),
    "cut": data(*SPOKEN),
    "error event": data(*SPOKEN, {"error": {"code": 503, "message": "Busy", "status": "UNAVAILABLE"}}),
    "an unknown part": data(part({"brandNew": {"x": 1}}), *SPOKEN, part({"text": LAST}, finish="STOP")),
}


# --- cohere ------------------------------------------------------------------------------------------------------


def said(*pieces: str) -> list[dict[str, Any]]:
    """A content block of text."""
    return [
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        *({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": p}}}} for p in pieces),
        {"type": "content-end", "index": 0},
    ]


COHERE_START = {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant", "content": []}}}


def cohere_end(reason: str) -> dict[str, Any]:
    """The last event."""
    usage = {
        "billed_units": {"input_tokens": 2, "output_tokens": 3},
        "tokens": {"input_tokens": 21, "output_tokens": 13},
    }
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": usage}}


COHERE: dict[str, bytes] = {
    "text": named(COHERE_START, *said(*PIECES), cohere_end("COMPLETE")),
    "length": named(COHERE_START, *said(*PIECES), cohere_end("MAX_TOKENS")),
    "without event names": data(COHERE_START, *said(*PIECES), cohere_end("COMPLETE")),
    "cut": named(COHERE_START, *said(*PIECES)[:2]),
}


CASES: dict[Dialect, dict[str, bytes]] = {
    "openai-chat": CHAT,
    "openai-responses": RESPONSES,
    "anthropic": ANTHROPIC,
    "google": GOOGLE,
    "cohere": COHERE,
}

for dialect, sample in SAMPLES.items():
    CASES[dialect]["everything"] = sample
