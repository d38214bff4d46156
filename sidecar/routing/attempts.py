"""What was tried, in order: reported with every answer and every failure (protocol page 6)."""

from __future__ import annotations

from typing import Literal

import msgspec

from sidecar.engines.base import Target

Outcome = Literal["ok", "error", "cancelled", "skipped"]
"""``skipped``: not asked at all, because its circuit was open."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
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
