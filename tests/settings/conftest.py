"""Fixtures of the settings tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settings.installation import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A database as the app leaves it, and no settings file yet."""
    return Installation(tmp_path / "user data")
