"""The scripted provider; it lives with the replay harness, which ships."""

from __future__ import annotations

from sidecar.replay.provider import (
    Answer,
    Drop,
    Handler,
    Later,
    Pause,
    Recorded,
    ScriptedProvider,
    Step,
    TrickleUntilGone,
)

__all__ = [
    "Answer",
    "Drop",
    "Handler",
    "Later",
    "Pause",
    "Recorded",
    "ScriptedProvider",
    "Step",
    "TrickleUntilGone",
]
