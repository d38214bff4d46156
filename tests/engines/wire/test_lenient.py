"""What counts as a number of tokens, of what vendors send in its place."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.wire.lenient import LARGEST_COUNT, count


@pytest.mark.parametrize("value", [7, 7.0, "7"])
def test_a_count_may_come_as_a_float_or_as_text(value: Any) -> None:
    assert count(value) == 7


@pytest.mark.parametrize("value", [None, True, -1, 7.5, "7.5", "-7", "", "seven", [7], {}, float("inf"), float("nan")])
def test_anything_else_counts_as_absent(value: Any) -> None:
    assert count(value) is None


@pytest.mark.parametrize("value", [2**63, 10**30, 1e30, "999999999999999", LARGEST_COUNT + 1])
def test_more_than_any_call_can_have_is_no_count(value: Any) -> None:
    assert count(value) is None
    assert count(LARGEST_COUNT) == LARGEST_COUNT
