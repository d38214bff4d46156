"""A scripted engine over the base protocol, and time that only moves when a test moves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from protocol.errors import ErrorCode
from sidecar.engines.base import Event, Finish, Message, ModelCall, Target, TextDelta
from sidecar.errors import ProviderError

Step = list[Event] | BaseException | anyio.Event
"""A batch, an error to raise, or an event to wait for."""

ANSWER: Sequence[Step] = ([TextDelta("hello")], [Finish("stop")])


class Clock:
    """Seconds. ``sleep`` moves it at once and remembers for how long."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await anyio.lowlevel.checkpoint()


class ScriptedEngine:
    """Plays, per model, one script per call; the last one repeats. A script may be made from the call."""

    def __init__(self, **scripts: Sequence[Sequence[Step]]) -> None:
        self.scripts = {name.replace("_", "-"): list(each) for name, each in scripts.items()}
        self.calls: list[ModelCall] = []
        self.open = 0
        self.on_call: Callable[[ModelCall], None] = lambda _: None

    def models(self) -> list[str]:
        return [call.target.model for call in self.calls]

    @asynccontextmanager
    async def stream(self, call: ModelCall) -> AsyncIterator[AsyncIterator[list[Event]]]:
        self.calls.append(call)
        self.on_call(call)
        scripts = self.scripts[call.target.model]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        self.open += 1
        try:
            if script and isinstance(script[0], BaseException):
                raise script[0]
            yield self._play(script)
        finally:
            self.open -= 1

    async def _play(self, script: Sequence[Step]) -> AsyncIterator[list[Event]]:
        for step in script:
            await anyio.lowlevel.checkpoint()
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, anyio.Event):
                await step.wait()
            else:
                yield step


def target(model: str, provider: str = "openai", **changes: Any) -> Target:
    """A target at a base of its provider's own."""
    values: dict[str, Any] = {
        "provider": provider,
        "model": model,
        "wire_model": model,
        "dialect": "openai-chat",
        "base_url": f"https://{provider}.test/v1",
    }
    return Target(**{**values, **changes})


def make_call(where: Target, attempt: int) -> ModelCall:
    """The smallest call."""
    return ModelCall(target=where, messages=(Message.of("user", "hi"),), request_id="r", attempt=attempt)


def failure(code: ErrorCode, message: str = "it broke", **rest: Any) -> ProviderError:
    """A new error each time: errors carry what was tried."""
    return ProviderError(message, code=code, **rest)


def unavailable(message: str = "Service Unavailable", **rest: Any) -> ProviderError:
    """503."""
    return failure(ErrorCode.MODEL_UNAVAILABLE, message, status=503, **rest)
