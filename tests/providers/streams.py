"""Vendors' streams made from pieces of text; they live with the replay harness, which ships."""

from __future__ import annotations

from sidecar.replay.streams import (
    anthropic_stream,
    cohere_stream,
    gemini_stream,
    openai_chat_stream,
    openai_responses_stream,
    sse,
)

__all__ = [
    "anthropic_stream",
    "cohere_stream",
    "gemini_stream",
    "openai_chat_stream",
    "openai_responses_stream",
    "sse",
]
