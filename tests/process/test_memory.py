"""What the sidecar holds at rest and after many chats, seen from outside."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import anyio
import psutil
import pytest

from tests.host import TIMEOUT_S, ProcessHost, process_host
from tests.installation import Installation, installation
from tests.providers.server import ScriptedProvider

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="resident memory is something else elsewhere"),
]

PATCH = {"capabilities": {"chunks": "patch"}}
LOGGED = {"SCALIX_LOG_LEVEL": "info"}
PIECES = [f" word{number}" for number in range(50)]
UNTIL_LITELLM_BYTES = 45_000_000
AT_ONCE = 64


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        made.answers(*PIECES)
        yield made


class Held(NamedTuple):
    """By the sidecar's process."""

    bytes: int
    descriptors: int
    threads: int


def sidecar(host: ProcessHost) -> psutil.Process:
    """The process itself; a one-file binary's bootloader only waits for it."""
    outer = psutil.Process(host.process.pid)
    own = [process for process in (outer, *outer.children()) if process.name() == outer.name()]
    return max(own, key=lambda process: process.memory_info().rss)


def held(host: ProcessHost) -> Held:
    process = sidecar(host)
    return Held(process.memory_info().rss, process.num_fds(), process.num_threads())


async def rest(host: ProcessHost) -> None:
    """What a start does in the background is done."""
    with anyio.fail_after(TIMEOUT_S):
        while b"the start is over" not in host.stderr:
            await host.request("ping")


async def chats(host: ProcessHost, place: Installation, count: int) -> None:
    """So many at once, to their ends."""
    new = [place.chat() for _ in range(count)]
    asked = [await host.start("chat:stream", place.stream_params(chat)) for chat in new]
    for chat, request in zip(new, asked, strict=True):
        assert await host.answer(request) == chat
        assert host.text(chat) == "".join(PIECES)


async def test_memory_stays_below_45_mb_until_litellm_is_needed(place: Installation) -> None:
    async with process_host(place.folder, LOGGED, **PATCH) as host:
        for method in ("get-language-model-providers", "get-language-models-by-providers", "get-user-settings"):
            await host.request(method)
        await rest(host)
        assert held(host).bytes < UNTIL_LITELLM_BYTES
        await chats(host, place, 1)
        assert held(host).bytes < UNTIL_LITELLM_BYTES


async def test_after_the_first_hundred_chats_nothing_grows_and_nothing_is_left_over(tmp_path: Path) -> None:
    async with AsyncExitStack() as ending:
        async with ScriptedProvider() as provider:
            place = Installation(tmp_path, provider)
            place.answers(*PIECES)
            host = await ending.enter_async_context(process_host(place.folder, LOGGED, **PATCH))
            await rest(host)
            before = held(host)
            after = [await hundred(host, place) for _ in range(4)]
        # the provider is gone, and with it every connection that was kept for the next call
        with anyio.fail_after(TIMEOUT_S):
            while held(host).descriptors > before.descriptors:
                await host.request("ping")
        assert held(host).threads <= after[0].threads
    grown = [later.bytes - earlier.bytes for earlier, later in pairwise(after)]
    assert min(grown) < 400_000, "4 kB for every chat, again and again"


async def hundred(host: ProcessHost, place: Installation) -> Held:
    for _ in range(100 - AT_ONCE):
        await chats(host, place, 1)
    await chats(host, place, AT_ONCE)
    return held(host)
