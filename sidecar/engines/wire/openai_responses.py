"""OpenAI's Responses API: OpenAI, Azure, xAI, LM Studio and other servers of the open standard.

Finish marker: ``response.completed`` or ``response.incomplete`` (xAI also says ``response.done``). The reason is not
on the wire: it is ``tool-calls`` when the model called a function, else ``stop``, unless the answer is incomplete.

Calls of the vendor's own tools (search, interpreters, MCP) are reported as provider-executed, under the AI SDK's names
and with its inputs. They do not make the reason ``tool-calls``. ``custom_tool_call`` items are passed over: the app
offers functions only, and whoever sends one all the same (xAI, for its searches) has run it already.
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
from sidecar.engines.wire.decoder import WireDecoder
from sidecar.engines.wire.failures import stream_error
from sidecar.engines.wire.lenient import both_sides, count, items, member, total_of
from sidecar.engines.wire.openai_responses_items import OutputItem, tool_events
from sidecar.engines.wire.tool_calls import PendingCall, json_text

_INCOMPLETE: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content-filter",
}

_FINISHED = ("response.completed", "response.incomplete", "response.done", "response.cancelled")
_DONE_TEXT = ("response.output_text.done", "response.refusal.done")
_DONE_REASONING = ("response.reasoning_summary_text.done", "response.reasoning_text.done")
_TEXT = ("response.output_text.delta", "response.refusal.delta")
_REASONING = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_ITEM = ("response.output_item.added", "response.output_item.done")
_ARGUMENTS = "response.function_call_arguments.delta"
_DONE_ARGUMENTS = "response.function_call_arguments.done"


class _Response(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    error: Any = None
    incomplete_details: Any = None
    usage: Any = None
    output: list[Any] | None = None


class _StreamEvent(msgspec.Struct, gc=False):
    type: str | None = None
    delta: str | None = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    item_id: str | None = None
    output_index: int | None = None
    summary_index: int | None = None
    content_index: int | None = None
    item: OutputItem | None = None
    response: _Response | None = None
    annotation: Any = None
    object: str | None = None
    error: Any = None
    message: Any = None
    detail: Any = None
    code: Any = None
    choices: Any = None


class _PlainEvent(msgspec.Struct, gc=False):
    type: Literal["response.output_text.delta", "response.reasoning_summary_text.delta"]
    delta: str
    item_id: str | None = None
    output_index: int | None = None
    summary_index: int | None = None
    content_index: int | None = None
    item: None = None
    response: None = None


_place = attrgetter("type", "item_id", "output_index", "summary_index", "content_index")
"""Pieces with the same place are of the same text."""

_decode = msgspec.json.Decoder(_StreamEvent).decode
_decode_response = msgspec.json.Decoder(_Response).decode


class OpenAIResponsesDecoder(WireDecoder):
    """Reads ``response.*`` events, or one ``response`` object."""

    known_types: ClassVar[frozenset[str] | None] = frozenset(
        {
            "response.created",
            "response.failed",
            "error",
            _ARGUMENTS,
            _DONE_ARGUMENTS,
            *_FINISHED,
            *_DONE_TEXT,
            *_DONE_REASONING,
            *_TEXT,
            *_REASONING,
            *_ITEM,
        }
    )

    plain_heads = (
        b"event: response.output_text.delta\ndata: ",
        b"event: response.reasoning_summary_text.delta\ndata: ",
        b"data: ",
    )
    plain_values: ClassVar[tuple[msgspec.json.Decoder[list[Any]], ...]] = (msgspec.json.Decoder(list[_PlainEvent]),)

    def __init__(self) -> None:
        super().__init__()
        self._called = False
        self._items = 0
        self._block_ids: dict[int | None, str] = {}
        self._texts: set[tuple[int | None, int]] = set()
        self._thoughts: set[tuple[int | None, int]] = set()
        self._pending: dict[int | None, PendingCall] = {}
        self._given_arguments: dict[int | None, str] = {}
        self._urls: set[str] = set()

    def _event(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        event = _decode(data)
        kind = event.type
        if kind in _TEXT:
            if event.delta:
                self._text(event, event.delta, out)
        elif kind in _REASONING:
            if event.delta:
                self._thought(event, event.delta, out)
        elif kind == _ARGUMENTS:
            if (call := self._pending.get(event.output_index)) is not None:
                call.append(event.delta or "", out)
        elif kind is None or kind == "error":
            self._untyped(name, event, data, out)
        else:
            self._structure(kind, event, data, out)

    def _plain(self, values: list[_PlainEvent], out: list[Event]) -> None:
        for _, pieces in groupby(values, key=_place):
            first, *more = pieces
            if whole := first.delta + "".join([piece.delta for piece in more]):
                take = self._text if first.type in _TEXT else self._thought
                take(first, whole, out)

    def _structure(self, kind: str, event: _StreamEvent, data: bytes, out: list[Event]) -> None:
        if kind in _DONE_TEXT:
            # Only for servers that send no deltas.
            whole = event.text or event.refusal
            if isinstance(whole, str) and whole and not _has(self._texts, event.output_index, event.content_index or 0):
                self._text(event, whole, out)
        elif kind in _DONE_REASONING:
            whole = event.text
            if isinstance(whole, str) and whole and not _has(self._thoughts, event.output_index, _part(event)):
                self._thought(event, whole, out)
        elif kind == _DONE_ARGUMENTS:
            self._given_arguments[event.output_index] = json_text(event.arguments)
        elif kind in _ITEM and event.item is not None:
            if kind == "response.output_item.added":
                self._item_added(event.output_index, event.item, out)
            else:
                self._item_done(event.output_index, event.item, out)
        elif kind == "response.output_text.annotation.added":
            self._cite(event.annotation, out)
        elif event.response is not None:
            self._response(kind, event.response, data, out)

    def _response(self, kind: str, response: _Response, data: bytes, out: list[Event]) -> None:
        if not self._started and (response.id or response.model):
            self._started = True
            out.append(ResponseStarted(response.id, response.model))
        if kind == "response.failed" or (kind in _FINISHED and response.error):
            if usage := _usage(member(response.usage)):
                out.append(usage)
            self._failed(stream_error(response.error or {}, data), out)
        elif kind in _FINISHED:
            self._complete(response, out)

    def _complete(self, response: _Response, out: list[Event]) -> None:
        if not self._items:
            # A server that sends its items only here, or an answer that was not streamed at all.
            for index, item in enumerate(msgspec.convert(response.output or [], list[OutputItem])):
                if item.type != "message" or not self._texts:
                    self._item_done(index, item, out)
        raw = member(response.incomplete_details).get("reason")
        if raw is None and response.status in ("incomplete", "cancelled"):
            raw = response.status
        if raw is None:
            self._complete_calls(out)
        if usage := _usage(member(response.usage)):
            out.append(usage)
        if raw is None:
            reason: FinishReason = "tool-calls" if self._called else "stop"
        else:
            reason = _INCOMPLETE.get(str(raw), "tool-calls" if self._called else "other")
        self._finished(reason, None if raw is None else str(raw), out)

    def _untyped(self, name: bytes | None, event: _StreamEvent, data: bytes, out: list[Event]) -> None:
        """An ``error`` event, flat or nested; an answer object that was not streamed; an error of a gateway."""
        failed = event.type == "error" or name == b"error" or event.error or event.detail or event.code
        if event.object == "response" and not event.error:
            response = _decode_response(data)
            self._response(
                "response.failed" if response.status == "failed" else "response.completed", response, data, out
            )
        elif failed:
            fields = msgspec.json.decode(data)
            if event.type == "error":
                fields.pop("type")
            self._failed(stream_error(event.error or fields, data, beside=fields), out)
        elif event.choices is not None:
            self._unexpected(data, out)  # chat completions: the address is of the older API

    # --- items ---------------------------------------------------------------------------------------------------

    def _item_added(self, index: int | None, item: OutputItem, out: list[Event]) -> None:
        self._items += 1
        if item.id:
            self._block_ids[index] = item.id
        if item.type == "function_call":
            call = PendingCall(item.call_id or item.id or f"call-{index}", item.name or "")
            self._pending[index] = call
            call.start(out)

    def _item_done(self, index: int | None, item: OutputItem, out: list[Event]) -> None:
        self._items += 1
        kind = item.type or ""
        if kind == "function_call":
            self._called = True
            self._given_arguments.pop(index, None)
            call = self._take(index, item)
            call.name = call.name or item.name or ""
            call.complete(out, json_text(item.arguments) or None)
        elif kind == "message":
            self._message(index, item, out)
        elif kind == "reasoning":
            self._whole_reasoning(index, item, out)
        else:
            tool_events(kind, item, out)

    def _message(self, index: int | None, item: OutputItem, out: list[Event]) -> None:
        for position, part in enumerate(items(item.content)):
            fields = member(part)
            text = fields.get("text") or fields.get("refusal")
            if isinstance(text, str) and text and not _has(self._texts, index, position):
                self._texts.add((index, position))
                out.append(TextDelta(text, self._block_ids.get(index) or item.id or "0"))
            for annotation in items(fields.get("annotations")):
                self._cite(annotation, out)

    def _take(self, index: int | None, item: OutputItem) -> PendingCall:
        """The open call of a complete item: by its place, or by its id where a server does not say the place."""
        call_id = item.call_id or item.id or f"call-{index}"
        for place, call in self._pending.items():
            if place == index or call.id == call_id:
                return self._pending.pop(place)
        return PendingCall(call_id)

    def _complete_calls(self, out: list[Event]) -> None:
        """Calls whose arguments were declared complete though their item was not."""
        for index, arguments in self._given_arguments.items():
            if (call := self._pending.pop(index, None)) is not None:
                self._called = True
                call.complete(out, arguments or None)

    def _whole_reasoning(self, index: int | None, item: OutputItem, out: list[Event]) -> None:
        """Reasoning of an item of which nothing was streamed."""
        if any(sent in (index, None) for sent, _ in self._thoughts):
            return
        for position, part in enumerate(items(item.summary) or items(item.content)):
            text = member(part).get("text")
            if isinstance(text, str) and text:
                out.append(ReasoningDelta(text, f"{item.id or index}:{position}"))

    # --- text ----------------------------------------------------------------------------------------------------

    def _thought(self, event: _StreamEvent | _PlainEvent, text: str, out: list[Event]) -> None:
        part = _part(event)
        self._thoughts.add((event.output_index, part))
        out.append(ReasoningDelta(text, f"{self._block_id(event)}:{part}"))

    def _text(self, event: _StreamEvent | _PlainEvent, text: str, out: list[Event]) -> None:
        self._texts.add((event.output_index, event.content_index or 0))
        out.append(TextDelta(text, self._block_id(event)))

    def _block_id(self, event: _StreamEvent | _PlainEvent) -> str:
        """The id announced for the item. Some gateways change ``item_id`` from event to event."""
        return self._block_ids.get(event.output_index) or event.item_id or "0"

    def _cite(self, annotation: Any, out: list[Event]) -> None:
        fields = member(annotation)
        url = fields.get("url")
        if fields.get("type") == "url_citation" and isinstance(url, str) and url not in self._urls:
            self._urls.add(url)
            title = fields.get("title")
            out.append(Source(str(len(self._urls)), url, title if isinstance(title, str) else None))


def _part(event: _StreamEvent | _PlainEvent) -> int:
    """The position of a reasoning text within its item."""
    return event.summary_index if event.summary_index is not None else event.content_index or 0


def _has(sent: set[tuple[int | None, int]], index: int | None, position: int) -> bool:
    """Whether a text was sent already, under its item's index or under none."""
    return (index, position) in sent or (None, position) in sent


def _usage(usage: dict[str, Any]) -> Usage | None:
    """Token counts."""
    prompt = count(usage.get("input_tokens"))
    completion = count(usage.get("output_tokens"))
    if prompt is None and completion is None:
        return None
    details = member(usage.get("input_tokens_details"))
    cached = count(details.get("cached_tokens"))
    reasoning = count(member(usage.get("output_tokens_details")).get("reasoning_tokens"))
    total = count(usage.get("total_tokens"))
    prompt, completion = both_sides(prompt, completion, cached=cached, reasoning=reasoning, total=total)
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        reasoning_tokens=reasoning,
        cached_input_tokens=cached,
        cache_write_tokens=count(details.get("cache_write_tokens")),
        total_tokens=total_of(prompt, completion, total),
    )
