"""One proxy of each kind for all tests of a run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.dev import proxy_database
from tests.litellm_proxy.fleet import Fleet, running_fleet
from tests.litellm_proxy.proxy import LitellmProxy, NotAvailable, running


@pytest.fixture(scope="session")
def proxy(litellm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LitellmProxy]:
    """The running proxy."""
    try:
        with running(litellm_python, tmp_path_factory.mktemp("litellm-proxy")) as started:
            yield started
    except NotAvailable as error:
        pytest.skip(f"the LiteLLM proxy did not start here: {error}")


@pytest.fixture(scope="session")
def fleet(litellm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The running proxy with its own database."""
    try:
        programs = proxy_database()
    except (SystemExit, OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no database for the LiteLLM proxy (python3 scripts/dev.py proxy says why): {error}")
    try:
        with running_fleet(litellm_python, programs, tmp_path_factory.mktemp("litellm-fleet")) as started:
            yield started
    except NotAvailable as error:
        pytest.skip(f"the LiteLLM proxy did not start here with its database: {error}")
