"""One connection from its first byte to the exit code (protocol page 2)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Final, Protocol

import anyio
import anyio.abc

from sidecar.rpc.dispatcher import Dispatcher
from sidecar.rpc.host import HostLink
from sidecar.rpc.outbox import Outbox
from sidecar.transport.base import Transport
from sidecar.transport.framing import LineFramer

GRACE_S: Final = 1.7
"""End of stdin to the last frame: streams save, terminal events leave. What is closed then must fit into two seconds
with it, also when the host reads nothing any more."""
FINISH_S: Final = 1.2
"""Of that, what requests have to finish in by themselves."""
PARENT_POLL_S: Final = 1.0
LARGEST_PID: Final = 2**32 - 1 if sys.platform == "win32" else 2**31 - 1

_until_exit = ExitStack()
"""Holds the signal handlers after the first signal; never closed."""


class Service(Protocol):
    """What ``serve`` runs; built by the composition root."""

    dispatcher: Dispatcher
    outbox: Outbox
    host: HostLink

    def take_tasks(self, tasks: anyio.abc.TaskGroup) -> None:
        """Take the task group that the service's own work runs in, as long as the host is there."""
        ...

    def hurry(self) -> None:
        """The host is gone: what is still to be done waits for nobody else for long."""
        ...

    async def aclose(self) -> None:
        """Close connections and files."""
        ...


async def serve(
    transport: Transport,
    service: Service,
    *,
    max_line_bytes: int,
    endings: Sequence[Callable[[], Awaitable[None]]] = (),
) -> int:
    """Serve one host until it is gone or says ``exit``. Returns the exit code of the process.

    Each of ``endings`` is awaited beside it; when one returns, that counts as the end of input.
    """
    dispatcher, outbox = service.dispatcher, service.outbox
    ended = anyio.Event()

    async def read() -> None:
        framer = LineFramer(max_line_bytes)
        while data := await transport.receive():
            for line in framer.feed(data):
                await dispatcher.line(line, tasks)
        ended.set()

    async def write() -> None:
        await outbox.run()
        ended.set()  # the host stopped listening: nothing can be told any more

    async def exit_notification() -> None:
        await dispatcher.exit_requested.wait()
        ended.set()

    async def watch(ending: Callable[[], Awaitable[None]]) -> None:
        await ending()
        ended.set()

    code = 0
    try:
        async with anyio.create_task_group() as tasks:
            service.take_tasks(tasks)
            for job in (read, write, exit_notification):
                tasks.start_soon(job)
            for ending in endings:
                tasks.start_soon(watch, ending)
            await ended.wait()
            if dispatcher.exit_requested.is_set() and not dispatcher.was_shut_down:
                code = 1
            with anyio.move_on_after(GRACE_S):
                service.host.close()  # no answer can come any more
                service.hurry()
                await dispatcher.stop(grace_s=FINISH_S)
                await outbox.drained()
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(GRACE_S):
                await service.aclose()
            await transport.aclose()
    return code


async def wait_for_parent_to_vanish(process_id: Callable[[], int | None]) -> None:
    """Return when the spawning process is gone: the parent pid changed, or ``initialize.processId`` vanished.

    PyInstaller's one-file bootloader is the parent of the real process, so a *change* is watched, not a value.
    """
    parent = os.getppid()
    while True:
        await anyio.sleep(PARENT_POLL_S)
        if os.getppid() != parent or (sys.platform == "win32" and not process_alive(parent)):
            return  # (Windows keeps telling the pid of a parent that is gone)
        watched = process_id()
        if watched is not None and not process_alive(watched):
            return


async def wait_for_signal() -> None:
    """Return at the first SIGTERM, SIGINT or SIGHUP: a polite kill ends like the end of input, with everything saved.

    A hang-up that was ignored when we were started (``nohup``) stays ignored.
    Call once per process. Further signals are swallowed: a signal to the whole process group arrives twice, the second
    time forwarded by the one-file bootloader, and must not cut the saving short.
    """
    if sys.platform == "win32":
        await anyio.sleep_forever()
    polite = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        polite.append(signal.SIGHUP)
    await anext(_until_exit.enter_context(anyio.open_signal_receiver(*polite)))


def process_alive(pid: int) -> bool:
    """Whether a process with this pid exists."""
    if not 0 < pid <= LARGEST_PID:
        return False
    if sys.platform == "win32":
        return _windows_process_alive(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it exists and belongs to somebody else
    return True


def _windows_process_alive(pid: int) -> bool:
    import ctypes

    synchronize = 0x00100000
    wait_timeout = 0x102
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return False
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == wait_timeout)
    finally:
        kernel.CloseHandle(handle)
