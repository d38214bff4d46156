"""A provider that answers what it was told to, over a real loopback socket.

::

    async with ScriptedProvider() as provider:
        provider.answer("/v1/chat/completions", Answer.stream(openai_chat_stream(["Hel", "lo"])))
        ...  # call provider.base_url + "/v1/chat/completions"
        assert provider.requests[0].json["model"] == "m"

Answers of one path are used up in order; the last one stays for every further request. A path may have a handler
instead: a function of the recorded request that returns the answer (this is how a test replies to what was asked).
Nothing here uses the rest of the sidecar: a provider must not agree with it by construction.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import anyio
from aiohttp import web


class Pause:
    """Stops an answer here until ``resume()``. ``reached`` is set when the server got this far."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self._go_on = anyio.Event()

    def resume(self) -> None:
        self._go_on.set()

    async def hold(self) -> None:
        self.reached.set()
        await self._go_on.wait()


class Drop:
    """Cuts the connection here, in the middle of the body (a reset, not an orderly end)."""


@dataclass
class Later:
    """The provider takes its time here: ``seconds``."""

    seconds: float


@dataclass
class TrickleUntilGone:
    """Sends ``data`` every ``every_s`` seconds until the client hangs up: keep-alive comments that never end."""

    data: bytes = b": keep-alive\n\n"
    every_s: float = 0.01


Step = bytes | Pause | Later | Drop | TrickleUntilGone


@dataclass
class Answer:
    """What to send back. ``before`` holds the head back; ``raw`` sends the steps without any HTTP around them."""

    steps: Sequence[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    before: Pause | None = None
    raw: bool = False
    reason: str | None = None

    @classmethod
    def stream(cls, steps: Sequence[Step], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """A server-sent event stream; every ``bytes`` step is one write."""
        return cls(steps, status, {"Content-Type": "text/event-stream", **(headers or {})})

    @classmethod
    def json(cls, body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """A JSON document."""
        return cls([json.dumps(body).encode()], status, {"Content-Type": "application/json", **(headers or {})})

    @classmethod
    def text(
        cls,
        body: str,
        *,
        status: int = 200,
        content_type: str = "text/plain; charset=utf-8",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Plain text or HTML; ``""`` sends an empty body."""
        steps = [body.encode()] if body else []
        return cls(steps, status, {"Content-Type": content_type, **(headers or {})})


@dataclass
class Recorded:
    """One request as it arrived. Header names are lower-cased."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    peer: tuple[str, int]
    """Address of the client's socket: two requests with the same one shared a connection."""
    gone: anyio.Event = field(default_factory=anyio.Event)
    """Set when the client hung up before the answer was complete."""
    gone_at: float | None = None
    """``anyio.current_time()`` of that moment."""
    answered: anyio.Event = field(default_factory=anyio.Event)
    """Set when the answer went out completely."""

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


Handler = Callable[[Recorded], Answer | Awaitable[Answer]]


class ScriptedProvider:
    """The server. Requests to a path without an answer get 404 with an OpenAI-shaped body."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.requests: list[Recorded] = []
        self._scripts: dict[str, list[Answer] | Handler] = {}
        self._tls = tls
        self._host = host
        self._runner: web.AppRunner | None = None
        self._arrival = anyio.Event()
        self.port = 0

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:<port>``, without a trailing slash."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}"

    def answer(self, path: str, *answers: Answer) -> None:
        """Scripts the next answers of ``path`` (any method); replaces what was scripted before."""
        if not answers:
            raise ValueError("an answer is needed")
        self._scripts[path] = list(answers)

    def handle(self, path: str, handler: Handler) -> None:
        """Answers ``path`` with what ``handler(recorded)`` returns."""
        self._scripts[path] = handler

    def last(self) -> Recorded:
        """The most recent request."""
        return self.requests[-1]

    async def request_number(self, n: int) -> Recorded:
        """Waits for the ``n``-th request (from 1) to arrive."""
        while len(self.requests) < n:
            await self._arrival.wait()
        return self.requests[n - 1]

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=2**28)
        application.router.add_route("*", "/{anything:.*}", self._serve)
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1, keepalive_timeout=60
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is None:
            return
        with anyio.CancelScope(shield=True):
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        recorded = Recorded(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            peer=request.transport.get_extra_info("peername")[:2] if request.transport else ("", 0),
        )
        self.requests.append(recorded)
        self._arrival.set()
        self._arrival = anyio.Event()
        try:
            return await self._reply(request, recorded, await self._next_answer(recorded))
        except (asyncio.CancelledError, ConnectionError):
            recorded.gone_at = anyio.current_time()
            recorded.gone.set()
            raise

    async def _next_answer(self, recorded: Recorded) -> Answer:
        script = self._scripts.get(recorded.path)
        if script is None:
            message = f"No answer for {recorded.path}"
            return Answer.json({"error": {"message": message, "type": "not_found", "code": None}}, status=404)
        if isinstance(script, list):
            return script.pop(0) if len(script) > 1 else script[0]
        answer = script(recorded)
        return answer if isinstance(answer, Answer) else await answer

    async def _reply(self, request: web.Request, recorded: Recorded, answer: Answer) -> web.StreamResponse:
        if answer.before is not None:
            await answer.before.hold()
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=answer.headers)
        if not answer.raw:
            await response.prepare(request)
        for step in answer.steps:
            if isinstance(step, Drop):
                transport.abort()
                return response
            if isinstance(step, bytes) and answer.raw:
                transport.write(step)
            else:
                await _take_step(response, step)
        if answer.raw:
            transport.close()
        else:
            await response.write_eof()
        recorded.answered.set()
        return response


async def _take_step(response: web.StreamResponse, step: Step) -> None:
    match step:
        case bytes():
            await response.write(step)
        case Pause():
            await step.hold()
        case Later():
            await anyio.sleep(step.seconds)
        case TrickleUntilGone():
            while True:
                await response.write(step.data)
                await anyio.sleep(step.every_s)
