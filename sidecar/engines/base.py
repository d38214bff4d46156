"""What goes into a model call and what comes out of it, for every provider alike.

``ModelCall`` -> ``Engine.stream`` -> batches of ``Event``. Vendors' dialects end here: nothing to the left of this
module knows which JSON a provider speaks. Events are plain frozen values, so decoders can be pure functions over
bytes and tests can compare lists.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Literal, Protocol

import msgspec

from sidecar.secret import SecretText

Dialect = Literal["openai-chat", "openai-responses", "anthropic", "google", "cohere", "litellm"]
"""Which wire format an endpoint speaks; ``litellm`` is the route for whatever has no decoder of its own."""

FinishReason = Literal["stop", "length", "content-filter", "tool-calls", "error", "other"]
"""Why a model stopped, in the AI SDK's vocabulary."""


DEFAULT_CONTEXT_WINDOW: Final = 128_000
"""Tokens, of a model nobody described (app contract 6)."""


# --- what is asked -----------------------------------------------------------------------------------------------

CacheControl = dict[str, Any]
"""Anthropic's mark: the prompt up to and including this part may be cached (``{"type": "ephemeral"}``). Vendors that
cache by themselves, or not at all, pass over it."""


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """Plain text."""

    text: str
    cache_control: CacheControl | None = None


class FilePart(msgspec.Struct, frozen=True, tag="file"):
    """An image or other file. Exactly one of ``base64`` and ``url`` is set."""

    media_type: str
    base64: str | None = None
    url: str | None = None
    filename: str | None = None
    cache_control: CacheControl | None = None


class ReasoningPart(msgspec.Struct, frozen=True, tag="reasoning"):
    """Reasoning of an earlier assistant turn, sent back where the vendor wants it (``signature`` is Anthropic's)."""

    text: str
    signature: str | None = None


class ToolCallPart(msgspec.Struct, frozen=True, tag="tool-call"):
    """A tool call the model made earlier. ``arguments`` is JSON text; ``signature`` is Gemini's, if it gave one."""

    id: str
    name: str
    arguments: str
    signature: str | None = None
    cache_control: CacheControl | None = None


class ToolResultPart(msgspec.Struct, frozen=True, tag="tool-result"):
    """What a tool answered. ``content`` is text (JSON text for structured results); ``files`` come after it."""

    id: str
    name: str
    content: str
    is_error: bool = False
    files: tuple[FilePart, ...] = ()
    cache_control: CacheControl | None = None


Part = TextPart | FilePart | ReasoningPart | ToolCallPart | ToolResultPart


class Message(msgspec.Struct, frozen=True):
    """One message of the prompt, in the order the model should read them."""

    role: Literal["system", "user", "assistant", "tool"]
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: Literal["system", "user", "assistant", "tool"], text: str) -> Message:
        """A message of one text part."""
        return cls(role=role, parts=(TextPart(text),))


class Tool(msgspec.Struct, frozen=True):
    """A function the model may call. ``input_schema`` is JSON Schema."""

    name: str
    description: str | None
    input_schema: dict[str, Any]
    cache_control: CacheControl | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where one call goes: resolved from the settings, complete, and free of the settings' shape.

    ``base_url`` has no trailing slash; the dialect's path is appended to it. ``headers`` are sent as they are, after
    the dialect's own. ``body`` is merged over the top level of the request body last (``scalix_options``,
    ``thinking``).
    """

    provider: str
    """The provider id the user knows (``openai``, ``custom::x``, ``auto`` ...)."""
    model: str
    """The model name as the user knows it, echoed in events and the ledger."""
    wire_model: str
    """The model name as sent upstream."""
    dialect: Dialect
    base_url: str
    api_key: SecretText | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    query: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: Mapping[str, Any] = msgspec.field(default_factory=dict)
    route: Literal["direct", "engine", "gateway", "proxy", "local", "custom"] = "direct"
    attempt_header: str | None = None
    """Header carrying ``<request id>:attempt-<n>`` (the engine's ``X-Scalix-Request-Id``)."""
    max_output_tokens: int | None = None
    temperature: float | None = None
    context_window: int = DEFAULT_CONTEXT_WINDOW
    """Tokens."""
    reasoning: Literal["none", "effort", "budget"] = "none"
    """What this model takes to think: nothing, an effort word, or a token budget."""
    automatic: bool = False
    """Picked by ``auto``, not by the user: a key error may go on with the next provider."""


ThinkingLevel = Literal["low", "medium", "high"]

Progress = Literal["connect", "first_byte"]
"""How far a request is: its connection is there (made, or taken from the pool); the head of its answer has arrived."""


class ModelCall(msgspec.Struct, frozen=True, kw_only=True):
    """One model call, independent of any vendor.

    ``max_output_tokens`` and ``temperature`` here win over the target's own; None means "do not send".
    """

    target: Target
    messages: tuple[Message, ...]
    request_id: str
    attempt: int = 1
    """HTTP attempt of this ``request_id``, from 1."""
    next_attempt: Callable[[], int] | None = None
    """Gives the number of a further attempt, for an engine that sends the same call once more by itself."""
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    """``auto``, ``none``, ``required`` or ``{"toolName": name}``."""
    response_format: dict[str, Any] | None = None
    """``{"type": "json", "schema"?, "name"?}`` as the AI SDK has it."""
    thinking: ThinkingLevel | None = None
    """The user's ``thinkingBudget`` setting; None leaves the model's default."""
    provider_options: dict[str, Any] = msgspec.field(default_factory=dict)
    without: frozenset[str] = frozenset()
    """Members of the body that this endpoint refused before (``engines.refusals``), as paths with dots."""
    on_progress: Callable[[Progress], None] | None = None
    """Told of each, once per HTTP attempt, by engines with an HTTP client of their own."""


# --- what comes back ---------------------------------------------------------------------------------------------


class ResponseStarted(msgspec.Struct, frozen=True, gc=False):
    """The provider's own id and model name of this answer, when it gives them."""

    id: str | None = None
    model: str | None = None


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """Answer text. ``id`` tells one text block from the next (content block index, item id)."""

    text: str
    id: str = "0"


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """Reasoning text; ``signature`` arrives on its own, with empty text, where a vendor signs its thinking."""

    text: str
    id: str = "0"
    signature: str | None = None


class ToolInputStart(msgspec.Struct, frozen=True, gc=False):
    """A tool call begins. ``id`` is the call id used in the two events below."""

    id: str
    name: str
    provider_executed: bool = False


class ToolInputDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the call's JSON arguments."""

    id: str
    delta: str


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """A complete call. ``arguments`` is JSON text as the vendor sent it (``{}`` when it sent none)."""

    id: str
    name: str
    arguments: str
    provider_executed: bool = False
    """True for the vendor's own server tools: nothing for the host to run."""
    signature: str | None = None
    """Gemini's thought signature, which it wants back with the call."""


class Source(msgspec.Struct, frozen=True, gc=False):
    """A citation."""

    id: str
    url: str
    title: str | None = None


class GeneratedFile(msgspec.Struct, frozen=True, gc=False):
    """A file the model produced (Gemini images)."""

    media_type: str
    base64: str


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts as the vendor reported them; None where it did not. A later event replaces an earlier one.

    ``input_tokens`` counts the whole prompt *including* cached tokens, ``output_tokens`` the whole answer including
    reasoning, whatever the vendor's own convention.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    total_tokens: int | None = None


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The finish marker. ``raw`` is the vendor's own word. Usage may still follow."""

    reason: FinishReason
    raw: str | None = None


class StreamError(msgspec.Struct, frozen=True, gc=False):
    """An error inside a stream that began with status 200. ``body`` is the vendor's JSON text, not yet redacted."""

    message: str
    type: str | None = None
    code: str | None = None
    status: int | None = None
    body: str | None = None


class ProxyMetadata(msgspec.Struct, frozen=True):
    """Members a LiteLLM proxy or the Scalix gateway adds to its answers, passed on to the host as they are.

    ``values`` holds any of ``usage``, ``upgrade_prompt``, ``analytics``, ``model_selection``.
    """

    values: dict[str, Any]


Event = (
    ResponseStarted
    | TextDelta
    | ReasoningDelta
    | ToolInputStart
    | ToolInputDelta
    | ToolCall
    | Source
    | GeneratedFile
    | Usage
    | Finish
    | StreamError
    | ProxyMetadata
)


class Decoder(Protocol):
    """A push decoder: the vendor's bytes in, events out; no I/O. Any split of the same bytes gives the same events
    up to the grouping of deltas."""

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by ``data``."""
        ...

    def finish(self) -> list[Event]:
        """Events that only the end of the bytes completes.

        Raises ``StreamInterrupted`` when the stream ended without its finish marker.
        """
        ...


class Engine(Protocol):
    """Makes one model call. Never retries, never falls back: that is ``routing``'s."""

    def stream(self, call: ModelCall) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """Batches of events, one per network read.

        Leaving the context closes the upstream connection, on every path. Raises ``ProviderError``; a
        ``StreamError`` event is raised as one too, so the iterator only yields content.
        """
        ...
