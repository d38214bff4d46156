"""What was tried, in order: reported with every answer and every failure (protocol page 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from protocol.chat import AttemptReport
from sidecar.engines.base import Target

Outcome = Literal["ok", "error", "cancelled", "skipped"]
"""``skipped``: not asked at all, because its circuit was open."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at one model. Times in ms; ``ttft_ms`` is the time to the first content, None when there was none."""

    provider: str
    name: str
    outcome: Outcome
    ms: float
    code: str | None = None
    ttft_ms: float | None = None


class Fallback(msgspec.Struct, frozen=True):
    """One model took over from another; ``code`` says why."""

    from_: Target
    to: Target
    code: str


def attempt_reports(attempts: Sequence[Attempt]) -> list[AttemptReport]:
    """Attempts in the wire's shape, times in whole ms."""
    return [
        AttemptReport(
            provider=attempt.provider,
            name=attempt.name,
            outcome=attempt.outcome,
            ms=round(attempt.ms),
            code=attempt.code,
            ttft_ms=None if attempt.ttft_ms is None else round(attempt.ttft_ms),
        )
        for attempt in attempts
    ]
