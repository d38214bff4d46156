"""The model is asked while the disk is still busy with the turn; the host hears of a turn that is on the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from sidecar.store.database import Database
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
