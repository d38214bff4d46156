"""JSON that strict parsers refuse."""

from __future__ import annotations

import json

import pytest

from sidecar.engines.wire.repair import SplitPairs, repaired


def texts(*events: object) -> list[object]:
    pairs = SplitPairs()
    return [json.loads(repaired(json.dumps(event).encode(), pairs) or b"") for event in events]


def test_a_pair_cut_between_two_events_is_whole_again() -> None:
    first, second = texts({"d": "Hi \ud83d", "n": 1}, {"d": "\udc4b!", "n": 2})
    assert first == {"d": "Hi ", "n": 1}
    assert second == {"d": "👋!", "n": 2}


def test_one_unit_per_event() -> None:
    assert texts(["\ud83d"], ["\udc4b\ud83c"], ["\udffd"]) == [[""], ["👋"], ["🏽"]]


@pytest.mark.parametrize("alone", ["a\ud83db", "\udc4b", 'say "\udc4b" twice \ud83d"'])
def test_a_half_without_its_partner_becomes_a_replacement_character(alone: str) -> None:
    (event,) = texts({"d": alone})
    assert event == {"d": alone.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")}
