"""How long what comes next is waited for, and in what pieces an answer is read."""

from __future__ import annotations

from typing import Any, cast

import pytest

from sidecar.engines.base import Event, TextDelta
from sidecar.engines.exchange import Exchange, PreparedRequest
from sidecar.engines.http import ProviderHttp
from sidecar.engines.timeouts import AFTER_END_S, USAGE_S, Timeouts
from sidecar.engines.wire.openai_chat import OpenAIChatDecoder
from tests.engines.calls import call, target, text_of
from tests.providers.streams import openai_chat_stream

pytestmark = pytest.mark.anyio

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


class Peer:
    """Answers with these reads, and notes the time it was given before each."""

    status = 200

    def __init__(self, *reads: bytes) -> None:
        self.headers: dict[str, str] = {}
        self.waits: list[float] = []
        self._reads = list(reads)

    async def post_stream(self, *_: Any, **__: Any) -> Peer:
        return self

    def close(self) -> None:
        """Nothing is held."""

    def expect_within(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def read(self) -> bytes:
        return self._reads.pop(0) if self._reads else b""


async def batches(peer: Peer) -> list[list[Event]]:
    exchange = Exchange(cast(ProviderHttp, peer), Timeouts(first_token_s=9.0, idle_s=5.0))
    request = PreparedRequest("http://host", {}, b"{}")
    async with exchange.stream(call(target("http://host")), lambda _: request, OpenAIChatDecoder) as answer:
        return [batch async for batch in answer]


async def test_the_usage_after_the_end_is_waited_for_longer_than_what_follows_it() -> None:
    _, word, finish, usage, done = openai_chat_stream(["word"], usage=USAGE)
    peer = Peer(word, finish, usage, done)
    await batches(peer)
    assert peer.waits == [5.0, USAGE_S, AFTER_END_S, AFTER_END_S]


async def test_nothing_is_waited_for_once_the_vendor_has_said_that_it_was_all() -> None:
    _, word, finish, done = openai_chat_stream(["word"])
    peer = Peer(word, finish, done)
    await batches(peer)
    assert peer.waits == [5.0, USAGE_S, AFTER_END_S]


async def test_the_first_word_is_not_held_by_what_came_with_it() -> None:
    words = [f"word {number} " for number in range(200)]
    got = await batches(Peer(b"".join(openai_chat_stream(words))))
    first = next(batch for batch in got if any(isinstance(event, TextDelta) for event in batch))
    assert len(first) < 10
    assert text_of([event for batch in got for event in batch]) == "".join(words)
    assert len(got) < 10, "once it is out, the rest is read in one go"
