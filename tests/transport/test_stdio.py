"""The host's pipes: how they are read, how they are set while the sidecar runs, and how they are left."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from sidecar.transport.stdio import StdioTransport

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows pipes are written through a thread"),
]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


async def test_a_pipe_is_left_as_it_was_found(pipe: tuple[int, int]) -> None:
    """It belongs to the host's shell as well, which goes on writing to it."""
    reading, writing = pipe
    transport = StdioTransport(reading, writing)
    assert not os.get_blocking(writing)
    await transport.aclose()
    assert os.get_blocking(writing)


def test_a_pipe_that_the_log_goes_to_as_well_stays_blocking() -> None:
    """Or a log line that does not fit at once would be lost."""
    code = (
        "import os, anyio; from sidecar.transport.stdio import StdioTransport\n"
        "async def main(): StdioTransport(0, 1); print(os.get_blocking(1))\n"
        "anyio.run(main)"
    )
    ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    assert ran.stdout.split() == [b"True"]


@pytest.fixture(params=["pipe", "socket", "thread"])
def input_ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Where the sidecar reads, and where the host writes; ``thread`` is what the loop cannot be told about."""
    if request.param == "socket":
        ours, theirs = socket.socketpair()
        with ours, theirs:
            yield ours.fileno(), theirs.fileno()
        return
    if request.param == "thread":
        request.getfixturevalue("monkeypatch").setattr("sidecar.transport.stdio._is_watchable", lambda _: False)
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    with contextlib.suppress(OSError):
        os.close(writing)


async def test_everything_is_read_in_its_order(input_ends: tuple[int, int], pipe: tuple[int, int]) -> None:
    reading, writing = input_ends
    transport = StdioTransport(reading, pipe[1])
    sent = os.urandom(1_000_000)
    received = b""

    async def send() -> None:
        rest = memoryview(sent)
        while rest:
            rest = rest[await anyio.to_thread.run_sync(os.write, writing, rest[:50_000]) :]

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            while len(received) < len(sent):
                received += await transport.receive()
    await transport.aclose()
    assert received == sent


async def test_the_end_of_a_pipe_is_the_end_of_input(pipe: tuple[int, int]) -> None:
    reading, writing = os.pipe()
    transport = StdioTransport(reading, pipe[1])
    os.write(writing, b"last")
    os.close(writing)
    with anyio.fail_after(10):
        assert [await transport.receive() for _ in range(3)] == [b"last", b"", b""]
    await transport.aclose()
    os.close(reading)


async def test_a_file_is_read_to_its_end(tmp_path: Path, pipe: tuple[int, int]) -> None:
    """``scalix-sidecar serve < requests``."""
    (tmp_path / "requests").write_bytes(b"one\ntwo\n")
    with (tmp_path / "requests").open("rb") as file, anyio.fail_after(10):
        transport = StdioTransport(file.fileno(), pipe[1])
        assert [await transport.receive() for _ in range(2)] == [b"one\ntwo\n", b""]
        await transport.aclose()


async def test_who_waits_for_input_is_told_that_the_transport_is_closed(
    input_ends: tuple[int, int], pipe: tuple[int, int]
) -> None:
    transport = StdioTransport(input_ends[0], pipe[1])
    received: list[bytes] = []

    async def receive() -> None:
        received.append(await transport.receive())

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            await transport.aclose()
    assert received == [b""]
    os.write(input_ends[1], b"x")  # lets the reading thread end
