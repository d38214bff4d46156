"""Calls for the engines' tests."""

from __future__ import annotations

from typing import Any

from sidecar.engines.base import Engine, Event, Message, ModelCall, ReasoningDelta, Target, TextDelta
from sidecar.secret import SecretText

KEY = "test-key-that-is-no-vendors-0001"

PROMPT = (Message.of("system", "Be brief."), Message.of("user", "Hi"))


def target(base_url: str, **overrides: Any) -> Target:
    """A custom OpenAI-compatible target at ``base_url``."""
    values: dict[str, Any] = {
        "provider": "custom::x",
        "model": "test-model",
        "wire_model": "test-model",
        "dialect": "openai-chat",
        "base_url": base_url,
        "api_key": SecretText(KEY),
        "route": "custom",
    }
    return Target(**{**values, **overrides})


def call(to: Target, **overrides: Any) -> ModelCall:
    """A call of two messages."""
    values: dict[str, Any] = {"target": to, "messages": PROMPT, "request_id": "req-1"}
    return ModelCall(**{**values, **overrides})


async def collect(engine: Engine, one: ModelCall) -> list[Event]:
    """All events of a call."""
    async with engine.stream(one) as batches:
        return [event async for batch in batches for event in batch]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def reasoning_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))
