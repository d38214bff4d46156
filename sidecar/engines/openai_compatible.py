"""Chat completions: the Scalix engine and gateway, LiteLLM proxies, OpenRouter, Azure, Ollama, LM Studio, custom
servers and every vendor that speaks OpenAI's older API. Needs no litellm.

The body is what the app sends today (app contract 9): ``model``, ``max_tokens``, ``temperature``, ``messages`` with
the system message first, ``stream``, then extras; plus ``stream_options`` so that usage comes back.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from sidecar.engines.base import (
    Decoder,
    Event,
    FilePart,
    Message,
    ModelCall,
    Part,
    TextPart,
    ThinkingLevel,
    ToolCallPart,
    ToolResultPart,
)
from sidecar.engines.body import encode
from sidecar.engines.exchange import Exchange, PreparedRequest, endpoint
from sidecar.engines.members import given, output_limit, temperature
from sidecar.engines.refusals import without

PATH: Final = "/chat/completions"

_NEW_LIMIT_NAME: Final = re.compile(r"^(?:[\w.-]+/)?(?:gpt-[5-9]|o\d)", re.IGNORECASE)
"""OpenAI's reasoning families refuse ``max_tokens`` and want ``max_completion_tokens``."""

OPENROUTER_TOKENS: Final[dict[ThinkingLevel, int]] = {"low": 1024, "medium": 4000, "high": 16_000}
"""The user's thinking setting; 1024 is the least that the strictest vendor behind it takes."""

_ASKS_FOR_USAGE: Final = {"stream_options": {"include_usage": True}}
_TELL_USAGE_ANYWAY: Final = frozenset({"mistral", "perplexity"})
"""Mistral refuses the member, so the first chat of every process would be asked twice."""


class OpenAICompatibleEngine:
    """``Engine`` for the dialect ``openai-chat``."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def stream(self, call: ModelCall) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """See ``Engine.stream``."""
        return self._exchange.stream(call, prepare, _decoder)


def _decoder() -> Decoder:
    from sidecar.engines.wire import decoder_for

    return decoder_for("openai-chat")


# --- the request -------------------------------------------------------------------------------------------------


def prepare(call: ModelCall) -> PreparedRequest:
    """The HTTP request of ``call``."""
    target = call.target
    return PreparedRequest(
        url=endpoint(target.base_url, PATH, target.query),
        headers=request_headers(call),
        body=encode(without(request_body(call), call.without)),
    )


def request_headers(call: ModelCall) -> dict[str, str]:
    """JSON, the bearer key when there is one, the attempt header, then the target's own headers."""
    target = call.target
    headers = {"Content-Type": "application/json"}
    if target.api_key:
        headers["Authorization"] = f"Bearer {target.api_key.reveal()}"
    return with_target_headers(headers, call)


def with_target_headers(headers: dict[str, str], call: ModelCall) -> dict[str, str]:
    """``headers`` + the attempt header + the target's own; a name given twice counts once, whatever its case."""
    target = call.target
    added = dict(target.headers)
    if target.attempt_header:
        added[target.attempt_header] = f"{call.request_id}:attempt-{call.attempt}"
    replaced = {name.lower() for name in added}
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | added


def request_body(call: ModelCall) -> dict[str, Any]:
    """The JSON body, in the order the app sends it. ``target.body`` is merged over the top level last."""
    target = call.target
    body: dict[str, Any] = {"model": target.wire_model}
    if (limit := output_limit(call)) is not None:
        body[limit_name(call)] = limit
    body |= given(
        temperature=temperature(call),
        top_p=call.top_p,
        top_k=call.top_k,
        presence_penalty=call.presence_penalty,
        frequency_penalty=call.frequency_penalty,
        **{"random_seed" if target.provider == "mistral" else "seed": call.seed},
    )
    body["messages"] = messages(call.messages)
    body["stream"] = True
    if call.stop:
        body["stop"] = list(call.stop)
    if call.tools:
        body["tools"] = tools(call)
        if call.tool_choice is not None:
            body["tool_choice"] = tool_choice(call.tool_choice)
    if call.response_format is not None:
        body["response_format"] = response_format(call.response_format)
    body.update(_thinking(call))
    if target.provider not in _TELL_USAGE_ANYWAY:
        body.update(_ASKS_FOR_USAGE)
    body.update({_snake(name): value for name, value in call.provider_options.items() if value is not None})
    body.update(target.body)
    return body


def _thinking(call: ModelCall) -> dict[str, Any]:
    """How much the user wants a model to think, where it can: an effort word, which servers translate for models that
    take a budget. OpenRouter has one object for either; xAI knows two words."""
    target, level = call.target, call.thinking
    if level is None or target.reasoning == "none":
        return {}
    if target.provider == "openrouter" and target.reasoning == "budget":
        return {"reasoning": {"max_tokens": OPENROUTER_TOKENS[level]}}
    if target.provider == "openrouter" and target.route == "direct":
        return {"reasoning": {"effort": level}}
    if target.provider == "grok" and level == "medium":
        level = "high"
    return {"reasoning_effort": level}


def _snake(name: str) -> str:
    """The AI SDK's ``reasoningEffort`` as the wire has it."""
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def limit_name(call: ModelCall) -> str:
    """``max_completion_tokens`` for OpenAI's newer models on OpenAI and Azure and for whoever refuses ``max_tokens``,
    which is the name for everybody else."""
    target = call.target
    if "max_tokens" in call.without:
        return "max_completion_tokens"
    if "max_completion_tokens" in call.without:
        return "max_tokens"
    by_openai = target.route == "direct" and target.provider in ("openai", "azure")
    return "max_completion_tokens" if by_openai and _NEW_LIMIT_NAME.match(target.wire_model) else "max_tokens"


def messages(prompt: Sequence[Message]) -> list[dict[str, Any]]:
    """The prompt in chat completions' terms. Tool results become messages of their own; those hold text only, so files
    of results follow as the user's."""
    out: list[dict[str, Any]] = []
    for message in prompt:
        match message.role:
            case "assistant":
                out.append(_assistant(message))
            case "tool":
                results = [part for part in message.parts if isinstance(part, ToolResultPart)]
                out.extend(map(_tool_result, results))
                if files := [file for result in results for file in result.files]:
                    out.append({"role": "user", "content": _content(files)})
            case _:
                out.append({"role": message.role, "content": _content(message.parts)})
    return out


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    """Plain text stays a string (old servers know nothing else); with files it is a list of parts."""
    if all(isinstance(part, TextPart) for part in parts):
        return "\n".join(part.text for part in parts if isinstance(part, TextPart))
    return [item for part in parts if (item := _content_part(part)) is not None]


def _content_part(part: Part) -> dict[str, Any] | None:
    match part:
        case TextPart(text=text):
            return {"type": "text", "text": text}
        case FilePart() if part.media_type.startswith("image/"):
            return {"type": "image_url", "image_url": {"url": file_url(part)}}
        case FilePart() if part.media_type.startswith("audio/") and part.base64 is not None:
            kind = "mp3" if part.media_type in ("audio/mpeg", "audio/mp3") else part.media_type.partition("/")[2]
            return {"type": "input_audio", "input_audio": {"data": part.base64, "format": kind}}
        case FilePart():
            return {"type": "file", "file": {"filename": part.filename or "file", "file_data": file_url(part)}}
        case _:
            return None


def file_url(part: FilePart) -> str:
    """The part's URL, or its bytes as a data URL."""
    return part.url if part.url is not None else f"data:{part.media_type};base64,{part.base64}"


def _assistant(message: Message) -> dict[str, Any]:
    """Earlier reasoning is not sent back: no chat completions server asks for it, some refuse unknown fields."""
    text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
    out: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        out["content"] = text or None
        out["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    return out


def _tool_result(part: ToolResultPart) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": part.id, "content": part.content}


def tools(call: ModelCall) -> list[dict[str, Any]]:
    """Function definitions."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                **({"description": tool.description} if tool.description is not None else {}),
                "parameters": tool.input_schema,
            },
        }
        for tool in call.tools
    ]


def tool_choice(choice: str | Mapping[str, Any]) -> str | dict[str, Any]:
    """``auto``, ``none`` and ``required`` as they are; one tool by its name."""
    return choice if isinstance(choice, str) else {"type": "function", "function": {"name": choice["toolName"]}}


def response_format(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """``{"type": "json", "schema"?, "name"?}`` -> a JSON schema, or plain JSON mode without one."""
    if wanted.get("type") != "json":
        return {"type": "text"}
    if wanted.get("schema") is None:
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "json_schema": {"name": wanted.get("name") or "response", "schema": wanted["schema"]},
    }
