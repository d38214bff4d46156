"""Ledger entries for tests, and the clock they are recorded by."""

from __future__ import annotations

from typing import Any

from sidecar.store.ledger import LedgerEntry

NOON: int = 1_767_268_800_000
"""2026-01-01T12:00:00Z in ms."""
HOUR: int = 3_600_000
DAY: int = 24 * HOUR


def entry(**fields: Any) -> LedgerEntry:
    """An answer of one second, asked for at noon."""
    given: dict[str, Any] = {
        "at": NOON,
        "kind": "chat",
        "call_id": "call",
        "attempt": 1,
        "provider": "openai",
        "model": "gpt-4.1",
        "outcome": "ok",
        "ms": 1000.0,
        "ttft_ms": 200.0,
        "input_tokens": 100,
        "output_tokens": 40,
        "cost_usd": 0.01,
    }
    return LedgerEntry(**{**given, **fields})


class Clock:
    """A clock that a test sets, in ms since the epoch."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now
