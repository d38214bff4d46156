"""Cohere's chat API, version 2.

Finish marker: ``message-end``. The plan a model writes before calling tools (``tool-plan-delta``) is a note to
itself, not part of the answer, and passed over, as the AI SDK does.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from sidecar.engines.base import (
    Event,
    FinishReason,
    ReasoningDelta,
    ResponseStarted,
    TextDelta,
    Usage,
)
from sidecar.engines.wire.decoder import WireDecoder
from sidecar.engines.wire.failures import stream_error
from sidecar.engines.wire.lenient import count, first_count, items, member, total_of
from sidecar.engines.wire.tool_calls import PendingCall, json_text, whole_call

_REASONS: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool-calls",
    "ERROR": "error",
    "TIMEOUT": "error",
    "ERROR_TOXIC": "content-filter",
    "ERROR_LIMIT": "length",
}


class _Delta(msgspec.Struct, gc=False):
    message: Any = None
    finish_reason: str | None = None
    usage: Any = None
    error: Any = None


class _StreamEvent(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    index: int | None = None
    delta: _Delta | None = None
    message: Any = None
    finish_reason: str | None = None
    usage: Any = None
    error: Any = None
    detail: Any = None


_decode = msgspec.json.Decoder(_StreamEvent).decode


class CohereDecoder(WireDecoder):
    """Reads v2 stream events, or one answer object."""

    known_types: ClassVar[frozenset[str] | None] = frozenset(
        {"message-start", "content-start", "content-delta", "tool-call-start", "tool-call-delta", "tool-call-end"}
        | {"message-end", "error"}
    )

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int | None, PendingCall] = {}

    def _event(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        event = _decode(data)
        kind = event.type
        if kind in ("content-delta", "content-start"):
            if event.delta is not None:
                self._content(event.index, member(event.delta.message).get("content"), out)
        elif kind is not None and kind.startswith("tool-call-"):
            self._tool_call(kind, event, out)
        elif kind == "message-start":
            out.append(ResponseStarted(event.id))
        elif kind == "message-end":
            end = event.delta or _Delta()
            self._end(end.finish_reason, end.usage, out)
            if end.error:
                self._failed(stream_error(end.error, data), out)
        else:
            self._outer(kind, name, event, data, out)

    def _outer(self, kind: str | None, name: bytes | None, event: _StreamEvent, data: bytes, out: list[Event]) -> None:
        if kind is None and isinstance(event.message, dict):
            self._whole(event, event.message, out)
        elif kind == "error" or name == b"error" or (kind is None and (event.error or event.detail or event.message)):
            fields = event.error or {"message": event.message or event.detail}
            self._failed(stream_error(fields, data), out)

    def _whole(self, event: _StreamEvent, message: dict[str, Any], out: list[Event]) -> None:
        """An answer that was not streamed."""
        out.append(ResponseStarted(event.id))
        content = message.get("content")
        for index, part in enumerate(content if isinstance(content, list) else [content]):
            self._content(index, part, out)
        for index, call in enumerate(items(message.get("tool_calls"))):
            fields = member(call)
            function = member(fields.get("function"))
            name = str(function.get("name") or "")
            whole_call(str(fields.get("id") or f"call-{index}"), name, json_text(function.get("arguments")), out)
        self._end(event.finish_reason, event.usage, out)

    def _content(self, index: int | None, content: Any, out: list[Event]) -> None:
        fields = {"text": content} if isinstance(content, str) else member(content)
        text, thinking = fields.get("text"), fields.get("thinking")
        if isinstance(thinking, str) and thinking:
            out.append(ReasoningDelta(thinking, str(index or 0)))
        if isinstance(text, str) and text:
            out.append(TextDelta(text, str(index or 0)))

    def _tool_call(self, kind: str, event: _StreamEvent, out: list[Event]) -> None:
        message = member(event.delta.message) if event.delta is not None else {}
        fields = member(message.get("tool_calls"))
        function = member(fields.get("function"))
        if kind == "tool-call-start":
            call = PendingCall(str(fields.get("id") or f"call-{event.index}"), str(function.get("name") or ""))
            self._calls[event.index] = call
            call.start(out)
        elif kind == "tool-call-end":
            if (call_ended := self._calls.pop(event.index, None)) is not None:
                call_ended.complete(out)
            return
        if (open_call := self._calls.get(event.index)) is not None:
            open_call.append(json_text(function.get("arguments")), out)

    def _end(self, raw: str | None, usage: Any, out: list[Event]) -> None:
        for call in self._calls.values():
            call.complete(out)
        self._calls.clear()
        if counted := _usage(member(usage)):
            out.append(counted)
        self._finished(_REASONS.get(raw or "", "other"), raw, out)


def _usage(usage: dict[str, Any]) -> Usage | None:
    """Token counts: what the model read and wrote, not the billed units, which leave the vendor's preamble out."""
    tokens = member(usage.get("tokens")) or member(usage.get("billed_units"))
    prompt, output = count(tokens.get("input_tokens")), count(tokens.get("output_tokens"))
    if prompt is None and output is None:
        return None
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        reasoning_tokens=count(tokens.get("reasoning_tokens")),
        cached_input_tokens=first_count(usage.get("cached_tokens"), tokens.get("cached_tokens")),
        total_tokens=total_of(prompt, output),
    )
