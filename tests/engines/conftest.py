"""A scripted provider and an HTTP client for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sidecar.engines.http import ProviderHttp
from tests.providers import ScriptedProvider


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with ScriptedProvider() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[ProviderHttp]:
    client = ProviderHttp()
    yield client
    await client.aclose()
