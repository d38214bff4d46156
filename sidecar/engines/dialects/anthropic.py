"""Anthropic's Messages API (``POST <base>/messages``; docs.anthropic.com, API version 2023-06-01)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from sidecar.engines.base import (
    FilePart,
    Message,
    ModelCall,
    Part,
    ReasoningPart,
    TextPart,
    ThinkingLevel,
    ToolCallPart,
    ToolResultPart,
)
from sidecar.engines.body import encode
from sidecar.engines.exchange import PreparedRequest, endpoint
from sidecar.engines.members import (
    arguments_object,
    given,
    json_instruction,
    output_limit,
    snake_case,
    temperature,
)
from sidecar.engines.openai_compatible import with_target_headers
from sidecar.engines.refusals import without

VERSION: Final = "2023-06-01"
DEFAULT_MAX_TOKENS: Final = 4096
"""The API demands a limit; the app's SDK sends this one when nobody knows better (app contract 9)."""
NEWER_MAX_TOKENS: Final = 64_000
"""What every model from 4.5 on can write; those are in no list of the app, and 4,096 would cut their answers short."""
THINKING_TOKENS: Final[dict[ThinkingLevel, int]] = {"low": 1024, "medium": 4000, "high": 16_000}
"""The user's thinking setting; 1024 is the least the API takes."""

_LIMIT: Final = "max_tokens"

_Generation = tuple[int, int]

_LONG_ANSWERS: Final[_Generation] = (4, 5)
_ADAPTIVE: Final[_Generation] = (4, 6)
"""From here on a model decides itself how much to think, guided by an effort word; a budget is deprecated, and refused
from 4.7 on (vendor documentation, "Adaptive thinking")."""
_QUIET: Final[_Generation] = (4, 7)
"""From here on thoughts are left out of the answer unless they are asked for."""

_NAME: Final = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[.-](\d{1,2}))?(?![\d])")


def prepare(call: ModelCall) -> PreparedRequest:
    """The request of ``call``."""
    target = call.target
    headers = {"Content-Type": "application/json", "anthropic-version": VERSION}
    if target.api_key:
        headers["x-api-key"] = target.api_key.reveal()
    return PreparedRequest(
        url=endpoint(target.base_url, "/messages", target.query),
        headers=with_target_headers(headers, call),
        body=encode(without(body(call), call.without - {_LIMIT})),
    )


def body(call: ModelCall) -> dict[str, Any]:
    """The JSON body. With thinking on, its budget comes on top of the answer's limit and no temperature is sent: the
    API refuses any."""
    thinking = thinking_of(call)
    limit = _answer_limit(call)
    if thinking and thinking.get("type") == "enabled":
        limit += thinking.get("budget_tokens", 0)
    sampling = given(temperature=temperature(call), top_p=call.top_p, top_k=call.top_k)
    return {
        "model": call.target.wire_model,
        "max_tokens": limit,
        **({} if thinking else sampling),
        **given(system=_system(call), thinking=thinking, output_config=_effort(call)),
        "messages": _messages(call.messages),
        "stream": True,
        **_tools(call, one_at_a_time=call.provider_options.get("disableParallelToolUse") is True),
        **({"stop_sequences": list(call.stop)} if call.stop else {}),
        **call.target.body,
    }


def _answer_limit(call: ModelCall) -> int:
    """Tokens for the answer; the least that any model takes where the wished number was refused as too large."""
    if _LIMIT in call.without:
        return DEFAULT_MAX_TOKENS
    default = NEWER_MAX_TOKENS if _generation(call) >= _LONG_ANSWERS else DEFAULT_MAX_TOKENS
    return output_limit(call) or default


def thinking_of(call: ModelCall) -> dict[str, Any] | None:
    """How the model is asked to think: what the call's own options say, else the user's setting; None: not asked."""
    options = call.provider_options.get("thinking")
    if isinstance(options, dict) and options:
        return snake_case(options) if options.get("type") != "disabled" else None
    if call.thinking is None or call.target.reasoning != "budget":
        return None
    generation = _generation(call)
    if generation < _ADAPTIVE:
        return {"type": "enabled", "budget_tokens": THINKING_TOKENS[call.thinking]}
    return {"type": "adaptive", **({"display": "summarized"} if generation >= _QUIET else {})}


def _effort(call: ModelCall) -> dict[str, Any] | None:
    """The user's setting where a model takes a word instead of a budget; options of the call's own go before it."""
    if "thinking" in call.provider_options or call.thinking is None or call.target.reasoning != "budget":
        return None
    return {"effort": call.thinking} if _generation(call) >= _ADAPTIVE else None


def _generation(call: ModelCall) -> _Generation:
    """4.6 of ``claude-opus-4-6``, 5.0 of ``claude-sonnet-5-20260801``; 0.0 where the name does not tell."""
    found = _NAME.search(call.target.wire_model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _system(call: ModelCall) -> list[dict[str, Any]] | None:
    texts = [part for message in call.messages if message.role == "system" for part in _texts(message)]
    if instruction := json_instruction(call.response_format):
        texts.append(TextPart(instruction))
    return [_text(part) for part in texts if part.text] or None


def _text(part: TextPart) -> dict[str, Any]:
    return {"type": "text", "text": part.text, **given(cache_control=part.cache_control)}


def _texts(message: Message) -> list[TextPart]:
    return [part for part in message.parts if isinstance(part, TextPart)]


def _messages(prompt: Sequence[Message]) -> list[dict[str, Any]]:
    """Turns alternate: neighbours of one side become one message. Tool results are the user's."""
    turns = [message for message in prompt if message.role != "system"]
    messages: list[dict[str, Any]] = []
    for role, group in groupby(turns, key=lambda message: "assistant" if message.role == "assistant" else "user"):
        blocks = [block for message in group for part in message.parts if (block := _block(part)) is not None]
        if blocks:
            messages.append({"role": role, "content": blocks})
    if messages and messages[-1]["role"] == "assistant":
        _trim_end(messages[-1]["content"])
    return messages


def _trim_end(blocks: list[dict[str, Any]]) -> None:
    """A pre-filled answer must not end in white space."""
    if blocks[-1]["type"] == "text":
        blocks[-1] = {**blocks[-1], "text": blocks[-1]["text"].rstrip()}


def _block(part: Part) -> dict[str, Any] | None:
    match part:
        case TextPart(text=text):
            return _text(part) if text.strip() else None
        case FilePart():
            return _file(part)
        case ReasoningPart(text=text, signature=signature):
            # Unsigned thinking is refused.
            return {"type": "thinking", "thinking": text, "signature": signature} if signature else None
        case ToolCallPart(id=call_id, name=name, arguments=arguments):
            used = {"type": "tool_use", "id": call_id, "name": name, "input": arguments_object(arguments)}
            return {**used, **given(cache_control=part.cache_control)}
        case ToolResultPart():
            return _tool_result(part)


def _tool_result(part: ToolResultPart) -> dict[str, Any]:
    """Text alone stays a string; with files it is a list of blocks."""
    content: str | list[dict[str, Any]] = part.content
    if part.files:
        texts = [{"type": "text", "text": part.content}] if part.content else []
        content = [*texts, *map(_file, part.files)]
    return {
        "type": "tool_result",
        "tool_use_id": part.id,
        "content": content,
        **({"is_error": True} if part.is_error else {}),
        **given(cache_control=part.cache_control),
    }


def _file(part: FilePart) -> dict[str, Any]:
    if part.url is not None:
        source: dict[str, Any] = {"type": "url", "url": part.url}
    else:
        source = {"type": "base64", "media_type": part.media_type, "data": part.base64}
    if part.media_type.startswith("image/"):
        return {"type": "image", "source": source, **given(cache_control=part.cache_control)}
    return {"type": "document", "source": source, **given(title=part.filename, cache_control=part.cache_control)}


def _tools(call: ModelCall, *, one_at_a_time: bool) -> dict[str, Any]:
    if not call.tools or call.tool_choice == "none":
        return {}
    tools = [
        {
            "name": tool.name,
            **given(description=tool.description),
            "input_schema": tool.input_schema,
            **given(cache_control=tool.cache_control),
        }
        for tool in call.tools
    ]
    choice: dict[str, Any] | None = None
    match call.tool_choice:
        case "auto":
            choice = {"type": "auto"}
        case "required":
            choice = {"type": "any"}
        case {"toolName": name}:
            choice = {"type": "tool", "name": name}
    if one_at_a_time:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {"tools": tools, **given(tool_choice=choice)}
