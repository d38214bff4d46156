"""The help window's conversation (app contract 13.4, 13.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from sidecar.account.help_chat import HelpChat
from sidecar.engines.base import Event, ModelCall, TextDelta
from sidecar.errors import ProviderError, ValidationFailed
from sidecar.secret import SecretText

pytestmark = pytest.mark.anyio


class Scripted:
    """An engine that says what it is told to."""

    def __init__(self, *answers: list[Any]) -> None:
        self.answers = list(answers)
        self.calls: list[ModelCall] = []
        self.closed = 0

    @asynccontextmanager
    async def stream(self, call: ModelCall) -> AsyncIterator[AsyncIterator[list[Event]]]:
        self.calls.append(call)
        steps = self.answers.pop(0)

        async def batches() -> AsyncIterator[list[Event]]:
            for step in steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, anyio.Event):
                    await step.wait()
                else:
                    yield [TextDelta(step)]

        try:
            yield batches()
        finally:
            self.closed += 1


class Window:
    """What the host receives; rendered at once."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def open_lane(self, method: str, render: Any, _interval: float) -> Any:
        window = self

        class Lane:
            def mark(self) -> None:
                params = render(0)
                if params is not None:
                    window.seen.append((method, params))

            def announce(self, name: str, params: Any) -> None:
                window.seen.append((name, params))

        return Lane()

    def terminals(self) -> list[str]:
        return [method for method, _ in self.seen if not method.endswith("chunk")]


@asynccontextmanager
async def help_chat(
    engine: Scripted, window: Window, key: str | None = "scalix_" + "x" * 20
) -> AsyncIterator[HelpChat]:
    async with anyio.create_task_group() as tasks:

        async def pro_key() -> SecretText | None:
            return None if key is None else SecretText(key)

        yield HelpChat(
            engine=engine, key=pro_key, base="http://help/v1/", open_lane=window.open_lane, spawn=tasks.start_soon
        )
        tasks.cancel_scope.cancel()


async def test_an_answer_streams_ends_once_and_is_remembered() -> None:
    engine, window = Scripted(["Hel", "lo"], ["again"]), Window()
    async with help_chat(engine, window) as chat:
        await chat.start("s", "how?")
        await anyio.wait_all_tasks_blocked()
        await chat.start("s", "and then?")
        await anyio.wait_all_tasks_blocked()
    assert [params.delta for method, params in window.seen if method.endswith("chunk")] == ["Hel", "lo", "again"]
    assert window.terminals() == ["help:chat:response:end", "help:chat:response:end"]
    assert [message.role for message in engine.calls[1].messages] == ["user", "assistant", "user"]
    target = engine.calls[0].target
    assert (target.base_url, target.wire_model, target.dialect) == ("http://help/v1", "gpt-5-nano", "openai-responses")
    assert target.body["tools"] == [{"type": "web_search_preview", "search_context_size": "high"}]


async def test_cancel_closes_the_connection_and_sends_one_end() -> None:
    engine, window = Scripted(["Hel", anyio.Event()]), Window()
    async with help_chat(engine, window) as chat:
        await chat.start("s", "how?")
        await anyio.wait_all_tasks_blocked()
        await chat.cancel("other")
        assert engine.closed == 0
        await chat.cancel("s")
        assert engine.closed == 1
        await chat.cancel("s")
    assert window.terminals() == ["help:chat:response:end"]


async def test_a_failure_is_one_error_with_a_sentence() -> None:
    engine, window = Scripted([ProviderError("The help host is resting.", retryable=False)]), Window()
    async with help_chat(engine, window) as chat:
        await chat.start("s", "how?")
        await anyio.wait_all_tasks_blocked()
    assert window.terminals() == ["help:chat:response:error"]
    assert window.seen[-1][1].error == "The help host is resting."


async def test_a_failure_before_any_text_is_tried_once_more() -> None:
    engine, window = Scripted([ProviderError("busy", retryable=True)], ["Hello"]), Window()
    async with help_chat(engine, window) as chat:
        await chat.start("s", "how?")
        await anyio.wait_all_tasks_blocked()
    assert window.terminals() == ["help:chat:response:end"]
    assert [call.attempt for call in engine.calls] == [1, 2]


async def test_without_a_pro_key_nothing_is_sent() -> None:
    engine, window = Scripted(), Window()
    async with help_chat(engine, window, key=None) as chat:
        await chat.start("s", "how?")
        await anyio.wait_all_tasks_blocked()
    assert engine.calls == []
    assert window.terminals() == ["help:chat:response:error"]


async def test_a_new_session_stops_the_old_one_and_forgets_it() -> None:
    engine, window = Scripted(["one", anyio.Event()], ["two"], ["three"]), Window()
    async with help_chat(engine, window) as chat:
        await chat.start("a", "how?")
        await anyio.wait_all_tasks_blocked()
        await chat.start("b", "what?")
        await anyio.wait_all_tasks_blocked()
        await chat.start("a", "who?")
        await anyio.wait_all_tasks_blocked()
    assert [len(call.messages) for call in engine.calls] == [1, 1, 1]
    assert window.terminals() == ["help:chat:response:end"] * 3


@pytest.mark.parametrize(("session", "message"), [("", "hi"), ("s", ""), ("s", "  \n")])
async def test_an_empty_session_or_message_is_refused(session: str, message: str) -> None:
    async with help_chat(Scripted(), Window()) as chat:
        with pytest.raises(ValidationFailed, match="Missing sessionId or message"):
            await chat.start(session, message)
