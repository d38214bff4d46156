"""How long a provider may stay silent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import inf, isfinite
from typing import Final

import msgspec

FIRST_TOKEN_S: Final = 120.0
IDLE_S: Final = 60.0

CONNECT_S: Final = 30.0
"""Seconds for one TCP connect; a black hole should not eat the whole first-token time."""

AFTER_END_S: Final = 0.1
"""Seconds the body may take to end once everything expected has come, so that its connection can be used again."""

USAGE_S: Final = 1.0
"""Seconds usage may come after the finish marker, when it was asked for and has not come yet."""


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds; ``inf`` means none. Time in which the consumer keeps us waiting does not count."""

    first_token_s: float = FIRST_TOKEN_S
    """From the start of the call, connecting included, to the first content event."""
    idle_s: float = IDLE_S
    """From one content event to the next; keep-alive comments are not content."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Timeouts:
        """Reads ``SCALIX_TIMEOUT_FIRST_TOKEN_S`` and ``SCALIX_TIMEOUT_IDLE_S`` (protocol page 9): 0 is none, what
        is not a number is ignored."""
        values = os.environ if environ is None else environ
        return cls(
            first_token_s=_seconds(values.get("SCALIX_TIMEOUT_FIRST_TOKEN_S"), FIRST_TOKEN_S),
            idle_s=_seconds(values.get("SCALIX_TIMEOUT_IDLE_S"), IDLE_S),
        )


def _seconds(text: str | None, default: float) -> float:
    try:
        value = float(text) if text is not None else default
    except ValueError:
        return default
    if not isfinite(value) or value < 0:
        return default
    return value or inf
