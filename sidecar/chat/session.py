"""One chat stream, from the accepted turn to its terminal notification.

Whatever happens in between (end of the answer, cancel, provider failure, shutdown), it leaves through ``Farewell``:
text saved, exactly one terminal notification, turn recorded. What was streamed is never lost and never doubled.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import structlog

from protocol.chat import ChatStreamParams, LimitsReport, ModelFallback, ModelRef
from sidecar.chat.acceptance import accept_turn
from sidecar.chat.canned import canned_answer, recite
from sidecar.chat.farewell import Farewell
from sidecar.chat.followup import auto_fix, continue_interrupted, continue_unclosed_write
from sidecar.chat.marks import Marks
from sidecar.chat.outcome import Ending, add_usage
from sidecar.chat.parts import Accepted, ChatParts, Plan
from sidecar.chat.registry import ActiveStream
from sidecar.chat.text.answer import AnswerText
from sidecar.chat.turn import Replayed
from sidecar.chat.view import StreamView
from sidecar.engines.base import (
    DEFAULT_CONTEXT_WINDOW,
    Event,
    Finish,
    Message,
    ModelCall,
    ProxyMetadata,
    ReasoningDelta,
    Target,
    TextDelta,
    Usage,
)
from sidecar.errors import OUR_MISTAKE, ProviderError, SidecarError, StoreError
from sidecar.routing.attempts import attempt_reports
from sidecar.routing.recording import SettledCall, prompt_units
from sidecar.routing.runner import RoutedStream
from sidecar.store.chats import Turn

log = structlog.get_logger("sidecar.chat")

NOT_ASKED_YET = LimitsReport(requests_today=0, tokens_used=0, remaining_requests=None)
"""Today's figures are read at the end, where they are told: three queries less before the first token."""


class ChatSession:
    """One ``chat:stream`` call."""

    def __init__(self, parts: ChatParts, params: ChatStreamParams, active: ActiveStream) -> None:
        self._parts = parts
        self._params = params
        self._active = active
        self._stream_id = str(uuid.uuid4())
        self._marks = Marks()
        self._opened = anyio.Event()
        """Set when the turn is on the disk and the host has its first chunk."""
        self._accepted: Accepted
        self._turn: Turn
        self._view: StreamView
        self._ending: Ending
        self._farewell: Farewell
        self._new_text: Callable[[], None]
        """Tells the autosave."""

    async def run(self) -> int | str:
        """The chat id after success or cancel, ``"error"`` after a failure that was told.

        Raises ``SidecarError`` only before the stream exists (bad params, unknown chat, other intent content).
        """
        accepted = await accept_turn(self._parts, self._params, self._stream_id)
        if isinstance(accepted, Replayed):
            return accepted.chat_id
        try:
            self._make_ready(accepted)
            return await self._stream()
        finally:
            accepted.ahead.give_up()

    async def _stream(self) -> int | str:
        failure: SidecarError | None = None
        try:
            with self._active.cancellable() as answering:
                failure = await self._answer()
        except anyio.get_cancelled_exc_class():
            # $/cancelRequest or the end of the process: same farewell, then the cancellation goes on its way.
            with anyio.CancelScope(shield=True):
                await self._write_down(None, cancelled=True)
            self._farewell.say(None, cancelled=True)
            raise
        cancelled = answering.cancelled_caught
        with anyio.CancelScope(shield=True):
            failure = await self._write_down(failure, cancelled=cancelled)
        try:
            with self._active.cancellable() as applying:
                if failure is None and not cancelled:
                    failure = await self._farewell.apply()
        except anyio.get_cancelled_exc_class():
            self._farewell.say(None, cancelled=True)
            raise
        return self._farewell.say(failure, cancelled=cancelled or applying.cancelled_caught)

    async def _write_down(self, failure: SidecarError | None, *, cancelled: bool) -> SidecarError | None:
        """Raises ``StoreError`` for a turn that was never accepted; what it asked a model for counts all the same."""
        try:
            await self._open()
        except StoreError:
            await self._farewell.count()
            raise
        return await self._farewell.write_down(failure, cancelled=cancelled)

    # --- before the stream ---------------------------------------------------------------------------------------

    def _make_ready(self, accepted: Accepted) -> None:
        """Everything the stream is told with; nothing of it is told yet."""
        self._marks.mark("accept")
        self._active.began = True
        self._accepted = accepted
        turn = self._turn = accepted.turn
        self._ending = Ending(
            chat_id=turn.chat.id,
            stream_id=self._stream_id,
            message_id=turn.assistant_message_id,
            model=accepted.ahead.model,
            context_window=DEFAULT_CONTEXT_WINDOW,
            limits=NOT_ASKED_YET,
            warnings=list(accepted.prepared.warnings),
        )
        self._view = StreamView(
            chat_id=turn.chat.id,
            stream_id=self._stream_id,
            rows=turn.chat.messages,
            mode=self._parts.chunk_mode(),
            open_lane=self._parts.open_lane,
        )
        self._farewell = Farewell(
            self._parts,
            turn,
            self._view,
            self._ending,
            marks=self._marks,
            attachments=accepted.prepared.attachments,
            settings=accepted.start.settings,
        )

    async def _open(self) -> None:
        """Introduce the stream to the host, once, as soon as the turn is on the disk. Raises ``StoreError``."""
        await self._accepted.writing.committed()
        if self._opened.is_set():
            return
        self._marks.mark("committed")
        self._view.first_chunk(self._ending.model)
        self._opened.set()

    # --- the stream ----------------------------------------------------------------------------------------------

    async def _answer(self) -> SidecarError | None:
        """The whole answer. Domain failures are returned, not raised, so that no task group wraps them."""
        failure: SidecarError | None = None

        async def open_() -> None:
            try:
                await self._open()
            except StoreError:
                tasks.cancel_scope.cancel()  # ``_write_down`` meets the same error, and raises it

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(open_)
            with self._parts.autosave.keeping(self._turn.assistant_message_id, self._saved_text) as self._new_text:
                try:
                    await self._converse()
                except SidecarError as error:
                    failure = error
                except Exception:  # the stream's own boundary: a bug is logged, and the host gets its last word
                    log.exception("the stream failed", stream_id=self._stream_id)
                    failure = SidecarError(OUR_MISTAKE)
        return failure

    def _saved_text(self) -> str:
        return self._view.answer.value

    async def _converse(self) -> None:
        canned = canned_answer(self._params.prompt, test_build=self._parts.test_build)
        if canned is not None:
            await self._recite(canned)
            return
        if self._parts.host.offers("systemPrompt"):
            await self._opened.wait()  # the host hears of a turn before it is asked about it
        plan = await self._parts.planner.plan(self._params, self._accepted)
        self._marks.mark("context")
        self._ending.engine, self._ending.context = plan.engine, plan.context
        self._ending.warnings.extend(plan.warnings)
        if plan.substitutions:
            self._view.answer = AnswerText(plan.substitutions)
        answer = self._view.answer
        try:
            await self._call(plan, plan.messages, answer.text, answer.reasoning)
        except ProviderError as error:
            if not plan.settings.continue_interrupted or not answer.value:
                raise
            await continue_interrupted(plan, answer, self._call_for_text(plan), error)
            self._ending.warnings.append("The connection broke in mid-answer; the model was asked to go on.")
        if plan.settings.ask_mode:
            return
        await continue_unclosed_write(plan, answer, self._call_for_text(plan))
        if plan.settings.auto_fix:
            try:
                await auto_fix(self._parts, plan, self._turn, answer, self._call)
            except SidecarError as error:
                # The answer itself is complete: a fix that failed is a note, not an error (app contract 7.12).
                self._ending.warnings.append(f"The automatic fix of type errors stopped: {error.message}")

    async def _recite(self, canned: str) -> None:
        """An answer that asks no model: no context, no key, nothing to count, and nothing follows but the farewell."""
        await self._opened.wait()
        text, reasoning = self._view.answer.text, self._view.answer.reasoning
        await recite(canned, lambda words: self._take([TextDelta(words)], text, reasoning))
        self._take([Finish("stop")], text, reasoning)

    def _call_for_text(self, plan: Plan) -> Callable[..., Any]:
        async def call(messages: tuple[Message, ...], on_text: Callable[[str], None]) -> None:
            await self._call(plan, messages, on_text, lambda _: None)

        return call

    async def _call(
        self,
        plan: Plan,
        messages: tuple[Message, ...],
        on_text: Callable[[str], None],
        on_reasoning: Callable[[str], None],
    ) -> None:
        """One routed model call streamed into the answer; usage and attempts are added to the ending's."""
        request_id = plan.request_id if not self._ending.attempts else str(uuid.uuid4())

        def make_call(target: Target, attempt: int) -> ModelCall:
            return ModelCall(
                target=target,
                messages=messages,
                request_id=request_id,
                attempt=attempt,
                thinking=plan.thinking,
                on_progress=self._marks.mark,
            )

        usage: Usage | None = None
        first = True
        earlier, before = len(self._ending.attempts), self._view.answer.length_utf16
        reservation = await self._parts.meter.reserve(plan.candidates[0], self._accepted.start.settings)
        if reservation.warning is not None:
            self._ending.warnings.append(reservation.warning)
        routed = self._parts.caller.run(
            plan.candidates, make_call, allow_fallback=plan.allow_fallback, on_fallback=self._fell_back
        )
        try:
            async with routed:
                await self._opened.wait()
                async for batch in routed:
                    usage = self._take(batch, on_text, on_reasoning) or usage
                    if first and self._marks.has("first_patch"):
                        first = False
                        await anyio.lowlevel.checkpoint()  # the first word leaves before what came with it is read
        except SidecarError as error:
            if plan.engine and error.request_id is None:
                error.request_id = request_id
            raise
        finally:
            self._settle(routed, earlier, usage)
            call = SettledCall(
                kind="chat",
                call_id=self._stream_id,
                attempts=routed.attempts,
                target=routed.target,
                usage=usage,
                fallbacks=routed.fallbacks,
                chat_id=self._turn.chat.id,
                prompt_units=prompt_units(messages, usage),
                answer_units=self._view.answer.length_utf16 - before,
            )
            self._farewell.calls.append((reservation, call))

    def _take(
        self, batch: list[Event], on_text: Callable[[str], None], on_reasoning: Callable[[str], None]
    ) -> Usage | None:
        """Hot path: one network read's events into the answer, pieces of text that follow one another as one."""
        usage: Usage | None = None
        text: list[str] = []
        for event in batch:
            if type(event) is TextDelta:
                text.append(event.text)
                continue
            if text:
                on_text("".join(text))
                text.clear()
            if isinstance(event, ReasoningDelta):
                on_reasoning(event.text)
            elif isinstance(event, Usage):
                usage = event
            elif isinstance(event, Finish):
                self._ending.finish_reason = event.reason
            elif isinstance(event, ProxyMetadata):
                self._ending.passed_on.update(event.values)
        if text:
            on_text("".join(text))
        if self._view.answer.visible_changed:
            self._view.changed()
            self._new_text()
            self._marks.mark("first_patch")
        return usage

    def _settle(self, routed: RoutedStream, earlier: int, usage: Usage | None) -> None:
        """What a finished or broken call adds to the ending."""
        ending, target = self._ending, routed.target
        ending.warnings.extend(routed.warnings)
        ending.attempts[earlier:] = attempt_reports(routed.attempts)
        ending.model = ModelRef(target.provider, target.model)
        ending.context_window = target.context_window
        if usage is not None:
            ending.usage = add_usage(ending.usage, usage)

    def _fell_back(self, from_: Target, to: Target, code: str) -> None:
        params = ModelFallback(
            chat_id=self._turn.chat.id,
            stream_id=self._stream_id,
            from_=ModelRef(from_.provider, from_.model),
            to=ModelRef(to.provider, to.model),
            code=code,
        )
        self._view.announce("model:fallback", params)
