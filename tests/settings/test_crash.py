"""Whatever is done in whatever order, and wherever the process dies: every key and every ciphertext is still there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.settings.store import SettingsStore
from tests.settings.installation import Host, Installation, ciphertexts

START: dict[str, Any] = {
    "selectedModel": {"name": "gpt-5", "provider": "openai"},
    "providerSettings": {
        "openai": {"apiKey": Host.seal("o")},
        "custom::x": {"apiKey": Host.seal("x"), "ofTomorrow": 1},
    },
    "githubAccessToken": Host.seal("g"),
    "neon": {"accessToken": Host.seal("n")},
    "telemetryUserId": "me",
    "ofANewerBuild": {"deep": [1.0, {"a": Host.seal("u")}]},
}
SECRETS = {Host.seal(name)["value"] for name in "oxgnu"}


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


class Fuse:
    """Counts steps and dies at the given one."""

    def __init__(self, at: int | None) -> None:
        self.left = at
        self.passed: list[str] = []

    def __call__(self, name: str) -> None:
        self.passed.append(name)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


async def act(installation: Installation, action: str, number: int, fuse: Fuse) -> bool:
    """One thing that happens to an installation; whether it was done to the end."""
    if action == "app edits":
        installation.write_file({**installation.in_file(), "lastShownReleaseNotesVersion": str(number)})
        return True
    if action == "app drops what it does not know":
        known = {key: value for key, value in installation.in_file().items() if key != "ofANewerBuild"}
        installation.write_file(known)
        return True
    try:
        async with installation.store(step=fuse) as store:
            await OURS[action](store, number)
    except Killed:
        return False
    return True


async def _set(store: SettingsStore, number: int) -> None:
    shown = await store.get_for_host()
    providers = {**shown["providerSettings"], f"custom::{number}": {"apiKey": {"value": f"k{number}"}}}
    await store.set({"providerSettings": providers, f"unknown{number % 3}": number})


async def _migrate(store: SettingsStore, _: int) -> None:
    await store.migrate()


async def _read(store: SettingsStore, _: int) -> None:
    await store.load()


OURS: dict[str, Callable[[SettingsStore, int], Any]] = {"set": _set, "migrate": _migrate, "read": _read}
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["set", "migrate", "read", "app edits", "app drops what it does not know"]),
        st.none() | st.integers(0, 12),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS)
def test_no_key_and_no_ciphertext_is_ever_lost(actions: list[tuple[str, int | None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(_sequence, Installation(Path(folder)), actions)


async def _sequence(installation: Installation, actions: list[tuple[str, int | None]]) -> None:
    installation.write_file(START)
    expected = dict(START)
    kept = set(SECRETS)
    await act(installation, "migrate", 0, Fuse(None))
    for number, (action, dies_at) in enumerate(actions):
        fuse = Fuse(dies_at)
        done = await act(installation, action, number, fuse)
        json.loads(installation.file.read_text())  # the app can read it at every moment
        if done and action == "set":
            kept.add(Host.seal(f"k{number}")["value"])
            expected[f"unknown{number % 3}"] = number
        elif done and action == "app edits":
            expected["lastShownReleaseNotesVersion"] = str(number)
        elif action == "set":
            expected.pop(f"unknown{number % 3}", None)  # either value is right after a crash
    async with installation.store() as store:
        await store.load()
    for side in (installation.in_file(), installation.in_table()):
        assert kept <= set(ciphertexts(side))
        assert {key: side.get(key) for key in expected if key != "providerSettings"} == {
            key: value for key, value in expected.items() if key != "providerSettings"
        }
    assert installation.in_file() == installation.in_table()


@pytest.mark.anyio
async def test_a_migration_killed_at_any_step_is_done_by_the_next_start(tmp_path: Path) -> None:
    whole = Installation(tmp_path / "whole")
    whole.write_file({**START, "thinkingBudget": 9000})
    steps = Fuse(None)
    await act(whole, "migrate", 0, steps)
    assert steps.passed[0] == "file: copy written" and steps.passed[-1] == "table: rows written"
    for at in range(len(steps.passed)):
        installation = Installation(tmp_path / str(at))
        installation.write_file({**START, "thinkingBudget": 9000})
        assert not await act(installation, "migrate", 0, Fuse(at))
        async with installation.store() as store:
            assert (await store.migrate()).status == "migrated"
        assert installation.in_table() == installation.in_file() == {**START, "thinkingBudget": "high"}


@pytest.mark.anyio
async def test_a_set_killed_at_any_step_is_the_old_value_or_the_new_one(tmp_path: Path) -> None:
    fuse = Fuse(None)
    for at in range(100):
        installation = Installation(tmp_path / str(at))
        installation.write_file(START)
        await act(installation, "migrate", 0, Fuse(None))
        fuse = Fuse(at)
        done = await act(installation, "set", 1, fuse)
        async with installation.store() as store:
            shown = await store.get_for_host()
        assert shown.get("unknown1") in ({1} if done else {None, 1})
        assert ("unknown1" in shown) is ("custom::1" in shown["providerSettings"])
        assert installation.in_table() == installation.in_file()
        if done:
            break
    assert 5 < len(fuse.passed) < 100


WRITER = """
import sys
from pathlib import Path
import anyio
from tests.settings.installation import Installation

async def main():
    installation = Installation(Path(sys.argv[1]), database=False)
    async with installation.store() as store:
        await store.migrate()
        for number in range(1_000_000):
            await store.set({f"unknown{number % 7}": number})
            print(number, flush=True)

anyio.run(main)
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("after", [1, 4, 9])
@pytest.mark.anyio
async def test_a_process_killed_while_writing_loses_nothing_it_reported(installation: Installation, after: int) -> None:
    installation.write_file(START)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(installation.folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        last = [int(process.stdout.readline()) for _ in range(after)][-1]
        process.send_signal(signal.SIGKILL)
        reported = [last, *map(int, process.stdout.read().split())]
    async with installation.store() as store:
        shown = await store.get_for_host()
    assert shown[f"unknown{reported[-1] % 7}"] >= reported[-1]
    assert set(ciphertexts(installation.in_file())) == SECRETS
    assert installation.in_file() == installation.in_table()
    assert {key: installation.in_file()[key] for key in START} == START
