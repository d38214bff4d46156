"""The AI SDK's ``LanguageModelV2`` prompt in our own terms. Pure."""

from __future__ import annotations

from typing import Any, Final, Literal

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
from sidecar.llm.stream_parts import SIGNATURES

_DATA_URL: Final = "data:"
_SDK_NAME: Final = {"openai-responses": "openai", "anthropic": "anthropic", "google": "google", "cohere": "cohere"}
"""The AI SDK's names of the option bags, by dialect."""


def messages(prompt: list[Any]) -> tuple[Message, ...]:
    """The prompt's messages. Raises ``InvalidParams`` when there is none."""
    if not prompt:
        raise InvalidParams("The prompt has no messages.", path="prompt")
    return tuple(_message(message) for message in prompt)


def _message(message: Any) -> Message:
    if isinstance(message, wire.SystemMessage):
        return Message("system", (TextPart(message.content, _cache_control(message.provider_options)),))
    said = message.content
    if isinstance(message, wire.AssistantMessage):
        said = [part for part in said if not _is_the_vendors(part)]
    parts = [_part(part) for part in said]
    # What is said of a whole message holds up to its end.
    whole = _cache_control(message.provider_options)
    if parts and whole is not None and not isinstance(parts[-1], ReasoningPart) and parts[-1].cache_control is None:
        parts[-1] = msgspec.structs.replace(parts[-1], cache_control=whole)
    return Message(_ROLES[type(message)], tuple(parts))


_ROLES: Final[dict[type, Literal["user", "assistant", "tool"]]] = {
    wire.UserMessage: "user",
    wire.AssistantMessage: "assistant",
    wire.ToolMessage: "tool",
}


def _is_the_vendors(part: Any) -> bool:
    """A call the vendor carried out itself, and what came of it: no dialect here can send them back as they were, and
    one without the other is refused. Results of the host's own tools are never among what the model said.
    """
    return isinstance(part, wire.ToolResultPart) or (
        isinstance(part, wire.ToolCallPart) and part.provider_executed is True
    )


def _part(part: Any) -> Part:
    options = part.provider_options
    cached = _cache_control(options)
    match part:
        case wire.TextPart():
            return TextPart(part.text, cached)
        case wire.FilePart():
            file = file_part(part.data, part.media_type, part.filename)
            return file if cached is None else msgspec.structs.replace(file, cache_control=cached)
        case wire.ReasoningPart():
            return ReasoningPart(part.text, _member(options, *SIGNATURES["anthropic"]))
        case wire.ToolCallPart():
            arguments = part.input if isinstance(part.input, str) else _json(part.input)
            signature = _member(options, *SIGNATURES["google"])
            return ToolCallPart(part.tool_call_id, part.tool_name, arguments, signature, cached)
        case _:
            content, files = _output(part.output)
            is_error = part.output.type in {"error-text", "error-json"}
            return ToolResultPart(part.tool_call_id, part.tool_name, content, is_error, files, cached)


def _output(output: wire.ToolOutput) -> tuple[str, tuple[FilePart, ...]]:
    """A tool's output as text and files. Raises ``InvalidParams``."""
    if output.type != "content":
        return output.value if isinstance(output.value, str) else _json(output.value), ()
    try:
        items = msgspec.convert(output.value, list[_OutputText | _OutputMedia])
    except msgspec.ValidationError as error:
        raise InvalidParams(f"A tool's content output is not as it should be: {error}", path="prompt") from error
    texts = [item.text for item in items if isinstance(item, _OutputText)]
    files = [file_part(item.data, item.media_type, None) for item in items if isinstance(item, _OutputMedia)]
    return "\n".join(texts), tuple(files)


class _OutputText(msgspec.Struct, frozen=True, tag="text"):
    text: str


class _OutputMedia(msgspec.Struct, frozen=True, rename="camel", tag="media"):
    data: str
    media_type: str


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
            cached = _cache_control(tool.provider_options)
            functions.append(Tool(tool.name, tool.description, tool.input_schema, cached))
        else:
            why = f"The provider-defined tool {tool.id} is not sent."
            warnings.append(wire.CallWarning(type="unsupported-tool", tool=tool.name, details=why))
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


def _member(options: dict[str, Any] | None, bag: str, member: str) -> str | None:
    """A text in one of the bags."""
    found = (options or {}).get(bag)
    value = found.get(member) if isinstance(found, dict) else None
    return value if isinstance(value, str) else None


def _cache_control(options: dict[str, Any] | None) -> dict[str, Any] | None:
    """Anthropic's cache mark, where the AI SDK keeps it; it takes the wire's spelling as well."""
    anthropic = (options or {}).get("anthropic")
    if not isinstance(anthropic, dict):
        return None
    mark = anthropic.get("cacheControl", anthropic.get("cache_control"))
    return mark if isinstance(mark, dict) else None


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
