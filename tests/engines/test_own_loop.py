"""A second event loop, for what would hold the first one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import anyio
import pytest

from sidecar.engines.own_loop import OwnLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
async def loop() -> AsyncIterator[OwnLoop]:
    made = OwnLoop("other")
    yield made
    await made.aclose()
    assert "other" not in {thread.name for thread in threading.enumerate()}


async def test_work_runs_on_one_other_thread_and_its_value_comes_back(loop: OwnLoop) -> None:
    async def where() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    found: list[str] = []

    async def ask() -> None:
        found.append(await loop.run(where))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    assert found == ["other"] * 3
    assert [thread.name for thread in threading.enumerate()].count("other") == 1


async def test_errors_come_back_as_they_were_raised(loop: OwnLoop) -> None:
    async def fail() -> None:
        raise StopAsyncIteration("over")

    with pytest.raises(StopAsyncIteration, match="over"):
        await loop.run(fail)


async def test_work_that_holds_its_loop_does_not_hold_this_one(loop: OwnLoop) -> None:
    released = threading.Event()

    async def hold() -> bool:
        return released.wait(10)

    async def release() -> None:
        released.set()

    results = []

    async def ask() -> None:
        results.append(await loop.run(hold))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(release)
    assert results == [True]


async def test_cancelling_here_cancels_there(loop: OwnLoop) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(loop.run, wait)
        assert await anyio.to_thread.run_sync(begun.wait, 10)
        tasks.cancel_scope.cancel()
    assert await anyio.to_thread.run_sync(cancelled.wait, 10)


async def test_closing_cancels_what_still_runs_there() -> None:
    loop = OwnLoop("other")
    begun, cancelled = threading.Event(), threading.Event()

    async def in_the_background() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    kept = []

    async def leave_behind() -> None:
        kept.append(asyncio.get_running_loop().create_task(in_the_background()))

    await loop.run(leave_behind)
    assert await anyio.to_thread.run_sync(begun.wait, 10)
    started = time.monotonic()
    await loop.aclose()
    assert cancelled.is_set()
    assert time.monotonic() - started < 1


async def test_one_that_was_never_needed_has_nothing_to_close() -> None:
    await OwnLoop("other").aclose()
    assert "other" not in {thread.name for thread in threading.enumerate()}
