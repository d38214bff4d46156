"""However a chat ends, it leaves no task, no socket and no descriptor behind."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import psutil
import pytest

from tests.host import Host, memory_host, process_host
from tests.installation import CHAT, Installation, installation
from tests.providers.server import Answer, Drop, Pause
from tests.providers.streams import openai_chat_stream

pytestmark = [pytest.mark.anyio, pytest.mark.process]

PATCH = {"capabilities": {"chunks": "patch"}}
STEPS = openai_chat_stream(["Hel", "lo"])


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


async def chats_of_every_ending(host: Host, place: Installation) -> None:
    """One that is answered, one that is refused, one that breaks off, one that is cancelled."""
    refused = Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401)
    for answer in (Answer.stream(STEPS), refused, Answer.stream([*STEPS[:2], Drop()])):
        place.provider.answer(CHAT, answer)
        await host.request("chat:stream", place.stream_params(place.chat()))
    place.provider.answer(CHAT, Answer.stream([*STEPS[:2], Pause()]))
    chat = place.chat()
    request = await host.start("chat:stream", place.stream_params(chat))
    await host.until(lambda: host.text(chat) == "Hel")
    await host.request("chat:cancel", {"chatId": chat})
    await host.answer(request)


def own_tasks() -> Counter[str]:
    """The sidecar's tasks by name, without the test's and the scripted provider's."""
    names = (task.get_name() for task in asyncio.all_tasks())
    return Counter(name for name in names if name.startswith("sidecar.") and not name.startswith("sidecar.replay."))


async def test_no_task_is_left(place: Installation) -> None:
    async with memory_host(place.folder, {}, **PATCH) as host:
        await chats_of_every_ending(host, place)
        await anyio.wait_all_tasks_blocked()
        before = own_tasks()
        for _ in range(5):
            await chats_of_every_ending(host, place)
        await anyio.wait_all_tasks_blocked()
        assert not own_tasks() - before
    assert before
    assert not own_tasks()


@pytest.mark.skipif(sys.platform == "win32", reason="handles are counted otherwise there")
async def test_no_descriptor_is_left_and_no_socket_but_one_that_is_kept_for_the_next_call(place: Installation) -> None:
    async with process_host(place.folder, **PATCH) as host:
        await chats_of_every_ending(host, place)
        sidecar = psutil.Process(host.process.pid)
        before = sidecar.num_fds()
        for _ in range(5):
            await chats_of_every_ending(host, place)
        connected = [each for each in sidecar.net_connections() if each.status == psutil.CONN_ESTABLISHED]
        assert len(connected) <= 1
        assert sidecar.num_fds() <= before + 1
