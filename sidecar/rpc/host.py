"""Requests from the sidecar to the host (protocol page 7)."""

from __future__ import annotations

import itertools
from typing import Any, Final

import anyio

from protocol.envelope import Failure, Notification, Request, RequestId, Result
from protocol.errors import ErrorCode
from sidecar.errors import SidecarError
from sidecar.redaction import redact
from sidecar.rpc.outbox import Outbox

_ID_PREFIX: Final = "sidecar-"
DEFAULT_TIMEOUT_S: Final = 10.0
LONG_TIMEOUT_S: Final = 300.0
TIMEOUT_S: Final = {"host:apply-response": LONG_TIMEOUT_S, "host:check-problems": LONG_TIMEOUT_S}


class HostRefused(SidecarError):
    """The host answered with an error, or not in time."""

    default_code = ErrorCode.INTERNAL


class HostLink:
    """Asks the host and waits for its answer. Giving up (time-out, cancelled stream) forgets the id; a late answer is
    ignored."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._ids = itertools.count(1)
        self._pending: dict[RequestId, tuple[anyio.Event, list[Result | Failure]]] = {}
        self._closed = False

    async def request(self, method: str, params: dict[str, Any]) -> Any:
        """The host's result. Raises ``HostRefused`` on an error answer, a time-out or a closed connection."""
        if self._closed:
            raise HostRefused(f"The app is closing and cannot answer {method}.")
        identifier = f"{_ID_PREFIX}{next(self._ids)}"
        event, box = anyio.Event(), list[Result | Failure]()
        self._pending[identifier] = (event, box)
        answered = False
        try:
            self._outbox.message(Request(id=identifier, method=method, params=params))
            with anyio.move_on_after(TIMEOUT_S.get(method, DEFAULT_TIMEOUT_S)):
                await event.wait()
                answered = True
        finally:
            del self._pending[identifier]
            if not answered:
                self._outbox.message(Notification(method="$/cancelRequest", params={"id": identifier}))
        if not box:
            raise HostRefused(f"The app did not answer {method} in time.", retryable=True)
        answer = box[0]
        if isinstance(answer, Failure):
            raise HostRefused(redact(answer.error.message) or f"The app could not answer {method}.")
        return answer.result

    def asked(self, identifier: str) -> bool:
        """Whether this is the id of a question to the host, given up or not: what has it is meant as an answer."""
        return identifier.startswith(_ID_PREFIX)

    def answered(self, answer: Result | Failure) -> None:
        """An answer from the host; unknown ids are ignored."""
        pending = None if answer.id is None else self._pending.get(answer.id)
        if pending is not None:
            event, box = pending
            box.append(answer)
            event.set()

    def close(self) -> None:
        """The host is gone: everybody waiting is told."""
        self._closed = True
        for event, _ in self._pending.values():
            event.set()
