"""Every test here runs on both binaries."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frozen.binaries import ONE_FILE, ONE_FOLDER


@pytest.fixture(params=[ONE_FILE, ONE_FOLDER], ids=["one-file", "one-folder"])
def binary(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    assert path.is_file(), "build it first: python3 scripts/dev.py freeze"
    return path
