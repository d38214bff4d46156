"""Whether a prompt fits its model, with the counts."""

from __future__ import annotations

import pytest

from protocol.errors import ErrorCode
from sidecar.errors import SidecarError
from sidecar.routing.window import fits, fitting
from tests.routing.scripted import target


@pytest.mark.parametrize(
    ("total", "output", "window", "allowed"),
    [
        (1000, 8000, 128_000, 8000),
        (100_000, 32_000, 128_000, 28_000),
        (1000, None, 128_000, None),
        (6000, 8000, 8000, 2000),
        (126_976, 32_000, 128_000, 1024),
        (127_990, 10, 128_000, 10),
    ],
)
def test_a_prompt_that_fits_says_how_long_the_answer_may_be(
    total: int, output: int | None, window: int, allowed: int | None
) -> None:
    assert fits(total, output, window) == allowed


@pytest.mark.parametrize(("total", "output"), [(128_001, None), (127_500, 8000), (5_000_000, 32_000)])
def test_a_prompt_that_does_not_fit_is_refused_with_the_counts(total: int, output: int | None) -> None:
    with pytest.raises(SidecarError) as caught:
        fits(total, output, 128_000)
    assert caught.value.code is ErrorCode.CONTEXT_LENGTH_EXCEEDED
    assert f"{total:,}" in caught.value.message and "128,000" in caught.value.message
    assert caught.value.data()["totalTokens"] == total


def test_a_candidate_that_is_too_small_is_left_out() -> None:
    small, large = target("small", context_window=8_000), target("large", context_window=100_000)
    chosen = target("m", context_window=50_000, max_output_tokens=30_000)
    found = fitting([chosen, small, large], 30_000, 50_000)
    assert [each.model for each in found] == ["m", "large"]
    assert found[0].max_output_tokens == 20_000


def test_a_window_nobody_knows_is_the_providers_to_judge() -> None:
    assert fitting([target("m", context_window=8_000)], 30_000, None) == (target("m", context_window=8_000),)
