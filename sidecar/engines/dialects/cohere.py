"""Cohere's chat API, version 2 (``POST <base>/chat``; docs.cohere.com)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sidecar.engines import openai_compatible
from sidecar.engines.base import ModelCall, ThinkingLevel
from sidecar.engines.body import encode
from sidecar.engines.exchange import PreparedRequest, endpoint
from sidecar.engines.members import given, output_limit, temperature
from sidecar.engines.refusals import without

THINKING_TOKENS: Final[dict[ThinkingLevel, int | None]] = {"low": 1000, "medium": 4000, "high": None}
"""The user's thinking setting (app contract 10); without a budget the model decides."""


def prepare(call: ModelCall) -> PreparedRequest:
    """The request of ``call``."""
    return PreparedRequest(
        url=endpoint(call.target.base_url, "/chat", call.target.query),
        headers=openai_compatible.request_headers(call),
        body=encode(without(body(call), call.without)),
    )


def body(call: ModelCall) -> dict[str, Any]:
    """The JSON body. Messages and tools have the shape of chat completions; the sampling members have names of their
    own, and a single tool cannot be forced by name: ``REQUIRED`` with only that tool does the same."""
    tools = call.tools
    choice: str | None = None
    if isinstance(call.tool_choice, dict):
        tools = tuple(tool for tool in tools if tool.name == call.tool_choice["toolName"])
        choice = "REQUIRED"
    elif call.tool_choice in {"required", "none"}:
        choice = str(call.tool_choice).upper()
    wanted = call.response_format
    return {
        "model": call.target.wire_model,
        "messages": openai_compatible.messages(call.messages),
        "stream": True,
        **given(
            max_tokens=output_limit(call),
            temperature=temperature(call),
            p=call.top_p,
            k=call.top_k,
            presence_penalty=call.presence_penalty,
            frequency_penalty=call.frequency_penalty,
            seed=call.seed,
            stop_sequences=list(call.stop) or None,
            tools=openai_compatible.tools(msgspec.structs.replace(call, tools=tools)) or None,
            tool_choice=choice,
            response_format=_format(wanted) if wanted is not None and wanted.get("type") == "json" else None,
            thinking=_thinking(call),
        ),
        **call.provider_options,
        **call.target.body,
    }


def _thinking(call: ModelCall) -> dict[str, Any] | None:
    if call.thinking is None or call.target.reasoning != "budget":
        return None
    return {"type": "enabled", **given(token_budget=THINKING_TOKENS[call.thinking])}


def _format(wanted: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_object", **given(json_schema=wanted.get("schema"))}
