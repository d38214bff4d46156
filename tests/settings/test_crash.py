"""Wherever the process dies: every key and every ciphertext is still there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from sidecar.settings.schema import defaults
from tests.planted import planted
from tests.settings.desktop_app import DesktopApp
from tests.settings.fuse import Fuse, Killed
from tests.settings.installation import Host, Installation, ciphertexts
from tests.settings.killed_at import CANNOT_TRACE

START: dict[str, Any] = {
    "selectedModel": {"name": "gpt-5", "provider": "openai"},
    "providerSettings": {
        "openai": {"apiKey": Host.seal(planted("o-{}"))},
        "custom::x": {"apiKey": Host.seal(planted("x-{}")), "ofTomorrow": 1},
    },
    "githubAccessToken": Host.seal(planted("g-{}")),
    "neon": {"accessToken": Host.seal(planted("n-{}"))},
    "telemetryUserId": "me",
    "ofANewerBuild": {"deep": [1.0, {"a": Host.seal(planted("u-{}"))}]},
}
SECRETS = {Host.seal(planted(f"{name}-{{}}"))["value"] for name in "oxgnu"}


async def migrate(installation: Installation, fuse: Fuse) -> bool:
    """Whether it came to its end."""
    try:
        async with installation.store(step=fuse) as store:
            await store.migrate()
    except Killed:
        return False
    return True


async def add_a_key(installation: Installation, fuse: Fuse) -> bool:
    """Whether it came to its end."""
    try:
        async with installation.store(step=fuse) as store:
            shown = await store.get_for_host()
            providers = {**shown["providerSettings"], "custom::1": {"apiKey": {"value": "k1"}}}
            await store.set({"providerSettings": providers, "unknown1": 1})
    except Killed:
        return False
    return True


@pytest.mark.anyio
async def test_a_migration_killed_at_any_step_is_done_by_the_next_start(tmp_path: Path) -> None:
    whole = Installation(tmp_path / "whole")
    whole.write_file({**START, "thinkingBudget": 9000})
    steps = Fuse(None)
    await migrate(whole, steps)
    assert steps.passed[0] == "file: copy written" and steps.passed[-1] == "table: rows written"
    for at in range(len(steps.passed)):
        installation = Installation(tmp_path / str(at))
        installation.write_file({**START, "thinkingBudget": 9000})
        assert not await migrate(installation, Fuse(at))
        async with installation.store() as store:
            assert (await store.migrate()).status == "migrated"
        assert installation.in_table() == installation.in_file() == {**START, "thinkingBudget": "high"}


@pytest.mark.anyio
async def test_a_set_killed_at_any_step_is_the_old_value_or_the_new_one(tmp_path: Path) -> None:
    fuse = Fuse(None)
    for at in range(100):
        installation = Installation(tmp_path / str(at))
        installation.write_file(START)
        await migrate(installation, Fuse(None))
        fuse = Fuse(at)
        done = await add_a_key(installation, fuse)
        async with installation.store() as store:
            shown = await store.get_for_host()
        assert shown.get("unknown1") in ({1} if done else {None, 1})
        assert ("unknown1" in shown) is ("custom::1" in shown["providerSettings"])
        assert installation.in_table() == installation.in_file()
        if done:
            break
    assert 5 < len(fuse.passed) < 100


def killed_at_every_write(change: str, template: Path, folder: Path) -> list[str]:
    """Make copies of ``template`` in ``folder``, in each of which the change was killed one write later; the writes."""
    command = [sys.executable, "-m", "tests.settings.killed_at", change, str(template), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    if done.returncode == CANNOT_TRACE:
        pytest.skip("needs ptrace, and a machine whose system calls are listed")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="ptrace")
@pytest.mark.parametrize("change", ["set", "migrate"])
@pytest.mark.anyio
async def test_killed_at_any_write_to_the_disk_it_is_all_old_or_all_new(tmp_path: Path, change: str) -> None:
    template = Installation(tmp_path / "template")
    template.write_file({**START, "thinkingBudget": 9000})
    if change == "set":
        await migrate(template, Fuse(None))
    copies = tmp_path / "copies"
    copies.mkdir()
    writes = await anyio.to_thread.run_sync(killed_at_every_write, change, template.folder, copies)
    assert {"pwrite64", "rename", "fsync", "unlink"} <= set(writes) and writes[-1] == "done"
    old = {**START, "thinkingBudget": "high"}
    google = {"google": {"apiKey": Host.seal("new")}}
    new = {**old, "unknown": 2, "providerSettings": {**START["providerSettings"], **google}}
    for number, write in enumerate(writes):
        copy = Installation(copies / str(number), database=False)
        assert set(ciphertexts(copy.in_file())) >= SECRETS  # the app can read it at every moment
        async with copy.store() as store:
            report = await store.migrate()
            await store.load()
        assert copy.in_table() == copy.in_file()
        if change == "set":
            assert copy.in_file() in ([new] if write == "done" else [old, new])
        else:
            assert copy.in_file() == old
            assert report.status == "up-to-date" or write != "done"


WRITER = """
import sys
from pathlib import Path
import anyio
from tests.settings.installation import Installation

async def main():
    installation = Installation(Path(sys.argv[1]), database=False)
    async with installation.store() as store:
        await store.migrate()
        for number in range(int(sys.argv[3])):
            await store.set({f"{sys.argv[2]}{number % 7}": number})
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
        [sys.executable, "-c", WRITER, str(installation.folder), "unknown", "1000000"],
        stdout=subprocess.PIPE,
        text=True,
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


@pytest.mark.process
@pytest.mark.anyio
async def test_sidecars_and_the_app_writing_at_once_lose_nothing_of_each_other(installation: Installation) -> None:
    """The app takes out what it does not know with every write, between any two writes of the sidecars."""
    installation.write_file({**defaults(), **START})
    async with installation.store() as store:
        await store.migrate()
    app = DesktopApp(installation.file, installation.host)

    async def run(name: str) -> None:
        command = [sys.executable, "-c", WRITER, str(installation.folder), name, "20"]
        async with await anyio.open_process(command) as process:
            assert process.stdout is not None
            async for _ in process.stdout:
                app.write({"lastShownReleaseNotesVersion": "1"})
        assert process.returncode == 0

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, "one")
        tasks.start_soon(run, "other")
    app.write({"lastShownReleaseNotesVersion": "2"})
    async with installation.store() as store:
        await store.load()
    last = {f"{name}{number % 7}": number for name in ("one", "other") for number in range(13, 20)}
    assert installation.in_table() == installation.in_file()
    assert installation.in_file() == {**defaults(), **START, **last, "lastShownReleaseNotesVersion": "2"}
