"""What happens around a model call: retries, fallback, breakers, and who is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import msgspec
import pytest

from protocol.errors import ErrorCode
from sidecar.engines.base import (
    Event,
    Finish,
    ModelCall,
    ReasoningDelta,
    ResponseStarted,
    Target,
    TextDelta,
    ToolCall,
    ToolInputDelta,
    ToolInputStart,
    Usage,
)
from sidecar.errors import ProviderError, StreamInterrupted
from sidecar.routing.breaker import CircuitBreaker, circuit_of
from sidecar.routing.runner import RoutedStream, Router
from tests.routing.scripted import ANSWER, Clock, ScriptedEngine, failure, make_call, target, unavailable

pytestmark = pytest.mark.anyio

DOWN = [[unavailable()], [unavailable()], [unavailable()]]


class Bench:
    """A router over a scripted engine, with a clock of its own."""

    def __init__(self, engine: ScriptedEngine, *, jitter: float = 0.0) -> None:
        self.engine = engine
        self.clock = Clock()
        self.breaker = CircuitBreaker(self.clock)
        self.router = Router(engine, self.breaker, clock=self.clock, sleep=self.clock.sleep, jitter=lambda: jitter)
        self.told: list[tuple[str, str, str]] = []

    def run(self, *candidates: Target, allow_fallback: bool = True) -> RoutedStream:
        return self.router.run(
            candidates,
            make_call,
            allow_fallback=allow_fallback,
            on_fallback=lambda a, b, code: self.told.append((a.model, b.model, code)),
        )

    async def text(self, *candidates: Target, allow_fallback: bool = True) -> tuple[str, RoutedStream]:
        async with self.run(*candidates, allow_fallback=allow_fallback) as routed:
            text = "".join([event.text async for batch in routed for event in batch if isinstance(event, TextDelta)])
        return text, routed

    async def error(self, *candidates: Target, allow_fallback: bool = True) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await self.text(*candidates, allow_fallback=allow_fallback)
        assert self.engine.open == 0
        return caught.value


def outcomes(attempts: Sequence[Any]) -> list[tuple[str, str, str | None]]:
    return [(attempt.name, attempt.outcome, attempt.code) for attempt in attempts]


# --- the same model ------------------------------------------------------------------------------------------------


async def test_an_answer_is_passed_on_batch_by_batch() -> None:
    batches: list[list[Event]] = [
        [ResponseStarted("x")],
        [TextDelta("a")],
        [TextDelta("b"), Finish("stop")],
        [Usage(input_tokens=1)],
    ]
    bench = Bench(ScriptedEngine(m=[batches]))
    async with bench.run(target("m")) as routed:
        assert [batch async for batch in routed] == batches
        assert outcomes(routed.attempts) == [("m", "ok", None)]
    assert bench.engine.open == 0


async def test_a_retryable_failure_is_retried_after_two_and_four_seconds() -> None:
    bench = Bench(ScriptedEngine(m=[[unavailable()], [unavailable()], ANSWER]))
    text, routed = await bench.text(target("m"))
    assert text == "hello"
    assert bench.clock.slept == [2.0, 4.0]
    assert [call.attempt for call in bench.engine.calls] == [1, 2, 3]
    assert outcomes(routed.attempts) == [
        ("m", "error", "MODEL_UNAVAILABLE"),
        ("m", "error", "MODEL_UNAVAILABLE"),
        ("m", "ok", None),
    ]


async def test_jitter_only_lengthens_a_delay_and_by_a_tenth_at_most() -> None:
    bench = Bench(ScriptedEngine(m=DOWN), jitter=1.0)
    await bench.error(target("m"))
    assert bench.clock.slept == pytest.approx([2.2, 4.4])


@pytest.mark.parametrize(("asked_ms", "slept"), [(0, 0.0), (1500, 1.5), (60_000, 60.0), (60_001, 2.0), (90_000, 2.0)])
async def test_a_retry_after_of_up_to_a_minute_is_honoured(asked_ms: int, slept: float) -> None:
    limited = failure(ErrorCode.RATE_LIMIT_EXCEEDED, status=429, retry_after_ms=asked_ms)
    bench = Bench(ScriptedEngine(m=[[limited], ANSWER]))
    await bench.text(target("m"))
    assert bench.clock.slept == [slept]


async def test_three_failures_of_one_model_are_told_in_the_apps_words() -> None:
    limited = [
        [failure(ErrorCode.RATE_LIMIT_EXCEEDED, "Too many requests. Please try again later.", status=429)]
        for _ in range(3)
    ]
    bench = Bench(ScriptedEngine(m=limited))
    error = await bench.error(target("m"))
    assert error.message == "Failed after 3 attempts. Last error: Too many requests. Please try again later."
    assert error.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert error.status == 429
    data = error.data()
    assert data["scope"] == "provider"
    assert (data["provider"], data["model"]) == ("openai", "m")
    assert outcomes(data["attempts"]) == [("m", "error", "RATE_LIMIT_EXCEEDED")] * 3


async def test_attempts_travel_in_the_shape_of_the_protocol() -> None:
    bench = Bench(ScriptedEngine(m=[[failure(ErrorCode.BAD_REQUEST)]]))
    error = await bench.error(target("m"))
    sent = msgspec.json.encode(error.data()["attempts"])
    assert sent == b'[{"provider":"openai","name":"m","outcome":"error","ms":0,"code":"BAD_REQUEST"}]'


async def test_a_failure_that_repeating_cannot_mend_is_told_as_it_is() -> None:
    bench = Bench(ScriptedEngine(m=[[failure(ErrorCode.BAD_REQUEST, "max_tokens is too large", details="{}")]]))
    error = await bench.error(target("m"), target("other", "google"))
    assert error.message == "max_tokens is too large"
    assert error.details == "{}"
    assert bench.engine.models() == ["m"]


async def test_a_retry_that_meets_a_final_failure_says_both() -> None:
    bench = Bench(ScriptedEngine(m=[[unavailable()], [failure(ErrorCode.BAD_REQUEST, "no such field")]]))
    error = await bench.error(target("m"))
    assert error.message == "Failed after 2 attempts with non-retryable error: 'no such field'"


async def test_a_failure_without_words_gets_some() -> None:
    bench = Bench(ScriptedEngine(m=[[unavailable("")], [unavailable(" ")], [unavailable("")]]))
    error = await bench.error(target("m"))
    assert error.message == "Failed after 3 attempts. Last error: the provider gave no reason (MODEL_UNAVAILABLE)"


# --- first content -------------------------------------------------------------------------------------------------

CONTENT: list[Event] = [
    TextDelta("x"),
    ReasoningDelta("x"),
    ToolInputStart("1", "f"),
    ToolInputDelta("1", "{"),
    ToolCall("1", "f", "{}"),
]


@pytest.mark.parametrize("first", CONTENT)
async def test_after_the_first_content_an_error_ends_the_answer(first: Event) -> None:
    bench = Bench(ScriptedEngine(m=[[[first], unavailable("gone")]], other=[ANSWER]))
    got: list[Event] = []
    with pytest.raises(ProviderError) as caught:
        async with bench.run(target("m"), target("other", "google")) as routed:
            async for batch in routed:
                got += batch
    assert got == [first]
    assert caught.value.message.endswith(": gone")
    assert outcomes(caught.value.extra["attempts"]) == [("m", "error", "MODEL_UNAVAILABLE")]
    assert bench.engine.models() == ["m"]
    assert bench.engine.open == 0


@pytest.mark.parametrize("first", [ResponseStarted("id"), TextDelta(""), ReasoningDelta(""), Usage(input_tokens=3)])
async def test_what_comes_before_the_first_content_is_dropped_with_its_attempt(first: Event) -> None:
    bench = Bench(ScriptedEngine(m=[[[first], StreamInterrupted("cut")], ANSWER]))
    async with bench.run(target("m")) as routed:
        events = [event async for batch in routed for event in batch]
    assert events == [TextDelta("hello"), Finish("stop")]


async def test_a_proper_end_without_content_is_an_empty_answer() -> None:
    script: list[list[Event]] = [[ResponseStarted("id")], [Finish("content-filter", "SAFETY")], [Usage(input_tokens=9)]]
    bench = Bench(ScriptedEngine(m=[script]))
    async with bench.run(target("m"), target("other", "google")) as routed:
        assert [batch async for batch in routed] == script
    assert outcomes(routed.attempts) == [("m", "ok", None)]


async def test_an_error_for_a_finish_reason_without_content_is_a_failure_and_retried() -> None:
    """Gemini, when a function call of its own making was malformed."""
    bench = Bench(ScriptedEngine(m=[[[Finish("error", "MALFORMED_FUNCTION_CALL")], [Usage(input_tokens=9)]], ANSWER]))
    text, routed = await bench.text(target("m"))
    assert text == "hello"
    assert outcomes(routed.attempts)[0] == ("m", "error", "MODEL_UNAVAILABLE")


async def test_a_model_that_only_ever_ends_in_an_error_says_which() -> None:
    bench = Bench(ScriptedEngine(m=[[[Finish("error", "MALFORMED_FUNCTION_CALL")]]]))
    with pytest.raises(ProviderError, match=r"before it wrote anything \(MALFORMED_FUNCTION_CALL\)"):
        await bench.text(target("m"))
    assert not bench.breaker.is_open(circuit_of(target("m"))), "it is there, and may answer the next prompt"


async def test_an_end_without_content_and_finish_is_an_interruption_and_retried() -> None:
    bench = Bench(ScriptedEngine(m=[[[ResponseStarted("id")]], ANSWER]))
    text, routed = await bench.text(target("m"))
    assert text == "hello"
    assert outcomes(routed.attempts)[0] == ("m", "error", "STREAM_INTERRUPTED")


# --- other models --------------------------------------------------------------------------------------------------


async def test_the_next_candidate_takes_over_after_three_failures() -> None:
    bench = Bench(ScriptedEngine(m=DOWN, other=[ANSWER]))
    text, routed = await bench.text(target("m"), target("other", "google"))
    assert text == "hello"
    assert bench.engine.models() == ["m", "m", "m", "other"]
    assert [call.attempt for call in bench.engine.calls] == [1, 2, 3, 4]
    assert bench.told == [("m", "other", "MODEL_UNAVAILABLE")]
    assert [(each.from_.model, each.to.model) for each in routed.fallbacks] == [("m", "other")]
    assert routed.target.model == "other"


async def test_without_permission_nobody_takes_over() -> None:
    bench = Bench(ScriptedEngine(m=DOWN, other=[ANSWER]))
    error = await bench.error(target("m"), target("other", "google"), allow_fallback=False)
    assert error.message.startswith("Failed after 3 attempts. Last error: Service Unavailable")
    assert bench.told == []


async def test_when_all_failed_the_number_of_models_is_told() -> None:
    bench = Bench(ScriptedEngine(m=DOWN, other=[[failure(ErrorCode.NETWORK, "no route")]]))
    error = await bench.error(target("m"), target("other", "google"))
    assert error.message == "All 2 models failed for stream. Last error: no route"
    assert error.code is ErrorCode.MODEL_UNAVAILABLE
    assert len(error.extra["attempts"]) == 6


async def test_many_models_that_are_down_are_not_all_waited_for() -> None:
    """With keys for everything ``auto`` has three dozen candidates; each in full would take minutes to say no."""
    names = [f"m{number}" for number in range(36)]
    bench = Bench(ScriptedEngine(**{name: [*DOWN] for name in names}))
    error = await bench.error(*(target(name, name) for name in names))
    assert bench.clock.slept == [2.0, 4.0] * 3
    assert bench.engine.models() == [name for name in names[:3] for _ in range(3)] + names[3:]
    assert error.message.startswith("All 36 models failed for stream.")


async def test_one_model_is_waited_for_as_long_as_it_asks() -> None:
    limited = failure(ErrorCode.RATE_LIMIT_EXCEEDED, status=429, retry_after_ms=60_000)
    bench = Bench(ScriptedEngine(m=[[limited], [limited], ANSWER]))
    await bench.text(target("m"))
    assert bench.clock.slept == [60.0, 60.0]


async def test_when_all_were_rate_limited_that_is_the_code() -> None:
    limited = [[failure(ErrorCode.RATE_LIMIT_EXCEEDED, "slow down", status=429)]]
    bench = Bench(ScriptedEngine(m=limited, other=limited))
    error = await bench.error(target("m"), target("other", "google"))
    assert error.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert error.extra["scope"] == "provider"


async def test_an_unknown_model_is_not_retried_but_handed_on() -> None:
    bench = Bench(ScriptedEngine(m=[[unavailable("no such model", retryable=False)]], other=[ANSWER]))
    await bench.text(target("m"), target("other"))
    assert bench.engine.models() == ["m", "other"]
    assert bench.clock.slept == []


KEY_CODES = [ErrorCode.AUTHENTICATION_FAILED, ErrorCode.PERMISSION_DENIED, ErrorCode.INSUFFICIENT_CREDITS]


@pytest.mark.parametrize("code", KEY_CODES)
async def test_a_key_error_stops_where_the_user_chose_the_model(code: ErrorCode) -> None:
    bench = Bench(ScriptedEngine(m=[[failure(code, "bad key", status=401)]], other=[ANSWER]))
    error = await bench.error(target("m"), target("other", "google"))
    assert error.message == "bad key"
    assert error.code is code
    assert bench.engine.models() == ["m"]


@pytest.mark.parametrize("code", KEY_CODES)
async def test_auto_goes_on_with_another_provider_after_a_key_error_and_says_so(code: ErrorCode) -> None:
    bench = Bench(ScriptedEngine(m=[[failure(code, "bad key", status=401)]], same=[ANSWER], other=[ANSWER]))
    text, routed = await bench.text(
        target("m", automatic=True), target("same", automatic=True), target("other", "google", automatic=True)
    )
    assert text == "hello"
    assert bench.engine.models() == ["m", "other"]
    assert outcomes(routed.attempts)[0] == ("m", "error", code.value)
    assert routed.warnings == ["openai was left out: bad key"]
    assert bench.told == [("m", "other", code.value)]


async def test_auto_with_one_bad_key_only_tells_that() -> None:
    bench = Bench(ScriptedEngine(m=[[failure(ErrorCode.AUTHENTICATION_FAILED, "bad key")]], same=[ANSWER]))
    error = await bench.error(target("m", automatic=True), target("same", automatic=True))
    assert (error.message, error.code) == ("bad key", ErrorCode.AUTHENTICATION_FAILED)


OF_ONE_MODEL = {
    "openai": failure(ErrorCode.PERMISSION_DENIED, "no access", status=403, raw_code="model_not_found"),
    "key": failure(ErrorCode.PERMISSION_DENIED, "not yours", status=403, raw_code="key_model_access_denied"),
    "team": failure(ErrorCode.PERMISSION_DENIED, "not yours", status=403, raw_code="team_model_access_denied"),
    "vendor": failure(ErrorCode.AUTHENTICATION_FAILED, "litellm.AuthenticationError: bad key", status=401),
    "account": failure(ErrorCode.INSUFFICIENT_CREDITS, "litellm.RateLimitError: OpenAIException - quota", status=429),
    "budget": failure(ErrorCode.INSUFFICIENT_CREDITS, "No deployments available - crossed budget: x", status=429),
}


@pytest.mark.parametrize("automatic", [False, True])
@pytest.mark.parametrize("name", OF_ONE_MODEL)
async def test_a_key_refused_for_one_model_may_use_the_next(name: str, automatic: bool) -> None:
    """OpenAI's and a LiteLLM proxy's ways to say it; the same key is asked with."""
    met = OF_ONE_MODEL[name]
    bench = Bench(ScriptedEngine(m=[[met]], same=[ANSWER]))
    text, routed = await bench.text(target("m", automatic=automatic), target("same", automatic=automatic))
    assert text == "hello"
    assert (bench.told, routed.warnings) == ([("m", "same", met.code.value)], [])


@pytest.mark.parametrize(
    "met",
    [
        failure(ErrorCode.MODEL_UNAVAILABLE, "no database", status=503, raw_code="no_db_connection", retryable=False),
        failure(ErrorCode.RATE_LIMIT_EXCEEDED, "Rate limit exceeded for api_key: ***.", retry_after_ms=60_000),
        failure(ErrorCode.RATE_LIMIT_EXCEEDED, "Rate limit exceeded for team_member: a:b.", retry_after_ms=60_000),
    ],
    ids=["outage", "key", "member"],
)
async def test_what_a_proxy_says_of_the_caller_is_not_tried_again_with_another_model(met: ProviderError) -> None:
    bench = Bench(ScriptedEngine(m=[[met]], same=[ANSWER], other=[ANSWER]))
    await bench.text(
        *(target(name, route="proxy", base_url="https://proxy.test") for name in ("m", "same")),
        target("other", "google"),
    )
    assert bench.engine.models() == ["m", "other"]


async def test_a_proxys_limit_of_one_model_hands_over_to_another_behind_it() -> None:
    limited = failure(
        ErrorCode.RATE_LIMIT_EXCEEDED, "Rate limit exceeded for model_per_key: ***:m.", retry_after_ms=60_000
    )
    bench = Bench(ScriptedEngine(m=[[limited]], same=[ANSWER]))
    await bench.text(*(target(name, route="proxy", base_url="https://proxy.test") for name in ("m", "same")))
    assert bench.engine.models() == ["m", "same"]


async def test_a_host_that_cannot_be_reached_is_not_tried_again_for_its_other_models() -> None:
    bench = Bench(ScriptedEngine(m=[[failure(ErrorCode.NETWORK)]], same=[ANSWER], other=[ANSWER]))
    await bench.text(target("m"), target("same"), target("other", "google"))
    assert bench.engine.models() == ["m", "m", "m", "other"]


@pytest.mark.parametrize("route", ["engine", "gateway"])
async def test_a_used_up_account_is_not_tried_again_with_another_model(route: str) -> None:
    limited = [[failure(ErrorCode.RATE_LIMIT_EXCEEDED, "slow down", status=429)]]
    bench = Bench(ScriptedEngine(m=limited, auto=[ANSWER]))
    error = await bench.error(
        target("m", "openai", route=route, base_url="https://e.test"),
        target("auto", "auto", route=route, base_url="https://e.test"),
    )
    assert error.message == "Failed after 3 attempts. Last error: slow down"


async def test_a_prompt_that_is_too_long_goes_to_a_larger_window_only() -> None:
    too_long = failure(ErrorCode.CONTEXT_LENGTH_EXCEEDED, "too long")
    bench = Bench(ScriptedEngine(m=[[too_long]], small=[ANSWER], large=[ANSWER]))
    await bench.text(
        target("m", context_window=200), target("small", context_window=200), target("large", context_window=300)
    )
    assert bench.engine.models() == ["m", "large"]


async def test_a_model_whose_circuit_has_just_opened_is_left_at_once_when_there_is_somebody() -> None:
    bench = Bench(ScriptedEngine(m=DOWN, other=[ANSWER]))
    for _ in range(2):
        bench.breaker.record_failure(circuit_of(target("m")), ErrorCode.MODEL_UNAVAILABLE)
    await bench.text(target("m"), target("other", "google"))
    assert (bench.engine.models(), bench.clock.slept) == (["m", "other"], [])


@pytest.mark.parametrize("asked_ms", [60_000, 3_600_000])
async def test_a_long_retry_after_hands_over_at_once_when_there_is_somebody(asked_ms: int) -> None:
    limited = failure(ErrorCode.RATE_LIMIT_EXCEEDED, status=429, retry_after_ms=asked_ms)
    bench = Bench(ScriptedEngine(m=[[limited]], other=[ANSWER]))
    await bench.text(target("m"), target("other", "google"))
    assert bench.clock.slept == []
    assert bench.engine.models() == ["m", "other"]


# --- breakers ------------------------------------------------------------------------------------------------------


async def test_a_second_message_during_an_outage_costs_nothing() -> None:
    bench = Bench(ScriptedEngine(m=[[unavailable()]], other=[ANSWER]))
    pair = (target("m"), target("other", "google"))
    await bench.text(*pair)
    before, bench.engine.calls = bench.clock.now, []
    text, routed = await bench.text(*pair)
    assert text == "hello"
    assert bench.clock.now == before
    assert bench.engine.models() == ["other"]
    assert outcomes(routed.attempts) == [("m", "skipped", "MODEL_UNAVAILABLE"), ("other", "ok", None)]
    assert bench.told[-1] == ("m", "other", "MODEL_UNAVAILABLE")


async def test_of_a_model_that_was_not_asked_nobody_knows_what_it_would_have_said() -> None:
    limited = failure(ErrorCode.RATE_LIMIT_EXCEEDED, status=429)
    bench = Bench(ScriptedEngine(m=[[unavailable()]], other=[ANSWER]))
    pair = (target("m"), target("other", "google"))
    await bench.text(*pair)
    bench.engine.scripts["other"] = [[limited]]
    error = await bench.error(*pair)
    assert outcomes(error.extra["attempts"])[0] == ("m", "skipped", "MODEL_UNAVAILABLE")
    assert error.code is ErrorCode.MODEL_UNAVAILABLE


async def test_after_a_time_out_a_lone_model_is_refused_until_its_probe() -> None:
    bench = Bench(ScriptedEngine(m=[[failure(ErrorCode.TIMEOUT, "too slow")]]))
    await bench.error(target("m"))
    bench.engine.calls = []
    error = await bench.error(target("m"))
    assert bench.engine.calls == []
    assert error.code is ErrorCode.MODEL_UNAVAILABLE
    assert error.retry_after_ms == 30_000
    assert error.message == "m has not been answering. Try again in 30 s, or choose another model."
    assert outcomes(error.extra["attempts"]) == [("m", "skipped", "MODEL_UNAVAILABLE")]
    bench.clock.now += 30
    bench.engine.scripts["m"] = [ANSWER]
    assert (await bench.text(target("m")))[0] == "hello"
    assert (await bench.text(target("m")))[0] == "hello"


async def test_a_lone_model_that_fails_fast_gets_one_try_per_message_and_tells_its_own_reason() -> None:
    bench = Bench(ScriptedEngine(m=[[unavailable("first")], [unavailable("second")], [unavailable("third")]]))
    await bench.error(target("m"))
    bench.engine.scripts["m"], bench.engine.calls = [[unavailable("still down")]], []
    before = bench.clock.now
    error = await bench.error(target("m"))
    assert error.message == "still down"
    assert len(bench.engine.calls) == 1
    assert bench.clock.now == before


async def test_a_time_out_of_a_lone_model_is_the_end_of_the_wait() -> None:
    bench = Bench(ScriptedEngine(m=[[failure(ErrorCode.TIMEOUT, "too slow")], ANSWER]))
    error = await bench.error(target("m"))
    assert (error.code, error.message, error.retryable) == (ErrorCode.TIMEOUT, "too slow", True)
    assert (len(bench.engine.calls), bench.clock.slept) == (1, [])


async def test_three_silent_models_are_the_end_of_the_wait_too() -> None:
    silent = {name: [[failure(ErrorCode.TIMEOUT, "too slow")]] for name in ("a", "b", "c", "d")}
    bench = Bench(ScriptedEngine(**silent))
    error = await bench.error(*(target(name, f"vendor-{name}") for name in silent))
    assert bench.engine.models() == ["a", "b", "c"]
    assert error.code is ErrorCode.TIMEOUT


async def test_a_time_out_the_provider_tells_of_is_repeated() -> None:
    bench = Bench(ScriptedEngine(m=[[failure(ErrorCode.TIMEOUT, "upstream too slow", status=504)], ANSWER]))
    # Its circuit is open at once for everybody else; with nobody else to ask, the message goes on.
    assert (await bench.text(target("m")))[0] == "hello"


async def test_a_model_that_was_waited_for_a_minute_is_not_asked_again() -> None:
    bench = Bench(ScriptedEngine(m=[[unavailable()]]))

    def slow(_: ModelCall) -> None:
        bench.clock.now += 31

    bench.engine.on_call = slow
    await bench.error(target("m"))
    assert len(bench.engine.calls) == 2


async def test_waiting_as_asked_is_no_time_spent_on_the_model() -> None:
    limited = failure(ErrorCode.RATE_LIMIT_EXCEEDED, status=429, retry_after_ms=60_000)
    bench = Bench(ScriptedEngine(m=[[limited], [limited], ANSWER]))
    assert (await bench.text(target("m")))[0] == "hello"


async def test_a_local_model_that_was_being_loaded_may_be_asked_again_at_once() -> None:
    bench = Bench(ScriptedEngine(m=[[failure(ErrorCode.TIMEOUT, "too slow")], ANSWER]))
    await bench.error(target("m", "ollama", route="local"))
    assert (await bench.text(target("m", "ollama", route="local")))[0] == "hello"


@pytest.mark.parametrize(
    ("broke", "code"),
    [
        (unavailable("Overloaded"), ErrorCode.STREAM_INTERRUPTED),
        (failure(ErrorCode.RATE_LIMIT_EXCEEDED, "Overloaded", retry_after_ms=5), ErrorCode.STREAM_INTERRUPTED),
        (failure(ErrorCode.TIMEOUT, "Overloaded"), ErrorCode.TIMEOUT),
        (failure(ErrorCode.CONTENT_FILTERED, "Overloaded"), ErrorCode.CONTENT_FILTERED),
        (failure(ErrorCode.AUTHENTICATION_FAILED, "Overloaded"), ErrorCode.AUTHENTICATION_FAILED),
        (StreamInterrupted("Overloaded"), ErrorCode.STREAM_INTERRUPTED),
    ],
)
async def test_an_answer_that_fails_half_way_is_interrupted(broke: ProviderError, code: ErrorCode) -> None:
    """Whatever would help to ask again is one thing to the user; the attempt keeps the provider's own code."""
    bench = Bench(ScriptedEngine(m=[[[TextDelta("a")], broke]], other=[ANSWER]))
    before = broke.code
    error = await bench.error(target("m"), target("other", "google"))
    assert (error.code, error.retryable, error.retry_after_ms) == (code, broke.retryable, broke.retry_after_ms)
    assert "Overloaded" in error.message
    assert outcomes(error.extra["attempts"]) == [("m", "error", before.value)]
    assert (error.provider, error.model) == ("openai", "m")


async def test_a_time_out_is_not_repeated_when_another_model_can_answer() -> None:
    bench = Bench(ScriptedEngine(m=[[failure(ErrorCode.TIMEOUT, "too slow")]], other=[ANSWER]))
    await bench.text(target("m"), target("other", "google"))
    assert bench.engine.models() == ["m", "other"]


@pytest.mark.parametrize("code", [*KEY_CODES, ErrorCode.BAD_REQUEST, ErrorCode.RATE_LIMIT_EXCEEDED])
async def test_what_is_the_users_own_never_opens_a_circuit(code: ErrorCode) -> None:
    bench = Bench(ScriptedEngine(m=[[failure(code)]]))
    for _ in range(4):
        await bench.error(target("m"))
    assert [each.state for each in bench.breaker.health()] in ([], ["closed"])
    bench.engine.scripts["m"] = [ANSWER]
    assert (await bench.text(target("m")))[0] == "hello"


# --- cancelling ----------------------------------------------------------------------------------------------------


async def test_cancelling_during_the_delay_ends_the_call_at_once() -> None:
    engine = ScriptedEngine(m=[[unavailable()]])
    clock, sleeping = Clock(), anyio.Event()

    async def sleep(_: float) -> None:
        sleeping.set()
        await anyio.sleep_forever()

    routed = Router(engine, clock=clock, sleep=sleep).run([target("m")], make_call, allow_fallback=False)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(_enter, routed)
            await sleeping.wait()
            group.cancel_scope.cancel()
    assert outcomes(routed.attempts) == [("m", "error", "MODEL_UNAVAILABLE")]
    assert len(engine.calls) == 1


async def _enter(routed: RoutedStream) -> None:
    async with routed:
        raise AssertionError("it was cancelled before it had anything")


@pytest.mark.parametrize("before", [[], [[TextDelta("x")]]])
async def test_cancelling_an_attempt_closes_it_and_leaves_its_circuit_alone(before: list[list[Event]]) -> None:
    bench = Bench(ScriptedEngine(m=[[*before, anyio.Event()]]))
    routed = bench.run(target("m"))

    async def consume() -> None:
        async with routed:
            async for _ in routed:
                pass

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            await anyio.wait_all_tasks_blocked()
            assert bench.engine.open == 1
            group.cancel_scope.cancel()
    assert bench.engine.open == 0
    assert [attempt.outcome for attempt in routed.attempts] == ["cancelled"]
    assert all(each.state == "closed" for each in bench.breaker.health())


async def test_a_cancelled_probe_lets_the_next_one_out() -> None:
    bench = Bench(ScriptedEngine(m=[[failure(ErrorCode.TIMEOUT)]]))
    await bench.error(target("m"))
    bench.clock.now += 30
    bench.engine.scripts["m"] = [[anyio.Event()], ANSWER]
    async with anyio.create_task_group() as group:
        group.start_soon(bench.text, target("m"))
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert (await bench.text(target("m")))[0] == "hello"


async def test_leaving_in_the_middle_closes_the_provider() -> None:
    bench = Bench(ScriptedEngine(m=[[[TextDelta("a")], [TextDelta("b")], [Finish("stop")]]]))
    async with bench.run(target("m")) as routed:
        async for _ in routed:
            break
    assert bench.engine.open == 0
    assert outcomes(routed.attempts) == [("m", "cancelled", None)]


async def test_a_scope_of_the_engine_nests_in_one_of_the_consumer() -> None:
    """An engine may hold a cancel scope open while it streams; entering and leaving must stay last in, first out."""
    bench = Bench(ScriptedEngine(m=[[unavailable()], ANSWER]))
    plain = bench.engine.stream

    class Scoped:
        def stream(self, call: Any) -> Any:
            return _scoped(plain(call))

    bench.router.engine = Scoped()
    with anyio.fail_after(5):
        async with bench.run(target("m")) as routed:
            with anyio.fail_after(5):
                assert len([batch async for batch in routed]) == 2


def _scoped(inner: Any) -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def stream() -> Any:
        with anyio.CancelScope():
            async with inner as batches:
                yield batches

    return stream()


async def test_a_bug_in_building_the_call_is_not_hidden() -> None:
    bench = Bench(ScriptedEngine(m=[ANSWER]))

    def broken(_: Target, __: int) -> Any:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        async with bench.router.run([target("m")], broken, allow_fallback=False):
            pass


async def test_the_time_to_the_first_content_is_measured() -> None:
    bench = Bench(ScriptedEngine(m=[ANSWER]))

    def later(_: Any) -> None:
        bench.clock.now += 0.25

    bench.engine.on_call = later
    _, routed = await bench.text(target("m"))
    assert routed.attempts[0].ttft_ms == 250.0
