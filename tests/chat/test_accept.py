"""The model is asked while the disk is still busy with the turn; the host hears of a turn that is on the disk."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from sidecar.chat.context import CodebaseReading, begin_codebase
from sidecar.chat.prompt import MAX_PROMPT_CHARS
from sidecar.store.database import Database
from tests.app_database import execute, insert_model
from tests.host import Host, RpcError, memory_host
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer
from tests.providers.streams import openai_chat_stream

pytestmark = pytest.mark.anyio

PATCH = {"capabilities": {"chunks": "patch"}}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


@contextmanager
def reader_in_the_way(place: Installation) -> Iterator[sqlite3.Connection]:
    """The app reads: others may prepare a transaction, and cannot commit it."""
    with closing(sqlite3.connect(place.database, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM apps").fetchall()
        yield other


@asynccontextmanager
async def later(place: Installation, **settings: Any) -> AsyncIterator[Host]:
    """A host that has had an answer: the settings are known, and next turns may be accepted in one trip."""
    place.settings(settings)
    place.answers("before")
    async with memory_host(place.folder, **PATCH) as host:
        chat = place.chat()
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        host.frames.clear()
        yield host


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry per trip to the thread that reads."""
    trips: list[Any] = []
    begin_read = Database.begin_read

    def counted(self: Database, work: Any, **options: Any) -> Any:
        trips.append(work)
        return begin_read(self, work, **options)

    monkeypatch.setattr(Database, "begin_read", counted)
    return trips


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> tuple[list[CodebaseReading], list[CodebaseReading]]:
    """The readings of apps' folders: those that were begun, and those that somebody has let go of."""
    begun: list[CodebaseReading] = []
    let_go: list[CodebaseReading] = []
    give_up = CodebaseReading.give_up

    def begin(*args: Any, **options: Any) -> CodebaseReading:
        begun.append(begin_codebase(*args, **options))
        return begun[-1]

    def counted(self: CodebaseReading) -> None:
        let_go.append(self)
        give_up(self)

    monkeypatch.setattr("sidecar.chat.sources.begin_codebase", begin)
    monkeypatch.setattr(CodebaseReading, "give_up", counted)
    return begun, let_go


def told(host: Host) -> list[str]:
    return [frame["method"] for frame in host.frames if "method" in frame]


async def asked(place: Installation, times: int = 1) -> None:
    with anyio.fail_after(5):
        await place.provider.request_number(times)


async def test_the_model_is_asked_and_nothing_is_told_before_the_commit(place: Installation) -> None:
    place.answers("Hel", "lo")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        with reader_in_the_way(place) as other:
            stream = await host.start("chat:stream", place.stream_params(chat))
            await asked(place)
            await anyio.wait_all_tasks_blocked()
            assert "chat:response:chunk" not in told(host)
            other.execute("ROLLBACK")
            assert await host.answer(stream) == chat
        assert told(host)[0] == "chat:response:chunk"
        assert host.text(chat) == "Hello"
    assert place.messages(chat) == [("user", "hi"), ("assistant", "Hello")]


async def test_a_take_over_before_the_commit_is_told_after_the_first_chunk(place: Installation) -> None:
    place.provider.answer("/google/models/gemini-2.5-flash:streamGenerateContent", Answer.json({}, status=404))
    place.provider.answer("/anthropic/messages", Answer.json({}, status=404))
    environment = {
        "GEMINI_API_KEY": planted("AIza{}"),
        "ANTHROPIC_API_KEY": planted(),
        "SCALIX_GOOGLE_BASE_URL": f"{place.provider.base_url}/google",
        "SCALIX_ANTHROPIC_BASE_URL": f"{place.provider.base_url}/anthropic",
    }
    chat = place.chat()
    auto = {"provider": "auto", "name": "auto"}
    async with memory_host(place.folder, environment, **PATCH) as host:
        with reader_in_the_way(place) as other:
            stream = await host.start("chat:stream", place.stream_params(chat, model=auto))
            await asked(place, times=2)
            other.execute("ROLLBACK")
            await host.answer(stream)
        assert told(host)[:2] == ["chat:response:chunk", "model:fallback"]


async def test_cancelled_before_the_commit_it_is_a_turn_all_the_same(place: Installation) -> None:
    place.answers("Hello")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        with reader_in_the_way(place) as other:
            stream = await host.start("chat:stream", place.stream_params(chat))
            await asked(place)
            cancel = await host.start("chat:cancel", {"chatId": chat})
            await anyio.wait_all_tasks_blocked()
            other.execute("ROLLBACK")
            assert await host.answer(cancel) is True
            assert await host.answer(stream) == chat
        assert told(host) == ["chat:response:chunk", "chat:response:end"]
    assert place.messages(chat) == [("user", "hi"), ("assistant", "[Response cancelled by user]")]


@pytest.mark.parametrize("turn", ["first", "later"])
async def test_a_request_cancelled_while_its_turn_waits_for_the_database_is_a_turn_all_the_same(
    place: Installation, turn: str
) -> None:
    """It may be written by then: a turn in the database always has its stream and its end."""
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) if turn == "first" else later(place) as host:
        with closing(sqlite3.connect(place.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            stream = await host.start("chat:stream", place.stream_params(chat))
            await anyio.wait_all_tasks_blocked()
            await host.notify("$/cancelRequest", {"id": stream})
            await anyio.wait_all_tasks_blocked()
            other.execute("ROLLBACK")
        with pytest.raises(RpcError) as refused:
            await host.answer(stream)
        assert refused.value.code == -32800
        assert told(host) == ["chat:response:chunk", "chat:response:end"]
    assert place.messages(chat) == [("user", "hi"), ("assistant", "[Response cancelled by user]")]


async def test_a_folder_is_not_read_on_for_a_turn_that_came_to_nothing(
    place: Installation, readings: tuple[list[CodebaseReading], list[CodebaseReading]]
) -> None:
    begun, let_go = readings
    execute(place.database, "INSERT INTO prompts (id, title, content) VALUES (7, 'style', 'Write tersely.')")
    place.answers("Hello")
    chat = place.chat()
    asks = place.stream_params(chat, "@prompt:7 Why?", intentId="used")
    async with memory_host(place.folder, **PATCH) as host:
        for _ in ("answered", "a repetition"):
            assert await host.request("chat:stream", asks) == chat
        with pytest.raises(RpcError, match="intent"):
            await host.request("chat:stream", {**asks, "prompt": "@prompt:7 Something else?"})
        execute(
            place.database, "CREATE TRIGGER refusing BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with pytest.raises(RpcError) as refused, capture_logs():
            await host.request("chat:stream", {**asks, "intentId": "another"})
        assert refused.value.code == -32603
    assert len(begun) == 4
    assert [reading for reading in begun if reading not in let_go] == []


async def test_a_commit_that_fails_leaves_nothing_and_closes_the_call(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.app.Database", partial(Database, busy_timeout_ms=500))
    place.answers("Hello")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        with reader_in_the_way(place):
            stream = await host.start("chat:stream", place.stream_params(chat))
            await asked(place)
            with anyio.fail_after(20), pytest.raises(RpcError) as refused:
                await host.answer(stream)
        assert refused.value.data["code"] == "DATABASE_BUSY"
        assert told(host) == []
        used = (await host.request("usage:get"))["usage"]
        assert used["requests_today"] == 1
        assert used["tokens_used"] > 0, "the model had begun to answer: that is paid for"
        place.answers("Hello")
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert (await host.request("usage:get"))["usage"]["requests_today"] == 2
        totals = (await host.request("analytics:get"))["totals"]
    assert (totals["requests"], totals["cancelled"], totals["completed"]) == (2, 1, 1)
    assert place.messages(chat) == [("user", "hi"), ("assistant", "Hello")]


async def test_the_first_word_leaves_before_the_rest_of_what_came_with_it(place: Installation) -> None:
    words = [f"word {number} " for number in range(2000)]
    place.script([b"".join(openai_chat_stream(words))])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat))
        first = next(p["streamingPatch"] for p in host.notifications("chat:response:chunk") if "streamingPatch" in p)
        assert first["offset"] == 0
        assert len(first["content"]) < 1024
        assert host.text(chat) == "".join(words)


async def test_a_later_turn_is_read_and_written_in_one_trip(place: Installation, reads: list[Any]) -> None:
    async with later(place) as host:
        reads.clear()
        chat = place.chat()
        place.answers("Hel", "lo")
        stream = await host.start("chat:stream", place.stream_params(chat))
        await asked(place, times=2)
        assert reads == [], "the model was asked without a look that is not the turn's own transaction"
        assert await host.answer(stream) == chat
        assert host.text(chat) == "Hello"
    assert place.messages(chat) == [("user", "hi"), ("assistant", "Hello")]


async def test_what_the_app_has_changed_in_its_settings_counts_in_the_very_next_turn(place: Installation) -> None:
    insert_model(place.database, api_name="other-model")
    async with later(place, selectedModel={"provider": "custom::testing", "name": "test-model"}) as host:
        for name in ("test-model", "other-model"):
            place.settings({"selectedModel": {"provider": "custom::testing", "name": name}}, days_old=0.5)
            chat = place.chat()
            assert await host.request("chat:stream", {"chatId": chat, "prompt": "hi"}) == chat
            assert place.provider.requests[-1].json["model"] == name
        place.settings({"sidecarFeatures": {"liteLLM": False}}, days_old=0.2)
        for _ in range(2):
            with pytest.raises(RpcError) as refused:
                await host.request("chat:stream", {"chatId": chat, "prompt": "hi"})
            assert refused.value.data["code"] == "FEATURE_DISABLED"
    assert len(place.messages(chat)) == 2


async def test_what_another_sidecar_has_put_into_the_table_alone_counts_in_the_very_next_turn(
    place: Installation,
) -> None:
    insert_model(place.database, api_name="other-model")
    async with later(place, selectedModel={"provider": "custom::testing", "name": "test-model"}) as host:
        await host.request("settings:migrate")
        for name in ("test-model", "other-model"):
            chosen = json.dumps({"provider": "custom::testing", "name": name})
            execute(place.database, f"UPDATE sidecar_settings SET value = '{chosen}' WHERE key = 'selectedModel'")
            execute(place.database, "UPDATE sidecar_settings_state SET revision = revision + 1")
            chat = place.chat()
            assert await host.request("chat:stream", {"chatId": chat, "prompt": "hi"}) == chat
            assert place.provider.requests[-1].json["model"] == name


async def test_a_change_that_the_files_time_and_size_do_not_show_counts_in_the_very_next_turn(
    place: Installation,
) -> None:
    """Changed twice within the clock's tick: a file that was changed just now is read again."""
    insert_model(place.database, api_name="rest-model")
    file, just_now = place.folder / "user-settings.json", time.time_ns() + 10**11
    async with later(place) as host:
        for name in ("test-model", "rest-model"):
            place.settings({"selectedModel": {"provider": "custom::testing", "name": name}})
            os.utime(file, ns=(just_now, just_now))
            chat = place.chat()
            assert await host.request("chat:stream", {"chatId": chat, "prompt": "hi"}) == chat
            assert place.provider.requests[-1].json["model"] == name


async def test_a_key_that_was_locked_counts_as_soon_as_the_host_can_open_it(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.settings.secrets.RETRY_AFTER_S", 0.0)
    key = planted("sk-{}-1")
    envelope = {"value": base64.b64encode(key[::-1].encode()).decode(), "encryptionType": "electron-safe-storage"}
    place.settings({"providerSettings": {"mistral": {"apiKey": envelope}}})
    place.provider.answer("/mistral/chat/completions", Answer.stream(openai_chat_stream(["Hello"])))
    locked = True

    def decrypt(params: Any) -> Any:
        (secret,) = params["secrets"]
        outcome = {"error": "The keychain is locked"} if locked else {"plaintext": key}
        return {"secrets": [{"id": secret["id"], **outcome}]}

    async with memory_host(place.folder, {"SCALIX_MISTRAL_BASE_URL": f"{place.provider.base_url}/mistral"}) as host:
        host.answer_host["host:decrypt-secrets"] = decrypt
        await host.initialize(capabilities={"secrets": True, "chunks": "patch"})
        chat = place.chat()
        asks = place.stream_params(chat, model={"provider": "mistral", "name": "m"})
        assert await host.request("chat:stream", asks) == "error"
        assert host.terminals(chat)[-1]["code"] == "SECRET_LOCKED"
        locked = False
        assert await host.request("chat:stream", asks) == chat
    assert place.provider.requests[-1].headers["authorization"] == f"Bearer {key}"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"chatId": 999}, "NOT_FOUND"),
        ({"chatId": 2**70}, "NOT_FOUND"),
        ({"prompt": "x" * (2 * MAX_PROMPT_CHARS)}, "VALIDATION"),
        ({"intentId": "used", "prompt": "something else"}, "CONFLICT"),
    ],
    ids=["no such chat", "no possible chat", "too long", "another intent's id"],
)
async def test_a_later_turn_is_refused_as_a_first_one_and_leaves_nothing(
    place: Installation, change: dict[str, Any], code: str
) -> None:
    async with later(place) as host:
        chat = place.chat()
        await host.request("chat:stream", place.stream_params(chat, intentId="used"))
        written, asked_before = place.messages(chat), len(place.provider.requests)
        with pytest.raises(RpcError) as refused:
            await host.request("chat:stream", {**place.stream_params(chat), **change})
        assert refused.value.data["code"] == code
        assert (place.messages(chat), len(place.provider.requests)) == (written, asked_before)


async def test_a_later_turn_repeated_starts_nothing_and_redone_replaces_the_last(place: Installation) -> None:
    async with later(place) as host:
        chat = place.chat()
        params = place.stream_params(chat, "why?", intentId="same")
        assert await host.request("chat:stream", params) == chat
        asked_before = len(place.provider.requests)
        assert await host.request("chat:stream", params) == chat
        assert len(place.provider.requests) == asked_before
        place.answers("better")
        assert await host.request("chat:stream", place.stream_params(chat, "why?", redo=True)) == chat
    assert place.messages(chat) == [("user", "why?"), ("assistant", "better")]


async def test_a_later_turn_that_needs_more_than_the_database_fetches_it(place: Installation) -> None:
    execute(place.database, "INSERT INTO prompts (id, title, content) VALUES (7, 'style', 'Write tersely.')")
    async with later(place) as host:
        chat = place.chat()
        assert await host.request("chat:stream", place.stream_params(chat, "@prompt:7 Why?")) == chat
    assert place.messages(chat)[0] == ("user", "Write tersely. Why?")


async def test_a_later_turn_has_its_attachments_and_its_selected_component(place: Installation) -> None:
    (place.app_folder / "a.tsx").write_text("one\ntwo\nthree\n")
    component = {"id": "1", "name": "H", "relativePath": "a.tsx", "lineNumber": 2, "columnNumber": 0}
    note = {"name": "note.txt", "type": "text/plain", "data": "data:text/plain;base64,cmVtZW1iZXI="}
    async with later(place) as host:
        chat = place.chat()
        await host.request("chat:stream", place.stream_params(chat, attachments=[note]))
        await host.request("chat:stream", place.stream_params(chat, selectedComponent=component))
        await host.request("chat:stream", place.stream_params(chat, selectedComponents=[component]))
    attached, _, pointed_at, _, pointed_at_too, _ = [content for _, content in place.messages(chat)]
    assert "note.txt" in attached
    assert "two // <-- EDIT HERE" in pointed_at
    assert "two // <-- EDIT HERE" in pointed_at_too
