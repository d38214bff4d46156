"""``llm:*``: one model call in the AI SDK's own terms, its LanguageModelV2 (protocol page 5)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from protocol.chat import AttemptReport, ModelRef

Options = dict[str, Any]
"""Provider options: provider name to its own bag."""

# --- prompt ------------------------------------------------------------------------------------------------------


class TextPart(msgspec.Struct, frozen=True, rename="camel", tag="text", omit_defaults=True):
    """Text."""

    text: str
    provider_options: Options | None = None


class FilePart(msgspec.Struct, frozen=True, rename="camel", tag="file", omit_defaults=True):
    """A file; ``data`` is base64, a data URL or a URL."""

    data: str
    media_type: str
    filename: str | None = None
    provider_options: Options | None = None


class ReasoningPart(msgspec.Struct, frozen=True, rename="camel", tag="reasoning", omit_defaults=True):
    """What the model thought in an earlier turn."""

    text: str
    provider_options: Options | None = None


class ToolCallPart(msgspec.Struct, frozen=True, rename="camel", tag="tool-call", omit_defaults=True):
    """A tool call of an earlier turn; ``input`` is the parsed arguments."""

    tool_call_id: str
    tool_name: str
    input: Any
    provider_executed: bool | None = None
    provider_options: Options | None = None


class ToolOutput(msgspec.Struct, frozen=True):
    """What a tool gave back; the type of ``value`` follows ``type``.

    ``content`` is a list of ``{type: "text", text}`` and ``{type: "media", data, mediaType}``, data as in a file part.
    """

    type: Literal["text", "json", "error-text", "error-json", "content"]
    value: Any


class ToolResultPart(msgspec.Struct, frozen=True, rename="camel", tag="tool-result", omit_defaults=True):
    """The outcome of a tool call."""

    tool_call_id: str
    tool_name: str
    output: ToolOutput
    provider_options: Options | None = None


class SystemMessage(msgspec.Struct, frozen=True, rename="camel", tag_field="role", tag="system", omit_defaults=True):
    """Instructions."""

    content: str
    provider_options: Options | None = None


class UserMessage(msgspec.Struct, frozen=True, rename="camel", tag_field="role", tag="user", omit_defaults=True):
    """What the user says."""

    content: list[TextPart | FilePart]
    provider_options: Options | None = None


class AssistantMessage(
    msgspec.Struct, frozen=True, rename="camel", tag_field="role", tag="assistant", omit_defaults=True
):
    """What the model said."""

    content: list[TextPart | FilePart | ReasoningPart | ToolCallPart | ToolResultPart]
    provider_options: Options | None = None


class ToolMessage(msgspec.Struct, frozen=True, rename="camel", tag_field="role", tag="tool", omit_defaults=True):
    """What the tools said."""

    content: list[ToolResultPart]
    provider_options: Options | None = None


# --- the call ----------------------------------------------------------------------------------------------------


class FunctionTool(msgspec.Struct, frozen=True, rename="camel", tag="function", omit_defaults=True):
    """A tool the host carries out; ``input_schema`` is JSON Schema."""

    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    provider_options: Options | None = None


class ProviderTool(msgspec.Struct, frozen=True, rename="camel", tag="provider-defined"):
    """A tool of the provider's own; ``id`` is ``provider.tool``."""

    id: str
    name: str
    args: dict[str, Any]


class ToolChoice(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Whether, or which, tool has to be called."""

    type: Literal["auto", "none", "required", "tool"]
    tool_name: str | None = None


class ResponseFormat(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Text, or JSON that follows ``schema``."""

    type: Literal["text", "json"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None


class LlmStreamParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``llm:stream``. ``call_id`` is the host's own; parts carry it."""

    call_id: str
    model: ModelRef
    prompt: list[SystemMessage | UserMessage | AssistantMessage | ToolMessage]
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[FunctionTool | ProviderTool] | None = None
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    provider_options: dict[str, Options] | None = None
    headers: dict[str, str] | None = None


class LlmCancelParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``llm:cancel``."""

    call_id: str


# --- the answer --------------------------------------------------------------------------------------------------

FinishReason = Literal["stop", "length", "content-filter", "tool-calls", "error", "other", "unknown"]


class LlmUsage(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Tokens; left out where the provider did not say."""

    input_tokens: int | UnsetType = UNSET
    output_tokens: int | UnsetType = UNSET
    total_tokens: int | UnsetType = UNSET
    reasoning_tokens: int | UnsetType = UNSET
    cached_input_tokens: int | UnsetType = UNSET
    cache_write_tokens: int | UnsetType = UNSET


class CallWarning(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Something asked for that this model does not do. ``setting`` or ``tool`` names it."""

    type: Literal["unsupported-setting", "unsupported-tool", "other"]
    setting: str | UnsetType = UNSET
    tool: str | UnsetType = UNSET
    details: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class LlmStreamResult(msgspec.Struct, frozen=True, rename="camel"):
    """Result of ``llm:stream``."""

    finish_reason: FinishReason
    usage: LlmUsage
    warnings: list[CallWarning]
    model: ModelRef
    attempts: list[AttemptReport]


class StreamStart(msgspec.Struct, frozen=True, tag="stream-start"):
    """What this model will not do. The first part, sent only when there is something to warn of."""

    warnings: list[CallWarning]


class TextStart(msgspec.Struct, frozen=True, tag="text-start"):
    """A text block begins."""

    id: str


class TextDeltaPart(msgspec.Struct, frozen=True, tag="text-delta"):
    """More text of a block."""

    id: str
    delta: str


class TextEnd(msgspec.Struct, frozen=True, tag="text-end"):
    """A text block is complete."""

    id: str


class ReasoningStart(msgspec.Struct, frozen=True, tag="reasoning-start"):
    """A reasoning block begins."""

    id: str


class ReasoningDeltaPart(msgspec.Struct, frozen=True, tag="reasoning-delta"):
    """More reasoning of a block."""

    id: str
    delta: str


class ReasoningEnd(msgspec.Struct, frozen=True, rename="camel", tag="reasoning-end"):
    """A reasoning block is complete. The vendor's signature, wanted back with it, is in ``provider_metadata``."""

    id: str
    provider_metadata: dict[str, Options] | UnsetType = UNSET


class ToolInputStart(msgspec.Struct, frozen=True, rename="camel", tag="tool-input-start"):
    """The model begins to write a tool's arguments."""

    id: str
    tool_name: str


class ToolInputDelta(msgspec.Struct, frozen=True, tag="tool-input-delta"):
    """More of a tool's arguments, as JSON text."""

    id: str
    delta: str


class ToolInputEnd(msgspec.Struct, frozen=True, tag="tool-input-end"):
    """A tool's arguments are complete."""

    id: str


class ToolCall(msgspec.Struct, frozen=True, rename="camel", tag="tool-call"):
    """A complete tool call; ``input`` is JSON text. ``provider_metadata`` holds what the vendor wants back with it."""

    tool_call_id: str
    tool_name: str
    input: str
    provider_executed: bool | UnsetType = UNSET
    provider_metadata: dict[str, Options] | UnsetType = UNSET


class Source(msgspec.Struct, frozen=True, rename="camel", tag="source"):
    """A page the answer rests on."""

    id: str
    url: str
    source_type: Literal["url"] = "url"
    title: str | UnsetType = UNSET


class GeneratedFile(msgspec.Struct, frozen=True, rename="camel", tag="file"):
    """A file the model made; ``data`` is base64."""

    media_type: str
    data: str


class FinishPart(msgspec.Struct, frozen=True, rename="camel", tag="finish"):
    """The call is complete; the last part. ``raw_finish_reason`` is the vendor's own word."""

    finish_reason: FinishReason
    usage: LlmUsage
    raw_finish_reason: str | UnsetType = UNSET


class ErrorPart(msgspec.Struct, frozen=True, tag="error"):
    """The call failed; the last part. ``error`` is ``{message, code, kind, retryable, ...}``."""

    error: dict[str, Any]


StreamPart = (
    StreamStart
    | TextStart
    | TextDeltaPart
    | TextEnd
    | ReasoningStart
    | ReasoningDeltaPart
    | ReasoningEnd
    | ToolInputStart
    | ToolInputDelta
    | ToolInputEnd
    | ToolCall
    | Source
    | GeneratedFile
    | FinishPart
    | ErrorPart
)


class LlmPart(msgspec.Struct, frozen=True, rename="camel"):
    """``llm:part``. ``seq`` counts from 0 per call, without gaps."""

    call_id: str
    seq: int
    part: StreamPart
