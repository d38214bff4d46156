"""``get-user-budget`` (app contract 13.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol.errors import ErrorCode
from protocol.usage import UserBudget
from sidecar.account.budget import budget_or_none
from sidecar.errors import ProviderError
from sidecar.routing.inputs import Environment
from sidecar.secret import SecretText
from tests.app_database import create_app_database
from tests.host import memory_host
from tests.providers.server import Answer, ScriptedProvider

pytestmark = pytest.mark.anyio

KEY = SecretText("scalix_" + "k" * 20)
INFO = {"user_info": {"spend": 2.5, "max_budget": 10, "budget_reset_at": "2026-12-01T00:00:00+00:00"}}
Reply = tuple[int, bytes] | Exception


class Service:
    """Answers in order; the last one stays."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    async def fetch(self, url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        self.asked.append((url, headers))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


async def ask(service: Service, key: SecretText | None = KEY, *, test_build: bool = False) -> UserBudget | None:
    environ = Environment({"npm_package_version": "1.2.3"})
    return await budget_or_none(service.fetch, base="http://api/v1/", key=key, environ=environ, test_build=test_build)


async def test_money_becomes_credits_and_the_date_utc() -> None:
    service = Service((200, json.dumps(INFO).encode()))
    assert await ask(service) == UserBudget(37.5, 150.0, "2026-12-01T00:00:00.000Z")
    url, headers = service.asked[0]
    assert url == "http://api/v1/user/info"
    assert (headers["X-Scalix-Client"], headers["X-Scalix-Version"]) == ("desktop-app", "1.2.3")
    assert headers["Authorization"] == f"Bearer {KEY.reveal()}"


@pytest.mark.parametrize("reply", [(401, b"{}"), (403, b""), (404, b"<html>"), (200, b"nonsense"), (200, b"{}")])
async def test_what_will_not_get_better_is_asked_once(reply: Reply) -> None:
    service = Service(reply)
    assert await ask(service) is None
    assert len(service.asked) == 1


@pytest.mark.parametrize("key", [None, SecretText("sk-other"), SecretText("scalix_short")])
async def test_without_a_scalix_key_nothing_is_asked(key: SecretText | None) -> None:
    service = Service((200, json.dumps(INFO).encode()))
    assert await ask(service, key) is None
    assert service.asked == []


async def test_a_test_build_has_no_budget() -> None:
    service = Service((200, json.dumps(INFO).encode()))
    assert await ask(service, test_build=True) is None


async def test_server_and_network_failures_are_tried_three_times() -> None:
    from sidecar.account.budget import service_headers, user_budget

    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    failure = ProviderError("no network", code=ErrorCode.NETWORK)
    service = Service((503, b""), failure, (200, json.dumps(INFO).encode()))
    headers = service_headers(KEY, Environment({}))
    found = await user_budget(service.fetch, base="http://api/v1", headers=headers, sleep=sleep)
    assert found is not None
    assert pauses == [1.0, 2.0]
    service = Service((500, b""))
    assert await user_budget(service.fetch, base="http://api/v1", headers=headers, sleep=sleep) is None
    assert len(service.asked) == 3


async def test_the_budget_over_the_wire_comes_from_the_user_service_with_the_pro_key(tmp_path: Path) -> None:
    create_app_database(tmp_path / "sqlite.db")
    info = {"user_info": {"spend": 2.5, "max_budget": 10, "budget_reset_at": "2026-01-31T12:00:00+01:00"}}
    async with ScriptedProvider() as provider:
        provider.answer("/v1/user/info", Answer.json(info), Answer.json({}, status=403))
        env = {"SCALIX_API_URL": f"{provider.base_url}/v1", "OPENAI_API_KEY": "sk-theirs"}
        async with memory_host(tmp_path, env, capabilities={}) as host:
            assert await host.request("get-user-budget") is None
            assert provider.requests == [], "without a key nobody is asked"
            await host.request("set-user-settings", {"providerSettings": {"auto": {"apiKey": {"value": KEY.reveal()}}}})
            assert await host.request("get-user-budget") == {
                "usedCredits": 37.5,
                "totalCredits": 150,
                "budgetResetDate": "2026-01-31T11:00:00.000Z",
            }
            assert await host.request("get-user-budget") is None
    assert [request.headers["authorization"] for request in provider.requests] == [f"Bearer {KEY.reveal()}"] * 2
    assert provider.requests[0].headers["x-scalix-version"] == "1.0.0", "as to the engine"
