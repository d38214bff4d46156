"""How long a provider may stay silent."""

from __future__ import annotations

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
    def from_environment(cls, environ: Mapping[str, str]) -> Timeouts:
        """Reads ``SCALIX_TIMEOUT_FIRST_TOKEN_S`` and ``SCALIX_TIMEOUT_IDLE_S`` (protocol page 9): 0 is none, what is
        not a number is ignored (``unusable_timeouts`` says so)."""
        first_token_s, idle_s = (_read(environ, name, default) for name, default in _DEFAULTS_S.items())
        return cls(first_token_s, idle_s)


_DEFAULTS_S: Final = {"SCALIX_TIMEOUT_FIRST_TOKEN_S": FIRST_TOKEN_S, "SCALIX_TIMEOUT_IDLE_S": IDLE_S}


def unusable_timeouts(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that holds no number of seconds."""
    return [
        f"{name} is {environ[name]!r}, which is no number of seconds; {default_s:g} is used."
        for name, default_s in _DEFAULTS_S.items()
        if environ.get(name, "").strip() and _seconds(environ[name]) is None
    ]


def _read(environ: Mapping[str, str], name: str, default_s: float) -> float:
    seconds = _seconds(environ.get(name, ""))
    return default_s if seconds is None else seconds or inf


def _seconds(text: str) -> float | None:
    """None for what is no length of time."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) and value >= 0 else None
