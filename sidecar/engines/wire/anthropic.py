"""Anthropic's Messages API: Anthropic, and the endpoints that imitate it.

Finish marker: the ``stop_reason`` of ``message_delta``, or ``message_stop``.
Blocks of the vendor's own tools (``server_tool_use``, ``mcp_tool_use``) are provider-executed calls; their results
are not for the app and are passed over, apart from the pages a search found. The tools of code execution have one name
and a ``type`` in their input, as in the AI SDK.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import Any, ClassVar, Literal

import msgspec

from sidecar.engines.base import (
    Event,
    FinishReason,
    ReasoningDelta,
    ResponseStarted,
    Source,
    TextDelta,
    Usage,
)
from sidecar.engines.wire.decoder import UNREADABLE, WireDecoder
from sidecar.engines.wire.failures import stream_error
from sidecar.engines.wire.lenient import count, first_count, items, member, total_of
from sidecar.engines.wire.tool_calls import PendingCall, json_text, whole_call

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool-calls",
    "refusal": "content-filter",
    "compaction": "other",
}

_CALL_BLOCKS = {"tool_use": False, "server_tool_use": True, "mcp_tool_use": True}

_CODE_EXECUTION = {
    # the vendor's tool: the ``type`` of its input
    "code_execution": "programmatic-tool-call",
    "bash_code_execution": "bash_code_execution",
    "text_editor_code_execution": "text_editor_code_execution",
}


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    content: Any = None
    citation: Any = None
    stop_reason: str | None = None


class _Block(msgspec.Struct, gc=False):
    # Blocks nobody here knows may have any shape.
    type: str | None = None
    text: Any = None
    thinking: Any = None
    signature: Any = None
    id: Any = None
    name: Any = None
    input: Any = None
    content: Any = None


class _Message(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: Any = None


class _StreamEvent(msgspec.Struct, gc=False):
    type: str | None = None
    index: int | None = None
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: Any = None
    usage: Any = None
    error: Any = None
    detail: Any = None


class _PlainDelta(msgspec.Struct, gc=False, kw_only=True):
    partial_json: None = None
    signature: None = None
    citation: None = None
    content: None = None


class _Text(_PlainDelta, gc=False):
    said: str = msgspec.field(name="text")
    thinking: None = None


class _Thought(_PlainDelta, gc=False):
    said: str = msgspec.field(name="thinking")
    text: None = None


class _PlainEvent(msgspec.Struct, gc=False):
    type: Literal["content_block_delta"]
    index: int


class _TextEvent(_PlainEvent, gc=False):
    delta: _Text


class _ThoughtEvent(_PlainEvent, gc=False):
    delta: _Thought


_decode = msgspec.json.Decoder(_StreamEvent).decode
_decode_message = msgspec.json.Decoder(_Message).decode


class AnthropicDecoder(WireDecoder):
    """Reads Messages stream events, or one ``message`` object."""

    known_types: ClassVar[frozenset[str] | None] = frozenset(
        {"message_start", "content_block_start", "content_block_delta", "content_block_stop"}
        | {"message_delta", "message_stop", "message", "error"}
    )

    plain_heads = (b"event: content_block_delta\ndata: ",)
    plain_values: ClassVar[tuple[msgspec.json.Decoder[list[Any]], ...]] = (
        msgspec.json.Decoder(list[_TextEvent]),
        msgspec.json.Decoder(list[_ThoughtEvent]),
    )

    def __init__(self) -> None:
        super().__init__()
        self._message_id: str | None = None
        self._opening_reason: str | None = None
        self._usage: dict[str, Any] = {}
        self._calls: dict[int | None, PendingCall] = {}
        self._urls: set[str] = set()

    def _event(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        event = _decode(data)
        kind = event.type
        if kind == "content_block_delta":
            if event.delta is not None:
                self._delta(event.index, event.delta, out)
        elif kind == "content_block_start":
            if event.content_block is not None:
                self._block_start(event.index, event.content_block, out)
        elif kind == "content_block_stop":
            self._block_stop(event.index, out)
        elif kind == "message_delta":
            self._count(event.usage, out)
            if event.delta is not None and event.delta.stop_reason:
                self._stop(event.delta.stop_reason, out)
        elif kind == "message_stop":
            if self._reason is None:
                self._stop(self._opening_reason, out)
        else:
            self._outer(kind, name, event, data, out)

    def _plain(self, values: list[_TextEvent | _ThoughtEvent], out: list[Event]) -> None:
        kind = TextDelta if isinstance(values[0], _TextEvent) else ReasoningDelta
        for index, pieces in groupby(values, key=attrgetter("index")):
            if said := "".join([piece.delta.said for piece in pieces]):
                out.append(kind(said, str(index)))

    def _outer(self, kind: str | None, name: bytes | None, event: _StreamEvent, data: bytes, out: list[Event]) -> None:
        if kind == "message_start":
            self._message(msgspec.convert(event.message or {}, _Message), out)
        elif kind == "message":
            message = _decode_message(data)
            self._message(message, out)
            self._stop(message.stop_reason, out)
        elif kind == "error" or name == b"error" or (kind is None and (event.error or event.detail or event.message)):
            fields = event.error or {"message": event.detail or event.message}
            self._failed(stream_error(fields, data), out)

    def _message(self, message: _Message, out: list[Event]) -> None:
        """The message's head; its blocks too when they are already there (a turn resumed after a server tool)."""
        if self._started and message.id == self._message_id:
            return
        if not self._started:
            out.append(ResponseStarted(message.id, message.model))
        self._started = True
        self._message_id = message.id
        self._opening_reason = message.stop_reason
        for index, block in enumerate(message.content or ()):
            self._block_start(-1 - index, block, out)
            self._block_stop(-1 - index, out)
        self._count(message.usage, out)

    def _stop(self, raw: str | None, out: list[Event]) -> None:
        self._finished(_REASONS.get(raw or "", "other"), raw, out)

    # --- blocks --------------------------------------------------------------------------------------------------

    def _delta(self, index: int | None, delta: _Delta, out: list[Event]) -> None:
        block = str(index)
        if delta.text:
            out.append(TextDelta(delta.text, block))
        elif delta.thinking:
            out.append(ReasoningDelta(delta.thinking, block))
        elif delta.partial_json is not None:
            if (call := self._calls.get(index)) is not None:
                call.append(delta.partial_json, out)
        elif delta.signature:
            out.append(ReasoningDelta("", block, delta.signature))
        elif delta.citation is not None:
            self._cite(delta.citation, out)
        elif delta.type == "compaction_delta" and isinstance(delta.content, str) and delta.content:
            out.append(TextDelta(delta.content, block))

    def _block_start(self, index: int | None, block: _Block, out: list[Event]) -> None:
        kind = block.type or ""
        if kind in _CALL_BLOCKS:
            call_id, name = _text(block.id) or f"call-{index}", _text(block.name)
            call = PendingCall(call_id, name, provider_executed=_CALL_BLOCKS[kind])
            self._calls[index] = call
            if not _runs_code(call):
                call.start(out)
            # An empty object announces deltas; a call made inside code execution brings its input here.
            if block.input:
                call.append(json_text(block.input), out)
        elif kind == "web_search_tool_result" and isinstance(block.content, list):
            for result in block.content:
                self._cite(result, out)
        elif kind == "compaction" and isinstance(block.content, str) and block.content:
            out.append(TextDelta(block.content, str(index)))
        if text := _text(block.text):
            out.append(TextDelta(text, str(index)))
        thinking, signature = _text(block.thinking), _text(block.signature)
        if thinking or signature:
            out.append(ReasoningDelta(thinking, str(index), signature or None))

    def _block_stop(self, index: int | None, out: list[Event]) -> None:
        if (call := self._calls.pop(index, None)) is None:
            return
        if _runs_code(call):
            arguments = _typed(call.arguments, _CODE_EXECUTION[call.name])
            whole_call(call.id, "code_execution", arguments, out, provider_executed=True)
        else:
            call.complete(out)

    def _cite(self, citation: Any, out: list[Event]) -> None:
        fields = member(citation)
        url = fields.get("url")
        if isinstance(url, str) and url and url not in self._urls:
            self._urls.add(url)
            title = fields.get("title")
            out.append(Source(str(len(self._urls)), url, title if isinstance(title, str) else None))

    # --- usage ---------------------------------------------------------------------------------------------------

    def _count(self, usage: Any, out: list[Event]) -> None:
        """Figures are cumulative; ``message_delta`` repeats or replaces those of ``message_start``."""
        fresh = {name: value for name, value in member(usage).items() if value is not None}
        if fresh:
            self._usage.update(fresh)
            out.append(_usage(self._usage))


def _text(value: Any) -> str:
    """``value`` if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def _runs_code(call: PendingCall) -> bool:
    """Whether it is one of the vendor's calls that are reported whole: their input is rewritten."""
    return call.provider_executed and call.name in _CODE_EXECUTION


def _typed(arguments: str, kind: str) -> str:
    """``arguments`` with the ``type`` the AI SDK tells the tools of code execution apart by."""
    try:
        given = msgspec.json.decode(arguments)
    except UNREADABLE:
        return arguments
    if not isinstance(given, dict) or "type" in given or (kind == "programmatic-tool-call" and "code" not in given):
        return arguments
    return msgspec.json.encode({"type": kind, **given}).decode()


def _usage(usage: dict[str, Any]) -> Usage:
    """Token counts. Anthropic counts cached tokens outside ``input_tokens``; here the prompt includes them.

    With ``iterations``, the top-level figures leave compaction out (vendor documentation, "Compaction"), so the
    iterations of this model are added up - unless a fallback model answered: then the top level is its count.
    Advisor iterations are another model's and not counted.
    """
    prompt = count(usage.get("input_tokens"))
    output = count(usage.get("output_tokens"))
    iterations = [member(value) for value in items(usage.get("iterations"))]
    kinds = {str(iteration.get("type")) for iteration in iterations}
    if "compaction" in kinds and "fallback_message" not in kinds:
        own = [iteration for iteration in iterations if iteration.get("type") in ("compaction", "message")]
        prompt = sum(count(iteration.get("input_tokens")) or 0 for iteration in own)
        output = sum(count(iteration.get("output_tokens")) or 0 for iteration in own)
    cached = count(usage.get("cache_read_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    if prompt is not None:
        prompt += (cached or 0) + (written or 0)
    details = member(usage.get("output_tokens_details"))
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        reasoning_tokens=first_count(details.get("thinking_tokens"), details.get("reasoning_tokens")),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        total_tokens=total_of(prompt, output),
    )
