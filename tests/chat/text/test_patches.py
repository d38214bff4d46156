"""Patches count UTF-16 units, as the renderer does."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.chat.text.patches import Patch, PatchLog, djb2
from sidecar.lengths import utf16_length
from tests.renderer import PatchMismatch, apply_patch

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=())) | st.text("ab", min_size=16)


def units_of(text: str) -> list[int]:
    encoded = text.encode("utf-16-be", "surrogatepass")
    return [encoded[at] << 8 | encoded[at + 1] for at in range(0, len(encoded), 2)]


@given(ANY_TEXT)
def test_the_hash_is_the_renderers(text: str) -> None:
    expected = 5381
    for unit in units_of(text):
        expected = ((expected * 33) ^ unit) % 2**32
    assert djb2(text) == expected
    assert utf16_length(text) == len(units_of(text))


def test_known_hashes() -> None:
    assert djb2("") == 5381
    assert djb2("a") == 177604  # 5381 * 33 = 177573 = 0x2B5A5; xor 0x61
    assert djb2("ab") == (177604 * 33) ^ 0x62


@given(ANY_TEXT, ANY_TEXT)
def test_a_hash_can_be_continued(first: str, second: str) -> None:
    units = units_of(first) + units_of(second)
    expected = 5381
    for unit in units:
        expected = ((expected * 33) ^ unit) % 2**32
    assert djb2(second, djb2(first)) == expected


def test_on_the_wire_the_hash_is_a_number_and_absent_at_offset_zero() -> None:
    assert msgspec.json.encode(Patch(0, "é")) == '{"offset":0,"content":"é"}'.encode()
    assert msgspec.json.encode(Patch(2, "", 7)) == b'{"offset":2,"content":"","prefixHash":7}'


def test_an_offset_counts_an_emoji_as_two() -> None:
    assert apply_patch("a😀b", Patch(3, "c", djb2("a😀"))) == "a😀c"


def test_a_receiver_with_another_text_notices() -> None:
    with pytest.raises(PatchMismatch):
        apply_patch("abc", Patch(2, "x", djb2("aX")))
    with pytest.raises(PatchMismatch):
        apply_patch("abc", Patch(4, "x"))


@pytest.mark.parametrize("taken_before", [True, False])
@pytest.mark.parametrize("taken_inside", [True, False])
def test_a_rewind_goes_back_to_the_mark_whatever_was_sent(taken_before: bool, taken_inside: bool) -> None:
    log, received = PatchLog(), ""

    def take() -> None:
        nonlocal received
        if patch := log.take():
            received = apply_patch(received, patch)

    log.append("😀 kept ")
    if taken_before:
        take()
    log.mark()
    log.append("optimistic")
    if taken_inside:
        take()
        assert log.text == received == "😀 kept optimistic"
    log.rewind()
    log.append("settled")
    log.unmark()
    assert log.changed
    assert log.length == len("😀 kept settled") + 1
    take()
    assert received == log.text == "😀 kept settled"
    log.append("!")
    take()
    assert received == "😀 kept settled!"


def test_a_rewind_with_nothing_after_it_still_shortens_the_receivers_text() -> None:
    log = PatchLog()
    log.append("ab")
    log.mark()
    log.append("cd")
    log.take()
    assert not log.changed
    log.rewind()
    assert log.changed
    assert log.take() == Patch(2, "", djb2("ab"))
    assert not log.changed


def test_a_rewind_needs_a_mark() -> None:
    with pytest.raises(ValueError, match="no mark"):
        PatchLog().rewind()
