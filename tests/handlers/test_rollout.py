"""Who is served by the sidecar and who by the app's old path, over the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.host import Host, RpcError, memory_host
from tests.installation import Installation, installation

pytestmark = pytest.mark.anyio

ON = {
    "liteLLM": True,
    "legacyAISDK": True,
    "enhancedAnalytics": True,
    "rateLimiting": True,
    "rolloutPercent": 100,
}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        made.answers("Hello")
        yield made


async def refusals(place: Installation, host: Host) -> list[dict[str, Any]]:
    """The error of a chat and of a model call; none where they are served."""
    found = []
    prompt = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    model = {"provider": "custom::testing", "name": "test-model"}
    for method, params in (
        ("chat:stream", place.stream_params(place.chat())),
        ("llm:stream", {"callId": "c", "model": model, "prompt": prompt}),
    ):
        try:
            await host.request(method, params)
        except RpcError as error:
            found.append({"rpc": error.code, "message": error.message, **error.data})
    return found


@pytest.mark.parametrize(
    ("environ", "features", "disabled"),
    [
        ({}, {}, False),
        ({}, {"liteLLM": False}, True),
        ({}, {"rolloutPercent": 0}, True),
        ({}, {"rolloutPercent": 0, "legacyAISDK": False}, False),
        ({"LITE_LLM_ENABLED": "false"}, {}, True),
        ({"LITE_LLM_ENABLED": "true"}, {"liteLLM": False, "rolloutPercent": 0}, False),
        ({"LITE_LLM_ENABLED": ""}, {"liteLLM": False}, True),
    ],
)
async def test_a_user_outside_is_told_at_the_handshake_and_with_every_call(
    place: Installation, environ: dict[str, str], features: dict[str, Any], disabled: bool
) -> None:
    if features:
        async with memory_host(place.folder) as host:
            await host.initialize()
            assert await host.request("features:set", features) == {**ON, **features}
    async with memory_host(place.folder, environ) as host:
        told = (await host.initialize())["features"]
        override = {"liteLLM": environ["LITE_LLM_ENABLED"] != "false"} if environ.get("LITE_LLM_ENABLED") else {}
        assert {name: told[name] for name in ON} == {**ON, **features, **override}
        assert await host.request("features:get") == {name: told[name] for name in ON}
        assert ("disabled" in told) is disabled
        refused = await refusals(place, host)
        assert len(refused) == (2 if disabled else 0)
        for error in refused:
            assert error == {"rpc": -32000, **told["disabled"]}
            assert (error["code"], error["delegate"]) == ("FEATURE_DISABLED", "legacyAISDK")
        assert await host.request("get-user-settings")  # what is no model call goes on
    assert bool(place.provider.requests) is not disabled
    assert place.messages(1) == ([] if disabled else [("user", "hi"), ("assistant", "Hello")])


async def test_raising_the_percentage_only_ever_adds_users_and_lowering_it_takes_the_same_ones_out(
    place: Installation,
) -> None:
    users = [f"user-{number}" for number in range(15)]
    served: list[set[str]] = []
    async with memory_host(place.folder) as host:
        await host.initialize()
        for percent in (0, 20, 50, 80, 100, 50):
            await host.request("features:set", {"rolloutPercent": percent})
            served.append(set())
            for user in users:
                await host.request("set-user-settings", {"telemetryUserId": user})
                if not await refusals(place, host):
                    served[-1].add(user)
    none, *some, everybody, again = served
    assert none == set() and everybody == set(users)
    assert none < some[0] < some[1] < some[2] < everybody
    assert again == some[1]
