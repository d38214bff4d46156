"""The help window's own conversation (app contract 13.4, 13.5).

It goes to Scalix's help host with the Pro key and no other: a user's own OpenAI key is never sent there. One answer
at a time; history is kept in memory only. Every answer has exactly one terminal notification, and cancel closes the
connection.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import anyio
import structlog

from protocol.help import HelpChatAnswer, HelpChunk, HelpEnd, HelpError
from sidecar.engines.base import Engine, Message, ModelCall, Target, TextDelta
from sidecar.errors import MissingApiKey, SidecarError, ValidationFailed
from sidecar.lanes import OpenLane
from sidecar.secret import SecretText

HELP_BASE: Final = "https://helpchat.scalix.world/v1"
HELP_MODEL: Final = "gpt-5-nano"
TRIES: Final = 2
CHUNK: Final = "help:chat:response:chunk"

log = structlog.get_logger("sidecar.help")


class HelpChat:
    """The sessions of the help window.

    ``key`` gives the Pro key, ``open_lane`` a way out whose chunks are rendered when the host takes them, ``spawn``
    runs an answer in the background.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        key: Callable[[], Awaitable[SecretText | None]],
        base: str,
        open_lane: OpenLane,
        spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    ) -> None:
        self._engine = engine
        self._key = key
        self._base = base.rstrip("/")
        self._open_lane = open_lane
        self._spawn = spawn
        self._histories: dict[str, list[Message]] = {}
        self._active: _Answer | None = None

    async def start(self, session_id: str, message: str) -> HelpChatAnswer:
        """Begin an answer and return at once. An answer that runs, of any session, is stopped and its history
        forgotten. Raises ``ValidationFailed`` for an empty session or message."""
        if not session_id or not message.strip():
            raise ValidationFailed("Missing sessionId or message", path="sessionId" if not session_id else "message")
        while self._active is not None:  # whoever asked at the same moment may have been quicker
            self._histories.pop(self._active.session_id, None)
            await self._stop(self._active)
        history = self._histories.setdefault(session_id, [])
        history.append(Message.of("user", message))
        answer = self._active = _Answer(session_id, self._open_lane)
        self._spawn(lambda: self._run(answer, history))
        return HelpChatAnswer()

    async def cancel(self, session_id: str) -> HelpChatAnswer:
        """Stop that session's answer; its ``end`` has been sent when this returns."""
        if self._active is not None and self._active.session_id == session_id:
            await self._stop(self._active)
        return HelpChatAnswer()

    async def cancel_all(self) -> None:
        """Stop what runs."""
        if self._active is not None:
            await self._stop(self._active)

    async def _stop(self, answer: _Answer) -> None:
        answer.scope.cancel()
        await answer.done.wait()

    async def _run(self, answer: _Answer, history: list[Message]) -> None:
        failure: SidecarError | None = None
        try:
            with answer.scope:
                try:
                    await self._stream(answer, tuple(history))
                except SidecarError as error:
                    failure = error
                except Exception:  # nobody awaits an answer: a bug is logged here, and costs this one alone
                    log.exception("the help chat failed", session_id=answer.session_id)
                    failure = SidecarError("Internal error. See the sidecar's log.")
        finally:
            if self._active is answer:
                self._active = None
            if answer.text:
                history.append(Message.of("assistant", answer.text))
            answer.tell(failure)

    async def _stream(self, answer: _Answer, messages: tuple[Message, ...]) -> None:
        target = await self._target()
        for attempt in range(1, TRIES + 1):
            call = ModelCall(target=target, messages=messages, request_id=str(uuid.uuid4()), attempt=attempt)
            try:
                async with self._engine.stream(call) as batches:
                    async for batch in batches:
                        for event in batch:
                            if isinstance(event, TextDelta):
                                answer.add(event.text)
                return
            except SidecarError as error:
                if attempt == TRIES or answer.text or not error.retryable:
                    raise
                log.info("help chat tries again", code=error.code.value)

    async def _target(self) -> Target:
        key = await self._key()
        if key is None:
            raise MissingApiKey("Help chat needs a Scalix Pro key. Add it in Settings.", provider="auto")
        return Target(
            provider="auto",
            model=HELP_MODEL,
            wire_model=HELP_MODEL,
            dialect="openai-responses",
            base_url=self._base,
            api_key=key,
            body={
                "tools": [{"type": "web_search_preview", "search_context_size": "high"}],
                "reasoning": {"summary": "auto"},
            },
        )


class _Answer:
    """One answer on its way to the window."""

    def __init__(self, session_id: str, open_lane: OpenLane) -> None:
        self.session_id = session_id
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()
        self.text = ""
        self._pending: list[str] = []
        self._lane = open_lane(CHUNK, self._render, 0.0)

    def add(self, delta: str) -> None:
        """More text."""
        if delta:
            self.text += delta
            self._pending.append(delta)
            self._lane.mark()

    def tell(self, failure: SidecarError | None) -> None:
        """The only terminal notification."""
        if failure is None:
            self._lane.announce("help:chat:response:end", HelpEnd(self.session_id))
        else:
            self._lane.announce("help:chat:response:error", HelpError(self.session_id, failure.message))
        self.done.set()

    def _render(self, _seq: int) -> HelpChunk | None:
        delta = "".join(self._pending)
        self._pending.clear()
        return HelpChunk(self.session_id, delta) if delta else None
