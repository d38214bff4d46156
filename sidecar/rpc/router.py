"""Method names to handlers, and the shapes params may come in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sidecar.errors import InvalidParams

Handler = Callable[[dict[str, Any]], Awaitable[Any]]
"""Takes the params as an object (``{}`` when absent), returns what msgspec can encode."""


class Router:
    """The methods the sidecar answers.

    ``scalars`` names, per method, the member that a bare argument stands for: a pass-through host sends the argument
    list of the IPC call, so ``chat:cancel`` ``[7]`` means ``{"chatId": 7}``.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._scalars: dict[str, str] = {}

    def add(self, handlers: Mapping[str, Handler], scalars: Mapping[str, str] | None = None) -> None:
        """Register a family of methods."""
        self._handlers.update(handlers)
        self._scalars.update(scalars or {})

    def names(self) -> list[str]:
        """All method names, sorted."""
        return sorted(self._handlers)

    def find(self, method: str) -> Handler | None:
        """The handler of a method."""
        return self._handlers.get(method)

    def params(self, method: str, raw: Any) -> dict[str, Any]:
        """The params object of a call (protocol page 1). Raises ``InvalidParams``."""
        if raw is None or isinstance(raw, dict):
            return raw or {}
        if not isinstance(raw, list) or len(raw) > 1:
            raise InvalidParams("Invalid params: expected an object, or a list of one argument.", path="")
        argument = raw[0] if raw else None
        if argument is None or isinstance(argument, dict):
            return argument or {}
        name = self._scalars.get(method)
        if name is None or isinstance(argument, list):
            raise InvalidParams("Invalid params: expected an object.", path="")
        return {name: argument}
