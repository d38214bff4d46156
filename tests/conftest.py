"""Fixtures for every test."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The sidecar runs on asyncio: its HTTP client does."""
    return "asyncio"
