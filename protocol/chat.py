"""``chat:*``: params, results and stream notifications (protocol pages 4, 6, 8)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from protocol.errors import ErrorCode, Kind


class ModelRef(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A model as the user picks it."""

    provider: str
    name: str
    custom_model_id: int | None = None


class Attachment(msgspec.Struct, frozen=True, rename="camel"):
    """A file the user added; ``data`` is a base64 data URL, or the base64 alone."""

    name: str
    type: str
    data: str
    attachment_type: Literal["upload-to-codebase", "chat-context"] = "chat-context"


class SelectedComponent(msgspec.Struct, frozen=True, rename="camel"):
    """A component picked in the preview; ``line_number`` counts from 1."""

    name: str
    relative_path: str
    line_number: int
    id: str = ""
    column_number: int = 0


class ProvidedFile(msgspec.Struct, frozen=True):
    """A file given with the request instead of being read from the app's folder."""

    path: str
    content: str
    force: bool = False


class ChatStreamParams(msgspec.Struct, frozen=True, rename="camel"):
    """``chat:stream``. Limits: prompt 1 MiB, 10 attachments, 10 MiB each, 25 MiB together."""

    chat_id: int
    prompt: str
    redo: bool = False
    attachments: list[Attachment] | None = None
    selected_component: SelectedComponent | None = None
    selected_components: list[SelectedComponent] | None = None
    system_prompt: str | None = None
    files: list[ProvidedFile] | None = None
    substitutions: dict[str, str] | None = None
    model: ModelRef | None = None
    intent_id: str | None = None


class ChatCancelParams(msgspec.Struct, frozen=True, rename="camel"):
    """``chat:cancel``."""

    chat_id: int


class ChatCountTokensParams(msgspec.Struct, frozen=True, rename="camel"):
    """``chat:count-tokens``: ``input`` is what stands in the prompt box."""

    chat_id: int
    input: str


class TokenCounts(msgspec.Struct, frozen=True, rename="camel"):
    """Result of ``chat:count-tokens``, in estimated tokens; the total is the sum of the five parts."""

    total_tokens: int
    message_history_tokens: int
    codebase_tokens: int
    mentioned_apps_tokens: int
    input_tokens: int
    system_prompt_tokens: int
    context_window: int


class MessageRow(msgspec.Struct, rename="camel"):
    """One row of ``messages`` as the renderer knows it; ``created_at`` is ISO 8601 UTC."""

    id: int
    chat_id: int
    role: str
    content: str
    approval_state: str | None
    commit_hash: str | None
    created_at: str


class StreamingPatch(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """``text = text.slice(0, offset) + content``; ``offset`` in UTF-16 code units.

    ``prefix_hash`` is djb2 with xor over the code units before ``offset``, absent when that is 0.
    """

    offset: int
    content: str
    prefix_hash: int | None = None


class ChunkMessages(msgspec.Struct, rename="camel", omit_defaults=True):
    """``chat:response:chunk`` with the whole array: the first of every stream, and all in mode ``messages``."""

    chat_id: int
    stream_id: str
    seq: int
    messages: list[MessageRow]
    effective_model: ModelRef | None = None


class ChunkPatch(msgspec.Struct, rename="camel"):
    """``chat:response:chunk`` in mode ``patch``."""

    chat_id: int
    stream_id: str
    seq: int
    streaming_message_id: int
    streaming_patch: StreamingPatch


class UsageReport(msgspec.Struct, rename="camel"):
    """Tokens of the whole turn and what they cost; null where nobody knows."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_input_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None


class AttemptReport(msgspec.Struct, rename="camel", omit_defaults=True):
    """One try at one model; times in ms."""

    provider: str
    name: str
    outcome: str
    ms: int
    code: str | None = None
    ttft_ms: int | None = None


class LimitsReport(msgspec.Struct):
    """Today's counters, in the names of the plan; ``remaining_requests`` is null when nothing limits."""

    requests_today: int
    tokens_used: int
    remaining_requests: int | None


class ChatEnd(msgspec.Struct, kw_only=True):
    """``chat:response:end`` of a stream."""

    chat_id: int = msgspec.field(name="chatId")
    stream_id: str = msgspec.field(name="streamId")
    seq: int
    updated_files: bool = msgspec.field(name="updatedFiles")
    extra_files: list[str] | msgspec.UnsetType = msgspec.field(name="extraFiles", default=msgspec.UNSET)
    extra_files_error: str | msgspec.UnsetType = msgspec.field(name="extraFilesError", default=msgspec.UNSET)
    message_id: int = msgspec.field(name="messageId")
    was_cancelled: bool = msgspec.field(name="wasCancelled")
    finish_reason: str = msgspec.field(name="finishReason")
    chat_summary: str | msgspec.UnsetType = msgspec.field(name="chatSummary", default=msgspec.UNSET)
    model: ModelRef
    usage: UsageReport
    context_window: int = msgspec.field(name="contextWindow")
    total_tokens: int | None = msgspec.field(name="totalTokens")
    attempts: list[AttemptReport]
    limits: LimitsReport
    upgrade_prompt: bool
    warning_messages: list[str] | msgspec.UnsetType = msgspec.field(name="warningMessages", default=msgspec.UNSET)
    analytics: Any | msgspec.UnsetType = msgspec.UNSET
    model_selection: Any | msgspec.UnsetType = msgspec.UNSET


class ChatIdleEnd(msgspec.Struct, rename="camel"):
    """``chat:response:end`` for a cancel on an idle chat: no stream, so no ``streamId`` and no ``seq``."""

    chat_id: int
    updated_files: bool = False
    was_cancelled: bool = True


class ChatError(msgspec.Struct, kw_only=True):
    """``chat:response:error``. ``error`` begins with the app's own prefix, the UI looks for it."""

    chat_id: int = msgspec.field(name="chatId")
    stream_id: str = msgspec.field(name="streamId")
    seq: int
    error: str
    code: ErrorCode
    kind: Kind
    retryable: bool
    retry_after_ms: int | msgspec.UnsetType = msgspec.field(name="retryAfterMs", default=msgspec.UNSET)
    message_id: int | msgspec.UnsetType = msgspec.field(name="messageId", default=msgspec.UNSET)
    request_id: str | msgspec.UnsetType = msgspec.field(name="requestId", default=msgspec.UNSET)
    model: ModelRef | msgspec.UnsetType = msgspec.UNSET
    attempts: list[AttemptReport]
    upgrade_prompt: bool
    scope: Literal["tier", "provider"] | msgspec.UnsetType = msgspec.UNSET
    """Of RATE_LIMIT_EXCEEDED: whose limit it is, the plan's own or the provider's."""
    warning_messages: list[str] | msgspec.UnsetType = msgspec.field(name="warningMessages", default=msgspec.UNSET)


class ModelFallback(msgspec.Struct, kw_only=True):
    """``model:fallback``: another model took over before any text was shown. Not counted by ``seq``."""

    chat_id: int = msgspec.field(name="chatId")
    stream_id: str = msgspec.field(name="streamId")
    from_: ModelRef = msgspec.field(name="from")
    to: ModelRef
    code: str
