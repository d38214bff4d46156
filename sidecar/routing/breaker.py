"""Circuit breakers: a model that is down costs milliseconds, not a time-out per message.

A pure state machine over an injected clock; no I/O, no tasks.

::

    closed --failures within the window--> open --its time is over--> half-open --success--> closed
                                            ^                             |
                                            +------- failure (longer) ----+

Only failures of the provider's side are recorded here: the caller leaves out refused keys, bad requests, rate limits
and cancelled calls (``counts``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from math import ceil
from typing import Final, Literal, NamedTuple

import msgspec

from protocol.errors import ErrorCode
from sidecar.engines.base import Target
from sidecar.errors import ProviderError

THRESHOLD: Final = 3
"""Failures within the window that open a circuit: what one message spends on a model that is down."""

WINDOW_S: Final = 300.0
OPEN_S: Final = 30.0
LONGEST_OPEN_S: Final = 300.0
REMEMBERED: Final = 50
"""Outcomes per model behind the success rate and percentiles."""

_COUNTED: Final = frozenset(
    {ErrorCode.MODEL_UNAVAILABLE, ErrorCode.TIMEOUT, ErrorCode.NETWORK, ErrorCode.STREAM_INTERRUPTED}
)

State = Literal["closed", "open", "half-open"]


class Admission(Enum):
    """May a call go out? ``PROBE``: this one, to see whether the provider is back."""

    GRANTED = "granted"
    PROBE = "probe"
    REFUSED = "refused"


class CircuitKey(NamedTuple):
    """One circuit. The base belongs to it, so that a corrected URL starts afresh."""

    provider: str
    name: str
    base_url: str


class CircuitHealth(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How one model has been doing. ``success_rate`` 0 to 1 over the remembered calls; times in ms."""

    provider: str
    name: str
    state: State
    success_rate: float | None
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    last_error_code: str | None
    retry_after_ms: int | None
    """Until the next probe, while open."""
    calls: int


def circuit_of(target: Target) -> CircuitKey:
    """The circuit a target belongs to."""
    return CircuitKey(target.provider, target.model, target.base_url)


def counts(error: ProviderError) -> bool:
    """Whether a failure says something about the provider, and not about the user's key, quota or request. One that
    answered (200), if only with an error for a reason, is there."""
    return error.retryable and error.code in _COUNTED and error.status != HTTPStatus.OK


class _Circuit:
    __slots__ = ("failures", "last_code", "open_for", "open_until", "outcomes", "probing", "slow")

    def __init__(self) -> None:
        self.failures: deque[float] = deque()
        self.open_until: float | None = None
        self.open_for = 0.0
        self.probing = False
        self.slow = False
        """The last failure was a time-out: asking again would cost one more."""
        self.last_code: ErrorCode | None = None
        self.outcomes: deque[tuple[bool, float | None]] = deque(maxlen=REMEMBERED)


class CircuitBreaker:
    """All circuits of the process. ``clock`` gives seconds that never go back."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        threshold: int = THRESHOLD,
        window_s: float = WINDOW_S,
        open_s: float = OPEN_S,
        longest_open_s: float = LONGEST_OPEN_S,
    ) -> None:
        self._clock = clock
        self._threshold = threshold
        self._window_s = window_s
        self._open_s = open_s
        self._longest_open_s = longest_open_s
        self._circuits: dict[CircuitKey, _Circuit] = {}

    def admit(self, key: CircuitKey) -> Admission:
        """Ask before a call. Every ``PROBE`` is to be answered by exactly one ``record_*`` or ``release``."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.open_until is None:
            return Admission.GRANTED
        if circuit.probing or self._clock() < circuit.open_until:
            return Admission.REFUSED
        circuit.probing = True
        return Admission.PROBE

    def probe_early(self, key: CircuitKey, *, after_time_out: bool = False) -> bool:
        """A probe ahead of time, for a message that has no other model left.

        Refused when the last failure was a time-out, because that is the wait the breaker is there to spare (unless
        ``after_time_out``), and while another probe is out. True: as ``PROBE``.
        """
        circuit = self._circuits.get(key)
        if circuit is None or circuit.probing or (circuit.slow and not after_time_out):
            return False
        circuit.probing = True
        return True

    def is_open(self, key: CircuitKey) -> bool:
        """Whether a new call would be refused or would be a probe."""
        circuit = self._circuits.get(key)
        return circuit is not None and circuit.open_until is not None

    def retry_after_ms(self, key: CircuitKey) -> int | None:
        """Until the next probe; None while closed."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.open_until is None:
            return None
        return max(0, ceil((circuit.open_until - self._clock()) * 1000))

    def record_success(self, key: CircuitKey, ttft_ms: float | None) -> None:
        """The model began to answer."""
        circuit = self._circuits.setdefault(key, _Circuit())
        circuit.outcomes.append((True, ttft_ms))
        circuit.failures.clear()
        circuit.open_until = None
        circuit.open_for = 0.0
        circuit.probing = circuit.slow = False

    def record_failure(self, key: CircuitKey, code: ErrorCode) -> None:
        """The provider failed (see ``counts``). A time-out opens at once: it is the failure that costs most."""
        now = self._clock()
        circuit = self._circuits.setdefault(key, _Circuit())
        circuit.outcomes.append((False, None))
        circuit.last_code = code
        circuit.slow = code is ErrorCode.TIMEOUT
        failures = circuit.failures
        failures.append(now)
        while failures and (failures[0] <= now - self._window_s or len(failures) > self._threshold):
            failures.popleft()
        if circuit.probing:
            circuit.probing = False
            circuit.open_for = min(circuit.open_for * 2 or self._open_s, self._longest_open_s)
            circuit.open_until = now + circuit.open_for
        elif circuit.slow or len(failures) >= self._threshold:
            circuit.open_for = circuit.open_for or self._open_s
            circuit.open_until = now + circuit.open_for

    def record_interruption(self, key: CircuitKey, code: ErrorCode) -> None:
        """An answer broke off after it had begun: part of the success rate, but no reason to refuse the next call."""
        circuit = self._circuits.setdefault(key, _Circuit())
        circuit.outcomes.append((False, None))
        circuit.last_code = code

    def release(self, key: CircuitKey) -> None:
        """A call ended without a verdict on the provider (cancelled, refused key): the next one may probe."""
        circuit = self._circuits.get(key)
        if circuit is not None:
            circuit.probing = False

    def health(self) -> list[CircuitHealth]:
        """A snapshot of every model called so far, in the order of their first calls."""
        return [self._health_of(key, circuit) for key, circuit in self._circuits.items()]

    def _health_of(self, key: CircuitKey, circuit: _Circuit) -> CircuitHealth:
        calls = len(circuit.outcomes)
        times = sorted(ttft for _, ttft in circuit.outcomes if ttft is not None)
        good = sum(1 for ok, _ in circuit.outcomes if ok)
        return CircuitHealth(
            provider=key.provider,
            name=key.name,
            state=self._state(circuit),
            success_rate=good / calls if calls else None,
            ttft_p50_ms=_percentile(times, 0.5),
            ttft_p95_ms=_percentile(times, 0.95),
            last_error_code=None if circuit.last_code is None else circuit.last_code.value,
            retry_after_ms=self.retry_after_ms(key),
            calls=calls,
        )

    def _state(self, circuit: _Circuit) -> State:
        if circuit.open_until is None:
            return "closed"
        return "half-open" if circuit.probing or self._clock() >= circuit.open_until else "open"


def _percentile(ordered: list[float], share: float) -> float | None:
    """Nearest rank."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None
