"""OpenAI chat completions, and everyone who speaks them.

OpenAI, Azure, OpenRouter, LiteLLM proxies, the Scalix engine and gateway, Ollama, LM Studio, vLLM, xAI, Groq,
Mistral, DeepSeek, Alibaba, Perplexity, Moonshot, Cerebras, Fireworks, Together and custom endpoints. Where their
chunks differ, each difference is read wherever it appears; no vendor has to be named.

Finish marker: a ``finish_reason``, or ``[DONE]`` after content (then the reason is ``other``).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec

from sidecar.engines.base import (
    Event,
    FinishReason,
    GeneratedFile,
    ProxyMetadata,
    ReasoningDelta,
    ResponseStarted,
    Source,
    TextDelta,
    Usage,
)
from sidecar.engines.wire.decoder import WireDecoder
from sidecar.engines.wire.failures import stream_error
from sidecar.engines.wire.lenient import both_sides, count, first_count, items, member, total_of
from sidecar.engines.wire.tool_calls import ChatCalls

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",  # Together
    "length": "length",
    "model_length": "length",  # Mistral
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
    "error": "error",  # OpenRouter, Mistral
    "insufficient_system_resource": "error",  # DeepSeek
}


_HEARTBEAT = "Thinking... "
"""What Grok 4 repeats as reasoning while it thinks unseen; once is enough, as in the AI SDK."""


_TEXT_MEMBER = {
    "text": "text",
    "output_text": "text",
    "reasoning.text": "text",  # OpenRouter's ``reasoning_details``
    "reasoning.summary": "summary",
}


class _Delta(msgspec.Struct, gc=False):
    content: str | list[Any] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    images: Any = None
    annotations: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | list[Any] | None = None
    message: _Delta | list[Any] | None = None
    finish_reason: str | None = None
    error: Any = None
    usage: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    id: Any = None
    model: Any = None
    usage: Any = None
    error: Any = None
    detail: Any = None
    errors: Any = None
    message: Any = None
    citations: Any = None
    search_results: Any = None
    x_groq: Any = None
    upgrade_prompt: Any = None
    analytics: Any = None
    model_selection: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class _PlainDelta(msgspec.Struct, gc=False, kw_only=True):
    reasoning: None = None
    reasoning_details: None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    images: None = None
    annotations: None = None


class _Text(_PlainDelta, gc=False):
    content: str
    reasoning_content: None = None


class _Thought(_PlainDelta, gc=False):
    reasoning_content: str
    content: Literal[""] | None = None


class _PlainChoice(msgspec.Struct, gc=False, kw_only=True):
    finish_reason: None = None
    error: None = None
    usage: None = None


class _TextChoice(_PlainChoice, gc=False):
    delta: _Text


class _ThoughtChoice(_PlainChoice, gc=False):
    delta: _Thought


class _PlainChunk(msgspec.Struct, gc=False, kw_only=True):
    usage: None = None
    error: None = None
    detail: None = None
    message: None = None
    citations: None = None
    search_results: None = None
    x_groq: None = None
    upgrade_prompt: None = None
    analytics: None = None
    model_selection: None = None


class _TextChunk(_PlainChunk, gc=False):
    choices: Annotated[list[_TextChoice], msgspec.Meta(min_length=1)]


class _ThoughtChunk(_PlainChunk, gc=False):
    choices: Annotated[list[_ThoughtChoice], msgspec.Meta(min_length=1)]


class OpenAIChatDecoder(WireDecoder):
    """Reads ``chat.completion.chunk`` events, or one ``chat.completion`` object."""

    plain_values: ClassVar[tuple[msgspec.json.Decoder[list[Any]], ...]] = (
        msgspec.json.Decoder(list[_TextChunk]),
        msgspec.json.Decoder(list[_ThoughtChunk]),
    )

    def __init__(self) -> None:
        super().__init__()
        self._has_content = False
        self._prefix = "chat"
        self._calls = ChatCalls()
        self._sources: set[str] = set()
        self._heartbeat = False

    def _event(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        if data.startswith(b"[DONE]"):
            if self._reason is None and self._has_content:
                self._calls.complete(out)
                self._finished("other", None, out)
            return
        chunk = _decode(data)
        if not self._started and (chunk.id or chunk.model):
            self._start(chunk, out)
        choices = chunk.choices
        failure = chunk.error
        if choices:
            choice = choices[0]
            delta = choice.delta or choice.message
            if isinstance(delta, _Delta):  # PHP writes an empty object as a list
                self._delta(delta, out)
            if choice.finish_reason:
                self._calls.complete(out)
                self._finished(_REASONS.get(choice.finish_reason, "other"), choice.finish_reason, out)
            failure = failure or choice.error
            if choice.usage is not None and (counted := _usage(member(choice.usage))):  # Moonshot
                out.append(counted)
        # Everything below is rare: the ends and the edges of a stream.
        if chunk.usage is not None or chunk.x_groq is not None or chunk.citations or chunk.search_results:
            failure = self._extras(chunk, out) or failure
        self._proxy_members(chunk, out)
        if failure or not choices:
            self._error(failure, name, chunk, data, out)

    def _plain(self, values: list[Any], out: list[Event]) -> None:
        deltas = [value.choices[0].delta for value in values]
        if isinstance(deltas[0], _Thought):
            for delta in deltas:
                if delta.reasoning_content:
                    self._reasoning(delta.reasoning_content, out)
        elif text := "".join([delta.content for delta in deltas]):
            self._has_content = True
            out.append(TextDelta(text))

    def _close(self, out: list[Event]) -> None:
        if self._reason is not None:
            self._calls.complete(out)

    def _error(self, failure: Any, name: bytes | None, chunk: _Chunk, data: bytes, out: list[Event]) -> None:
        """An error under ``error`` (its code may stand beside it: xAI), under ``detail``, in a list (Cloudflare's
        gateways), or as the whole event."""
        if failure is None:
            failure = chunk.detail or chunk.errors or None
        whole = name == b"error" or (chunk.choices is None and isinstance(chunk.message, str))
        if failure is None and whole:
            failure = msgspec.json.decode(data)
        if failure is None:
            return
        beside = {} if isinstance(failure, dict) or chunk.choices else msgspec.json.decode(data)
        self._failed(stream_error(failure, data, beside=beside), out)

    def _start(self, chunk: _Chunk, out: list[Event]) -> None:
        self._started = True
        answer_id = str(chunk.id) if chunk.id else None
        self._prefix = answer_id or self._prefix
        out.append(ResponseStarted(answer_id, str(chunk.model) if chunk.model else None))

    def _delta(self, delta: _Delta, out: list[Event]) -> None:
        # ``reasoning_content`` (DeepSeek, Alibaba, xAI, Moonshot) or ``reasoning`` (Groq, Together, Cerebras,
        # OpenRouter, which has ``reasoning_details`` too); a server that sends several sends the same text again.
        reasoning = delta.reasoning_content or delta.reasoning or delta.reasoning_details
        if reasoning:
            self._reasoning(reasoning, out)
        content = delta.content
        if content:
            self._has_content = True
            if isinstance(content, str):
                out.append(TextDelta(content))
            else:
                self._parts(content, out)
        if delta.refusal and isinstance(delta.refusal, str):
            self._has_content = True
            out.append(TextDelta(delta.refusal))
        if delta.tool_calls:
            self._has_content = True
            self._calls.add(items(delta.tool_calls), self._prefix, out)
        if delta.function_call is not None:
            self._has_content = True
            self._calls.add_function_call(delta.function_call, self._prefix, out)
        if delta.images:
            _images(items(delta.images), out)
        if delta.annotations:
            for annotation in items(delta.annotations):
                cited = member(member(annotation).get("url_citation"))
                self._cite(cited.get("url"), cited.get("title"), out)

    def _reasoning(self, reasoning: Any, out: list[Event]) -> None:
        text = reasoning if isinstance(reasoning, str) else _joined(reasoning)
        again = self._heartbeat and text == _HEARTBEAT
        self._heartbeat = text == _HEARTBEAT
        if text and not again:
            self._has_content = True
            out.append(ReasoningDelta(text))

    def _parts(self, parts: list[Any], out: list[Event]) -> None:
        """Content as a list of parts: Mistral's reasoning models, some proxies."""
        thinking = "".join(_joined(part.get("thinking")) for part in parts if _kind(part) == "thinking")
        text = "".join(part if isinstance(part, str) else _text_of(part) for part in parts)
        if thinking:
            out.append(ReasoningDelta(thinking))
        if text:
            out.append(TextDelta(text))
        _images([part for part in parts if _kind(part) == "image_url"], out)

    def _extras(self, chunk: _Chunk, out: list[Event]) -> Any:
        """Usage and citations: Perplexity's ``search_results`` have titles, ``citations`` repeats their addresses.
        Returns an error found on the way, if any."""
        for result in items(chunk.search_results):
            self._cite(member(result).get("url"), member(result).get("title"), out)
        for url in items(chunk.citations):
            self._cite(url, None, out)
        groq = member(chunk.x_groq)
        usage = member(chunk.usage) or member(groq.get("usage"))
        if counted := _usage(usage):
            out.append(counted)
        return groq.get("error")

    def _cite(self, url: Any, title: Any, out: list[Event]) -> None:
        if isinstance(url, str) and url and url not in self._sources:
            self._sources.add(url)
            out.append(Source(str(len(self._sources)), url, title if isinstance(title, str) else None))

    @staticmethod
    def _proxy_members(chunk: _Chunk, out: list[Event]) -> None:
        usage = chunk.usage
        if chunk.upgrade_prompt is chunk.analytics is chunk.model_selection is usage is None:
            return
        values = {
            "upgrade_prompt": chunk.upgrade_prompt,
            "analytics": chunk.analytics,
            "model_selection": chunk.model_selection,
            "usage": usage if isinstance(usage, dict) and _is_account_usage(usage) else None,
        }
        values = {name: value for name, value in values.items() if value is not None}
        if values:
            out.append(ProxyMetadata(values))


def _is_account_usage(usage: dict[str, Any]) -> bool:
    """The proxy's account of the user's requests, as opposed to the tokens of this answer."""
    if usage.keys() & {"requests_today", "tokens_used", "remaining_requests"}:
        return True
    return bool(usage) and not usage.keys() & {"prompt_tokens", "completion_tokens", "total_tokens"}


def _usage(usage: dict[str, Any]) -> Usage | None:
    """Token counts under whichever of the vendors' names they come.

    Cached tokens: ``prompt_tokens_details`` (OpenAI; Mistral also writes ``prompt_token_details``),
    ``prompt_cache_hit_tokens`` (DeepSeek), ``cached_tokens`` (Moonshot), ``num_cached_tokens`` (Mistral).
    """
    prompt = count(usage.get("prompt_tokens"))
    completion = count(usage.get("completion_tokens"))
    total = count(usage.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    details = member(usage.get("prompt_tokens_details")) or member(usage.get("prompt_token_details"))
    spent = member(usage.get("completion_tokens_details"))
    cached = first_count(
        details.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cached_tokens"),
        usage.get("num_cached_tokens"),
    )
    written = first_count(
        details.get("cache_creation_input_tokens"),
        details.get("cache_write_tokens"),
        usage.get("cache_creation_input_tokens"),
    )
    reasoning = first_count(spent.get("reasoning_tokens"), usage.get("reasoning_tokens"))
    prompt, completion = both_sides(prompt, completion, cached=cached, reasoning=reasoning, total=total)
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        reasoning_tokens=reasoning,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        total_tokens=total_of(prompt, completion, total),
    )


def _kind(part: Any) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else None
    return kind if isinstance(kind, str) else None


def _text_of(part: Any) -> str:
    """The text of a part; parts that are not text have none."""
    member_name = _TEXT_MEMBER.get(_kind(part) or "")
    text = part.get(member_name) if member_name else None
    return text if isinstance(text, str) else ""


def _joined(value: Any) -> str:
    """Reasoning as text: a string, or a list of text parts."""
    if isinstance(value, str):
        return value
    return "".join(_text_of(part) for part in value) if isinstance(value, list) else ""


def _images(parts: list[Any], out: list[Event]) -> None:
    """Generated images that come as data URLs (OpenRouter)."""
    for part in parts:
        url = member(member(part).get("image_url")).get("url")
        if isinstance(url, str) and url.startswith("data:"):
            media_type, _, base64 = url.removeprefix("data:").partition(";base64,")
            if base64:
                out.append(GeneratedFile(media_type, base64))
