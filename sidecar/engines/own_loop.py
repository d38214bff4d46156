"""An event loop on a thread of its own, for a library that holds whatever loop it runs on.

What runs there may import, compile and compute for as long as it likes: the sidecar's loop, on which every other
stream depends, is only as late as the interpreter takes to switch threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

LEAVE_S: Final = 1.0
"""How long the thread may take to end; it is a daemon, and what it still holds ends with the process."""


class OwnLoop:
    """Started by the first ``run``; ``aclose`` cancels what is left on it and ends the thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._starting = anyio.Lock()

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await ``work()`` there, and its value here. Raises what it raises; cancelled here, it is cancelled there."""

        async def settled() -> tuple[T | None, Exception | None]:
            try:
                return await work(), None
            except Exception as error:  # noqa: BLE001 - carried to the waiting task, raised there
                return None, error

        loop = self._loop or await self._started()
        value, error = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(settled(), loop))
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    async def aclose(self) -> None:
        """End the loop and its thread, if there ever was one."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._closing.set)
        await anyio.to_thread.run_sync(self._thread.join, LEAVE_S)

    async def _started(self) -> asyncio.AbstractEventLoop:
        async with self._starting:
            return self._loop or await self._start()

    async def _start(self) -> asyncio.AbstractEventLoop:
        started: Future[asyncio.AbstractEventLoop] = Future()

        async def serve() -> None:
            started.set_result(asyncio.get_running_loop())
            await self._closing.wait()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), name=self._name, daemon=True)
        self._thread.start()
        self._loop = await asyncio.wrap_future(started)
        return self._loop
