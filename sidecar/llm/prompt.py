"""The AI SDK's ``LanguageModelV2`` prompt in our own terms. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from protocol import llm as wire
from sidecar.engines.base import (
    FilePart,
    Message,
    Part,
    ReasoningPart,
    Target,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from sidecar.errors import InvalidParams

_DATA_URL: Final = "data:"
_SDK_NAME: Final = {"openai-responses": "openai", "anthropic": "anthropic", "google": "google", "cohere": "cohere"}
"""The AI SDK's names of the option bags, by dialect."""


def messages(prompt: list[Any]) -> tuple[Message, ...]:
    """The prompt's messages. Raises ``InvalidParams`` when there is none."""
    if not prompt:
        raise InvalidParams("The prompt has no messages.", path="prompt")
    return tuple(_message(message) for message in prompt)


def _message(message: Any) -> Message:
    match message:
        case wire.SystemMessage():
            return Message.of("system", message.content)
        case wire.UserMessage():
            return Message("user", tuple(map(_part, message.content)))
        case wire.AssistantMessage():
            return Message("assistant", tuple(map(_part, message.content)))
        case _:
            return Message("tool", tuple(map(_part, message.content)))


def _part(part: Any) -> Part:
    match part:
        case wire.TextPart():
            return TextPart(part.text)
        case wire.FilePart():
            return file_part(part.data, part.media_type, part.filename)
        case wire.ReasoningPart():
            return ReasoningPart(part.text, _signature(part.provider_options))
        case wire.ToolCallPart():
            arguments = part.input if isinstance(part.input, str) else _json(part.input)
            return ToolCallPart(part.tool_call_id, part.tool_name, arguments)
        case _:
            output = part.output
            content = output.value if isinstance(output.value, str) else _json(output.value)
            return ToolResultPart(
                part.tool_call_id, part.tool_name, content, is_error=output.type in {"error-text", "error-json"}
            )


def file_part(data: str, media_type: str, filename: str | None) -> FilePart:
    """``data`` is base64, a data URL, or a URL the provider fetches itself. ``image/*`` leaves the type to the data."""
    if data.startswith(_DATA_URL):
        head, _, payload = data.removeprefix(_DATA_URL).partition(",")
        given = head.partition(";")[0]
        return FilePart(media_type=given or media_type, base64=payload, filename=filename)
    known = "image/png" if media_type == "image/*" else media_type
    if data.startswith(("http://", "https://")):
        return FilePart(media_type=known, url=data, filename=filename)
    return FilePart(media_type=known, base64=data, filename=filename)


def tools(given: list[Any] | None) -> tuple[tuple[Tool, ...], list[wire.CallWarning]]:
    """Functions, and a warning for each tool that only the vendor's own package knows."""
    functions: list[Tool] = []
    warnings: list[wire.CallWarning] = []
    for tool in given or []:
        if isinstance(tool, wire.FunctionTool):
            functions.append(Tool(tool.name, tool.description, tool.input_schema))
        else:
            warnings.append(
                wire.CallWarning(type="unsupported-tool", details=f"The provider-defined tool {tool.id} is not sent.")
            )
    return tuple(functions), warnings


def tool_choice(choice: wire.ToolChoice | None) -> str | dict[str, Any] | None:
    """As ``ModelCall`` has it."""
    if choice is None:
        return None
    if choice.type != "tool":
        return choice.type
    if choice.tool_name is None:
        raise InvalidParams("toolChoice of type tool needs a toolName.", path="toolChoice.toolName")
    return {"toolName": choice.tool_name}


def response_format(format_: wire.ResponseFormat | None) -> dict[str, Any] | None:
    """As ``ModelCall`` has it; plain text is the default and needs nothing."""
    if format_ is None or format_.type == "text":
        return None
    wanted = {"schema": format_.schema, "name": format_.name, "description": format_.description}
    return {"type": "json", **{key: value for key, value in wanted.items() if value is not None}}


def _signature(options: dict[str, Any] | None) -> str | None:
    """Anthropic's signature, where the AI SDK keeps it."""
    anthropic = (options or {}).get("anthropic")
    signature = anthropic.get("signature") if isinstance(anthropic, dict) else None
    return signature if isinstance(signature, str) else None


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def options_of(target: Target, options: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    """The members for this target's provider, by our provider id or the AI SDK's name of its dialect."""
    if not options:
        return {}
    names = (target.provider, _SDK_NAME.get(target.dialect, ""), "openaiCompatible")
    merged: dict[str, Any] = {}
    for name in reversed(names):
        merged.update(options.get(name) or {})
    return merged
