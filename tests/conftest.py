"""Fixtures for every test."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--sidecar CMD``: what tests spawn instead of this checkout, for example the frozen binary."""
    parser.addoption("--sidecar", metavar="CMD", help="command of the sidecar to spawn (default: this checkout)")


def pytest_configure(config: pytest.Config) -> None:
    """Tell ``tests.host`` and the workers."""
    if command := config.getoption("--sidecar"):
        os.environ["SCALIX_SIDECAR_COMMAND"] = command


@pytest.fixture
def anyio_backend() -> str:
    """The sidecar runs on asyncio: its HTTP client does."""
    return "asyncio"
