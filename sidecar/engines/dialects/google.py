"""Gemini's ``streamGenerateContent`` (ai.google.dev, v1beta). The key travels in a header, never in the URL."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote

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
from sidecar.engines.members import arguments_object, given, output_limit, temperature
from sidecar.engines.openai_compatible import with_target_headers
from sidecar.engines.refusals import without

THINKING_TOKENS: Final[dict[ThinkingLevel, int]] = {"low": 1000, "medium": 4000, "high": -1}
"""The user's thinking setting (app contract 10); -1 lets the model decide."""

_TAKES_LEVELS: Final = re.compile(r"gemini-[3-9]")
_NO_MEDIUM: Final = "gemini-3-pro"
"""From Gemini 3 on models take a word; the first of them knows low and high only."""

_NO_SIGNATURE: Final = base64.b64encode(b"skip_thought_signature_validator").decode()
"""Gemini 3 refuses a tool call of an earlier turn without the signature it came with; this stands for calls whose
signature nobody kept (ai.google.dev, "Thought signatures")."""


def prepare(call: ModelCall) -> PreparedRequest:
    """The request of ``call``."""
    target = call.target
    headers = {"Content-Type": "application/json"}
    if target.api_key:
        headers["x-goog-api-key"] = target.api_key.reveal()
    name = target.wire_model if "/" in target.wire_model else f"models/{target.wire_model}"
    path = f"/{quote(name, safe='/-_.~')}:streamGenerateContent"
    return PreparedRequest(
        url=endpoint(target.base_url, path, {"alt": "sse", **target.query}),
        headers=with_target_headers(headers, call),
        body=encode(without(body(call), call.without)),
    )


def body(call: ModelCall) -> dict[str, Any]:
    """The JSON body."""
    system = [
        {"text": part.text}
        for message in call.messages
        if message.role == "system"
        for part in message.parts
        if isinstance(part, TextPart)
    ]
    options = dict(call.provider_options)
    thinking = options.pop("thinkingConfig", None) or _thinking(call)
    config = {
        **given(
            maxOutputTokens=output_limit(call),
            temperature=temperature(call),
            topP=call.top_p,
            topK=call.top_k,
            presencePenalty=call.presence_penalty,
            frequencyPenalty=call.frequency_penalty,
            seed=call.seed,
            stopSequences=list(call.stop) or None,
            thinkingConfig=thinking,
            responseModalities=options.pop("responseModalities", None),
        ),
        **_response_format(call),
    }
    return {
        **({"systemInstruction": {"parts": system}} if system else {}),
        "contents": _contents(call.messages, signed=_is_gemini_3(call)),
        **({"generationConfig": config} if config else {}),
        **_tools(call),
        **options,
        **call.target.body,
    }


def _is_gemini_3(call: ModelCall) -> bool:
    return bool(_TAKES_LEVELS.match(_bare_name(call)))


def _bare_name(call: ModelCall) -> str:
    return call.target.wire_model.rpartition("/")[2]


def _thinking(call: ModelCall) -> dict[str, Any] | None:
    """Thoughts are asked for wherever there are any; how much of them only where the user said."""
    if call.target.reasoning != "budget":
        return None
    if call.thinking is None:
        return {"includeThoughts": True}
    if _is_gemini_3(call):
        return {"includeThoughts": True, "thinkingLevel": _level(call, call.thinking)}
    return {"includeThoughts": True, "thinkingBudget": THINKING_TOKENS[call.thinking]}


def _level(call: ModelCall, wanted: ThinkingLevel) -> str:
    knows_medium = not _bare_name(call).startswith(_NO_MEDIUM)
    return "high" if wanted == "medium" and not knows_medium else wanted


def _response_format(call: ModelCall) -> dict[str, Any]:
    wanted = call.response_format
    if wanted is None or wanted.get("type") != "json":
        return {}
    return {"responseMimeType": "application/json", **given(responseJsonSchema=wanted.get("schema"))}


def _contents(prompt: Sequence[Message], *, signed: bool) -> list[dict[str, Any]]:
    """Turns alternate: neighbours of one side become one content. Tool results are the user's.

    ``signed``: the first call of a turn carries a thought signature, its own where that was kept.
    """
    names = {part.id: part.name for message in prompt for part in message.parts if isinstance(part, ToolCallPart)}
    turns = [message for message in prompt if message.role != "system"]
    contents: list[dict[str, Any]] = []
    for role, group in groupby(turns, key=lambda message: "model" if message.role == "assistant" else "user"):
        parts = [item for message in group for part in message.parts for item in _parts(part, names)]
        if signed and (first := next((part for part in parts if "functionCall" in part), None)):
            first.setdefault("thoughtSignature", _NO_SIGNATURE)
        if parts:
            contents.append({"role": role, "parts": parts})
    return contents


def _parts(part: Part, names: dict[str, str]) -> list[dict[str, Any]]:
    """The part as Gemini has it; the files of a tool result follow it."""
    whole = _part(part, names)
    files = part.files if isinstance(part, ToolResultPart) else ()
    return [item for item in (whole, *(_part(file, names) for file in files)) if item is not None]


def _part(part: Part, names: dict[str, str]) -> dict[str, Any] | None:
    match part:
        case TextPart(text=text):
            return {"text": text} if text else None
        case FilePart(url=str(url)):
            return {"fileData": {"mimeType": part.media_type, "fileUri": url}}
        case FilePart():
            return {"inlineData": {"mimeType": part.media_type, "data": part.base64}}
        case ReasoningPart():
            return None
        case ToolCallPart(name=name, arguments=arguments, signature=signature):
            called = {"name": name, "args": arguments_object(arguments)}
            return {"functionCall": called, **given(thoughtSignature=signature)}
        case ToolResultPart(id=call_id, name=name, content=content):
            known = names.get(call_id, name)
            return {"functionResponse": {"name": known, "response": {"name": known, "content": content}}}


def _tools(call: ModelCall) -> dict[str, Any]:
    if not call.tools:
        return {}
    functions = [
        {"name": tool.name, **given(description=tool.description), "parametersJsonSchema": tool.input_schema}
        for tool in call.tools
    ]
    config: dict[str, Any] | None = None
    match call.tool_choice:
        case "auto":
            config = {"mode": "AUTO"}
        case "none":
            config = {"mode": "NONE"}
        case "required":
            config = {"mode": "ANY"}
        case {"toolName": name}:
            config = {"mode": "ANY", "allowedFunctionNames": [name]}
    tool_config = None if config is None else {"functionCallingConfig": config}
    return {"tools": [{"functionDeclarations": functions}], **given(toolConfig=tool_config)}
