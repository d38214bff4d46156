"""kill -9 at any moment: the database opens, the turn is there, next to no text is missing, nothing is run again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from sidecar.chat.autosave import INTERVAL_S
from sidecar.store.turns import INTERRUPTED_SUFFIX
from tests.app_database import rows
from tests.host import Host, process_host
from tests.installation import Installation, installation
from tests.providers.server import Later
from tests.providers.streams import openai_chat_stream

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.process,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL"),
]

RUNS = int(os.environ.get("SCALIX_TEST_KILLS", "12"))
PIECES = [f"{number:03} 😀 " for number in range(250)]
PACE_S = 0.004
LONGEST_S = 1.2
"""The answer takes about as long, so a kill hits every part of a turn: accepting it, streaming it, ending it."""

SLACK_S = 0.6
"""What a busy machine may add to the time between two saves."""


class Seen:
    """What the host saw of an answer, and when."""

    def __init__(self, host: Host, chat: int) -> None:
        self.host = host
        self.chat = chat
        self.lengths: list[tuple[float, int]] = []
        self.chunk = False
        host.on_frame = self._frame

    def _frame(self, frame: dict[str, Any]) -> None:
        if frame.get("method") == "chat:response:chunk" and frame["params"]["chatId"] == self.chat:
            self.lengths.append((anyio.current_time(), len(self.host.text(self.chat)) if self.chunk else 0))
            self.chunk = True

    def length_at(self, moment: float) -> int:
        """Characters on the screen at ``moment``."""
        return max((length for at, length in self.lengths if at <= moment), default=0)


@pytest.mark.timeout(60 + 10 * RUNS)
async def test_a_process_killed_at_any_moment_leaves_a_sound_database_and_the_turn(tmp_path: Path) -> None:
    chance = random.Random(4)
    async with installation(tmp_path) as place:
        steps: list[Any] = []
        for event in openai_chat_stream(PIECES):
            steps += [event, Later(PACE_S)]
        place.script(steps)
        running: tuple[int, str] | None = None
        for run in range(RUNS):
            chat = place.chat()
            asked = len(place.provider.requests)
            async with process_host(place.folder, capabilities={"chunks": "patch"}) as host:
                if running is not None:
                    await marked(place, *running)
                    assert len(place.provider.requests) == asked, "an interrupted turn is never run again by itself"
                seen = Seen(host, chat)
                await host.start("chat:stream", place.stream_params(chat, f"run {run}"))
                await anyio.sleep(chance.uniform(0, LONGEST_S))
                now = anyio.current_time()
                os.kill(host.process.pid, signal.SIGKILL)
                await host.process.wait()
            left = left_behind(place, seen, now, f"run {run}")
            running = None if left is None else (chat, left)


def left_behind(place: Installation, seen: Seen, now: float, prompt: str) -> str | None:
    """Look at what a killed process left; the text of an answer that was still running."""
    with contextlib.closing(sqlite3.connect(place.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found = place.messages(seen.chat)
    states = states_of(place, seen.chat)
    if not found:
        assert not seen.chunk, "what the host was told of is on the disk"
        assert states == []
        return None
    assert [role for role, _ in found] == ["user", "assistant"]
    assert found[0][1] == prompt
    text = found[1][1]
    assert "".join(PIECES).startswith(text)
    assert len(text) >= seen.length_at(now - INTERVAL_S - SLACK_S)
    assert states in (["running"], ["completed"])
    return text if states == ["running"] else None


def states_of(place: Installation, chat: int) -> list[str]:
    """How the chat's turns are recorded; the table is made with the first turn."""
    if not rows(place.database, "SELECT 1 FROM sqlite_master WHERE name = 'sidecar_turns'"):
        return []
    return [row["state"] for row in rows(place.database, "SELECT state FROM sidecar_turns WHERE chat_id = ?", chat)]


async def marked(place: Installation, chat: int, text: str) -> None:
    """The next start has closed the turn; its text is untouched."""
    expected = f"{text}\n\n{INTERRUPTED_SUFFIX}" if text else INTERRUPTED_SUFFIX
    with anyio.fail_after(20):
        while place.messages(chat)[-1][1] != expected:
            await anyio.lowlevel.checkpoint()
    assert states_of(place, chat) == ["interrupted"]
