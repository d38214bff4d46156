"""Which build this is. The freezing script writes ``_frozen_build.py`` beside this file's copy in the bundle."""

from __future__ import annotations

import sys
from typing import Final


def build_id() -> str:
    """``source`` for a checkout; the id of the frozen bundle otherwise."""
    if getattr(sys, "frozen", False):
        try:
            from sidecar import _frozen_build  # type: ignore[attr-defined,unused-ignore]
        except ImportError:
            return "frozen"
        return str(_frozen_build.BUILD_ID)
    return "source"


SERVER_NAME: Final = "scalix-sidecar"
