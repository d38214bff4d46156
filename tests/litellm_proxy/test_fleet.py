"""The proxy as a team runs it, with keys, users, teams and budgets in its own database: everything it refuses because
of what is written there (issue 3, protocol pages 3 and 9)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.routing import runner
from tests.litellm_proxy.fleet import Fleet
from tests.litellm_proxy.proxy import PATH
from tests.litellm_proxy.talk import HELLO, talk

pytestmark = [pytest.mark.anyio, pytest.mark.process, pytest.mark.timeout(300)]

NOTHING = 0.000001
"""US dollars; one answer costs more."""
UNKNOWN_KEY = "sk-unknown-0123456789"


@pytest.fixture(autouse=True)
def upstream(fleet: Fleet) -> None:
    """Every model answers."""
    fleet.proxy.upstream.answer(PATH, HELLO)


async def test_a_virtual_key_is_all_a_chat_needs(fleet: Fleet, tmp_path: Path) -> None:
    async with talk(fleet.proxy, tmp_path, fleet.key()) as talking:
        end = await talking.ask("gpt-4.1")
        assert talking.host.text(talking.chat) == "Hello", talking.host.terminals(talking.chat)
    assert end["model"] == {"provider": "openai", "name": "gpt-4.1"}


# --- the key -----------------------------------------------------------------------------------------------------


def unknown(_: Fleet) -> str:
    return UNKNOWN_KEY


def malformed(_: Fleet) -> str:
    return UNKNOWN_KEY.removeprefix("sk-")


def deleted(fleet: Fleet) -> str:
    key = fleet.key()
    fleet.make("key/delete", keys=[key])
    return key


def expired(fleet: Fleet) -> str:
    return fleet.key(duration="0s")


def blocked(fleet: Fleet) -> str:
    key = fleet.key()
    fleet.make("key/block", key=key)
    return key


def for_embeddings(fleet: Fleet) -> str:
    return fleet.key(allowed_routes=["/embeddings"])


@pytest.mark.parametrize(
    ("make_key", "code", "words"),
    [
        (unknown, "AUTHENTICATION_FAILED", "does not know this key. Check LITE_LLM_MASTER_KEY"),
        (deleted, "AUTHENTICATION_FAILED", "does not know this key. Check LITE_LLM_MASTER_KEY"),
        (malformed, "AUTHENTICATION_FAILED", "LiteLLM Virtual Key expected."),
        (expired, "AUTHENTICATION_FAILED", "Check LITE_LLM_MASTER_KEY"),
        (blocked, "AUTHENTICATION_FAILED", "Key is blocked."),
        (for_embeddings, "PERMISSION_DENIED", "not allowed to call this route"),
    ],
)
async def test_a_refused_key_is_told_and_asked_with_once(
    fleet: Fleet, tmp_path: Path, make_key: Callable[[Fleet], str], code: str, words: str
) -> None:
    key = make_key(fleet)
    asked = len(fleet.proxy.upstream.requests)
    async with talk(fleet.proxy, tmp_path, key) as talking:
        error = await talking.ask("gpt-4.1")
    assert (error["code"], error["kind"], error["retryable"]) == (code, "auth", False)
    assert words in error["error"]
    assert len(error["attempts"]) == 1
    assert len(fleet.proxy.upstream.requests) == asked
    assert key not in str(error)
    assert not hash_in(error), "the proxy knows its keys by their hashes"


def hash_in(error: dict[str, Any]) -> bool:
    """Whether something as long as a SHA-256 is in there."""
    return any(len(word) >= 64 and word.isalnum() for word in str(error).replace("=", " ").split())


# --- the model ---------------------------------------------------------------------------------------------------


def models_of_key(fleet: Fleet, models: list[str]) -> str:
    return fleet.key(models=models)


def models_of_team(fleet: Fleet, models: list[str]) -> str:
    return fleet.key(team_id=fleet.make("team/new", models=models)["team_id"])


def models_of_user(fleet: Fleet, models: list[str]) -> str:
    return fleet.key(user_id=fleet.make("user/new", models=models)["user_id"])


WHOSE_MODELS = [models_of_key, models_of_team, models_of_user]


@pytest.mark.parametrize("make_key", WHOSE_MODELS)
async def test_a_model_the_key_may_not_use_gives_way_to_one_it_may(
    fleet: Fleet, tmp_path: Path, make_key: Callable[[Fleet, list[str]], str]
) -> None:
    async with talk(fleet.proxy, tmp_path, make_key(fleet, ["gemini/gemini-2.5-flash"])) as talking:
        end = await talking.ask("gpt-4.1")
        assert talking.host.text(talking.chat) == "Hello", talking.host.terminals(talking.chat)
    assert [attempt.get("code") for attempt in end["attempts"]] == ["PERMISSION_DENIED", None]
    assert end["model"]["name"] == "gemini-2.5-flash"


@pytest.mark.parametrize("make_key", WHOSE_MODELS)
async def test_a_key_that_may_use_none_of_the_models_is_told_as_that(
    fleet: Fleet, tmp_path: Path, make_key: Callable[[Fleet, list[str]], str]
) -> None:
    async with talk(fleet.proxy, tmp_path, make_key(fleet, ["another-model"])) as talking:
        error = await talking.ask("gpt-4.1")
    assert (error["code"], error["retryable"]) == ("PERMISSION_DENIED", False)
    assert "is not available for this API key" in error["error"]
    assert [attempt["name"] for attempt in error["attempts"]] == ["gpt-4.1", "gemini-2.5-flash"]


# --- budgets -----------------------------------------------------------------------------------------------------


def budget_of_key(fleet: Fleet) -> str:
    return fleet.key(max_budget=NOTHING)


def budget_of_a_day(fleet: Fleet) -> str:
    return fleet.key(budget_limits=[{"budget_duration": "1d", "max_budget": NOTHING}])


def budget_of_user(fleet: Fleet) -> str:
    return fleet.key(user_id=fleet.make("user/new", max_budget=NOTHING)["user_id"])


def budget_of_team(fleet: Fleet) -> str:
    return fleet.key(team_id=fleet.make("team/new", max_budget=NOTHING)["team_id"])


def budget_of_member(fleet: Fleet) -> str:
    user, team = fleet.make("user/new")["user_id"], fleet.make("team/new")["team_id"]
    member = {"role": "user", "user_id": user}
    fleet.make("team/member_add", team_id=team, member=member, max_budget_in_team=NOTHING)
    return fleet.key(user_id=user, team_id=team)


def budget_of_app_user(fleet: Fleet) -> str:
    fleet.make("customer/new", user_id="telemetry-budget_of_app_user", max_budget=NOTHING)
    return fleet.key()


@pytest.mark.parametrize(
    ("make_key", "words"),
    [
        (budget_of_key, "Budget has been exceeded! Key="),
        (budget_of_a_day, "ExceededBudget: Key over 1d budget."),
        (budget_of_user, "ExceededBudget: User="),
        (budget_of_team, "Budget has been exceeded! Team="),
        (budget_of_member, "Budget has been exceeded! TeamMember="),
        (budget_of_app_user, "ExceededBudget: End User="),
    ],
)
async def test_what_is_spent_uses_a_budget_up(
    fleet: Fleet, tmp_path: Path, make_key: Callable[[Fleet], str], words: str
) -> None:
    """The proxy's words for it stay, which the app's UI looks for."""
    async with talk(fleet.proxy, tmp_path, make_key(fleet)) as talking:
        await talking.host.request("set-user-settings", {"telemetryUserId": f"telemetry-{make_key.__name__}"})
        ends = [await talking.ask("gpt-4.1")]
        while "code" not in ends[-1] and len(ends) < 10:  # the proxy counts after it has answered
            ends.append(await talking.ask("gpt-4.1"))
    assert len(ends) > 1
    assert (ends[-1]["code"], ends[-1]["retryable"]) == ("INSUFFICIENT_CREDITS", False)
    assert words in ends[-1]["error"]
    assert len(ends[-1]["attempts"]) == 1


# --- rates -------------------------------------------------------------------------------------------------------


def rate_of_key(fleet: Fleet) -> str:
    return fleet.key(rpm_limit=1)


def rate_of_user(fleet: Fleet) -> str:
    return fleet.key(user_id=fleet.make("user/new", rpm_limit=1)["user_id"])


def rate_of_team(fleet: Fleet) -> str:
    return fleet.key(team_id=fleet.make("team/new", rpm_limit=1)["team_id"])


def rate_of_app_user(fleet: Fleet) -> str:
    budget = fleet.make("budget/new", budget_id="one-a-minute", rpm_limit=1)["budget_id"]
    fleet.make("customer/new", user_id="telemetry-rate_of_app_user", budget_id=budget)
    return fleet.key()


@pytest.mark.parametrize("make_key", [rate_of_key, rate_of_user, rate_of_team, rate_of_app_user])
async def test_a_used_up_rate_is_told_with_how_long_it_lasts(
    fleet: Fleet, tmp_path: Path, make_key: Callable[[Fleet], str]
) -> None:
    """It counts requests to every model: asking for another one does not help."""
    async with talk(fleet.proxy, tmp_path, make_key(fleet)) as talking:
        await talking.host.request("set-user-settings", {"telemetryUserId": f"telemetry-{make_key.__name__}"})
        assert "code" not in await talking.ask("gpt-4.1")
        error = await talking.ask("gpt-4.1")
    assert (error["code"], error["kind"], error["retryable"]) == ("RATE_LIMIT_EXCEEDED", "rate_limited", True)
    assert error["retryAfterMs"] == 60_000
    assert "Limit resets at" in error["error"]
    assert len(error["attempts"]) == 1
    assert not hash_in(error)


@pytest.mark.parametrize("limit", [{"tpm_limit": 1}, {"max_parallel_requests": 0}])
async def test_tokens_and_parallel_requests_are_rates_too(fleet: Fleet, tmp_path: Path, limit: dict[str, int]) -> None:
    async with talk(fleet.proxy, tmp_path, fleet.key(**limit)) as talking:
        error = await talking.ask("gpt-4.1")
    assert (error["code"], error["retryAfterMs"], len(error["attempts"])) == ("RATE_LIMIT_EXCEEDED", 60_000, 1)


async def test_a_used_up_rate_of_one_model_gives_way_to_another(fleet: Fleet, tmp_path: Path) -> None:
    key = fleet.key(model_rpm_limit={"gpt-4.1": 1})
    async with talk(fleet.proxy, tmp_path, key) as talking:
        assert (await talking.ask("gpt-4.1"))["model"]["name"] == "gpt-4.1"
        end = await talking.ask("gpt-4.1")
    assert [attempt.get("code") for attempt in end["attempts"]] == ["RATE_LIMIT_EXCEEDED", None]
    assert end["model"]["name"] == "gemini-2.5-flash"


# --- the database itself -----------------------------------------------------------------------------------------


async def test_an_outage_of_the_proxys_database(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was let in lately is let in; others are told that it is the proxy, not their key. Afterwards all is well."""
    monkeypatch.setattr(runner, "MAX_ATTEMPTS", 1)  # the proxy takes its time over each
    known, fresh = fleet.key(), fleet.key()
    async with talk(fleet.proxy, tmp_path / "known", known) as talking:
        assert "code" not in await talking.ask("gpt-4.1")
        with fleet.database.unreachable():
            assert "code" not in await talking.ask("gpt-4.1")
    async with talk(fleet.proxy, tmp_path / "fresh", fresh) as talking:
        with fleet.database.unreachable():
            error = await talking.ask("gpt-4.1")
        assert (error["code"], error["retryable"]) == ("MODEL_UNAVAILABLE", True)
        assert "database is temporarily unreachable" in error["error"]
        assert "does not know" not in error["error"]
        assert [attempt["name"] for attempt in error["attempts"]] == ["gpt-4.1"], "it is not the model's fault"
        assert "code" not in await talking.ask("gpt-4.1")
