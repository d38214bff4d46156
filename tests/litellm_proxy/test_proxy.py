"""``LITE_LLM_BASE_URL`` against the proxy it is meant for: chats through the real one, and every way it says no
(protocol page 9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.litellm_proxy.proxy import MASTER_KEY, PATH, LitellmProxy
from tests.litellm_proxy.talk import HELLO, talk
from tests.providers import Answer, Pause, openai_chat_stream

pytestmark = [pytest.mark.anyio, pytest.mark.process, pytest.mark.timeout(300)]

PRO_KEY = "scalix_" + "p" * 20


async def test_a_chat_goes_through_the_proxy(proxy: LitellmProxy, tmp_path: Path) -> None:
    proxy.upstream.answer(PATH, HELLO)
    async with talk(proxy, tmp_path) as talking:
        await talking.host.request("set-user-settings", {"telemetryUserId": "user-7"})
        end = await talking.ask("gpt-4.1")
        assert talking.host.text(talking.chat) == "Hello", talking.host.terminals(talking.chat)
    assert end["finishReason"] == "stop"
    assert end["model"] == {"provider": "openai", "name": "gpt-4.1"}
    assert (end["usage"]["inputTokens"], end["usage"]["outputTokens"]) == (21, 2)
    (request,) = proxy.received()
    assert request["path"] == PATH
    assert request["headers"]["authorization"] == f"Bearer {MASTER_KEY}"
    assert request["headers"]["x-user-tier"] == "free"
    assert "x-scalix-key" not in request["headers"]
    body = request["body"]
    assert (body["model"], body["user"], body["stream"]) == ("gpt-4.1", "user-7", True)
    assert body["scalix_options"] == {"enable_lazy_edits": False, "enable_smart_files_context": False}
    assert proxy.upstream.last().json["scalix_options"] == body["scalix_options"], "the proxy hands them on"


async def test_pro_asks_for_the_engine_and_names_the_picked_model(proxy: LitellmProxy, tmp_path: Path) -> None:
    proxy.upstream.answer(PATH, HELLO)
    async with talk(proxy, tmp_path) as talking:
        key = {"auto": {"apiKey": {"value": PRO_KEY}}}
        await talking.host.request("set-user-settings", {"enableScalixPro": True, "providerSettings": key})
        files = [{"path": "src/a.ts", "content": "const a = 1;"}]
        model = {"provider": "google", "name": "gemini-2.5-flash"}
        params = {"chatId": talking.chat, "prompt": "hi", "model": model, "files": files}
        assert await talking.host.request("chat:stream", params) == talking.chat, talking.host.terminals(talking.chat)
        assert talking.host.text(talking.chat) == "Hello", talking.host.terminals(talking.chat)
    request, again = proxy.received()
    assert request["headers"]["x-user-tier"] == "pro"
    assert request["headers"]["x-scalix-key"] == PRO_KEY
    assert request["body"]["model"] == "scalix-engine"
    assert request["body"]["scalix_options"] == {
        "model": "gemini/gemini-2.5-flash",
        "files": [{"path": "src/a.ts", "content": "const a = 1;", "force": False}],
        "enable_lazy_edits": True,
        "enable_smart_files_context": True,
    }
    assert request["body"]["thinking"] == {"type": "enabled", "include_thoughts": True, "budget_tokens": 4000}
    assert "thinking" not in again["body"], "the proxy refuses it for a model that cannot think, and is asked without"


async def test_an_answer_of_the_proxys_own_fallback_is_an_answer(proxy: LitellmProxy, tmp_path: Path) -> None:
    down = Answer.json({"error": {"message": "down", "type": "server_error"}}, status=500)
    proxy.upstream.handle(PATH, lambda request: down if request.json["model"] == "broken-model" else HELLO)
    async with talk(proxy, tmp_path) as talking:
        end = await talking.ask("gpt-4.1-mini")
        assert talking.host.text(talking.chat) == "Hello", talking.host.terminals(talking.chat)
    assert [attempt["outcome"] for attempt in end["attempts"]] == ["ok"]
    assert len(proxy.received()) == 1


async def test_a_cancel_reaches_the_model_behind_the_proxy(proxy: LitellmProxy, tmp_path: Path) -> None:
    proxy.upstream.answer(PATH, Answer.stream([*openai_chat_stream(["Hel", "lo"])[:2], Pause()]))
    async with talk(proxy, tmp_path) as talking:
        request = await talking.start("gpt-4.1")
        await talking.host.until(lambda: talking.host.text(talking.chat) == "Hel")
        await talking.host.request("chat:cancel", {"chatId": talking.chat})
        assert await talking.host.answer(request) == talking.chat
        proxy.gone(proxy.upstream.last())


@pytest.mark.parametrize("key", ["sk-wrong-0123456789", None])
async def test_a_wrong_key_is_told_and_asked_with_once(proxy: LitellmProxy, tmp_path: Path, key: str | None) -> None:
    """A proxy without a database answers 400 ``No connected db.`` to a key it cannot look up, and 401 to none."""
    async with talk(proxy, tmp_path, key) as talking:
        error = await talking.ask("gpt-4.1")
    assert (error["code"], error["kind"], error["retryable"]) == ("AUTHENTICATION_FAILED", "auth", False)
    assert "LITE_LLM_MASTER_KEY" in error["error"] if key else "No api key passed in" in error["error"]
    assert len(proxy.received()) == 1
    assert "sk-wrong" not in str(error)


@pytest.mark.parametrize(
    ("key", "words"), [("sk-spent-0123456789", "Budget has been exceeded!"), ("sk-guest-0123456789", "ExceededBudget:")]
)
async def test_a_used_up_budget_is_told_and_asked_with_once(
    proxy: LitellmProxy, tmp_path: Path, key: str, words: str
) -> None:
    async with talk(proxy, tmp_path, key) as talking:
        error = await talking.ask("gpt-4.1")
    assert (error["code"], error["retryable"]) == ("INSUFFICIENT_CREDITS", False)
    assert words in error["error"]
    assert len(proxy.received()) == 1


async def test_a_used_up_budget_of_a_model_gives_way_to_another(proxy: LitellmProxy, tmp_path: Path) -> None:
    proxy.upstream.answer(PATH, HELLO)
    async with talk(proxy, tmp_path) as talking:
        ends = [await talking.ask("o3-mini")]
        while len(ends[-1]["attempts"]) == 1 and len(ends) < 10:  # the proxy counts after it has answered
            ends.append(await talking.ask("o3-mini"))
    assert len(ends) > 1
    assert [attempt.get("code") for attempt in ends[-1]["attempts"]] == ["INSUFFICIENT_CREDITS", None]
    assert ends[-1]["model"]["name"] == "gemini-2.5-flash"


QUOTA = "You exceeded your current quota, please check your plan and billing details."
VENDOR_REFUSALS = [
    (401, "Incorrect API key provided: sk-abcd****wxyz.", "AUTHENTICATION_FAILED"),
    (403, "Project `proj_x` does not have access to model `gpt-4.1`", "PERMISSION_DENIED"),
    (402, "Insufficient Balance", "INSUFFICIENT_CREDITS"),
    (429, QUOTA, "INSUFFICIENT_CREDITS"),
]


@pytest.mark.parametrize(("status", "sentence", "code"), VENDOR_REFUSALS)
async def test_a_vendor_that_refuses_the_proxy_gives_way_to_another_vendor(
    proxy: LitellmProxy, tmp_path: Path, status: int, sentence: str, code: str
) -> None:
    """It is the proxy's own key, or account, for that vendor: nothing is wrong with the user's."""
    refusal = Answer.json({"error": {"message": sentence, "type": "x", "code": None}}, status=status)
    proxy.upstream.handle(PATH, lambda request: refusal if request.json["model"] == "upstream-model" else HELLO)
    async with talk(proxy, tmp_path) as talking:
        end = await talking.ask("gpt-4.1")
    assert [attempt.get("code") for attempt in end["attempts"]] == [code, None]
    assert end["model"]["name"] == "gemini-2.5-flash"


@pytest.mark.parametrize(("status", "sentence", "code"), VENDOR_REFUSALS)
async def test_vendors_that_all_refuse_the_proxy_are_told_as_that(
    proxy: LitellmProxy, tmp_path: Path, status: int, sentence: str, code: str
) -> None:
    refusal = Answer.json({"error": {"message": sentence, "type": "x", "code": None}}, status=status)
    proxy.upstream.answer(PATH, refusal)
    async with talk(proxy, tmp_path) as talking:
        error = await talking.ask("gpt-4.1")
    assert (error["code"], error["retryable"]) == (code, False)
    told = f"{sentence.rstrip('.')}. That is between the proxy and its provider: tell whoever runs the proxy."
    assert error["error"].endswith(told), "and nothing of how its fallbacks could be configured"


async def test_a_rate_limit_behind_the_proxy_is_waited_out_as_its_vendor_wants(
    proxy: LitellmProxy, tmp_path: Path
) -> None:
    """The proxy passes the vendor's headers on under names of their own."""
    busy = {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}
    proxy.upstream.answer(PATH, Answer.json(busy, status=429, headers={"retry-after-ms": "1"}))
    async with talk(proxy, tmp_path) as talking:
        error = await talking.ask("gpt-4.1")
    assert (error["code"], error["retryable"]) == ("RATE_LIMIT_EXCEEDED", True), error
    assert "slow down" in error["error"]
    assert [attempt["name"] for attempt in error["attempts"]] == ["gpt-4.1"] * 3 + ["gemini-2.5-flash"] * 3
    assert error["attempts"][-1]["code"] == "RATE_LIMIT_EXCEEDED"


async def test_the_proxys_own_rate_limit_is_told_with_how_long_it_lasts(proxy: LitellmProxy, tmp_path: Path) -> None:
    """It counts requests of the key, whatever the model."""
    proxy.upstream.answer(PATH, HELLO)
    async with talk(proxy, tmp_path, "sk-hurried-0123456789") as talking:
        assert "code" not in await talking.ask("gpt-4.1")
        error = await talking.ask("gpt-4.1")
    assert (error["code"], error["retryAfterMs"]) == ("RATE_LIMIT_EXCEEDED", 60_000)
    assert len(error["attempts"]) == 1


async def test_a_model_the_proxy_does_not_have_is_unavailable(proxy: LitellmProxy, tmp_path: Path) -> None:
    proxy.upstream.answer(PATH, HELLO)
    async with talk(proxy, tmp_path) as talking:
        end = await talking.ask("grok-1", "grok")
        assert talking.host.text(talking.chat) == "Hello", talking.host.terminals(talking.chat)
    assert [attempt.get("code") for attempt in end["attempts"]] == ["MODEL_UNAVAILABLE", None]
    assert end["model"]["name"] == "gemini-2.5-flash"
