"""Scripted providers on loopback, and the bytes that vendors' streams are made of.

``ScriptedProvider`` is a real HTTP server which answers what a test told it to; ``streams`` builds each vendor's
stream from pieces of text. Both are independent of the code under test: a provider must not agree with it by
construction.
"""

from __future__ import annotations

from tests.providers.server import Answer, Drop, Later, Pause, Recorded, ScriptedProvider, Step, TrickleUntilGone
from tests.providers.streams import (
    anthropic_stream,
    cohere_stream,
    gemini_stream,
    openai_chat_stream,
    openai_responses_stream,
    sse,
)

__all__ = [
    "Answer",
    "Drop",
    "Later",
    "Pause",
    "Recorded",
    "ScriptedProvider",
    "Step",
    "TrickleUntilGone",
    "anthropic_stream",
    "cohere_stream",
    "gemini_stream",
    "openai_chat_stream",
    "openai_responses_stream",
    "sse",
]
