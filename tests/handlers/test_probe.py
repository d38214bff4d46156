"""``providers:health`` with ``probe``: who answers now, who takes its key, found without a token (protocol page 5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from protocol.errors import ErrorCode
from sidecar.engines.base import Target
from sidecar.routing.probe import Door, probe
from tests.host import memory_host
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer

pytestmark = pytest.mark.anyio

KEY = planted()
PATCH = {"capabilities": {"chunks": "patch"}}
KEYS = {
    "OPENAI_API_KEY": KEY,
    "ANTHROPIC_API_KEY": KEY,
    "GEMINI_API_KEY": KEY,
    "OPENROUTER_API_KEY": KEY,
    "COHERE_API_KEY": KEY,
    "PERPLEXITY_API_KEY": KEY,
    "OLLAMA_HOST": "http://127.0.0.1:9",
    "LM_STUDIO_BASE_URL": "http://127.0.0.1:7",
}
BASES = ("openai", "anthropic", "google", "openrouter", "cohere", "perplexity")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


async def probed(place: Installation, environment: dict[str, str], **settings: Any) -> dict[str, dict[str, Any]]:
    async with memory_host(place.folder, environment, **PATCH) as host:
        if settings:
            await host.request("set-user-settings", settings)
        result = await host.request("providers:health", {"probe": True})
    return {each["provider"]: each for each in result["probes"]}


async def test_every_provider_that_is_set_up_is_asked_with_its_key_and_no_tokens(place: Installation) -> None:
    refused = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
    models = Answer.json({"data": []})
    for path in ("/anthropic/models", "/google/models", "/openrouter/key", "/cohere/models", "/v1/models"):
        place.provider.answer(path, models)
    place.provider.answer("/openai/models", Answer.json(refused, status=401))
    bases = {f"SCALIX_{name.upper()}_BASE_URL": f"{place.provider.base_url}/{name}" for name in BASES}
    found = await probed(place, KEYS | bases)
    assert set(found) == {*BASES, "custom::testing", "ollama", "lmstudio"}, "nobody without a key"
    assert (found["openai"]["reachable"], found["openai"]["code"]) == (True, "AUTHENTICATION_FAILED")
    assert "Incorrect API key" in found["openai"]["message"]
    assert (found["perplexity"]["reachable"], found["perplexity"]["code"]) == (True, None), "no list is no fault"
    assert (found["ollama"]["reachable"], found["ollama"]["code"]) == (False, "NETWORK")
    for name in ("anthropic", "google", "openrouter", "cohere", "custom::testing"):
        assert (found[name]["reachable"], found[name]["code"], found[name]["message"]) == (True, None, None)
        assert found[name]["ms"] > 0
        assert place.provider.base_url.endswith(found[name]["address"])
    sent = {request.path: request.headers for request in place.provider.requests}
    assert {request.method for request in place.provider.requests} == {"GET"}
    assert sent["/openai/models"]["authorization"] == f"Bearer {KEY}"
    assert sent["/anthropic/models"]["x-api-key"] == KEY
    assert sent["/google/models"]["x-goog-api-key"] == KEY
    assert KEY not in str(found)


async def test_what_scalix_serves_has_one_door(place: Installation) -> None:
    place.provider.answer("/gateway/models", Answer.json({"data": []}))
    environment = {**KEYS, "SCALIX_GATEWAY_URL": f"{place.provider.base_url}/gateway"}
    pro = {"enableScalixPro": True, "enableProLazyEditsMode": False, "enableProSmartFilesContextMode": False}
    found = await probed(place, environment, **pro, providerSettings={"auto": {"apiKey": {"value": "scalix_" + KEY}}})
    assert found["auto"]["reachable"] is True
    assert [request.path for request in place.provider.requests].count("/gateway/models") == 1
    assert "openai" not in found, "calls go to Scalix now, whatever other keys there are"


async def test_a_key_that_no_header_can_carry_is_told_and_not_sent(place: Installation) -> None:
    found = await probed(place, {"OPENAI_API_KEY": "pasted “key”"})
    assert (found["openai"]["reachable"], found["openai"]["code"]) == (False, "VALIDATION")
    assert (found["openai"]["address"], found["openai"]["ms"]) == (None, None)


async def test_without_being_asked_nobody_is_probed(place: Installation) -> None:
    async with memory_host(place.folder, KEYS, **PATCH) as host:
        result = await host.request("providers:health")
        assert "probes" not in result
        assert await host.request("providers:health", {"probe": False}) == result
    assert place.provider.requests == []


async def test_a_provider_that_does_not_answer_holds_nothing_up() -> None:
    targets = [
        Target(provider=name, model="m", wire_model="m", dialect="openai-chat", base_url=f"http://{name}")
        for name in ("slow", "fast")
    ]

    async def fetch(url: str, _: Any) -> tuple[int, bytes]:
        if "slow" in url:
            await anyio.sleep_forever()
        return 200, b"{}"

    with anyio.fail_after(5):
        slow, fast = await probe([Door(each.provider, each) for each in targets], fetch, within_s=0.05)
    assert (slow.reachable, slow.code) == (False, ErrorCode.TIMEOUT.value)
    assert (fast.reachable, fast.code) == (True, None)
