"""Settings of a call that its dialect has no member for, or that its model refuses: left out of the request. Pure."""

from __future__ import annotations

from typing import Final

from sidecar.engines.base import Dialect, ModelCall
from sidecar.engines.dialects.anthropic import thinking_of
from sidecar.engines.dialects.openai_responses import is_reasoning_model

_NOT_IN: Final[dict[Dialect, tuple[str, ...]]] = {
    "anthropic": ("presencePenalty", "frequencyPenalty", "seed"),
    "openai-responses": ("topK", "presencePenalty", "frequencyPenalty", "seed", "stopSequences"),
}


def unsupported_settings(call: ModelCall) -> dict[str, str]:
    """Setting (in the AI SDK's words) -> why it is not sent, for those that the call itself has."""
    dialect = call.target.dialect
    why = dict.fromkeys(_NOT_IN.get(dialect, ()), "The provider's API has no such setting.")
    if dialect == "anthropic" and thinking_of(call):
        why |= dict.fromkeys(("temperature", "topP", "topK"), "Not possible while the model thinks.")
    if dialect == "openai-responses" and is_reasoning_model(call.target.wire_model):
        why |= dict.fromkeys(("temperature", "topP"), "Reasoning models take none.")
    return {setting: why[setting] for setting in _asked(call) if setting in why}


def _asked(call: ModelCall) -> list[str]:
    values = {
        "temperature": call.temperature,
        "topP": call.top_p,
        "topK": call.top_k,
        "presencePenalty": call.presence_penalty,
        "frequencyPenalty": call.frequency_penalty,
        "seed": call.seed,
        "stopSequences": call.stop or None,
    }
    return [name for name, value in values.items() if value is not None]
