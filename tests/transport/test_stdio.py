"""The host's pipes: how they are set while the sidecar runs, and how they are left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

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
