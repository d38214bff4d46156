"""Google's ``streamGenerateContent``: the Gemini API and Vertex.

Finish marker: a candidate's ``finishReason``, or a ``promptFeedback.blockReason`` (the prompt was refused, there is
no candidate). Gemini says ``STOP`` also when it calls functions; the reason is ``tool-calls`` then.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import Annotated, Any, ClassVar

import msgspec

from sidecar.engines.base import (
    Event,
    FinishReason,
    GeneratedFile,
    ReasoningDelta,
    ResponseStarted,
    Source,
    TextDelta,
    Usage,
)
from sidecar.engines.wire.decoder import WireDecoder
from sidecar.engines.wire.failures import stream_error
from sidecar.engines.wire.google_arguments import PartialArguments
from sidecar.engines.wire.lenient import count, items, member, total_of
from sidecar.engines.wire.tool_calls import PendingCall, json_text, whole_call

_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content-filter",
    "RECITATION": "content-filter",
    "BLOCKLIST": "content-filter",
    "PROHIBITED_CONTENT": "content-filter",
    "SPII": "content-filter",
    "IMAGE_SAFETY": "content-filter",
    "IMAGE_PROHIBITED_CONTENT": "content-filter",
    "IMAGE_RECITATION": "content-filter",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
}


class _Part(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: Any = None
    thought_signature: str | None = None
    function_call: Any = None
    inline_data: Any = None
    executable_code: Any = None
    tool_call: Any = None


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    grounding_metadata: Any = None


class _Chunk(msgspec.Struct, gc=False, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: Any = None
    prompt_feedback: Any = None
    response_id: str | None = None
    model_version: str | None = None
    error: Any = None
    detail: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class _PlainPart(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    text: str
    thought_signature: None = None
    function_call: None = None
    inline_data: None = None
    executable_code: None = None
    tool_call: None = None


class _TextPart(_PlainPart, gc=False):
    thought: None = None


class _ThoughtPart(_PlainPart, gc=False):
    thought: bool


class _TextContent(msgspec.Struct, gc=False):
    parts: list[_TextPart]


class _ThoughtContent(msgspec.Struct, gc=False):
    parts: list[_ThoughtPart]


class _PlainCandidate(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    finish_reason: None = None
    grounding_metadata: None = None


class _TextCandidate(_PlainCandidate, gc=False):
    content: _TextContent


class _ThoughtCandidate(_PlainCandidate, gc=False):
    content: _ThoughtContent


class _PlainChunk(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    usage_metadata: msgspec.Raw = msgspec.Raw(b"null")
    prompt_feedback: None = None
    error: None = None
    detail: None = None


class _TextChunk(_PlainChunk, gc=False):
    candidates: Annotated[list[_TextCandidate], msgspec.Meta(min_length=1)]


class _ThoughtChunk(_PlainChunk, gc=False):
    candidates: Annotated[list[_ThoughtCandidate], msgspec.Meta(min_length=1)]


class GoogleDecoder(WireDecoder):
    """Reads ``GenerateContentResponse`` values: an event each, an array of them, or just one."""

    plain_values: ClassVar[tuple[msgspec.json.Decoder[list[Any]], ...]] = (
        msgspec.json.Decoder(list[_TextChunk]),
        msgspec.json.Decoder(list[_ThoughtChunk]),
    )

    def __init__(self) -> None:
        super().__init__()
        self._prefix = "gemini"
        self._calls = 0
        self._called = False
        self._streaming: PendingCall | None = None
        self._arguments = PartialArguments()
        self._urls: set[str] = set()
        self._usage: Usage | None = None

    def _event(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        chunk = _decode(data)
        if not self._started and (chunk.response_id or chunk.model_version):
            self._started = True
            self._prefix = chunk.response_id or self._prefix
            out.append(ResponseStarted(chunk.response_id, chunk.model_version))
        candidate = chunk.candidates[0] if chunk.candidates else None
        if candidate is not None and candidate.content is not None:
            for part in candidate.content.parts or ():
                self._part(part, out)
        if chunk.usage_metadata is not None:
            self._count(member(chunk.usage_metadata), out)
        if candidate is not None:
            self._ends(candidate, out)
        elif blocked := member(chunk.prompt_feedback).get("blockReason"):
            self._finished("content-filter", str(blocked), out)
        if chunk.error or chunk.detail or name == b"error":
            self._failed(stream_error(chunk.error or chunk.detail or msgspec.json.decode(data), data), out)

    def _plain(self, values: list[_TextChunk | _ThoughtChunk], out: list[Event]) -> None:
        parts = [part for value in values for part in value.candidates[0].content.parts]
        for thought, pieces in groupby(parts, key=attrgetter("thought")):
            if text := "".join([piece.text for piece in pieces]):
                out.append(ReasoningDelta(text) if thought else TextDelta(text))
        for value in reversed(values):  # cumulative: the last one counts
            if self._count(member(msgspec.json.decode(value.usage_metadata)), out):
                break

    def _ends(self, candidate: _Candidate, out: list[Event]) -> None:
        for chunk in items(member(candidate.grounding_metadata).get("groundingChunks")):
            self._cite(member(chunk), out)
        raw = candidate.finish_reason
        if raw:
            self._complete_streaming(out)
            reason = _REASONS.get(raw, "other")
            self._finished("tool-calls" if reason == "stop" and self._called else reason, raw, out)
        elif self._called and self._reason == "stop":
            self._finished("tool-calls", "STOP", out)

    # --- parts ---------------------------------------------------------------------------------------------------

    def _part(self, part: _Part, out: list[Event]) -> None:
        if part.text:
            if part.thought:
                out.append(ReasoningDelta(part.text))
            else:
                out.append(TextDelta(part.text))
        if part.thought and part.thought_signature:
            out.append(ReasoningDelta("", signature=part.thought_signature))
        if part.function_call is not None:
            self._function_call(member(part.function_call), part.thought_signature, out)
        if part.executable_code is not None:
            code = json_text(part.executable_code)
            whole_call(self._next_id(), "code_execution", code, out, provider_executed=True)
        if part.tool_call is not None:
            call = member(part.tool_call)
            name = f"server:{call.get('toolType') or 'tool'}"  # the AI SDK's name for it
            whole_call(self._next_id(), name, json_text(call.get("args")), out, provider_executed=True)
        if part.inline_data is not None and not part.thought:
            inline = member(part.inline_data)
            if isinstance(inline.get("data"), str):
                out.append(GeneratedFile(str(inline.get("mimeType") or "image/png"), inline["data"]))

    def _function_call(self, call: dict[str, Any], signature: str | None, out: list[Event]) -> None:
        """A whole call, or one part of a call whose arguments are streamed.

        A streamed call lasts while its parts say ``willContinue``; its end may be an empty object or be missing.
        """
        name = call.get("name")
        goes_on = call.get("willContinue") is True
        if isinstance(name, str) and name:
            self._complete_streaming(out)
            given = call.get("id")
            call_id = given if isinstance(given, str) and given else self._next_id()
            if not goes_on and call.get("partialArgs") is None:
                self._called = True
                whole_call(call_id, name, json_text(call.get("args")), out, signature=signature)
                return
            self._streaming = PendingCall(call_id, name, signature=signature)
            self._arguments = PartialArguments()
            self._streaming.start(out)
        if self._streaming is not None:
            self._arguments.add(call.get("partialArgs"))
            if not goes_on:
                self._complete_streaming(out)

    def _complete_streaming(self, out: list[Event]) -> None:
        if self._streaming is not None:
            self._called = True
            self._streaming.complete(out, self._arguments.json())
            self._streaming = None

    def _next_id(self) -> str:
        """Gemini names no calls; the answer's id keeps ours apart between turns."""
        self._calls += 1
        return f"{self._prefix}-call-{self._calls - 1}"

    def _cite(self, chunk: dict[str, Any], out: list[Event]) -> None:
        found = member(chunk.get("web")) or member(chunk.get("retrievedContext")) or member(chunk.get("maps"))
        url = found.get("uri") or member(chunk.get("image")).get("sourceUri")
        if isinstance(url, str) and url.startswith("http") and url not in self._urls:
            self._urls.add(url)
            title = found.get("title")
            out.append(Source(str(len(self._urls)), url, title if isinstance(title, str) else None))

    def _count(self, usage: dict[str, Any], out: list[Event]) -> bool:
        """Every chunk has usage, cumulative; it is passed on when it says something new. False when it is none."""
        counted = _usage(usage)
        if counted is not None and counted != self._usage:
            self._usage = counted
            out.append(counted)
        return counted is not None


def _usage(usage: dict[str, Any]) -> Usage | None:
    """Token counts. Gemini counts thoughts outside the candidates; here the output includes them."""
    prompt = count(usage.get("promptTokenCount"))
    candidates = count(usage.get("candidatesTokenCount"))
    thoughts = count(usage.get("thoughtsTokenCount"))
    if prompt is None and candidates is None and thoughts is None:
        return None
    output = None if candidates is None and thoughts is None else (candidates or 0) + (thoughts or 0)
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        reasoning_tokens=thoughts,
        cached_input_tokens=count(usage.get("cachedContentTokenCount")),
        total_tokens=total_of(prompt, output, usage.get("totalTokenCount")),
    )
