"""``auto`` surprises nobody: Scalix's own models first, others only as their equals."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.routing.auto_order import auto_order
from sidecar.routing.recommend import ModelOption
from sidecar.routing.track_record import NOTHING, Evidence

FLASH = ModelOption(provider="google", name="gemini-2.5-flash", reads_images=True, context_window=1_000_000,
                    usd_per_million=(0.3, 2.5))  # fmt: skip
SONNET = ModelOption(provider="anthropic", name="claude-sonnet-4-20250514", reads_images=True, context_window=200_000,
                     usd_per_million=(3.0, 15.0))  # fmt: skip
OPUS = ModelOption(provider="openrouter", name="claude-opus", reads_images=True, context_window=200_000,
                   usd_per_million=(15.0, 75.0))  # fmt: skip
SMALL = ModelOption(provider="mistral", name="small", reads_images=True, context_window=256_000,
                    usd_per_million=(0.1, 0.3))  # fmt: skip
EMBEDDER = ModelOption(provider="custom::rag", name="embedder")

GREAT = Evidence(20.0, 0.0, 100.0, 400.0)
SLOW = Evidence(20.0, 0.0, 40_000.0, 5.0)


def order(options: list[ModelOption], **evidence: Evidence) -> list[str]:
    """Names in the order in which they are asked; evidence is given by provider."""
    return [each.option.name for each in auto_order(options, lambda provider, _: evidence.get(provider, NOTHING))]


def test_where_scalix_pays_a_good_first_choice_stays_the_first_choice() -> None:
    steady = Evidence(20.0, 0.0, 800.0, 150.0)

    def asked_first(answers: int, *, own_keys: bool) -> str:
        def evidence(provider: str, _: str) -> Evidence:
            return steady._replace(answers=float(answers)) if provider == "google" else NOTHING

        return auto_order([FLASH, SONNET], evidence, own_keys=own_keys)[0].option.name

    assert {asked_first(number, own_keys=False) for number in range(1, 100_000, 997)} == {FLASH.name}
    failing = {"google": Evidence(2.0, 6.0, 800.0, 150.0)}
    found = auto_order([FLASH, SONNET], lambda provider, _: failing.get(provider, NOTHING), own_keys=False)
    assert found[0].option.name == SONNET.name, "but it gives way when it fails"


@given(st.permutations([FLASH, SONNET, OPUS, SMALL, EMBEDDER]))
def test_without_data_it_is_exactly_the_order_of_the_app(options: list[ModelOption]) -> None:
    rest = [each.name for each in options if each not in (FLASH, SONNET)]
    assert order(options) == [FLASH.name, SONNET.name, *rest]


def test_nothing_but_the_apps_own_models_is_asked_out_of_curiosity() -> None:
    many = Evidence(20.0, 0.0, 3_000.0, 60.0)
    found = order([FLASH, SONNET, OPUS, SMALL], google=SLOW, anthropic=many)
    assert found[:2] == [SONNET.name, FLASH.name]
    assert set(found[2:]) == {OPUS.name, SMALL.name}


def test_a_model_that_has_proved_itself_and_costs_no_more_may_lead() -> None:
    found = order([FLASH, SONNET, SMALL], google=SLOW, anthropic=SLOW, mistral=GREAT)
    assert found[0] == SMALL.name


@pytest.mark.parametrize(
    "change",
    [
        {"usd_per_million": (15.0, 75.0)},
        {"usd_per_million": None},
        {"reads_images": False},
        {"reads_images": None},
        {"context_window": 32_000},
    ],
    ids=["dearer", "price unknown", "no images", "images unknown", "too small"],
)
def test_what_the_user_would_be_surprised_by_only_stands_in(change: dict[str, Any]) -> None:
    odd = msgspec.structs.replace(SMALL, **change)
    found = order([FLASH, SONNET, odd], google=SLOW, anthropic=SLOW, mistral=GREAT)
    assert found[-1] == SMALL.name


def test_without_any_of_the_apps_own_the_first_of_the_others_leads() -> None:
    assert order([SMALL, OPUS, EMBEDDER], openrouter=GREAT, mistral=SLOW)[0] == SMALL.name


def test_a_model_whose_circuit_is_open_gives_way_to_the_apps_next() -> None:
    down = msgspec.structs.replace(FLASH, open_circuit=True)
    assert order([down, SONNET, SMALL], google=GREAT)[:2] == [SONNET.name, FLASH.name]
