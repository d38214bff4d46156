"""One proxy for all tests of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.litellm_proxy.proxy import LitellmProxy, NotAvailable, running


@pytest.fixture(scope="session")
def proxy(litellm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LitellmProxy]:
    """The running proxy."""
    try:
        with running(litellm_python, tmp_path_factory.mktemp("litellm-proxy")) as started:
            yield started
    except NotAvailable as error:
        pytest.skip(f"the LiteLLM proxy did not start here: {error}")
