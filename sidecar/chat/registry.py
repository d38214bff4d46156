"""Who is streaming: the one owner of that fact. One stream per chat (protocol page 8)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from sidecar.errors import Conflict
from sidecar.routing.slots import StreamSlots


class ActiveStream:
    """One running stream as others see it, from the moment its request is read."""

    def __init__(self, chat_id: int) -> None:
        self.chat_id = chat_id
        self.began = False
        """Whether the turn was accepted: from then on there is a terminal notification."""
        self._intent: tuple[str, str] | None = None
        self._identified = anyio.Event()
        self._scope = anyio.CancelScope()
        self._cancelled = False
        self._done = anyio.Event()

    def cancel(self) -> None:
        """Stop it: the upstream connection closes, the partial text is saved, ``end`` is sent."""
        self._cancelled = True
        self._scope.cancel()

    @contextmanager
    def cancellable(self) -> Iterator[anyio.CancelScope]:
        """What ``cancel`` stops; at once, when it came before."""
        with anyio.CancelScope() as self._scope:
            if self._cancelled:
                self._scope.cancel()
            yield self._scope

    def identify(self, intent: tuple[str, str] | None) -> None:
        """Say what it answers: intent id and content hash."""
        self._intent = intent
        self._identified.set()

    async def intent(self) -> tuple[str, str] | None:
        """What it answers, as soon as that is known; None without an intent id, and when it failed before."""
        await self._identified.wait()
        return self._intent

    async def wait(self) -> None:
        """Return when its terminal notification has been queued and its rows are saved."""
        await self._done.wait()

    def finished(self) -> None:
        """Called once, last."""
        self._identified.set()
        self._done.set()


class StreamRegistry:
    """The active streams by chat id."""

    def __init__(self, slots: StreamSlots) -> None:
        self._slots = slots
        self._active: dict[int, ActiveStream] = {}

    @contextmanager
    def claim(self, chat_id: int) -> Iterator[ActiveStream]:
        """Hold a chat for one stream. Raises ``Conflict`` when it is busy and ``Overloaded`` when too many run."""
        if chat_id in self._active:
            raise Conflict(
                "This chat is still answering. Wait for it to finish, or stop it first.", extra={"chatId": chat_id}
            )
        with self._slots.hold():
            stream = self._active[chat_id] = ActiveStream(chat_id)
            try:
                yield stream
            finally:
                del self._active[chat_id]
                stream.finished()

    def find(self, chat_id: int) -> ActiveStream | None:
        """The stream now running on a chat."""
        return self._active.get(chat_id)

    async def cancel_all(self) -> None:
        """Cancel every stream and wait until each has saved and said its last word."""
        streams = list(self._active.values())
        for stream in streams:
            stream.cancel()
        for stream in streams:
            await stream.wait()
