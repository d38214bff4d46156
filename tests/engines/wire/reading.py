"""What a test says about a stream: its bytes, and what was made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from sidecar.engines.base import (
    Dialect,
    Event,
    Finish,
    GeneratedFile,
    ProxyMetadata,
    ReasoningDelta,
    ResponseStarted,
    Source,
    StreamError,
    TextDelta,
    ToolCall,
    ToolInputDelta,
    ToolInputStart,
    Usage,
)
from sidecar.engines.wire import StreamCut, decoder_for


class Reading(msgspec.Struct, kw_only=True):
    """The sum of an answer's events, free of how deltas were grouped."""

    text: str = ""
    reasoning: str = ""
    signatures: list[str] = []
    started: list[ResponseStarted] = []
    inputs: dict[str, str] = {}
    calls: list[ToolCall] = []
    finish: str | None = None
    raw: str | None = None
    usage: Usage | None = None
    sources: list[Source] = []
    files: list[GeneratedFile] = []
    metadata: list[dict[str, Any]] = []
    error: StreamError | None = None
    cut: bool = False


def summed(events: Iterable[Event]) -> Reading:
    """Add events up, the later Finish and Usage replacing the earlier."""
    reading = Reading()
    for event in events:
        match event:
            case TextDelta():
                assert event.text
                reading.text += event.text
            case ReasoningDelta():
                reading.reasoning += event.text
                reading.signatures += [event.signature] if event.signature else []
            case ResponseStarted():
                reading.started.append(event)
            case ToolInputStart():
                assert event.id not in reading.inputs
                reading.inputs[event.id] = ""
            case ToolInputDelta():
                reading.inputs[event.id] += event.delta
            case ToolCall():
                assert event.id in reading.inputs
                reading.calls.append(event)
            case Usage():
                reading.usage = event
            case Finish():
                reading.finish, reading.raw = event.reason, event.raw
            case Source():
                reading.sources.append(event)
            case GeneratedFile():
                reading.files.append(event)
            case ProxyMetadata():
                reading.metadata.append(event.values)
            case StreamError():
                reading.error = event
    return reading


def read(dialect: Dialect, *pieces: bytes) -> Reading:
    """Decode an answer that arrives in ``pieces``.

    An answer in one piece is decoded byte by byte too: that must give the same, whatever the test is about.
    """
    reading = _decoded(dialect, pieces)
    if len(pieces) == 1:
        (whole,) = pieces
        assert _decoded(dialect, [whole[at : at + 1] for at in range(len(whole))]) == reading
    return reading


def _decoded(dialect: Dialect, pieces: Iterable[bytes]) -> Reading:
    decoder = decoder_for(dialect)
    events: list[Event] = []
    cut = False
    for piece in pieces:
        events += decoder.feed(piece)
    try:
        events += decoder.finish()
    except StreamCut as broken:
        events += broken.events
        cut = True
    reading = summed(events)
    reading.cut = cut
    return reading


def data(*values: Any) -> bytes:
    """An event stream with a ``data`` line per value; strings are written as they are."""
    return b"".join(b"data: " + _line(value) + b"\n\n" for value in values)


def named(*values: dict[str, Any]) -> bytes:
    """An event stream whose events are named by the value's ``type``."""
    return b"".join(b"event: " + value["type"].encode() + b"\ndata: " + _line(value) + b"\n\n" for value in values)


def _line(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chat completions chunk."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "chatcmpl-7", "object": "chat.completion.chunk", "model": "lark-1", "choices": choices, **more}


def tool_delta(index: int | None = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """A ``tool_calls`` delta; ``name`` goes to the function."""
    function = {}
    if "name" in more:
        function["name"] = more.pop("name")
    if arguments is not None:
        function["arguments"] = arguments
    return {"tool_calls": [{**({} if index is None else {"index": index}), **more, "function": function}]}


def part(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A Gemini response with one candidate."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "heron-2", "responseId": "r-5", **more}


def block_delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    """An Anthropic ``content_block_delta``."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def block_start(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    """An Anthropic ``content_block_start``."""
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def block_stop(index: int) -> dict[str, Any]:
    """An Anthropic ``content_block_stop``."""
    return {"type": "content_block_stop", "index": index}


def message_start(**usage: Any) -> dict[str, Any]:
    """An Anthropic ``message_start``."""
    message = {"id": "msg_3", "type": "message", "role": "assistant", "model": "wren-4", "content": []}
    return {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}}


def message_end(reason: str | None, **usage: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """An Anthropic ``message_delta`` and ``message_stop``."""
    delta = {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}
    return delta, {"type": "message_stop"}
