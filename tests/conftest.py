"""Fixtures for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.dev import proxy_python


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


@pytest.fixture(scope="session")
def litellm_python() -> Path:
    """The interpreter of the proxy's environment, made at the first run."""
    try:
        return proxy_python()
    except (SystemExit, OSError) as error:
        pytest.skip(f"no environment for the LiteLLM proxy (python3 scripts/dev.py proxy says why): {error}")
