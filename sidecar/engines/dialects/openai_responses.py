"""OpenAI's Responses API (``POST <base>/responses``; platform.openai.com): what delivers reasoning summaries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from sidecar.engines.base import FilePart, Message, ModelCall, Part, TextPart, ToolCallPart, ToolResultPart
from sidecar.engines.body import encode
from sidecar.engines.exchange import PreparedRequest, endpoint
from sidecar.engines.members import given, output_limit, snake_case, temperature
from sidecar.engines.openai_compatible import file_url, request_headers
from sidecar.engines.refusals import without

_REASONING_MODEL: Final = re.compile(r"^(?:o\d|gpt-[5-9](?!.*-chat)|codex-|computer-use)")
"""Models that take no temperature and read ``developer`` for ``system`` (app contract 10)."""


def prepare(call: ModelCall) -> PreparedRequest:
    """The request of ``call``."""
    return PreparedRequest(
        url=endpoint(call.target.base_url, "/responses", call.target.query),
        headers=request_headers(call),
        body=encode(without(body(call), call.without)),
    )


def body(call: ModelCall) -> dict[str, Any]:
    """The JSON body. Reasoning items of earlier turns are never replayed: an orphan one is refused."""
    reasoning = is_reasoning_model(call.target.wire_model)
    options = snake_case(call.provider_options)
    effort = options.pop("reasoning_effort", None) or (call.thinking if call.target.reasoning == "effort" else None)
    summary = options.pop("reasoning_summary", None) or "auto"
    verbosity = options.pop("text_verbosity", None)
    strict = bool(options.pop("strict_json_schema", False))
    sampling = {} if reasoning else given(temperature=temperature(call), top_p=call.top_p)
    text = given(format=_format(call, strict=strict), verbosity=verbosity)
    return {
        "model": call.target.wire_model,
        "input": _input(call.messages, developer=reasoning),
        "stream": True,
        **given(max_output_tokens=output_limit(call)),
        **sampling,
        **({"reasoning": {"summary": summary, **given(effort=effort)}} if reasoning else {}),
        **({"text": text} if text else {}),
        **_tools(call),
        **options,
        **call.target.body,
    }


def is_reasoning_model(name: str) -> bool:
    """Whether OpenAI's model of this name reasons."""
    return _REASONING_MODEL.match(name.rpartition("/")[2]) is not None


def _input(prompt: Sequence[Message], *, developer: bool) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for message in prompt:
        match message.role:
            case "system":
                items.append({"role": "developer" if developer else "system", "content": _text(message.parts)})
            case "user":
                items.append({"role": "user", "content": [_content(part) for part in message.parts if _sendable(part)]})
            case "assistant":
                items.extend(_assistant(message))
            case "tool":
                items.extend(
                    {"type": "function_call_output", "call_id": part.id, "output": _output(part)}
                    for part in message.parts
                    if isinstance(part, ToolResultPart)
                )
    return items


def _output(result: ToolResultPart) -> str | list[dict[str, Any]]:
    """Text, or a list of content parts where there are files."""
    if not result.files:
        return result.content
    texts = [_content(TextPart(result.content))] if result.content else []
    return [*texts, *map(_content, result.files)]


def _text(parts: Sequence[Part]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def _sendable(part: Part) -> bool:
    return isinstance(part, TextPart | FilePart)


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, FilePart):
        if part.media_type.startswith("image/"):
            return {"type": "input_image", "image_url": file_url(part)}
        if part.url is not None:
            return {"type": "input_file", "file_url": part.url}
        return {"type": "input_file", "filename": part.filename or "file", "file_data": file_url(part)}
    return {"type": "input_text", "text": part.text if isinstance(part, TextPart) else ""}


def _assistant(message: Message) -> list[dict[str, Any]]:
    texts = [{"type": "output_text", "text": part.text} for part in message.parts if isinstance(part, TextPart)]
    items: list[dict[str, Any]] = [{"role": "assistant", "content": texts}] if texts else []
    items.extend(
        {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments or "{}"}
        for part in message.parts
        if isinstance(part, ToolCallPart)
    )
    return items


def _format(call: ModelCall, *, strict: bool) -> dict[str, Any] | None:
    wanted = call.response_format
    if wanted is None or wanted.get("type") != "json":
        return None
    if wanted.get("schema") is None:
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "name": wanted.get("name") or "response",
        **given(description=wanted.get("description")),
        "schema": wanted["schema"],
        "strict": strict,
    }


def _tools(call: ModelCall) -> dict[str, Any]:
    if not call.tools:
        return {}
    tools = [
        {
            "type": "function",
            "name": tool.name,
            **given(description=tool.description),
            "parameters": tool.input_schema,
            "strict": False,
        }
        for tool in call.tools
    ]
    choice: Any = call.tool_choice
    if isinstance(choice, dict):
        choice = {"type": "function", "name": choice["toolName"]}
    return {"tools": tools, **given(tool_choice=choice)}
