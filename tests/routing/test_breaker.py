"""Circuit breakers: when they open, who may probe, and what they tell."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import ErrorCode
from sidecar.routing.breaker import Admission, CircuitBreaker, CircuitKey, circuit_of, counts
from tests.routing.scripted import Clock, failure, target

KEY = CircuitKey("openai", "m", "https://api.test")
DOWN = ErrorCode.MODEL_UNAVAILABLE


def opened(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(clock)
    for _ in range(3):
        breaker.record_failure(KEY, DOWN)
    return breaker


def test_an_unknown_model_is_admitted() -> None:
    assert CircuitBreaker(Clock()).admit(KEY) is Admission.GRANTED


def test_three_failures_within_the_window_open() -> None:
    breaker = CircuitBreaker(Clock())
    states = []
    for _ in range(3):
        breaker.record_failure(KEY, DOWN)
        states.append(breaker.admit(KEY))
    assert states == [Admission.GRANTED, Admission.GRANTED, Admission.REFUSED]


def test_failures_far_apart_do_not_open() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for apart in (150, 150, 300, 0):
        assert breaker.admit(KEY) is Admission.GRANTED
        breaker.record_failure(KEY, DOWN)
        clock.now += apart
    assert breaker.admit(KEY) is Admission.GRANTED, "the window is five minutes, its end left out"


def test_one_time_out_opens() -> None:
    breaker = CircuitBreaker(Clock())
    breaker.record_failure(KEY, ErrorCode.TIMEOUT)
    assert breaker.admit(KEY) is Admission.REFUSED


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = CircuitBreaker(Clock())
    for _ in range(4):
        for _ in range(2):
            breaker.record_failure(KEY, DOWN)
            assert breaker.admit(KEY) is Admission.GRANTED
        breaker.record_success(KEY, 1.0)


def test_one_probe_goes_out_when_the_time_is_over() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 29.9
    assert breaker.admit(KEY) is Admission.REFUSED
    clock.now += 0.1
    assert [breaker.admit(KEY), breaker.admit(KEY)] == [Admission.PROBE, Admission.REFUSED]
    breaker.record_success(KEY, 5.0)
    assert breaker.admit(KEY) is Admission.GRANTED


def test_each_failed_probe_doubles_the_time_up_to_a_limit() -> None:
    clock = Clock()
    breaker = opened(clock)
    waits = []
    for _ in range(6):
        wait = breaker.retry_after_ms(KEY)
        assert wait is not None
        waits.append(wait)
        clock.now += wait / 1000
        assert breaker.admit(KEY) is Admission.PROBE
        breaker.record_failure(KEY, DOWN)
    assert waits == [30_000, 60_000, 120_000, 240_000, 300_000, 300_000]


def test_after_a_success_a_circuit_opens_as_shortly_as_the_first_time() -> None:
    clock = Clock()
    breaker = opened(clock)
    for probe_succeeds in (False, True):
        clock.now += (breaker.retry_after_ms(KEY) or 0) / 1000
        assert breaker.admit(KEY) is Admission.PROBE
        if probe_succeeds:
            breaker.record_success(KEY, 1.0)
        else:
            breaker.record_failure(KEY, DOWN)
            assert breaker.retry_after_ms(KEY) == 60_000
    breaker.record_failure(KEY, ErrorCode.TIMEOUT)
    assert breaker.retry_after_ms(KEY) == 30_000


def test_a_call_that_fails_late_does_not_shorten_the_time() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 30
    assert breaker.admit(KEY) is Admission.PROBE
    breaker.record_failure(KEY, DOWN)
    clock.now += 10
    breaker.record_failure(KEY, DOWN)  # begun before the circuit opened
    assert breaker.retry_after_ms(KEY) == 60_000


def test_an_early_probe_is_refused_after_a_time_out_and_beside_another() -> None:
    breaker = opened(Clock())
    assert [breaker.probe_early(KEY), breaker.probe_early(KEY)] == [True, False]
    breaker.release(KEY)
    assert breaker.probe_early(KEY)
    breaker.record_failure(KEY, ErrorCode.TIMEOUT)
    assert not breaker.probe_early(KEY)


def test_a_corrected_address_is_another_circuit() -> None:
    breaker = CircuitBreaker(Clock())
    wrong, right = target("m", base_url="https://typo.test"), target("m", base_url="https://right.test")
    for _ in range(3):
        breaker.record_failure(circuit_of(wrong), ErrorCode.NETWORK)
    assert breaker.admit(circuit_of(wrong)) is Admission.REFUSED
    assert breaker.admit(circuit_of(right)) is Admission.GRANTED


@pytest.mark.parametrize(
    ("code", "retryable", "counted"),
    [
        (ErrorCode.MODEL_UNAVAILABLE, True, True),
        (ErrorCode.MODEL_UNAVAILABLE, False, False),
        (ErrorCode.TIMEOUT, None, True),
        (ErrorCode.NETWORK, None, True),
        (ErrorCode.STREAM_INTERRUPTED, None, True),
        (ErrorCode.RATE_LIMIT_EXCEEDED, None, False),
        (ErrorCode.AUTHENTICATION_FAILED, None, False),
        (ErrorCode.BAD_REQUEST, None, False),
        (ErrorCode.CONTENT_FILTERED, None, False),
    ],
)
def test_only_the_providers_failures_count(code: ErrorCode, retryable: bool | None, counted: bool) -> None:
    assert counts(failure(code, retryable=retryable)) is counted


def test_health_tells_rates_times_and_the_last_error() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for ttft in range(1, 20):
        breaker.record_success(KEY, float(ttft))
    breaker.record_interruption(KEY, ErrorCode.STREAM_INTERRUPTED)
    (health,) = breaker.health()
    assert (health.state, health.success_rate, health.calls) == ("closed", 0.95, 20)
    assert (health.ttft_p50_ms, health.ttft_p95_ms) == (10.0, 19.0)
    assert health.last_error_code == "STREAM_INTERRUPTED"
    breaker.record_failure(KEY, ErrorCode.TIMEOUT)
    assert breaker.health()[0].state == "open"
    clock.now += 30
    assert breaker.health()[0].state == "half-open"


Doing = st.sampled_from(["admit", "early", "ok", "down", "slow", "release"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(Doing, st.floats(min_value=0, max_value=400)), max_size=40))
def test_never_two_probes_at_once_and_never_locked_for_ever(steps: list[tuple[str, float]]) -> None:
    """However callers and time interleave: one probe at a time, and after the longest wait somebody gets in."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    probes = 0
    for doing, wait in steps:
        clock.now += wait
        if doing == "admit":
            probes += breaker.admit(KEY) is Admission.PROBE
        elif doing == "early" and breaker.is_open(KEY):
            probes += breaker.probe_early(KEY)
        elif doing == "ok":
            breaker.record_success(KEY, 1.0)
            probes = 0
        elif doing in {"down", "slow"}:
            breaker.record_failure(KEY, ErrorCode.TIMEOUT if doing == "slow" else DOWN)
            probes = 0
        elif doing == "release":
            breaker.release(KEY)
            probes = 0
        assert probes <= 1
    breaker.release(KEY)
    clock.now += 300
    assert breaker.admit(KEY) is not Admission.REFUSED
