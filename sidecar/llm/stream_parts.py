"""From normalised events to the AI SDK's stream parts: blocks are opened and closed around their deltas. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from msgspec import UNSET, UnsetType

from protocol import llm as wire
from sidecar.engines.base import (
    Dialect,
    Event,
    Finish,
    FinishReason,
    GeneratedFile,
    ReasoningDelta,
    Source,
    TextDelta,
    ToolCall,
    ToolInputDelta,
    ToolInputStart,
    Usage,
)
from sidecar.lengths import utf16_length

_Kind = Literal["text", "reasoning"]

SIGNATURES: Final[dict[Dialect, tuple[str, str]]] = {
    "anthropic": ("anthropic", "signature"),
    "google": ("google", "thoughtSignature"),
}
"""Where the AI SDK keeps a vendor's signature: the bag of its options or metadata, and the member."""


class PartBuilder:
    """Opens a block at its first delta, closes it when another begins, and remembers how the call ended.

    ``dialect`` is that of the model which answers; set it before its events are taken.
    """

    def __init__(self) -> None:
        self.dialect: Dialect = "openai-chat"
        self._open: tuple[_Kind, str] | None = None
        self._open_tools: set[str] = set()
        self._used: set[str] = set()
        self._signature: str | None = None
        self._raw_finish_reason: str | None = None
        self.usage = Usage()
        self.finish_reason: FinishReason = "other"
        self.answer_units = 0
        """UTF-16 code units of text and reasoning so far."""

    def take(self, events: Iterable[Event]) -> Iterator[wire.StreamPart]:
        """The parts that these events make."""
        for event in events:
            match event:
                case TextDelta(text=text, id=block):
                    self.answer_units += utf16_length(text)
                    yield from self._delta("text", block, text)
                case ReasoningDelta(text=text, id=block, signature=signature):
                    self.answer_units += utf16_length(text)
                    yield from self._delta("reasoning", block, text, signature)
                case Usage():
                    self.usage = event
                case Finish(reason=reason, raw=raw):
                    self.finish_reason, self._raw_finish_reason = reason, raw
                case _:
                    yield from self._other(event)

    def close(self) -> Iterator[wire.StreamPart]:
        """End whatever is open."""
        if self._open is not None:
            kind, block = self._open
            metadata, self._open, self._signature = self._signed(self._signature), None, None
            yield wire.TextEnd(block) if kind == "text" else wire.ReasoningEnd(block, metadata)

    def finish(self) -> Iterator[wire.StreamPart]:
        """The end of a call that did not fail."""
        yield from self.close()
        raw = UNSET if self._raw_finish_reason is None else self._raw_finish_reason
        yield wire.FinishPart(self.finish_reason, wire_usage(self.usage), raw)

    def _delta(self, kind: _Kind, block: str, text: str, signature: str | None = None) -> Iterator[wire.StreamPart]:
        if not text and not signature:
            return
        if self._open is None or self._open[0] != kind or not self._is_open(block):
            yield from self.close()
            block = self._fresh(kind, block)
            self._open = (kind, block)
            yield wire.TextStart(block) if kind == "text" else wire.ReasoningStart(block)
        self._signature = signature or self._signature
        name = self._open[1]
        if text:
            yield wire.TextDeltaPart(name, text) if kind == "text" else wire.ReasoningDeltaPart(name, text)

    def _signed(self, signature: str | None) -> dict[str, wire.Options] | UnsetType:
        if signature is None or self.dialect not in SIGNATURES:
            return UNSET
        bag, member = SIGNATURES[self.dialect]
        return {bag: {member: signature}}

    def _is_open(self, block: str) -> bool:
        """Whether the provider's block is the one that is open; ours may carry a suffix to be unique."""
        return self._open is not None and self._open[1].partition("#")[0] == f"{self._open[0]}-{block}"

    def _fresh(self, kind: _Kind, block: str) -> str:
        """Ids are unique in a call: a block that comes back after another one gets a suffix."""
        name = f"{kind}-{block}"
        number = 2
        unique = name
        while unique in self._used:
            unique = f"{name}#{number}"
            number += 1
        self._used.add(unique)
        return unique

    def _other(self, event: Event) -> Iterator[wire.StreamPart]:
        match event:
            case ToolInputStart(id=call, name=name):
                yield from self.close()
                self._open_tools.add(call)
                yield wire.ToolInputStart(call, name)
            case ToolInputDelta(id=call, delta=delta):
                yield wire.ToolInputDelta(call, delta)
            case ToolCall():
                yield from self.close()
                yield from self._tool_call(event)
            case Source(id=identifier, url=url, title=title):
                yield wire.Source(identifier, url, title=title) if title else wire.Source(identifier, url)
            case GeneratedFile(media_type=media_type, base64=data):
                yield wire.GeneratedFile(media_type, data)
            case _:
                return

    def _tool_call(self, call: ToolCall) -> Iterator[wire.StreamPart]:
        if call.id in self._open_tools:
            self._open_tools.discard(call.id)
            yield wire.ToolInputEnd(call.id)
        executed = True if call.provider_executed else UNSET
        yield wire.ToolCall(call.id, call.name, call.arguments, executed, self._signed(call.signature))


def wire_usage(usage: Usage) -> wire.LlmUsage:
    """Only what the provider said."""
    named = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
    }
    return wire.LlmUsage(**{name: value for name, value in named.items() if value is not None})
