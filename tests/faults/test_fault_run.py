"""Hundreds of chats with models that fail, through the real process: nothing lost, doubled or glued together.

The benchmark runs 10,000 of these (``dev.py bench --only faults``) with failures as rare as they are; here they are
three times as frequent, so that each kind comes several times.
"""

from __future__ import annotations

import pytest

from scripts.bench.faults import fault_run, is_right
from scripts.bench.faulty import FLAKY, KINDS, answer_text, thought_text
from tests.host import sidecar_command

CHATS = 300


@pytest.mark.process
def test_what_fails_upstream_does_not_reach_the_user() -> None:
    found = fault_run(CHATS, per_block=12, command=sidecar_command())
    assert found.chats == CHATS
    assert found.wrong == []
    # Three broken answers in a row for one chat are an error; that is one in some 50,000 here.
    assert len(found.failures) <= 1, found.failures
    assert set(found.tally) >= set(KINDS)
    assert found.failing_share > 9
    assert found.refused
    assert found.taken_over
    assert found.continued


def test_a_text_is_right_only_whole_once_and_from_one_voice() -> None:
    answer, thought = answer_text(7, FLAKY), thought_text(7, FLAKY)
    whole = f"<think>{thought}</think>{answer}"
    assert is_right(7, whole)
    assert not is_right(8, whole)
    assert not is_right(7, answer), "a thought was lost"
    assert not is_right(7, whole[:-1])
    assert not is_right(7, whole + answer[-30:])
    assert not is_right(7, f"<think>{thought}</think>{answer[:100]}{answer_text(7, 'gemini')[100:]}")
    assert is_right(7, whole[:60], failed=True)
    assert not is_right(7, "something else", failed=True)
    other = f"<think>{thought[:5]}</think>{answer_text(7, 'gemini')}"
    assert is_right(7, other, continued=True)
    assert not is_right(7, other)
