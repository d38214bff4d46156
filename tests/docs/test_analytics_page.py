"""The page about analytics gives the constants of the formula as they are."""

from __future__ import annotations

import re

import pytest

from sidecar.routing import recommend, track_record
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "analytics.md").read_text(encoding="utf-8")
TOLD = dict(re.findall(r"^\| `([A-Z_]+)` \| ([\d.]+) \|$", PAGE, re.MULTILINE))


NO_PART_OF_IT = {"EXPECTED", "FALLBACKS_SHOWN", "TYPE_CHECKING"}
"""What follows from the others, what only says how much is shown, and Python's own."""


def constants() -> dict[str, float]:
    """Every number that the formula is made of, by its name in the code."""
    return {
        name: value
        for module in (recommend, track_record)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int | float) and name not in NO_PART_OF_IT
    }


def test_every_constant_is_told_with_its_value() -> None:
    assert {name: float(value) for name, value in TOLD.items()} == pytest.approx(constants())


@pytest.mark.parametrize("name", constants())
def test_every_constant_is_explained(name: str) -> None:
    assert len(re.findall(rf"\b{name}\b", PAGE)) >= 2, "in the table, and in what it does"
