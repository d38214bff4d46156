"""Requests in, answers out: ids, cancel scopes, the life-cycle gate, and the one exception-to-wire boundary.

It does not know what any method means, except the handful that steer it (``ping``, ``$/cancelRequest``) or the gate
(``initialize``, ``shutdown``, ``exit``).

The races it settles:

* *cancel against finish*: a request leaves ``_in_flight`` before its answer is queued and in the same step of the
  loop, so a ``$/cancelRequest`` either finds it running or is ignored; the answer is sent exactly once.
* *cancel against start*: the scope exists before the task first runs; cancelled then, the handler never starts.
* *shutdown against running requests*: they are cancelled and waited for before ``shutdown`` is answered, so every
  stream has saved its text and sent its terminal event by then.
* *shutdown against what was sent with it*: the gate falls as the message is read, not when its task runs, so that what
  follows in the same write is refused, and an ``exit`` there is one after a shutdown.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from collections.abc import Set as AbstractSet
from enum import Enum, auto
from typing import Any, Final

import anyio
import anyio.abc
import anyio.to_thread
import structlog

from protocol.envelope import Failure, Incoming, Malformed, Notification, Request, RequestId, Result
from protocol.errors import RpcCode
from sidecar.errors import Cancelled, InvalidParams, Overloaded, SidecarError
from sidecar.rpc.codec import decode, failure, is_request_id
from sidecar.rpc.host import HostLink
from sidecar.rpc.outbox import Outbox
from sidecar.rpc.router import Handler, Router
from sidecar.transport.framing import Oversized

MAX_IN_FLIGHT: Final = 256
CANCEL: Final = "$/cancelRequest"
BIG_LINE_BYTES: Final = 256 * 1024
"""Lines longer than this are decoded in a worker thread: parsing 64 MiB takes longer than a stream should wait."""

log = structlog.get_logger("sidecar.rpc")

Answer = Result | Failure
Respond = Callable[[Answer], None]


class Gate(Enum):
    """Where the connection is in its life."""

    CLOSED = auto()
    """Before ``initialize``."""
    OPENING = auto()
    """``initialize`` is running; requests sent along with it wait for its answer."""
    OPEN = auto()
    SHUT = auto()
    """From ``shutdown`` on: no new work."""


class Dispatcher:
    """Reads messages, runs handlers, answers each request exactly once."""

    def __init__(
        self,
        outbox: Outbox,
        host: HostLink,
        router: Router,
        *,
        initialize: Handler,
        shutdown: Callable[[], Coroutine[Any, Any, None]],
        on_answered_initialize: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._host = host
        self._router = router
        router.add({}, {CANCEL: "id"})
        self._initialize = initialize
        self._shutdown = shutdown
        self._on_answered_initialize = on_answered_initialize
        self._gate = Gate.CLOSED
        self._in_flight: dict[RequestId, anyio.CancelScope] = {}
        self._in_batches: set[RequestId] = set()
        """Members of batches that are not answered yet; some of them have done their work."""
        self._shutdowns: set[RequestId] = set()
        """Those of them that wait for all the others."""
        self._settled = anyio.Event()
        self._gate_moved = anyio.Event()
        self.exit_requested = anyio.Event()
        """Set by the ``exit`` notification."""

    @property
    def was_shut_down(self) -> bool:
        """Whether ``shutdown`` was asked for: decides the exit code of ``exit``."""
        return self._gate is Gate.SHUT

    async def line(self, line: bytes | Oversized, tasks: anyio.abc.TaskGroup) -> None:
        """Handle one line from the host. Requests run as tasks of ``tasks``."""
        if isinstance(line, Oversized):
            self._outbox.message(failure(None, RpcCode.INVALID_REQUEST, "Invalid Request: the line is too long"))
            return
        if len(line) > BIG_LINE_BYTES:
            decoded = await anyio.to_thread.run_sync(decode, line)
        else:
            decoded = decode(line)
        if isinstance(decoded, list):
            self._batch(decoded, tasks)
        elif isinstance(decoded, Request) and self._is_taken(decoded.id):
            self._outbox.message(_id_taken(decoded.id))
        else:
            self._one(decoded, self._outbox.message, tasks)

    async def stop(self, *, grace_s: float) -> None:
        """Cancel what is running and wait until each request has been answered.

        Streams are cancelled at once and gracefully; what else was asked before the end of input has ``grace_s`` to
        finish. When that is over, a stream that still cannot end keeps nobody from being answered.
        """
        with anyio.move_on_after(grace_s):
            await self._shutdown()
            await self._settled_but(self._shutdowns)
        self._gate = Gate.SHUT
        async with anyio.create_task_group() as ending:
            ending.start_soon(self._shutdown)
            self._cancel_all_but(self._shutdowns)
            await self._settled_but(frozenset())

    async def _stop_all_but(self, kept: AbstractSet[RequestId]) -> None:
        await self._shutdown()
        self._cancel_all_but(kept)
        await self._settled_but(kept)

    def _cancel_all_but(self, kept: AbstractSet[RequestId]) -> None:
        for identifier, scope in list(self._in_flight.items()):
            if identifier not in kept:
                scope.cancel()

    async def _settled_but(self, kept: AbstractSet[RequestId]) -> None:
        """Wait until nothing but ``kept`` is in flight."""
        while self._in_flight.keys() - kept:
            await self._settled.wait()

    # --- messages ------------------------------------------------------------------------------------------------

    def _batch(self, members: list[Incoming], tasks: anyio.abc.TaskGroup) -> None:
        expected = sum(isinstance(member, Request | Malformed) for member in members)
        answers: list[Answer] = []
        ids: set[RequestId] = set()

        def collect(answer: Answer) -> None:
            answers.append(answer)
            if len(answers) == expected:
                self._in_batches -= ids
                self._outbox.message(answers)

        for member in members:
            if isinstance(member, Request):
                if self._is_taken(member.id):
                    collect(_id_taken(member.id))
                    continue
                ids.add(member.id)
                self._in_batches.add(member.id)
            self._one(member, collect, tasks)

    def _is_taken(self, identifier: RequestId) -> bool:
        """Whether a request with this id has not been answered yet."""
        return identifier in self._in_flight or identifier in self._in_batches

    def _one(self, message: Incoming, respond: Respond, tasks: anyio.abc.TaskGroup) -> None:
        match message:
            case Malformed(id=str(identifier)) if self._host.asked(identifier):
                self._host.answered(failure(identifier, RpcCode.INVALID_REQUEST, ""))
            case Malformed(code=code, message=text, id=identifier):
                respond(failure(identifier, code, text))
            case Request():
                self._request(message, respond, tasks)
            case Notification():
                self._notification(message)
            case Result() | Failure():
                self._host.answered(message)

    def _notification(self, message: Notification) -> None:
        if message.method == "exit":
            self.exit_requested.set()
        elif message.method == CANCEL:
            scope = self._scope_of(message.params)
            if scope is not None:
                scope.cancel()

    def _scope_of(self, raw: Any) -> anyio.CancelScope | None:
        """What ``$/cancelRequest`` with these params stops; a notification's mistakes have nobody to be told to."""
        try:
            identifier = self._router.params(CANCEL, raw).get("id")
        except InvalidParams:
            return None
        return self._in_flight.get(identifier) if is_request_id(identifier) else None

    def _request(self, request: Request, respond: Respond, tasks: anyio.abc.TaskGroup) -> None:
        if request.method == "ping":
            respond(self._pong(request))
            return
        refusal = self._refusal(request)
        if refusal is not None:
            respond(refusal)
            return
        scope = anyio.CancelScope()
        self._in_flight[request.id] = scope
        if request.method == "initialize":
            self._gate = Gate.OPENING
        elif request.method == "shutdown":
            self._gate = Gate.SHUT
            self._shutdowns.add(request.id)
        tasks.start_soon(self._run, request, scope, respond, name=request.method)

    def _pong(self, request: Request) -> Answer:
        try:
            self._router.params(request.method, request.params)
        except InvalidParams as error:
            return _wire(request.id, error)
        return Result(id=request.id, result={})

    def _refusal(self, request: Request) -> Failure | None:
        """Why the request may not even start; None when it may."""
        text: str | None = None
        if request.method in {"shutdown", "exit"}:
            return None
        if self._gate is Gate.SHUT:
            text = "Invalid Request: the sidecar is shutting down"
        elif request.method == "initialize":
            if self._gate is not Gate.CLOSED:
                text = "Invalid Request: already initialized"
        elif self._gate is Gate.CLOSED:
            return failure(request.id, RpcCode.NOT_INITIALIZED, "Server not initialized")
        if text is not None:
            return failure(request.id, RpcCode.INVALID_REQUEST, text)
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            return _wire(request.id, Overloaded("Too many requests at once. Try again in a moment."))
        return None

    # --- one request ---------------------------------------------------------------------------------------------

    async def _run(self, request: Request, scope: anyio.CancelScope, respond: Respond) -> None:
        answer: Answer | None = None
        try:
            with scope:
                answer = await self._answer(request)
            if answer is None:
                answer = _wire(request.id, Cancelled("Request cancelled"))
        finally:
            # One step of the loop: from here on the id is free and a late cancel finds nothing.
            del self._in_flight[request.id]
            self._shutdowns.discard(request.id)
            if answer is not None:
                respond(answer)
            if request.method == "initialize" and self._gate is Gate.OPENING:
                self._opened(succeeded=isinstance(answer, Result))
            self._settled.set()
            self._settled = anyio.Event()

    def _opened(self, *, succeeded: bool) -> None:
        self._gate = Gate.OPEN if succeeded else Gate.CLOSED
        self._gate_moved.set()
        self._gate_moved = anyio.Event()
        if succeeded:
            self._on_answered_initialize()

    async def _answer(self, request: Request) -> Answer:
        """The one place where an exception becomes an error on the wire."""
        try:
            return Result(id=request.id, result=await self._call(request))
        except SidecarError as error:
            return _wire(request.id, error)
        except Exception:  # the boundary: a bug is answered, logged with its trace, and the next request works
            log.exception("request failed", method=request.method)
            return failure(request.id, RpcCode.INTERNAL, f"Internal error in {request.method}. See the sidecar's log.")

    async def _call(self, request: Request) -> Any:
        method = request.method
        while self._gate is Gate.OPENING and method not in {"initialize", "shutdown", "exit"}:
            await self._gate_moved.wait()
        if method == "shutdown":
            await self._stop_all_but(self._shutdowns)
            return None
        if method == "exit":
            self.exit_requested.set()
            return None
        if self._gate is Gate.CLOSED and method != "initialize":
            raise _NotInitialized("Server not initialized")
        handler = self._initialize if method == "initialize" else self._router.find(method)
        if handler is None:
            raise _MethodNotFound(f"Method not found: {method}")
        return await handler(self._router.params(method, request.params))


def _id_taken(identifier: RequestId) -> Failure:
    return failure(identifier, RpcCode.INVALID_REQUEST, "Invalid Request: a request with this id is still in flight")


class _MethodNotFound(SidecarError):
    """Mapped to -32601."""


class _NotInitialized(SidecarError):
    """Mapped to -32002."""


def _wire(identifier: RequestId | None, error: SidecarError) -> Failure:
    """A domain error as an error answer."""
    match error:
        case InvalidParams():
            code = RpcCode.INVALID_PARAMS
        case _MethodNotFound():
            return failure(identifier, RpcCode.METHOD_NOT_FOUND, error.message)
        case _NotInitialized():
            return failure(identifier, RpcCode.NOT_INITIALIZED, error.message)
        case Overloaded():
            code = RpcCode.OVERLOADED
        case Cancelled():
            code = RpcCode.CANCELLED
        case _:
            code = RpcCode.APPLICATION
    return failure(identifier, code, error.message, error.data())
