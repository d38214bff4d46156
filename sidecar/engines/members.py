"""Members of a request's body, as several dialects make them of a call and its target."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.engines.base import ModelCall


def output_limit(call: ModelCall) -> int | None:
    """Output tokens: the call's own limit, else the target's."""
    return call.max_output_tokens if call.max_output_tokens is not None else call.target.max_output_tokens


def temperature(call: ModelCall) -> float | None:
    """The call's own temperature, else the target's."""
    return call.temperature if call.temperature is not None else call.target.temperature


def given(**members: Any) -> dict[str, Any]:
    """The members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def arguments_object(arguments: str) -> Any:
    """A tool call's JSON text as a value; ``{}`` when there was none, the text itself when it is no JSON."""
    if not arguments.strip():
        return {}
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return {"text": arguments}


def snake_case(options: dict[str, Any]) -> dict[str, Any]:
    """The AI SDK's camel-cased options under the vendor's snake-cased names, nested objects included."""

    def name(text: str) -> str:
        return "".join(f"_{char.lower()}" if char.isupper() else char for char in text)

    return {
        name(key): snake_case(value) if isinstance(value, dict) else value
        for key, value in options.items()
        if value is not None
    }


JSON_ONLY = "Answer with one JSON value and nothing else: no prose, no code fence."


def json_instruction(response_format: dict[str, Any] | None) -> str | None:
    """For vendors without a JSON mode: what the system prompt has to say; None when plain text is wanted."""
    if response_format is None or response_format.get("type") != "json":
        return None
    schema = response_format.get("schema")
    if schema is None:
        return JSON_ONLY
    return f"{JSON_ONLY} It must be valid against this JSON Schema: {msgspec.json.encode(schema).decode()}"
