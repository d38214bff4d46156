"""The help window over the wire: whose key goes where, and that a cancel cancels (app contract 13.4, 13.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from sidecar.account.help_chat import HelpChat
from tests.app_database import create_app_database
from tests.host import Host, memory_host
from tests.providers.server import Answer, Pause, ScriptedProvider
from tests.providers.streams import openai_responses_stream

pytestmark = pytest.mark.anyio

PRO_KEY = "scalix_" + "p" * 20
THEIR_KEY = "sk-" + "u" * 20
TERMINALS = ("help:chat:response:end", "help:chat:response:error")
PATH = "/help/v1/responses"


class Window:
    """The help window's host, and the help host behind it."""

    def __init__(self, host: Host, provider: ScriptedProvider) -> None:
        self.host = host
        self.provider = provider

    def text(self, session: str) -> str:
        return "".join(
            chunk["delta"] for chunk in self.host.notifications("help:chat:response:chunk", sessionId=session)
        )

    def terminals(self, session: str) -> list[str]:
        return [
            frame["method"]
            for frame in self.host.frames
            if frame.get("method") in TERMINALS and frame["params"]["sessionId"] == session
        ]

    async def ended(self, session: str, times: int = 1) -> None:
        await self.host.until(lambda: len(self.terminals(session)) == times)


@asynccontextmanager
async def window(
    folder: Path, *, key: str | None = PRO_KEY, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Window]:
    create_app_database(folder / "sqlite.db")
    async with ScriptedProvider() as provider:
        env = {"SCALIX_HELP_URL": f"{provider.base_url}/help/v1", "OPENAI_API_KEY": THEIR_KEY, **(environ or {})}
        async with memory_host(folder, env, capabilities={"chunks": "patch"}) as host:
            keys: dict[str, Any] = {"openai": {"apiKey": {"value": THEIR_KEY}}}
            if key is not None:
                keys["auto"] = {"apiKey": {"value": key}}
            await host.request("set-user-settings", {"providerSettings": keys})
            yield Window(host, provider)


def stops_after(text: str) -> list[Any]:
    """An answer that says ``text`` and then nothing more."""
    events = openai_responses_stream([text, "never"])
    last = next(index for index, event in enumerate(events) if b'"delta"' in event and text.encode() in event)
    return [*events[: last + 1], Pause()]


async def test_an_answer_is_asked_for_with_the_pro_key_and_no_other(tmp_path: Path) -> None:
    async with window(tmp_path) as help_:
        help_.provider.answer(PATH, Answer.stream(openai_responses_stream(["Hel", "lo"], reasoning=["hm"])))
        assert await help_.host.request("help:chat:start", {"sessionId": "s", "message": "how?"}) == {"ok": True}
        await help_.ended("s")
        await help_.host.request("help:chat:start", {"sessionId": "s", "message": "and then?"})
        await help_.ended("s", 2)
        assert help_.text("s") == "HelloHello", "reasoning is not shown"
        assert help_.terminals("s") == ["help:chat:response:end"] * 2
    first, second = help_.provider.requests
    assert first.headers["authorization"] == f"Bearer {PRO_KEY}"
    assert first.json["model"] == "gpt-5-nano"
    assert first.json["tools"] == [{"type": "web_search_preview", "search_context_size": "high"}]
    assert first.json["reasoning"]["summary"] == "auto"
    assert len(second.json["input"]) == 3
    assert THEIR_KEY not in str([(request.headers, request.body) for request in help_.provider.requests])


async def test_the_users_own_openai_key_never_goes_to_the_help_host(tmp_path: Path) -> None:
    async with window(tmp_path, key=None) as help_:
        await help_.host.request("help:chat:start", {"sessionId": "s", "message": "how?"})
        await help_.ended("s")
        (error,) = help_.host.notifications("help:chat:response:error", sessionId="s")
    assert "Pro key" in error["error"]
    assert help_.provider.requests == []


@pytest.mark.parametrize("params", [{"sessionId": "s"}, ["s"]])
async def test_cancel_closes_the_connection_and_what_was_said_is_remembered(tmp_path: Path, params: Any) -> None:
    async with window(tmp_path) as help_:
        help_.provider.answer(
            PATH, Answer.stream(stops_after("Hel")), Answer.stream(openai_responses_stream(["again"]))
        )
        await help_.host.request("help:chat:start", {"sessionId": "s", "message": "how?"})
        await help_.host.until(lambda: help_.text("s"))
        assert await help_.host.request("help:chat:cancel", params) == {"ok": True}
        assert help_.terminals("s") == ["help:chat:response:end"], "before the answer"
        with anyio.fail_after(5):
            await help_.provider.requests[0].gone.wait()
        assert await help_.host.request("help:chat:cancel", params) == {"ok": True}
        shown = help_.text("s")
        await help_.host.request("help:chat:start", {"sessionId": "s", "message": "go on"})
        await help_.ended("s", 2)
    assert shown in str(help_.provider.requests[1].json["input"])


async def test_an_error_is_the_only_last_word_and_has_one(tmp_path: Path) -> None:
    async with window(tmp_path) as help_:
        help_.provider.answer(PATH, Answer.json({}, status=400))
        await help_.host.request("help:chat:start", {"sessionId": "s", "message": "how?"})
        await help_.ended("s")
        await help_.host.request("ping")
        assert help_.terminals("s") == ["help:chat:response:error"]
        (error,) = help_.host.notifications("help:chat:response:error")
    assert error["error"] and "undefined" not in error["error"]
    assert PRO_KEY not in str(error)


async def test_of_questions_asked_at_once_the_last_is_answered_and_each_has_its_end(tmp_path: Path) -> None:
    async with window(tmp_path) as help_:
        help_.provider.answer(PATH, Answer.stream(stops_after("Hel")))
        await help_.host.request("help:chat:start", {"sessionId": "first", "message": "one"})
        await help_.host.until(lambda: help_.text("first"))
        asked = [
            await help_.host.start("help:chat:start", {"sessionId": session, "message": session}) for session in "abc"
        ]
        for identifier in asked:
            assert await help_.host.answer(identifier) == {"ok": True}
        await help_.host.until(lambda: help_.text("c"))
        assert [help_.terminals(session) for session in ("first", "a", "b", "c")] == [
            ["help:chat:response:end"]
        ] * 3 + [[]]
        await help_.host.request("shutdown")
        assert help_.terminals("c") == ["help:chat:response:end"]


async def test_a_mistake_of_our_own_costs_one_answer_and_not_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stumble(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(HelpChat, "_stream", stumble)
    async with window(tmp_path) as help_:
        with capture_logs() as logged:
            await help_.host.request("help:chat:start", {"sessionId": "s", "message": "how?"})
            await help_.ended("s")
        assert help_.terminals("s") == ["help:chat:response:error"]
        assert [entry["exc_info"] for entry in logged if entry["event"] == "the help chat failed"] == [True]
        assert await help_.host.request("ping") == {}
