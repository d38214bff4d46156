"""Retries, fallback and circuit breakers around model calls.

One rule decides everything: as long as nothing of an answer has been handed on, another try may replace it; after
the first content an error is the answer's end. So an attempt's events are held back until its first content.

- The same model is asked three times in all, 2 s and 4 s apart (the AI SDK's rule, app contract 7.9), or as far apart
  as the provider asks for, up to 60 s. Once only when it was silent for the whole first-token time, and never again
  when it has taken a minute to fail: the user has waited long enough.
- Then the next candidate takes over, where that is allowed. When much of the user's time has gone into delays, further
  ones are asked once each: an outage of everything is told within half a minute.
- A refused or missing key ends it: another model's answer would hide what the user has to mend. Only ``auto`` goes on,
  with another provider, and says so in ``warnings``. (A key that may not use one model may use the next.)
- A model whose circuit is open is skipped. When that leaves nothing to ask, one early probe goes out, unless the last
  failure was a time-out of a model that is not on this machine, where it may have been loading.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, NoReturn

import anyio
import msgspec

from protocol.errors import ErrorCode
from sidecar.engines.base import (
    Engine,
    Event,
    Finish,
    GeneratedFile,
    ModelCall,
    ReasoningDelta,
    Target,
    TextDelta,
    ToolCall,
    ToolInputDelta,
    ToolInputStart,
)
from sidecar.errors import ProviderError, StreamInterrupted
from sidecar.routing.attempts import Attempt, Fallback, Outcome
from sidecar.routing.breaker import Admission, CircuitBreaker, circuit_of, counts
from sidecar.routing.failures import (
    KEY_ERRORS,
    circuit_open,
    ended_in_error,
    final_error,
    interrupted,
    ran_out_of_time,
    refuses_the_key,
    speaks_for_door,
    with_attempts,
)

MAX_ATTEMPTS: Final = 3
FIRST_DELAY_S: Final = 2.0
JITTER: Final = 0.1
"""Share added to a delay at random, so that several streams do not come back at the same moment."""
LONGEST_RETRY_AFTER_MS: Final = 60_000
SILENT_MODELS: Final = 3
"""How many models may be silent for all their time in one message: then it is hardly the models."""
PATIENCE_MS: Final = 60_000.0
"""How long a model may take to fail, attempts added up and delays not counted, and still be asked again."""
ENOUGH_WAITED_S: Final = 18.0
"""When the delays of a call add up to this, further models are asked once each: three models' worth."""

_HAND_ON: Final = frozenset(
    {
        ErrorCode.RATE_LIMIT_EXCEEDED,
        ErrorCode.MODEL_UNAVAILABLE,
        ErrorCode.TIMEOUT,
        ErrorCode.NETWORK,
        ErrorCode.STREAM_INTERRUPTED,
        ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        *KEY_ERRORS,
    }
)
"""Failures after which another model may do better; those that refuse the key itself have a rule of their own."""

OnFallback = Callable[[Target, Target, str], None]
MakeCall = Callable[[Target, int], ModelCall]


class Router:
    """Makes routed calls. ``engine`` serves every dialect; ``clock`` (seconds) and ``sleep`` are for tests."""

    def __init__(
        self,
        engine: Engine,
        breaker: CircuitBreaker | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.engine = engine
        self.breaker = breaker or CircuitBreaker(clock)
        self.clock = clock
        self.sleep = sleep
        self.jitter = jitter

    def run(
        self,
        candidates: Sequence[Target],
        make_call: MakeCall,
        *,
        allow_fallback: bool,
        on_fallback: OnFallback | None = None,
    ) -> RoutedStream:
        """One call over ``candidates``, to be entered with ``async with``.

        Entering returns at the first content of whichever candidate gave some, and raises when none did.
        ``make_call`` gets the number of the HTTP attempt, counted from 1 over all candidates.
        """
        targets = candidates if allow_fallback else candidates[:1]
        return RoutedStream(self, targets, make_call, on_fallback)


class RoutedStream:
    """One routed call: an asynchronous context manager, then an iterator of batches of events.

    ``target`` is the one asked last. ``attempts`` is complete when the iterator has ended or the context was left;
    leaving before that counts as cancelled. ``fallbacks`` are the take-overs, ``warnings`` sentences for the user.

    The engine's context is entered on entering and left on leaving, in the same task, so that cancel scopes nest.
    """

    def __init__(
        self, router: Router, candidates: Sequence[Target], make_call: MakeCall, on_fallback: OnFallback | None
    ) -> None:
        if not candidates:
            raise ValueError("nothing to call")
        self.target = candidates[0]
        self.attempts: list[Attempt] = []
        self.fallbacks: list[Fallback] = []
        self.warnings: list[str] = []
        self._router = router
        self._candidates = candidates
        self._make_call = make_call
        self._on_fallback = on_fallback
        self._failed: list[tuple[Target, ProviderError]] = []
        self._skipped: list[Target] = []
        self._closed_doors: set[tuple[str, str]] = set()
        self._smallest_window = 0
        self._calls = 0
        self._waited_s = 0.0
        self._leading: deque[list[Event]] = deque()
        self._batches: AsyncIterator[list[Event]] | None = None
        self._context = AsyncExitStack()
        self._started = 0.0
        self._ttft_ms: float | None = None
        self._open_attempt = False

    async def __aenter__(self) -> RoutedStream:
        """Raises ``ProviderError`` with ``extra["attempts"]`` when no candidate answered."""
        if not (await self._ask_in_order() or (not self._failed and await self._ask_early())):
            self._give_up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open_attempt:
            self._note(self.target, "cancelled")
        self._batches = None
        await self._context.__aexit__(kind, error, trace)

    def __aiter__(self) -> RoutedStream:
        return self

    async def __anext__(self) -> list[Event]:
        """The next batch. Raises what broke the answer off, with ``extra["attempts"]``."""
        if self._leading:
            return self._leading.popleft()
        if self._batches is None:
            self._finished()
            raise StopAsyncIteration
        try:
            return await self._batches.__anext__()
        except StopAsyncIteration:
            self._finished()
            raise
        except ProviderError as error:
            told = self._broke_off(error)
            if told is error:
                raise
            raise told from error

    # --- which candidate -------------------------------------------------------------------------------------------

    async def _ask_in_order(self) -> bool:
        for index, target in enumerate(self._candidates):
            if not self._worth_asking(target):
                continue
            admission = self._router.breaker.admit(circuit_of(target))
            if admission is Admission.REFUSED:
                self._skip(target)
            elif await self._ask(target, probe=admission is Admission.PROBE, alone=not self._more_after(index)):
                return True
            elif not self._may_go_on(index):
                return False
        return False

    async def _ask_early(self) -> bool:
        """Every circuit is open and nothing was asked: one probe ahead of time rather than no answer."""
        for target in self._skipped:
            if self._router.breaker.probe_early(circuit_of(target), after_time_out=target.route == "local"):
                self._skipped.remove(target)
                return await self._ask(target, probe=True, alone=True)
        return False

    def _worth_asking(self, target: Target) -> bool:
        return _door(target) not in self._closed_doors and target.context_window > self._smallest_window

    def _more_after(self, index: int) -> bool:
        refused = self._router.breaker.is_open
        return any(
            self._worth_asking(other) and not refused(circuit_of(other)) for other in self._candidates[index + 1 :]
        )

    def _worth_repeating(self, target: Target, error: ProviderError, *, alone: bool) -> bool:
        """Whether the same model is asked again; with another one at hand, not where that only costs time."""
        if not error.retryable or ran_out_of_time(error):
            return False
        if self._waited_s >= ENOUGH_WAITED_S and any(other != target for other, _ in self._failed):
            return False
        if alone:
            return True
        waits_long = (error.retry_after_ms or 0) >= LONGEST_RETRY_AFTER_MS
        return not waits_long and not self._router.breaker.is_open(circuit_of(target))

    def _may_go_on(self, index: int) -> bool:
        """Whether the next candidate may be asked after the last failure; closes the doors it speaks for."""
        target, error = self._failed[-1]
        if refuses_the_key(error):
            self._closed_doors.add(_door(target))
            if not target.automatic or not any(map(self._worth_asking, self._candidates[index + 1 :])):
                return False
            self.warnings.append(f"{target.provider} was left out: {error.message}")
            return True
        if error.code is ErrorCode.CONTEXT_LENGTH_EXCEEDED:
            self._smallest_window = max(self._smallest_window, target.context_window)
        if speaks_for_door(target, error):
            self._closed_doors.add(_door(target))
        silent = sum(ran_out_of_time(failure) for _, failure in self._failed)
        return error.code in _HAND_ON and silent < SILENT_MODELS

    def _skip(self, target: Target) -> None:
        self._skipped.append(target)
        unavailable = ErrorCode.MODEL_UNAVAILABLE.value
        self.attempts.append(
            Attempt(provider=target.provider, name=target.model, outcome="skipped", ms=0.0, code=unavailable)
        )

    def _take_over(self, target: Target) -> None:
        """Tells that ``target`` is asked instead of the one before it."""
        before, self.target = self.target, target
        code = self._failed[-1][1].code.value if self._failed else ErrorCode.MODEL_UNAVAILABLE.value
        self.fallbacks.append(Fallback(before, target, code))
        if self._on_fallback is not None:
            self._on_fallback(before, target, code)

    # --- one candidate ---------------------------------------------------------------------------------------------

    async def _ask(self, target: Target, *, probe: bool, alone: bool) -> bool:
        """Up to three attempts at one model. True: it answers."""
        spent_ms = 0.0
        for number in range(1, MAX_ATTEMPTS + 1):
            error = await self._attempt(target)
            if error is None:
                return True
            self._failed.append((target, error))
            spent_ms += self.attempts[-1].ms
            last = probe or number == MAX_ATTEMPTS or spent_ms >= PATIENCE_MS
            if last or not self._worth_repeating(target, error, alone=alone):
                break
            delay_s = self._delay_s(number, error)
            self._waited_s += delay_s
            await self._router.sleep(delay_s)
        return False

    async def _attempt(self, target: Target) -> ProviderError | None:
        """One HTTP attempt up to its first content. Anything but a provider's failure is raised."""
        router, circuit = self._router, circuit_of(target)
        self._started, self._ttft_ms = router.clock(), None
        try:
            if target is not self.target:
                self._take_over(target)
            call = self._make_call(target, self._next_attempt())
            if target.attempt_header is not None:
                call = msgspec.structs.replace(call, next_attempt=self._next_attempt)
            async with AsyncExitStack() as stack:
                batches = await stack.enter_async_context(router.engine.stream(call))
                await self._until_content(batches)
                self._context = stack.pop_all()
        except ProviderError as error:
            self._leading.clear()
            self._note(target, "error", error.code)
            if counts(error):
                router.breaker.record_failure(circuit, error.code)
            else:
                router.breaker.release(circuit)
            return error
        except BaseException as error:
            bug = isinstance(error, Exception)
            self._note(target, "error" if bug else "cancelled", ErrorCode.INTERNAL if bug else None)
            router.breaker.release(circuit)
            raise
        self._open_attempt = True
        router.breaker.record_success(circuit, self._ttft_ms)
        return None

    def _next_attempt(self) -> int:
        self._calls += 1
        return self._calls

    async def _until_content(self, batches: AsyncIterator[list[Event]]) -> None:
        """Holds batches back until one has content; an answer that ends properly without any is an answer too."""
        finish: Finish | None = None
        async for batch in batches:
            self._leading.append(batch)
            for event in batch:
                if is_content(event):
                    self._ttft_ms = self._elapsed_ms()
                    self._batches = batches
                    return
                if isinstance(event, Finish):
                    finish = event
        if finish is None:
            raise StreamInterrupted("The model's answer ended before it had begun. Try again.")
        if finish.reason == "error":
            raise ended_in_error(finish)
        self._batches = None

    def _delay_s(self, number: int, error: ProviderError) -> float:
        asked = error.retry_after_ms
        if asked is not None and 0 <= asked <= LONGEST_RETRY_AFTER_MS:
            return asked / 1000
        return FIRST_DELAY_S * (1 << (number - 1)) * (1 + JITTER * self._router.jitter())

    # --- the end ---------------------------------------------------------------------------------------------------

    def _give_up(self) -> NoReturn:
        if not self._failed:
            raise with_attempts(circuit_open(self._skipped, self._router.breaker), self.attempts)
        error = final_error(self._failed, len(self._skipped), self.attempts)
        last = self._failed[-1][1]
        if error is last:
            raise error
        raise error from last

    def _finished(self) -> None:
        if self._open_attempt:
            self._note(self.target, "ok")

    def _broke_off(self, error: ProviderError) -> ProviderError:
        self._note(self.target, "error", error.code)
        if counts(error):
            self._router.breaker.record_interruption(circuit_of(self.target), error.code)
        return with_attempts(interrupted(error), self.attempts, self.target)

    def _note(self, target: Target, outcome: Outcome, code: ErrorCode | None = None) -> None:
        self._open_attempt = False
        self.attempts.append(
            Attempt(
                provider=target.provider,
                name=target.model,
                outcome=outcome,
                ms=self._elapsed_ms(),
                code=None if code is None else code.value,
                ttft_ms=self._ttft_ms,
            )
        )

    def _elapsed_ms(self) -> float:
        return (self._router.clock() - self._started) * 1000


def is_content(event: Event) -> bool:
    """Whether an event shows the user something, so that no other attempt may replace this one any more."""
    kind = type(event)
    if kind is TextDelta or kind is ReasoningDelta:
        delta: Any = event
        return bool(delta.text)
    return kind in {ToolInputStart, ToolInputDelta, ToolCall, GeneratedFile}


def _door(target: Target) -> tuple[str, str]:
    """What stands or falls together: a key and a base, whatever the model behind."""
    return (target.provider if target.route == "direct" else target.route, target.base_url)
