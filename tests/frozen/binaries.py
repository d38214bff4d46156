"""The two binaries in ``dist/``, and whether this run tests them.

``SCALIX_TEST_FROZEN`` is ``smoke`` (a few replayed sessions beside the tests made for them) or ``whole`` (every
session); unset, they are skipped. ``scripts/dev.py test`` sets it after building them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUFFIX = ".exe" if sys.platform == "win32" else ""
ONE_FILE = ROOT / "dist" / f"scalix-sidecar{SUFFIX}"
ONE_FOLDER = ROOT / "dist" / "onedir" / "scalix-sidecar" / f"scalix-sidecar{SUFFIX}"
WANTED = os.environ.get("SCALIX_TEST_FROZEN", "")

needs_binaries = [
    pytest.mark.frozen,
    pytest.mark.skipif(WANTED not in {"smoke", "whole"}, reason="python3 scripts/dev.py test --frozen runs them"),
]
