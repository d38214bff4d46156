"""``usage:get`` and ``providers:health`` over the wire, and the limits per tier (protocol page 5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.app_database import execute, insert_model, rows
from tests.host import RpcError, memory_host
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer
from tests.providers.streams import openai_chat_stream

pytestmark = pytest.mark.anyio

PATCH = {"capabilities": {"chunks": "patch"}}
USER = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


async def test_calls_with_ones_own_server_are_counted_and_never_limited(place: Installation) -> None:
    place.answers("ok", usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
    chat = place.chat()
    async with memory_host(place.folder, {"SCALIX_FREE_REQUESTS_PER_DAY": "1"}, **PATCH) as host:
        for _ in range(2):
            assert await host.request("chat:stream", place.stream_params(chat)) == chat
        usage = await host.request("usage:get")
        health = await host.request("providers:health")
    assert usage["usage"] == {"requests_today": 2, "tokens_used": 16, "remaining_requests": None}
    assert (usage["tier"], usage["upgrade_prompt"]) == ("free", False)
    assert usage["resets_at"].endswith("T00:00:00.000Z")
    assert health["models"][0]["state"] == "closed"
    assert health["models"][0]["successRate"] == 1.0


async def test_the_free_tier_ends_with_the_upgrade_prompt(place: Installation) -> None:
    place.provider.answer("/proxy/v1/chat/completions", Answer.stream(openai_chat_stream(["ok"])))
    environment = {
        "LITE_LLM_BASE_URL": f"{place.provider.base_url}/proxy",
        "LITE_LLM_MASTER_KEY": planted("sk-master-{}"),
        "SCALIX_FREE_REQUESTS_PER_DAY": "1",
    }
    chat = place.chat()
    params = place.stream_params(chat, model={"provider": "openai", "name": "gpt-4.1"}, files=[])
    async with memory_host(place.folder, environment, **PATCH) as host:
        assert await host.request("chat:stream", params) == chat
        (end,) = host.terminals(chat)
        assert end["limits"]["remaining_requests"] == 0
        assert end["upgrade_prompt"] is True
        assert await host.request("chat:stream", params) == "error"
        error = host.terminals(chat)[1]
        assert (error["code"], error["scope"], error["upgrade_prompt"]) == ("RATE_LIMIT_EXCEEDED", "tier", True)
        await host.request("features:set", {"rateLimiting": False})
        assert await host.request("chat:stream", params) == chat
    request = place.provider.last()
    assert request.headers["x-user-tier"] == "free"
    assert request.headers["authorization"].startswith("Bearer sk-master-")
    assert len(place.provider.requests) == 2


async def test_what_a_proxy_counts_is_told_instead_of_our_own_count(place: Installation) -> None:
    """A proxy's limits hold for the user's other machines too."""
    told = {
        "usage": {"requests_today": 49, "tokens_used": 1200, "remaining_requests": 1, "total_tokens": 5},
        "upgrade_prompt": True,
        "analytics": {"cost_savings": "$1.20"},
        "model_selection": {"recommended": "gpt-4.1"},
    }
    spent = {"error": {"message": "ExceededBudget: none left", "code": 400}, "upgrade_prompt": True}
    place.provider.answer(
        "/proxy/v1/chat/completions",
        Answer.stream(openai_chat_stream(["ok"], extra=told)),
        Answer.json(spent, status=400),
    )
    chat = place.chat()
    params = place.stream_params(chat, model={"provider": "openai", "name": "gpt-4.1"}, files=[])
    async with memory_host(place.folder, {"LITE_LLM_BASE_URL": f"{place.provider.base_url}/proxy"}, **PATCH) as host:
        assert await host.request("chat:stream", params) == chat
        assert await host.request("chat:stream", params) == "error"
        end, error = host.terminals(chat)
    assert end["limits"] == {"requests_today": 49, "tokens_used": 1200, "remaining_requests": 1}
    assert (end["upgrade_prompt"], end["analytics"], end["model_selection"]) == (
        True, told["analytics"], told["model_selection"],
    )  # fmt: skip
    assert (error["code"], error["upgrade_prompt"]) == ("INSUFFICIENT_CREDITS", True)


async def test_every_attempt_is_in_the_ledger_and_no_text_is(place: Installation) -> None:
    busy = Answer.json({"error": {"message": "busy"}}, status=503, headers={"retry-after-ms": "1"})
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    place.script(busy, openai_chat_stream(["secret answer"], usage=usage))
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat, "secret prompt"))
        await host.request("features:set", {"enhancedAnalytics": False})
        await host.request("chat:stream", place.stream_params(chat))
    entries = rows(place.database, "SELECT * FROM sidecar_requests ORDER BY attempt")
    assert [(entry["outcome"], entry["output_tokens"]) for entry in entries] == [("error", None), ("ok", 3)]
    assert {entry["chat_id"] for entry in entries} == {chat}
    assert entries[1]["cost_usd"] is None, "what nobody knows is unknown, not free"
    assert "secret" not in str(entries)


async def test_analytics_tell_what_happened_and_can_be_forgotten(place: Installation) -> None:
    place.answers("ok", usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat))
        report = await host.request("analytics:get", {"bucket": "hour"})
        assert report["analytics"]["model_efficiency"] == "100%"
        assert report["analytics"]["cost_savings"].startswith("$")
        assert report["totals"]["requests"] == 1
        assert report["models"][0]["name"] == "test-model"
        assert await host.request("analytics:clear") is True
        assert (await host.request("analytics:get"))["totals"]["requests"] == 0
    assert rows(place.database, "SELECT * FROM sidecar_requests") == []


async def test_without_data_the_recommendation_is_the_apps_own_order(place: Installation) -> None:
    keys = {"GEMINI_API_KEY": planted("AIza{}"), "ANTHROPIC_API_KEY": planted()}
    async with memory_host(place.folder, keys, **PATCH) as host:
        advice = await host.request("models:recommend", {"prompt": "hi"})
        nothing = await host.request("models:recommend", {"needs": ["vision"]})
    assert advice["model_selection"]["recommended"] == "google/gemini-2.5-flash"
    assert advice["model_selection"]["fallback_options"][0] == "anthropic/claude-sonnet-4-20250514"
    assert advice["model_selection"]["reason"]
    assert [candidate["provider"] for candidate in nothing["candidates"]][:2] == ["google", "anthropic"]
    assert nothing["candidates"][-1]["why"][-1] == "unknown whether it reads images"


async def test_what_was_measured_before_a_restart_still_counts(place: Installation) -> None:
    place.answers("ok")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat))
    async with memory_host(place.folder, **PATCH) as host:
        advice = await host.request("models:recommend")
        health = await host.request("providers:health")
        await host.request("analytics:clear")
        forgotten = await host.request("models:recommend")
    (candidate,) = [each for each in advice["candidates"] if each["name"] == "test-model"]
    assert any("of recent requests answered" in each for each in candidate["why"])
    assert (health["models"][0]["name"], health["models"][0]["calls"]) == ("test-model", 1)
    (candidate,) = [each for each in forgotten["candidates"] if each["name"] == "test-model"]
    assert not any("of recent requests answered" in each for each in candidate["why"])


async def test_a_recommendation_for_a_chat_counts_what_the_chat_would_send(place: Installation) -> None:
    chat = place.chat()
    (place.app_folder / "big.ts").write_text("const x = 1;\n" * 50_000)
    async with memory_host(
        place.folder, {"ANTHROPIC_API_KEY": planted(), "GEMINI_API_KEY": planted("AIza{}")}, **PATCH
    ) as host:
        small = await host.request("models:recommend", {"prompt": "hi"})
        large = await host.request("models:recommend", {"chatId": chat, "prompt": "hi"})
        with pytest.raises(RpcError) as caught:
            await host.request("models:recommend", {"chatId": 999})
    assert "anthropic" in {each["provider"] for each in small["candidates"]}
    assert large["model_selection"]["recommended"] == "google/gemini-2.5-flash"
    assert caught.value.data["code"] == "NOT_FOUND"


async def test_tokens_that_a_server_does_not_report_are_estimated(place: Installation) -> None:
    place.answers("twelve chars")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat))
        report = await host.request("analytics:get")
    assert report["totals"]["estimatedRequests"] == 1
    assert report["totals"]["outputTokens"] == 3
    assert report["totals"]["inputTokens"] > 3
    assert report["totals"]["costUsd"] is None


async def test_two_sidecars_on_one_database_tell_the_same_and_forget_together(place: Installation) -> None:
    place.answers("ok", usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
    first, second = place.chat(), place.chat()
    async with (
        memory_host(place.folder, **PATCH) as one,
        memory_host(place.folder, **PATCH) as other,
    ):
        await one.request("chat:stream", place.stream_params(first))
        await other.request("chat:stream", place.stream_params(second))
        await one.request("chat:stream", place.stream_params(first))
        await one.request("analytics:get")  # each writes down what it has gathered before it tells
        theirs = await other.request("analytics:get")
        mine = await one.request("analytics:get")
        assert mine["totals"]["requests"] == theirs["totals"]["requests"] == 3
        assert mine["totals"]["totalTokens"] == theirs["totals"]["totalTokens"] == 24
        assert (await one.request("usage:get"))["usage"]["requests_today"] == 3
        await one.request("analytics:clear")
        assert (await other.request("analytics:get"))["totals"]["requests"] == 0
        assert (await other.request("usage:get"))["usage"]["requests_today"] == 3, "today's counters are no ledger"


async def test_forgotten_means_gone_from_the_file(place: Installation) -> None:
    place.answers("ok")
    insert_model(place.database, api_name="model-nobody-must-find-again")
    model = {"provider": "custom::testing", "name": "model-nobody-must-find-again"}
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("llm:stream", {"callId": "a", "model": model, "prompt": USER})
        assert (await host.request("analytics:get"))["models"][0]["name"] == model["name"]
        execute(place.database, "DELETE FROM language_models WHERE api_name = ?", model["name"])
        execute(place.database, "VACUUM")  # the app's own row, which is not the ledger's
        assert model["name"].encode() in place.database.read_bytes()
        await host.request("analytics:clear")
    assert model["name"].encode() not in place.database.read_bytes()


async def test_switched_off_nothing_is_recorded_but_todays_counters(place: Installation) -> None:
    place.answers("ok", usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("features:set", {"enhancedAnalytics": False})
        await host.request("chat:stream", place.stream_params(chat))
        usage = await host.request("usage:get")
        report = await host.request("analytics:get")
    assert usage["usage"]["requests_today"] == 1
    assert report["totals"]["requests"] == 0
    assert report["warnings"] == ["Analytics is switched off: new requests are not recorded."]
    left = {
        row["name"]: rows(place.database, f"SELECT * FROM {row['name']}")
        for row in rows(place.database, "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'sidecar_%'")
    }
    for name in ("sidecar_requests", "sidecar_usage_quarters", "sidecar_usage_days"):
        assert left.get(name, []) == []
    (counted,) = left["sidecar_limits"]
    assert set(counted) == {"id", "day", "paid", "tokens", "settled", "created_at"}, "who was asked is not part of it"
