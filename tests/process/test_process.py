"""The spawned sidecar: descriptors, exits, parents, signals (protocol pages 1, 2)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import psutil
import pytest

from tests.app_database import write_lock
from tests.host import TIMEOUT_S, RpcError, clean_environment, process_host
from tests.installation import Installation, installation
from tests.providers.server import Pause
from tests.providers.streams import openai_chat_stream

pytestmark = [pytest.mark.anyio, pytest.mark.process]

ROOT = Path(__file__).resolve().parents[2]
END_S = 5.0
"""Two seconds, and what a busy machine adds to them."""
PATCH = {"capabilities": {"chunks": "patch"}}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


NOISY = textwrap.dedent(
    """
    import os, subprocess, sys
    import sidecar.transport.descriptors as descriptors

    claim = descriptors.claim_stdio

    def claim_and_make_noise():
        claimed = claim()
        print("stray print")
        os.write(1, b"stray write\\n")
        subprocess.run([sys.executable, "-c", "print('stray child')"])
        sys.stdout.buffer.write(b"stray buffer\\n")
        sys.stdout.flush()
        return claimed

    descriptors.claim_stdio = claim_and_make_noise
    from sidecar.__main__ import main
    main()
    """
)


async def test_nothing_but_the_protocol_reaches_stdout(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NOISY]
    async with process_host(tmp_path, command=command) as host:
        await host.initialize()
        assert await host.request("ping") == {}
        await host.until(lambda: b"stray buffer" in host.stderr or host.frames)
    assert all(frame["jsonrpc"] == "2.0" for frame in host.frames)
    for stray in (b"stray print", b"stray write", b"stray child", b"stray buffer"):
        assert stray in host.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes the descriptor")
async def test_without_a_stderr_nothing_is_printed_at_the_host(tmp_path: Path) -> None:
    """A closed fd 2 is the first number that ``dup`` gives out, and Node's pipes can be written at both ends."""
    ours, theirs = socket.socketpair()
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", NOISY, "serve", "--user-data", str(tmp_path)]
    with ours, subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, env=clean_environment()) as process:
        theirs.close()
        ours.sendall(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        ours.shutdown(socket.SHUT_WR)
        out, _ = await anyio.to_thread.run_sync(process.communicate)
        ours.setblocking(False)
        assert ours.recv(1000) == b"", "what is printed does not go up the host's other pipe"
    assert out == b'{"id":1,"result":{},"jsonrpc":"2.0"}\n'
    assert process.returncode == 0


PROBE = textwrap.dedent(
    """
    import sys
    import sidecar.observability  # first, as in the real start
    from sidecar.app import Application

    def report(self):
        heavy = {"litellm", "aiohttp", "pydantic", "rich", "typer", "openai", "tiktoken", "argparse"}
        heavy |= {"sidecar.llm", "sidecar.account", "sidecar.analytics", "protocol.llm", "protocol.usage"}  # seldom
        print("loaded at the first answer:", sorted(heavy & set(sys.modules)), file=sys.stderr, flush=True)

    Application._start_background = report
    from sidecar.__main__ import main
    main()
    """
)


async def test_nothing_heavy_is_imported_before_the_first_answer(tmp_path: Path) -> None:
    async with process_host(tmp_path, command=[sys.executable, "-c", PROBE]) as host:
        await host.initialize()
    assert b"loaded at the first answer: []" in host.stderr


async def test_end_of_stdin_saves_and_exits_with_zero(place: Installation) -> None:
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    chat = place.chat()
    async with process_host(place.folder, **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "Hello")
        assert host.process.stdin is not None
        await host.process.stdin.aclose()
        with anyio.fail_after(4):
            assert await host.process.wait() == 0
    assert host.terminals(chat)[0]["wasCancelled"] is True
    assert place.messages(chat)[-1][1] == "Hello\n\n[Response cancelled by user]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--max-line-bytes", "abc"), "argument --max-line-bytes: must be a whole number, at least 1"),
        (("--max-line-bytes", "0"), "argument --max-line-bytes: must be a whole number, at least 1"),
        (("--user-data", __file__), f"argument --user-data: {__file__} is a file, and must be a folder"),
    ],
)
async def test_options_that_cannot_be_followed_are_said_on_stderr(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    async with process_host(tmp_path, arguments=arguments) as host:
        await host.closed.wait()
        assert await host.process.wait() == 2
    assert host.frames == []
    assert host.stderr.decode().splitlines()[-1] == f"scalix-sidecar serve: error: {said}"


async def test_a_file_in_the_place_of_the_folder_is_said_without_another_option_too() -> None:
    async with process_host(Path(__file__)) as host:
        await host.closed.wait()
        assert await host.process.wait() == 2
    assert host.stderr.decode().splitlines()[-1].endswith(f"{__file__} is a file, and must be a folder")


async def test_a_number_in_the_environment_that_is_none_is_logged(tmp_path: Path) -> None:
    async with process_host(tmp_path, {"SCALIX_TIMEOUT_IDLE_S": "soon"}) as host:
        await host.initialize()
    assert b"SCALIX_TIMEOUT_IDLE_S is 'soon', which is no number of seconds; 60 is used." in host.stderr


@pytest.mark.parametrize(("first", "code"), [("shutdown", 0), (None, 1)])
async def test_the_exit_code_tells_whether_shutdown_was_asked_for(tmp_path: Path, first: str | None, code: int) -> None:
    async with process_host(tmp_path) as host:
        await host.initialize()
        if first is not None:
            await host.request(first)
        await host.notify("exit")
        with anyio.fail_after(TIMEOUT_S):
            assert await host.process.wait() == code


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
async def test_a_polite_kill_saves_the_text(place: Installation, name: str) -> None:
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    chat = place.chat()
    async with process_host(place.folder, **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "Hello")
        host.process.send_signal(getattr(signal, name))
        with anyio.fail_after(TIMEOUT_S):
            assert await host.process.wait() == 0
    assert host.terminals(chat)[0]["wasCancelled"] is True
    assert place.messages(chat)[-1][1] == "Hello\n\n[Response cancelled by user]"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
async def test_a_hang_up_that_whoever_started_it_had_ignored_stays_ignored(tmp_path: Path) -> None:
    """``nohup scalix-sidecar``: the terminal may go."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "sidecar"]
    async with process_host(tmp_path, command=command) as host:
        await host.initialize()
        host.process.send_signal(signal.SIGHUP)
        assert await host.request("get-language-model-providers")
        assert await host.request("ping") == {}


@pytest.mark.parametrize("pid", [0, -1, 2**31, 2**40, 2**80])
async def test_a_pid_that_no_process_can_have_is_that_of_a_process_that_is_gone(tmp_path: Path, pid: int) -> None:
    async with process_host(tmp_path) as host:
        await host.initialize(processId=pid)
        with anyio.fail_after(TIMEOUT_S):
            assert await host.process.wait() == 0
    assert b"Traceback" not in host.stderr


LOCKED_OUT: dict[str, tuple[str, dict[str, object]]] = {
    "reading": ("chat:count-tokens", {"chatId": 1, "input": "x"}),
    "settings": ("set-user-settings", {"selectedChatMode": "ask"}),
    "accepting": ("chat:stream", {"chatId": 1, "prompt": "hi"}),
}


@pytest.mark.parametrize("method, params", LOCKED_OUT.values(), ids=LOCKED_OUT)
async def test_a_locked_database_does_not_keep_a_process_whose_host_is_gone(
    place: Installation, method: str, params: dict[str, object]
) -> None:
    place.chat()
    async with process_host(place.folder, **PATCH) as host:
        assert await host.request("usage:get")
        with closing(write_lock(place.database, "EXCLUSIVE")):
            waiting = await host.start(method, params)
            assert await host.request("ping") == {}
            assert host.process.stdin is not None
            await host.process.stdin.aclose()
            with anyio.fail_after(END_S):
                assert await host.process.wait() == 0
            with suppress(RpcError):  # settings are written to their file all the same
                await host.answer(waiting)


async def test_an_answer_that_a_lock_keeps_from_being_saved_ends_in_time_and_says_so(place: Installation) -> None:
    """The database has what was saved before the lock; the host hears its last word before the process ends."""
    place.script([*openai_chat_stream(["Hel", "lo"])[:2], Pause()])
    chat = place.chat()
    async with process_host(place.folder, **PATCH) as host:
        streaming = await host.start("chat:stream", place.stream_params(chat))
        with anyio.fail_after(TIMEOUT_S):
            while place.messages(chat)[-1:] != [("assistant", "Hel")]:
                await anyio.lowlevel.checkpoint()
        with closing(write_lock(place.database, "EXCLUSIVE")):
            assert host.process.stdin is not None
            await host.process.stdin.aclose()
            with anyio.fail_after(END_S):
                assert await host.process.wait() == 0
        assert await host.answer(streaming) == chat
        (end,) = host.terminals(chat)
    assert end["wasCancelled"] is True
    assert end["warningMessages"]
    assert place.messages(chat)[-1] == ("assistant", "Hel")


async def test_a_host_named_by_its_pid_is_missed_when_it_is_gone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    async with process_host(tmp_path) as host:
        await host.initialize(processId=stranger.pid)
        stranger.communicate(b"\n")
        with anyio.fail_after(TIMEOUT_S):
            assert await host.process.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
async def test_an_orphan_ends_by_itself(tmp_path: Path) -> None:
    """The host dies without closing the pipe: somebody else holds its other end."""
    read_end, write_end = os.pipe()
    os.write(write_end, b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    script = (
        "import os, subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'sidecar', 'serve', '--user-data',"
        f" {str(tmp_path)!r}], stdin={read_end}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL);"
        " p.stdout.readline(); print(p.pid, flush=True); sys.stdin.read()"
    )
    host = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[read_end],
        cwd=ROOT,
        env=clean_environment(),
    )
    assert host.stdout is not None
    orphan = int(host.stdout.readline())
    host.kill()
    host.communicate()
    try:
        gone = await anyio.to_thread.run_sync(ended, orphan)
    finally:
        os.close(read_end)
        os.close(write_end)
    assert gone


def ended(pid: int) -> bool:
    """Whether the process ends in time; one that nobody has reaped yet has ended too."""
    try:
        process = psutil.Process(pid)
        gone, _ = psutil.wait_procs([process], timeout=TIMEOUT_S / 2)
        return bool(gone) or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_host_that_does_not_read_loses_nothing(place: Installation) -> None:
    pieces = [f"{number} " for number in range(20_000)]
    place.answers(*pieces)
    chat = place.chat()
    async with process_host(place.folder, **PATCH) as host:
        stream = await host.start("chat:stream", place.stream_params(chat))
        assert await host.answer(stream) == chat
        assert host.text(chat) == "".join(pieces)
    assert place.messages(chat)[-1] == ("assistant", "".join(pieces))
