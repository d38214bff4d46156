"""Which model is recommended, and that learning it costs little."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.routing import recommend as rec
from sidecar.routing.recommend import ModelOption, Needs, can_do, needs_of, rank, recommendation, utility
from sidecar.routing.resolve import AUTO_ORDER
from sidecar.routing.track_record import NOTHING, Evidence, Observation, TrackRecord

MINUTE = 60_000
HOUR = 60 * MINUTE
NOW = 1_767_268_800_000

FLASH = ModelOption(provider="google", name="gemini-2.5-flash", display_name="Gemini 2.5 Flash",
                    context_window=1_000_000, reads_images=True, reasons=True, usd_per_million=(0.3, 2.5))  # fmt: skip
SONNET = ModelOption(provider="anthropic", name="claude-sonnet-4-20250514", display_name="Claude 4 Sonnet",
                     context_window=200_000, reads_images=True, reasons=True, usd_per_million=(3.0, 15.0))  # fmt: skip
GPT = ModelOption(provider="openai", name="gpt-4.1", display_name="GPT 4.1", context_window=1_047_576,
                  reads_images=True, usd_per_million=(2.0, 8.0))  # fmt: skip
LLAMA = ModelOption(provider="ollama", name="llama3", local=True, context_window=8_000)
OPTIONS = (LLAMA, GPT, SONNET, FLASH)


def seen(option: ModelOption, at: int, outcome: str = "ok", **more: Any) -> Observation:
    given: dict[str, Any] = {"code": None, "ttft_ms": 800.0, "ms": 5800.0, "output_tokens": 500, **more}
    return Observation(option.provider, option.name, at, outcome, **given)


def names(ranked: Sequence[rec.Ranked]) -> list[str]:
    return [each.option.name for each in ranked]


def nothing(_provider: str, _name: str) -> Evidence:
    return NOTHING


def by(record: TrackRecord, now: int) -> Callable[[str, str], Evidence]:
    return lambda provider, name: record.evidence(provider, name, now)


def test_without_data_it_is_exactly_the_apps_order() -> None:
    ranked = rank(OPTIONS, nothing)
    assert [(each.option.provider, each.option.name) for each in ranked] == [
        *((choice.provider, choice.name) for choice in AUTO_ORDER),
        ("ollama", "llama3"),
    ]
    answer = recommendation(ranked, Needs())
    assert answer.model_selection.recommended == "google/gemini-2.5-flash"
    assert answer.model_selection.reason == "Gemini 2.5 Flash is Scalix's first choice among the models you can use."
    assert answer.model_selection.fallback_options == [
        "anthropic/claude-sonnet-4-20250514",
        "openai/gpt-4.1",
        "ollama/llama3",
    ]


@given(st.permutations(OPTIONS))
def test_prices_alone_change_nothing(options: list[ModelOption]) -> None:
    assert names(rank(options, nothing))[:3] == [choice.name for choice in AUTO_ORDER]


def test_what_cannot_do_it_is_no_candidate() -> None:
    text_only = ModelOption(provider="x", name="text", reads_images=False)
    unknown = ModelOption(provider="x", name="unknown")
    images = needs_of(["vision", "telepathy"])
    assert not can_do(text_only, images)
    assert names(rank([text_only, unknown, GPT], nothing, images)) == ["gpt-4.1", "unknown"]
    assert names(rank(OPTIONS, nothing, Needs(tokens=250_000))) == ["gemini-2.5-flash", "gpt-4.1"]
    assert names(rank(OPTIONS, nothing, needs_of(["reasoning"]))) == ["gemini-2.5-flash", "claude-sonnet-4-20250514"]
    assert "llama3" not in names(rank(OPTIONS, nothing, needs_of(["long-context"])))


def test_nothing_to_recommend_is_said_with_what_to_do() -> None:
    bare = recommendation([], Needs()).model_selection
    assert (bare.recommended, bare.fallback_options) == (None, [])
    assert bare.reason == "No model can be used yet. Add an API key in Settings, or start Ollama or LM Studio."
    assert recommendation([], Needs(images=True)).model_selection.reason == (
        "No model that you can use reads images. Add an API key for another provider in Settings."
    )


def test_a_failing_model_steps_back_and_one_bad_minute_does_not_banish_it() -> None:
    record = TrackRecord()
    for minute in range(20):
        record.observe(seen(FLASH, NOW + minute * MINUTE))
    bad = NOW + 21 * MINUTE
    for _ in range(3):
        record.observe(seen(FLASH, bad, "error", code="MODEL_UNAVAILABLE"))
    assert names(rank(OPTIONS, by(record, bad + 2 * HOUR)))[0] == "gemini-2.5-flash"
    for _ in range(6):
        record.observe(seen(FLASH, bad + 2 * HOUR, "error", code="MODEL_UNAVAILABLE"))
    down = rank(OPTIONS, by(record, bad + 2 * HOUR))
    assert names(down)[0] == "claude-sonnet-4-20250514"
    assert recommendation(down, Needs()).model_selection.reason == (
        "Claude 4 Sonnet, because Gemini 2.5 Flash has been failing lately."
    )
    assert names(rank(OPTIONS, by(record, bad + 5 * HOUR)))[0] == "gemini-2.5-flash"


def test_an_untried_model_is_judged_by_its_provider() -> None:
    pro = ModelOption(provider="google", name="gemini-2.5-pro", usd_per_million=(1.25, 10.0))
    record = TrackRecord()
    for _ in range(6):
        record.observe(seen(FLASH, NOW, "error", code="MODEL_UNAVAILABLE"))
    ranked = rank([pro, *OPTIONS], by(record, NOW), curious=False)
    assert names(ranked) == ["claude-sonnet-4-20250514", "gpt-4.1", "llama3", "gemini-2.5-pro", "gemini-2.5-flash"]


def test_a_slow_first_choice_gives_way_with_a_reason() -> None:
    record = TrackRecord()
    for minute in range(10):
        record.observe(seen(FLASH, NOW + minute, ttft_ms=60_000.0, ms=600_000.0))
    ranked = rank([SONNET, FLASH.__class__(**{**_fields(FLASH), "usd_per_million": (30.0, 60.0)})], by(record, NOW))
    assert recommendation(ranked, Needs()).model_selection.reason == (
        "Claude 4 Sonnet comes next in Scalix's own order, "
        "because Gemini 2.5 Flash has been slower or dearer than usual."
    )


def test_an_open_circuit_comes_last_but_is_not_hidden() -> None:
    options = [FLASH.__class__(**{**_fields(FLASH), "open_circuit": True}), SONNET, GPT]
    ranked = rank(options, nothing)
    assert names(ranked) == ["claude-sonnet-4-20250514", "gpt-4.1", "gemini-2.5-flash"]
    answer = recommendation(ranked, Needs())
    assert answer.model_selection.reason == (
        "Claude 4 Sonnet, because Gemini 2.5 Flash is not answering at the moment."
    )
    assert "not answering at the moment" in answer.candidates[-1].why


def test_a_prompt_the_model_could_not_take_says_nothing_against_it() -> None:
    record = TrackRecord()
    for code in ("BAD_REQUEST", "CONTENT_FILTERED", "CONTEXT_LENGTH_EXCEEDED"):
        record.observe(seen(FLASH, NOW, "error", code=code))
    for outcome in ("cancelled", "skipped", "paused"):
        record.observe(seen(FLASH, NOW, outcome))
    assert record.evidence("google", "gemini-2.5-flash", NOW) == NOTHING


def test_the_figures_are_told() -> None:
    record = TrackRecord()
    record.observe(seen(FLASH, NOW))
    ranked = rank(OPTIONS, by(record, NOW))
    assert rec.why(ranked[0], Needs()) == [
        "number 1 in Scalix's own order",
        "97% of recent requests answered",
        "first words after 0.8 s",
        "100 tokens per second",
        "$0.85 per million tokens",
        "room for 1,000,000 tokens",
    ]
    assert recommendation(ranked, Needs()).model_selection.reason == (
        "Gemini 2.5 Flash has done best lately: "
        "it answered 97% of its recent requests, in about 6 seconds at a low price."
    )


def test_a_clock_set_back_holds_nothing_up() -> None:
    record = TrackRecord()
    record.load([seen(FLASH, NOW + 48 * HOUR, "error", code="TIMEOUT")] * 4, NOW)
    assert record.evidence("google", "gemini-2.5-flash", NOW).failures == 4
    assert record.evidence("google", "gemini-2.5-flash", NOW + HOUR).failures == pytest.approx(1)
    record.observe(seen(FLASH, NOW - HOUR, "error", code="TIMEOUT"))
    assert record.evidence("google", "gemini-2.5-flash", NOW).failures < 1.0


@given(
    st.lists(st.tuples(st.sampled_from(OPTIONS), st.integers(0, 600), st.sampled_from(["ok", "error"])), max_size=30)
)
def test_the_same_data_gives_the_same_ranking(history: list[tuple[ModelOption, int, str]]) -> None:
    def ranking() -> list[tuple[str, float]]:
        record = TrackRecord()
        for option, minute, outcome in sorted(history, key=lambda each: (each[1], each[0].name, each[2])):
            record.observe(seen(option, NOW + minute * MINUTE, outcome, code="TIMEOUT"))
        return [(each.option.name, each.score) for each in rank(OPTIONS, by(record, NOW + 700 * MINUTE))]

    assert ranking() == ranking()
    assert len(ranking()) == len(OPTIONS)


def test_two_hundred_models_are_ranked_in_two_milliseconds() -> None:
    options = [ModelOption(provider=f"p{n % 10}", name=f"m{n}", usd_per_million=(1.0, 2.0)) for n in range(200)]
    record = TrackRecord()
    for index, option in enumerate(options):
        record.observe(seen(option, NOW + index, "ok" if index % 3 else "error", code="TIMEOUT"))
    times = []
    for _ in range(30):
        started = time.perf_counter()
        ranked = rank(options, by(record, NOW + HOUR))
        times.append(time.perf_counter() - started)
    assert len(ranked) == 200
    assert min(times) < 0.002


def _fields(option: ModelOption) -> dict[str, Any]:
    return {name: getattr(option, name) for name in option.__struct_fields__}


def test_a_model_nobody_was_told_about_costs_nothing() -> None:
    assert utility(LLAMA, NOTHING) > utility(GPT, NOTHING)
