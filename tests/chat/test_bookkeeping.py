"""What is noted beside an answer never costs a word of it, whatever keeps it from being noted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from sidecar.chat import autosave
from sidecar.routing.meter import Meter
from tests.app_database import execute, rows
from tests.host import memory_host
from tests.installation import MODEL, Installation, installation
from tests.providers.server import Pause
from tests.providers.streams import openai_chat_stream

pytestmark = pytest.mark.anyio

PATCH = {"capabilities": {"chunks": "patch"}}
ANSWER = "Hello <scalix-chat-summary>Greeting</scalix-chat-summary>"
REFUSED = "refused by a trigger"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        made.answers(ANSWER)
        yield made


async def use_once(place: Installation) -> None:
    """From then on every table is there."""
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(place.chat()))


def refuse(place: Installation, event: str) -> None:
    """Have SQLite refuse one kind of write, for a reason nobody here knows."""
    execute(place.database, f"CREATE TRIGGER refusing BEFORE {event} BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END")


@pytest.mark.parametrize(
    ("event", "lost"),
    [
        ("INSERT ON sidecar_limits", "usage"),
        ("UPDATE ON sidecar_turns", "state"),
        ("UPDATE OF title ON chats", "title"),
    ],
)
async def test_an_answer_is_saved_without_what_cannot_be_noted(place: Installation, event: str, lost: str) -> None:
    await use_once(place)
    refuse(place, event)
    chat, next_one = place.chat(), place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        with capture_logs() as logged:
            assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert [(entry["lost"], entry["log_level"]) for entry in logged if "lost" in entry] == [(lost, "error")]
        assert host.terminals(chat)[0]["wasCancelled"] is False
        execute(place.database, "DROP TRIGGER refusing")
        assert await host.request("chat:stream", place.stream_params(next_one)) == next_one
    assert place.messages(chat)[-1] == ("assistant", ANSWER)
    titles = {row["id"]: row["title"] for row in rows(place.database, "SELECT id, title FROM chats")}
    states = {row["chat_id"]: row["state"] for row in rows(place.database, "SELECT chat_id, state FROM sidecar_turns")}
    (counted,) = rows(place.database, "SELECT COUNT(*) AS calls FROM sidecar_limits")
    kept = {"title": titles[chat] == "Greeting", "state": states[chat] == "completed", "usage": counted["calls"] == 3}
    assert kept == {name: name != lost for name in kept}
    assert titles[next_one] == "Greeting"
    assert states[next_one] == "completed"


async def test_an_answer_is_saved_beside_a_table_of_another_build(place: Installation) -> None:
    await use_once(place)
    execute(place.database, "ALTER TABLE sidecar_limits RENAME COLUMN tokens TO units")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert host.terminals(chat)[0]["limits"]["requests_today"] == 1
    assert place.messages(chat)[-1] == ("assistant", ANSWER)


async def test_a_cancelled_answer_is_saved_without_its_usage(place: Installation) -> None:
    await use_once(place)
    refuse(place, "INSERT ON sidecar_limits")
    place.script([*openai_chat_stream(["Hel"])[:2], Pause()])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "Hel")
        await host.request("chat:cancel", {"chatId": chat})
        assert host.terminals(chat)[0]["wasCancelled"] is True
    assert place.messages(chat)[-1] == ("assistant", "Hel\n\n[Response cancelled by user]")


async def test_a_mistake_of_our_own_in_the_counting_costs_the_figures_only(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        with capture_logs() as logged, monkeypatch.context() as patched:
            patched.setattr(Meter, "note", stumble)
            assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert len(host.terminals(chat)) == 1
    assert [entry["lost"] for entry in logged if entry["log_level"] == "error"] == ["usage"]
    assert place.messages(chat)[-1] == ("assistant", ANSWER)


async def test_an_answer_goes_on_where_it_cannot_be_saved_on_the_way(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The autosave is one task for all streams: what ends it would end them all."""
    monkeypatch.setattr(autosave, "INTERVAL_S", 0.01)
    refuse(place, "UPDATE OF content ON messages WHEN NEW.content = 'Hel'")
    pause, words = Pause(), openai_chat_stream(["Hel", "lo"])
    place.script([*words[:2], pause, *words[2:]])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        with capture_logs() as logged:
            answer = await host.start("chat:stream", place.stream_params(chat))
            with anyio.fail_after(5):
                while not any(entry["event"] == "could not save the answers so far" for entry in logged):
                    await anyio.lowlevel.checkpoint()
            pause.resume()
            assert await host.answer(answer) == chat
    assert place.messages(chat)[-1] == ("assistant", "Hello")


async def test_a_single_call_ends_well_without_its_usage(place: Installation) -> None:
    await use_once(place)
    refuse(place, "INSERT ON sidecar_limits")
    prompt: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    async with memory_host(place.folder, capabilities={}) as host:
        with capture_logs() as logged:
            result = await host.request("llm:stream", {"callId": "c1", "model": MODEL, "prompt": prompt})
        types = [params["part"]["type"] for params in host.notifications("llm:part", callId="c1")]
    assert result["finishReason"] == "stop"
    assert types[-1] == "finish"
    assert [entry["lost"] for entry in logged if entry["log_level"] == "error"] == ["usage"]


async def test_turns_that_cannot_be_closed_keep_nobody_from_chatting(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed process left is looked at in the background of the next start."""
    monkeypatch.setattr("sidecar.app.FIRST_WORD_S", 0)
    await use_once(place)
    execute(place.database, "UPDATE sidecar_turns SET state = 'running', process_id = 1, started_at = 0")
    refuse(place, "UPDATE ON sidecar_turns WHEN NEW.state = 'interrupted'")
    chat = place.chat()
    with capture_logs() as logged:
        async with memory_host(place.folder, **PATCH) as host:
            with anyio.fail_after(5):
                while not any(entry["event"] == "the start is over" for entry in logged):
                    await anyio.lowlevel.checkpoint()
            assert await host.request("chat:stream", place.stream_params(chat)) == chat
    assert place.messages(chat)[-1] == ("assistant", ANSWER)
