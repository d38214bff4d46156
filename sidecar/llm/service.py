"""``llm:stream`` and ``llm:cancel``: one routed model call, its parts as notifications.

Retries, fallback and limits are those of a chat; the database is not touched. Exactly one ``finish`` or ``error``
part, the last; the response comes after it.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import msgspec
import structlog

from protocol import llm as wire
from protocol.chat import ModelRef
from sidecar.engines.base import ModelCall, Target
from sidecar.errors import OUR_MISTAKE, Cancelled, Conflict, InvalidParams, SidecarError
from sidecar.lanes import OpenLane
from sidecar.lengths import tokens_of
from sidecar.llm import prompt as given
from sidecar.llm.stream_parts import PartBuilder, wire_usage
from sidecar.redaction import register_callers_headers
from sidecar.routing.attempts import Attempt, attempt_reports
from sidecar.routing.catalog_view import CallStart
from sidecar.routing.inputs import ModelChoice
from sidecar.routing.meter import Meter
from sidecar.routing.recording import SettledCall, prompt_units
from sidecar.routing.resolve import Route
from sidecar.routing.runner import Router
from sidecar.routing.slots import StreamSlots
from sidecar.routing.window import fitting
from sidecar.settings.values import AppSettings

PART: Final = "llm:part"
MAX_ID_CHARS: Final = 256

log = structlog.get_logger("sidecar.llm")


class LlmService:
    """The calls of this process.

    ``start`` reads what a call starts from, afresh for each (raises ``FeatureDisabled``); ``route`` finds the
    candidates; ``slots`` are shared with the chats.
    """

    def __init__(
        self,
        *,
        caller: Router,
        start: Callable[[], Awaitable[CallStart]],
        route: Callable[[ModelChoice, CallStart], Awaitable[Route]],
        open_lane: OpenLane,
        meter: Meter,
        slots: StreamSlots,
    ) -> None:
        self._caller = caller
        self._route = route
        self._open_lane = open_lane
        self._start = start
        self._meter = meter
        self._slots = slots
        self._running: dict[str, tuple[anyio.CancelScope, anyio.Event]] = {}

    async def stream(self, params: wire.LlmStreamParams) -> wire.LlmStreamResult:
        """Make the call. Raises what made it fail, after the ``error`` part said the same."""
        if not 0 < len(params.call_id) <= MAX_ID_CHARS:
            raise InvalidParams(f"callId must have 1 to {MAX_ID_CHARS} characters.", path="callId")
        if params.call_id in self._running:
            raise Conflict("A call with this callId is still running.", extra={"callId": params.call_id})
        with self._slots.hold():
            scope, done = anyio.CancelScope(), anyio.Event()
            self._running[params.call_id] = (scope, done)
            try:  # nothing was waited for so far: a cancel that is sent right behind must find the call
                return await self._run(params, await self._start(), scope)
            finally:
                del self._running[params.call_id]
                done.set()

    async def cancel(self, call_id: str) -> bool:
        """Stop a call and wait for its last part. Always True."""
        running = self._running.get(call_id)
        if running is not None:
            scope, done = running
            scope.cancel()
            await done.wait()
        return True

    async def cancel_all(self) -> None:
        """Stop every call."""
        for call_id in list(self._running):
            await self.cancel(call_id)

    async def _run(
        self, params: wire.LlmStreamParams, start: CallStart, scope: anyio.CancelScope
    ) -> wire.LlmStreamResult:
        out = PartLane(params.call_id, self._open_lane)
        call = _Call(params)
        failure: SidecarError | None = None
        try:
            with scope:
                try:
                    model = params.model
                    choice = ModelChoice(model.provider, model.name, model.custom_model_id)
                    await self._stream(call, await self._route(choice, start), start.settings, out)
                except SidecarError as error:
                    failure = error
                except Exception:  # as in a chat: a bug is logged, and the host gets its last part
                    log.exception("the call failed", call_id=params.call_id)
                    failure = SidecarError(OUR_MISTAKE)
        except anyio.get_cancelled_exc_class():
            out.fail(Cancelled("The call was cancelled."), call.builder)
            raise
        if scope.cancelled_caught:
            failure = Cancelled("The call was cancelled.")
        if failure is not None:
            out.fail(failure, call.builder)
            raise failure
        for part in call.builder.finish():
            out.emit(part)
        return call.result()

    async def _stream(self, call: _Call, route: Route, settings: AppSettings, out: PartLane) -> None:
        targets = fitting(route.targets, tokens_of(prompt_units(call.messages)), route.window)
        reservation = await self._meter.reserve(targets[0], settings)
        routed = self._caller.run(targets, call.make, allow_fallback=route.allow_fallback)
        try:
            async with routed:
                if warnings := call.answered_by(routed.target):
                    out.emit(wire.StreamStart(warnings))
                async for batch in routed:
                    for part in call.builder.take(batch):
                        out.emit(part)
        finally:
            call.attempts, call.target = list(routed.attempts), routed.target
            done = SettledCall(
                kind="llm",
                call_id=call.request_id,
                attempts=routed.attempts,
                target=routed.target,
                usage=call.builder.usage,
                fallbacks=routed.fallbacks,
                prompt_units=prompt_units(call.messages, call.builder.usage),
                answer_units=call.builder.answer_units,
            )
            with anyio.CancelScope(shield=True):
                await self._meter.settle(reservation, done, settings)


class _Call:
    """One call's request and outcome."""

    def __init__(self, params: wire.LlmStreamParams) -> None:
        self._params = params
        self.request_id = str(uuid.uuid4())
        self.builder = PartBuilder()
        self.messages = given.messages(params.prompt)
        self.tools, self.warnings = given.tools(params.tools)
        self.attempts: list[Attempt] = []
        self.target: Target | None = None

    def answered_by(self, target: Target) -> list[wire.CallWarning]:
        """This candidate answers: what it was not asked, though the host wanted it."""
        from sidecar.engines.dialects.unsupported import unsupported_settings

        self.builder.dialect = target.dialect
        for setting, why in unsupported_settings(self.make(target, 1)).items():
            self.warnings.append(wire.CallWarning(type="unsupported-setting", setting=setting, details=why))
        return self.warnings

    def make(self, target: Target, attempt: int) -> ModelCall:
        """The call for one candidate. The catalogue's temperature is the chats': as with the AI SDK, none is sent that
        nobody asked for."""
        params = self._params
        headers = {**target.headers, **(params.headers or {})}
        register_callers_headers(params.headers or {})
        target = msgspec.structs.replace(target, headers=headers, temperature=None)
        return ModelCall(
            target=target,
            messages=self.messages,
            request_id=self.request_id,
            attempt=attempt,
            max_output_tokens=params.max_output_tokens,
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            presence_penalty=params.presence_penalty,
            frequency_penalty=params.frequency_penalty,
            seed=params.seed,
            stop=tuple(params.stop_sequences or ()),
            tools=self.tools,
            tool_choice=given.tool_choice(params.tool_choice),
            response_format=given.response_format(params.response_format),
            provider_options=given.options_of(target, params.provider_options),
        )

    def result(self) -> wire.LlmStreamResult:
        """The result of ``llm:stream``."""
        target = self.target
        model = self._params.model if target is None else ModelRef(target.provider, target.model)
        return wire.LlmStreamResult(
            finish_reason=self.builder.finish_reason,
            usage=wire_usage(self.builder.usage),
            warnings=self.warnings,
            model=model,
            attempts=attempt_reports(self.attempts),
        )


class PartLane:
    """One call's way to the host. Deltas of one block melt while the host does not read; nothing else does."""

    def __init__(self, call_id: str, open_lane: OpenLane) -> None:
        self._call_id = call_id
        self._lane = open_lane(PART, self._render, 0.0)
        self._pending: tuple[type[Any], str, list[str]] | None = None

    def emit(self, part: wire.StreamPart) -> None:
        """Send a part, in order."""
        if not isinstance(part, wire.TextDeltaPart | wire.ReasoningDeltaPart | wire.ToolInputDelta):
            self._flush()
            self._lane.send(PART, lambda seq: wire.LlmPart(self._call_id, seq, part))
            return
        if self._pending is not None and self._pending[:2] == (type(part), part.id):
            self._pending[2].append(part.delta)
            return
        self._flush()
        self._pending = (type(part), part.id, [part.delta])
        self._lane.mark()

    def fail(self, error: SidecarError, builder: PartBuilder) -> None:
        """The last part of a call that failed; what was open is closed first."""
        for part in builder.close():
            self.emit(part)
        data = error.data()
        self.emit(wire.ErrorPart({"message": error.message, **data}))

    def _flush(self) -> None:
        """What is pending leaves at its place in the queue, as a frame of its own."""
        pending = self._take()
        if pending is not None:
            self._lane.withdraw()
            self._lane.send(PART, lambda seq: wire.LlmPart(self._call_id, seq, pending))

    def _take(self) -> wire.StreamPart | None:
        if self._pending is None:
            return None
        kind, block, deltas = self._pending
        self._pending = None
        part: wire.StreamPart = kind(block, "".join(deltas))
        return part

    def _render(self, seq: int) -> wire.LlmPart | None:
        part = self._take()
        return None if part is None else wire.LlmPart(self._call_id, seq, part)
