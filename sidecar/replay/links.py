"""A connection to a sidecar: in this process, or a spawned command. Lines out, lines in, an exit code at the end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import anyio
import anyio.abc

from sidecar.transport.base import Transport

STDERR_KEPT_BYTES: Final = 16 * 1024
_EXIT_WAIT_S: Final = 10.0
_ENVIRONMENT_KEPT: Final = ("PATH", "HOME", "LANG", "SYSTEMROOT", "TEMP", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")


class Link(Protocol):
    """The host's side of one sidecar."""

    async def send(self, data: bytes) -> None:
        """Bytes to its stdin. Raises ``anyio.BrokenResourceError`` when it is gone."""
        ...

    async def receive(self) -> bytes:
        """The next bytes it wrote; ``b""`` at the end."""
        ...

    async def close_input(self) -> None:
        """End of its stdin."""
        ...

    async def exit_code(self) -> int:
        """Wait until it is gone."""
        ...

    def log(self) -> str:
        """The end of what it wrote to stderr, for reports."""
        ...


class _MemoryLink:
    """Drives the sidecar's own parts over the in-memory transport."""

    def __init__(self, record: Path | None) -> None:
        from sidecar.transport.memory import MemoryTransport

        self.transport = MemoryTransport()
        self._record = record
        self._ended = anyio.Event()
        self._code = 0
        self._open = True

    async def run(self, user_data: Path, environ: Mapping[str, str]) -> None:
        from sidecar.app import Application
        from sidecar.lifecycle import serve
        from sidecar.transport.framing import MAX_LINE_BYTES

        transport: Transport = self.transport
        if self._record is not None:
            from sidecar.replay.recorded import RecordedLines
            from sidecar.transport.recorder import RecordingTransport

            transport = RecordingTransport(transport, self._record, RecordedLines())
        application = Application(transport, environ, user_data=user_data)
        self._code = await serve(transport, application, max_line_bytes=MAX_LINE_BYTES)
        self._ended.set()

    async def send(self, data: bytes) -> None:
        if self._open:
            self.transport.host_send(data)

    async def receive(self) -> bytes:
        try:
            return await self.transport.host_receive.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return b""

    async def close_input(self) -> None:
        if self._open:
            self._open = False
            self.transport.host_close_input()

    async def exit_code(self) -> int:
        await self._ended.wait()
        return self._code

    def log(self) -> str:
        return ""


@asynccontextmanager
async def memory_link(
    user_data: Path, environ: Mapping[str, str], *, record: Path | None = None
) -> AsyncIterator[Link]:
    """The sidecar in this process, on the installation in ``user_data``."""
    link = _MemoryLink(record)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run, user_data, environ)
            yield link
            await link.close_input()
            with anyio.move_on_after(_EXIT_WAIT_S):
                await link.exit_code()
            tasks.cancel_scope.cancel()
    finally:
        link.transport.host_close()


class _ProcessLink:
    """A child process."""

    def __init__(self, process: anyio.abc.Process) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("the process was started without pipes")
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._log = b""

    async def send(self, data: bytes) -> None:
        await self._stdin.send(data)

    async def receive(self) -> bytes:
        try:
            return await self._stdout.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return b""

    async def close_input(self) -> None:
        await self._stdin.aclose()

    async def exit_code(self) -> int:
        return await self._process.wait()

    async def keep_log(self) -> None:
        async for data in self._stderr:
            self._log = (self._log + data)[-STDERR_KEPT_BYTES:]

    def log(self) -> str:
        return self._log.decode("utf-8", "replace")


@asynccontextmanager
async def process_link(
    command: Sequence[str], user_data: Path, environ: Mapping[str, str], *, record: Path | None = None
) -> AsyncIterator[Link]:
    """``command serve --user-data DIR`` as a child; its stdin is closed and it is waited for at the end.

    Of this process's environment it gets what programs need to run, and nothing that steers a sidecar.
    """
    kept = {name: os.environ[name] for name in _ENVIRONMENT_KEPT if name in os.environ}
    arguments = [*command, "serve", "--user-data", str(user_data)]
    if record is not None:
        arguments += ["--record", str(record)]
    async with await anyio.open_process(arguments, env={**kept, **environ}) as process:
        link = _ProcessLink(process)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.keep_log)
            try:
                yield link
            finally:
                with anyio.CancelScope(shield=True):
                    await link.close_input()
                    with anyio.move_on_after(_EXIT_WAIT_S):
                        await process.wait()
                    if process.returncode is None:
                        process.kill()
                tasks.cancel_scope.cancel()
