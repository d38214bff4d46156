"""Flow control towards the host (protocol page 8)."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from protocol.envelope import Result
from sidecar.rpc.outbox import WRITE_BYTES, Outbox
from sidecar.transport.base import TransportClosed

pytestmark = pytest.mark.anyio


class Gated:
    """A host that reads only while its gate is open."""

    def __init__(self) -> None:
        self.gate = anyio.Event()
        self.gate.set()
        self.frames: list[dict[str, Any]] = []
        self.closed = False

    async def send(self, data: bytes) -> None:
        await self.gate.wait()
        if self.closed:
            raise TransportClosed
        self.frames += [json.loads(line) for line in data.splitlines()]

    def send_nowait(self, data: bytes) -> int:
        return 0

    async def receive(self) -> bytes:
        return b""

    async def aclose(self) -> None:
        return


class Counter:
    """Text that grows; renders what is new."""

    def __init__(self) -> None:
        self.new = 0
        self.renders = 0

    def render(self, seq: int) -> dict[str, int] | None:
        self.renders += 1
        new, self.new = self.new, 0
        return {"seq": seq, "new": new} if new else None


async def test_deltas_melt_into_one_frame_while_the_host_does_not_read() -> None:
    transport, counter = Gated(), Counter()
    outbox = Outbox(transport)
    transport.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        lane = outbox.lane("chunk", counter.render)
        lane.send("chunk", lambda seq: {"seq": seq, "first": True})
        for _ in range(10_000):
            counter.new += 1
            lane.mark()
            await anyio.lowlevel.checkpoint()
        lane.mark()
        lane.send("end", lambda seq: {"seq": seq})
        transport.gate.set()
        await outbox.drained()
        tasks.cancel_scope.cancel()
    # The first write was under way with what there was; all that came while it was stuck is one frame.
    assert [frame["params"] for frame in transport.frames] == [
        {"seq": 0, "first": True},
        {"seq": 1, "new": 1},
        {"seq": 2, "new": 9_999},
        {"seq": 3},
    ]
    assert counter.renders == 2


async def test_answers_are_neither_dropped_nor_reordered() -> None:
    transport = Gated()
    outbox = Outbox(transport)
    transport.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        for identifier in range(500):
            outbox.message(Result(id=identifier, result="x" * 1000))
        transport.gate.set()
        await outbox.drained()
        tasks.cancel_scope.cancel()
    assert [frame["id"] for frame in transport.frames] == list(range(500))


async def test_full_arrays_are_spaced_and_the_last_one_still_comes_before_the_end() -> None:
    transport, counter = Gated(), Counter()
    outbox = Outbox(transport)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        lane = outbox.lane("chunk", counter.render, min_interval_s=3600)
        for _ in range(3):
            counter.new += 1
            lane.mark()
            await anyio.wait_all_tasks_blocked()
        assert [frame["params"] for frame in transport.frames] == [{"seq": 0, "new": 1}]
        lane.send("end", lambda seq: {"seq": seq})
        await outbox.drained()
        tasks.cancel_scope.cancel()
    assert [frame["params"] for frame in transport.frames] == [
        {"seq": 0, "new": 1},
        {"seq": 1, "new": 2},
        {"seq": 2},
    ]


async def test_what_is_announced_comes_after_the_text_that_was_marked_before_it() -> None:
    transport, counter = Gated(), Counter()
    outbox = Outbox(transport)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        lane = outbox.lane("chunk", counter.render, min_interval_s=3600)
        for _ in range(2):
            counter.new += 1
            lane.mark()
            await anyio.wait_all_tasks_blocked()
        lane.announce("model:fallback", {"code": "TIMEOUT"})
        await outbox.drained()
        tasks.cancel_scope.cancel()
    assert [(frame["method"], frame["params"]) for frame in transport.frames] == [
        ("chunk", {"seq": 0, "new": 1}),
        ("chunk", {"seq": 1, "new": 1}),
        ("model:fallback", {"code": "TIMEOUT"}),
    ]


async def test_nothing_is_drained_while_a_mark_waits_for_its_interval() -> None:
    transport, counter = Gated(), Counter()
    outbox = Outbox(transport)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        lane = outbox.lane("chunk", counter.render, min_interval_s=0.05)
        with anyio.fail_after(5):
            for _ in range(2):
                counter.new += 1
                lane.mark()
                await outbox.drained()
        tasks.cancel_scope.cancel()
    assert [frame["params"]["new"] for frame in transport.frames] == [1, 1]


async def test_each_mark_has_its_turn_when_its_own_interval_is_over() -> None:
    """The first lane's is an hour, so that its timer must give way to the others'."""
    transport, counters = Gated(), [Counter(), Counter(), Counter()]
    outbox = Outbox(transport)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        intervals = (3600, 0.02, 0.05)
        lanes = [outbox.lane("chunk", c.render, min_interval_s=s) for c, s in zip(counters, intervals, strict=True)]
        for _ in range(2):
            for lane, counter in zip(lanes, counters, strict=True):
                counter.new += 1
                lane.mark()
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(5):
            while sum(counter.renders for counter in counters) < 5:
                await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert [counter.renders for counter in counters] == [1, 2, 2]


async def test_a_mark_that_was_withdrawn_while_it_waited_sends_nothing() -> None:
    transport, counter, other = Gated(), Counter(), Counter()
    outbox = Outbox(transport)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        lanes = [outbox.lane("chunk", each.render, min_interval_s=0.05) for each in (counter, other)]
        with anyio.fail_after(5):
            for withdrawn in (False, True):
                for lane, each in zip(lanes, (counter, other), strict=True):
                    each.new += 1
                    lane.mark()
                if withdrawn:
                    lanes[0].withdraw()
                await outbox.drained()
        tasks.cancel_scope.cancel()
    assert (counter.renders, other.renders) == (1, 2)


async def test_a_mark_that_was_withdrawn_while_it_stood_in_the_queue_sends_nothing() -> None:
    transport, counter = Gated(), Counter()
    outbox = Outbox(transport)
    counter.new = 1
    lane = outbox.lane("chunk", counter.render)
    outbox.message(Result(id=1, result=None))
    lane.mark()
    lane.withdraw()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        await outbox.drained()
        tasks.cancel_scope.cancel()
    assert ([frame.get("id") for frame in transport.frames], counter.renders) == ([1], 0)


async def test_many_frames_are_written_in_pieces_that_a_pipe_takes() -> None:
    transport, sizes = Gated(), list[int]()
    outbox = Outbox(transport)
    send = transport.send

    async def measured(data: bytes) -> None:
        sizes.append(len(data))
        await send(data)

    transport.send = measured  # type: ignore[method-assign]
    for identifier in range(500):
        outbox.message(Result(id=identifier, result="x" * 1000))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        await outbox.drained()
        tasks.cancel_scope.cancel()
    assert max(sizes) < WRITE_BYTES + 1100
    assert len(sizes) < 10, "and many of them in one write"


class Narrow(Gated):
    """A pipe that takes a few bytes at once, and the rest when somebody waits for it."""

    def __init__(self, takes: int) -> None:
        super().__init__()
        self.takes = takes
        self.bytes = b""

    def send_nowait(self, data: bytes) -> int:
        if self.closed:
            raise TransportClosed
        self.bytes += data[: self.takes]
        return min(self.takes, len(data))

    async def send(self, data: bytes) -> None:
        await self.gate.wait()
        self.bytes += data


@pytest.mark.parametrize("takes", [0, 1, 10, 1 << 20])
async def test_what_a_pipe_does_not_take_at_once_goes_before_everything_else(takes: int) -> None:
    transport, counter = Narrow(takes), Counter()
    outbox = Outbox(transport)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        await anyio.wait_all_tasks_blocked()
        lane = outbox.lane("chunk", counter.render)
        for _ in range(3):
            counter.new += 1
            lane.mark()
        lane.send("end", lambda seq: {"seq": seq})
        await outbox.drained()
        tasks.cancel_scope.cancel()
    frames = [json.loads(line)["params"] for line in transport.bytes.splitlines()]
    assert [frame["seq"] for frame in frames] == list(range(len(frames)))
    assert sum(frame.get("new", 0) for frame in frames) == 3


async def test_a_mark_that_is_due_is_written_without_the_pump() -> None:
    transport, counter = Narrow(1 << 20), Counter()
    outbox = Outbox(transport)
    lane = outbox.lane("chunk", counter.render)
    counter.new = 1
    lane.mark()
    assert json.loads(transport.bytes)["params"] == {"seq": 0, "new": 1}


async def test_a_host_that_is_found_gone_at_a_mark_ends_the_pump() -> None:
    transport, counter = Narrow(0), Counter()
    transport.closed = True
    outbox = Outbox(transport)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.run)
            await anyio.wait_all_tasks_blocked()
            counter.new = 1
            outbox.lane("chunk", counter.render).mark()
            await outbox.drained()


async def test_a_host_that_went_away_ends_the_pump_and_nobody_waits_for_it() -> None:
    transport = Gated()
    transport.closed = True
    outbox = Outbox(transport)
    outbox.message(Result(id=1, result=None))
    with anyio.fail_after(5):
        await outbox.run()
        outbox.message(Result(id=2, result=None))
        await outbox.drained()
