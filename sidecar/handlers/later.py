"""Channels that most sessions never use: their code is imported by the first call of one of them.

The start does not wait for it, and memory at rest does not hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import anyio
import anyio.to_thread

from sidecar.rpc.router import Handler


class LaterHandlers:
    """The handlers of ``names``, which ``make`` returns once ``modules``, which they need, are imported."""

    def __init__(
        self, names: tuple[str, ...], make: Callable[[], Mapping[str, Handler]], modules: tuple[str, ...]
    ) -> None:
        self._names = names
        self._make = make
        self._modules = modules
        self._made: Mapping[str, Handler] | None = None
        self._lock = anyio.Lock()

    def methods(self) -> dict[str, Handler]:
        """By method name."""
        return {name: partial(self._call, name) for name in self._names}

    async def _call(self, name: str, params: dict[str, Any]) -> Any:
        made = self._made
        if made is None or self._lock.locked():
            async with self._lock:  # calls go on in the order in which they came, and new ones behind them
                made = self._made
                if made is None:
                    await anyio.to_thread.run_sync(lambda: [*map(import_module, self._modules)])
                    self._made = made = self._make()
        return await made[name](params)
