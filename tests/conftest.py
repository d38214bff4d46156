"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.dev import proxy_python
from tests import planted


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--sidecar CMD``: what tests spawn instead of this checkout, for example the frozen binary."""
    parser.addoption("--sidecar", metavar="CMD", help="command of the sidecar to spawn (default: this checkout)")


def pytest_configure(config: pytest.Config) -> None:
    """Tell ``tests.host`` and the workers."""
    if command := config.getoption("--sidecar"):
        os.environ["SCALIX_SIDECAR_COMMAND"] = command


@pytest.fixture(autouse=True)
def no_secret_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a planted secret in a file, a frame or a log (``tests.planted``)."""
    folders = [request.getfixturevalue("tmp_path")] if "tmp_path" in request.fixturenames else []
    planted.leaks_since_last_asked(())
    yield
    leaks = planted.leaks_since_last_asked(folders)
    assert not leaks, "a planted secret was left behind:\n" + "\n".join(leaks)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """The same for what pytest has captured: the log of a sidecar in this process."""
    report = yield
    if report.when == "teardown" and report.passed:
        output = "\n".join(content for _, _, content in item._report_sections)
        if forms := planted.forms_in(output.encode("utf-8", "replace")):
            report.outcome = "failed"
            report.longrepr = f"a planted secret was logged: {', '.join(forms)}"
    return report


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
