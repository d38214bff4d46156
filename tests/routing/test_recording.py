"""A finished call in the ledger."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.base import FilePart, Message, Target, TextPart, ToolCallPart, ToolResultPart, Usage
from sidecar.routing.attempts import Attempt, Fallback
from sidecar.routing.recording import SettledCall, counted, entries_of, prompt_units
from sidecar.store.ledger import LedgerEntry
from tests.store.ledger_entries import NOON


class Prices:
    version = "test 1"

    def cost(self, provider: str, model: str, tokens: Usage) -> float | None:
        return None if provider == "ollama" else 0.001 * ((tokens.input_tokens or 0) + (tokens.output_tokens or 0))


def target(provider: str, model: str, route: Any = "direct") -> Target:
    return Target(
        provider=provider, model=model, wire_model=model, dialect="openai-chat", base_url="http://x", route=route
    )


FLASH = target("google", "gemini-2.5-flash")
GPT = target("openai", "gpt-4.1")
LLAMA = target("ollama", "llama3", "local")


def settled(**call: Any) -> SettledCall:
    given: dict[str, Any] = {
        "kind": "chat",
        "call_id": "c",
        "chat_id": 3,
        "attempts": [Attempt(provider="openai", name="gpt-4.1", outcome="ok", ms=900.0, ttft_ms=80.0)],
        "fallbacks": [],
        "target": GPT,
        "usage": Usage(input_tokens=10, output_tokens=5, cached_input_tokens=2),
        "prompt_units": 400,
        "answer_units": 41,
    }
    return SettledCall(**{**given, **call})


def recorded(**call: Any) -> list[LedgerEntry]:
    return entries_of(settled(**call), Prices(), NOON)


def test_an_answer_is_one_entry_with_its_cost() -> None:
    (entry,) = recorded()
    assert entry == LedgerEntry(
        at=NOON, kind="chat", call_id="c", chat_id=3, attempt=1, provider="openai", model="gpt-4.1", route="direct",
        outcome="ok", ms=900.0, ttft_ms=80.0, input_tokens=10, output_tokens=5, cached_tokens=2,
        cost_usd=pytest.approx(0.015), price_version="test 1",
    )  # fmt: skip


def test_attempts_before_a_fallback_have_neither_tokens_nor_cost() -> None:
    first, second, third = recorded(
        attempts=[
            Attempt(provider="google", name="gemini-2.5-flash", outcome="error", ms=50.0, code="TIMEOUT"),
            Attempt(provider="openai", name="gpt-4.1", outcome="error", ms=20.0, code="NETWORK"),
            Attempt(provider="openai", name="gpt-4.1", outcome="ok", ms=900.0, ttft_ms=80.0),
        ],
        fallbacks=[Fallback(FLASH, GPT, "TIMEOUT")],
    )
    assert (first.attempt, first.code, first.cost_usd, first.input_tokens, first.fallback_from) == (
        1, "TIMEOUT", None, None, None,
    )  # fmt: skip
    assert (second.fallback_from, second.output_tokens) == ("google/gemini-2.5-flash", None)
    assert (third.fallback_from, third.output_tokens, third.attempt) == ("google/gemini-2.5-flash", 5, 3)
    assert first.route == "direct"


def test_tokens_the_provider_did_not_tell_are_estimated_and_marked() -> None:
    (entry,) = recorded(usage=None)
    assert (entry.input_tokens, entry.output_tokens, entry.estimated) == (100, 11, True)
    (half,) = recorded(usage=Usage(input_tokens=7))
    assert (half.input_tokens, half.output_tokens, half.estimated) == (7, 11, True)
    nothing = Usage(input_tokens=0, output_tokens=0)
    assert counted(settled(usage=nothing)) == (nothing, False)


def test_a_local_models_cost_is_unknown() -> None:
    (entry,) = recorded(
        target=LLAMA, attempts=[Attempt(provider="ollama", name="llama3", outcome="ok", ms=9.0, ttft_ms=1.0)]
    )
    assert (entry.cost_usd, entry.price_version, entry.route) == (None, None, "local")


def test_a_cancelled_answer_has_used_tokens_when_it_had_begun() -> None:
    cancelled = Attempt(provider="openai", name="gpt-4.1", outcome="cancelled", ms=900.0, ttft_ms=80.0)
    (entry,) = recorded(attempts=[cancelled], usage=None)
    assert (entry.outcome, entry.output_tokens, entry.estimated) == ("cancelled", 11, True)
    silent = Attempt(provider="openai", name="gpt-4.1", outcome="cancelled", ms=900.0)
    (entry,) = recorded(attempts=[silent], usage=None)
    assert entry.output_tokens is None


def test_a_call_that_was_never_made_is_no_entry() -> None:
    assert recorded(attempts=[]) == []
    assert not settled(attempts=[]).answered


def test_the_length_of_a_prompt_is_that_of_its_texts() -> None:
    messages = (
        Message.of("system", "four"),
        Message("user", (TextPart("\N{GRINNING FACE}"), FilePart("image/png", base64="x" * 99))),
        Message("assistant", (ToolCallPart("1", "f", "{}"),)),
        Message("tool", (ToolResultPart("1", "f", "abc"),)),
    )
    assert prompt_units(messages) == 4 + 2 + 2 + 3
