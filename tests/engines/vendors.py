"""A scripted provider in each vendor's place: where it is asked, for which model, and one answer in its dialect."""

from __future__ import annotations

from typing import Any

from sidecar.engines.base import Target
from sidecar.secret import SecretText
from tests.engines.calls import KEY
from tests.providers import (
    ScriptedProvider,
    anthropic_stream,
    cohere_stream,
    gemini_stream,
    openai_chat_stream,
    openai_responses_stream,
)

PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "google": "/v1/models/gemini-2.5-flash:streamGenerateContent",
    "cohere": "/v1/chat",
}
MODELS = {
    "openai-chat": "m",
    "openai-responses": "gpt-5",
    "anthropic": "claude-sonnet-4-20250514",
    "google": "gemini-2.5-flash",
    "cohere": "command-a",
}
STREAMS: dict[str, list[bytes]] = {
    "openai-chat": openai_chat_stream(
        ["Hel", "lo"], reasoning=["hm"], usage={"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    ),
    "openai-responses": openai_responses_stream(
        ["Hel", "lo"], reasoning=["hm"], usage={"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}
    ),
    "anthropic": anthropic_stream(["Hel", "lo"], thinking=["hm"], input_tokens=9, output_tokens=5),
    "google": gemini_stream(["H", "e", "llo"], thoughts=["h", "m"], prompt_tokens=9, candidate_tokens=5),
    "cohere": cohere_stream(["Hel", "lo"], thinking=["hm"], input_tokens=9, output_tokens=5),
}
"""All say "Hello" after thinking "hm", and count 9 tokens of the prompt and 5 of the answer."""


def to(provider: ScriptedProvider, dialect: str, **overrides: Any) -> Target:
    """The provider as a target in ``dialect``."""
    values: dict[str, Any] = {
        "provider": "p",
        "model": MODELS[dialect],
        "wire_model": MODELS[dialect],
        "dialect": dialect,
        "base_url": provider.base_url + "/v1",
        "api_key": SecretText(KEY),
    }
    return Target(**{**values, **overrides})
