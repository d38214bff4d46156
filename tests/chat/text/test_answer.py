"""AnswerText: what a user sees while an answer streams, and what is saved."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.chat.text.answer import AnswerText
from sidecar.chat.text.cleaning import clean_full_response
from sidecar.chat.text.patches import Patch, djb2
from sidecar.lengths import utf16_length
from tests.renderer import apply_patch

Delta = tuple[str, str]


def reference_clean(text: str) -> str:
    """The app's own expression, which may backtrack: for short texts only."""

    def clean_tag(match: re.Match[str]) -> str:
        return re.sub('="([^"]*)"', lambda m: '="' + m[1].replace("<", "＜").replace(">", "＞") + '"', match[0])

    return re.sub(r'<scalix-[^>]*?(?:"[^"]*"[^>]*?)*>', clean_tag, text)


def reference_answer(deltas: list[Delta]) -> str:
    """The answer's raw text by the rules, from whole blocks: surrogates, think markers, neutralising, cleaning."""
    blocks: list[list[str]] = []
    for kind, delta in deltas:
        if not delta:
            continue
        if blocks and blocks[-1][0] == kind:
            blocks[-1][1] += delta
        else:
            blocks.append([kind, delta])
    raw = ""
    for kind, content in blocks:
        whole = content.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if kind == "reasoning":
            for tag in ("<scalix", "</scalix", "<think>", "</think>"):
                whole = whole.replace(tag, "＜" + tag[1:])
            whole = f"<think>{whole}</think>"
        raw += whole
    return reference_clean(raw)


class Receiver:
    """A renderer: applies every patch with JavaScript's indexing and verifies the prefix hash."""

    def __init__(self) -> None:
        self.text = ""
        self.patches: list[Patch] = []

    def receive(self, patch: Patch | None) -> None:
        if patch is None:
            return
        units = self.text.encode("utf-16-le")
        assert patch.offset * 2 <= len(units)
        units[: patch.offset * 2].decode("utf-16-le")  # raises when the offset splits a pair
        patch.content.encode()  # raises on a lone surrogate
        assert (patch.prefix_hash is None) == (patch.offset == 0)
        self.text = apply_patch(self.text, patch)
        self.patches.append(patch)


def feed(answer: AnswerText, deltas: list[Delta]) -> None:
    for kind, delta in deltas:
        if kind == "text":
            answer.text(delta)
        else:
            answer.reasoning(delta)


def streamed(deltas: list[Delta], *, substitutions: dict[str, str] | None = None) -> tuple[str, Receiver]:
    """Stream with a patch after each delta."""
    answer, receiver = AnswerText(substitutions), Receiver()
    for delta in deltas:
        feed(answer, [delta])
        receiver.receive(answer.take_patch())
        assert receiver.text == answer.visible
        assert utf16_length(receiver.text) == answer.length_utf16
    final = answer.finish()
    receiver.receive(answer.take_patch())
    assert receiver.text == final == answer.value
    return final, receiver


# --- properties ----------------------------------------------------------------------------------------------------

TAGGY = st.lists(
    st.sampled_from(
        [
            "<scalix-",
            "<scalix",
            "<",
            ">",
            '"',
            "=",
            '="',
            " a",
            "write",
            "</scalix-write>",
            "é",
            "😀",
            "<think>",
            "</think>",
        ]
    ),
    max_size=24,
).map("".join)
LONE = st.lists(st.sampled_from(["\ud83d", "\ude00", "a", "<", "中", "😀", '<scalix-x a="', ">"]), max_size=12).map(
    "".join
)
KINDS = st.sampled_from(["text", "reasoning"])
DELTAS = st.lists(st.tuples(KINDS, TAGGY | LONE | st.text(max_size=6)), max_size=8)


def cut(text: str, cuts: list[int]) -> list[str]:
    places = sorted({place % (len(text) + 1) for place in cuts})
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@given(TAGGY, st.lists(st.integers(0, 200), max_size=8))
def test_any_split_of_a_text_gives_what_the_apps_expression_gives(text: str, cuts: list[int]) -> None:
    final, _ = streamed([("text", piece) for piece in cut(text, cuts)])
    assert final == reference_clean(text)


@given(TAGGY)
def test_the_linear_cleaning_equals_the_apps_expression_and_is_idempotent(text: str) -> None:
    cleaned = clean_full_response(text)
    assert cleaned == reference_clean(text)
    assert len(cleaned) == len(text)


@given(DELTAS)
def test_any_mix_of_text_and_reasoning_is_wrapped_neutralised_and_cleaned(deltas: list[Delta]) -> None:
    final, _ = streamed(deltas)
    assert final == reference_answer(deltas)


@given(DELTAS, st.integers(0, 8))
def test_the_value_is_what_finishing_would_give_and_asking_changes_nothing(deltas: list[Delta], stop: int) -> None:
    asked, unasked = AnswerText(), AnswerText()
    feed(asked, deltas[:stop])
    feed(unasked, deltas[:stop])
    assert asked.value == unasked.finish() == reference_answer(deltas[:stop])
    feed(asked, deltas[stop:])
    assert asked.finish() == reference_answer(deltas)


@given(DELTAS, st.lists(st.booleans(), min_size=9, max_size=9))
def test_patches_taken_at_any_pace_rebuild_the_text(deltas: list[Delta], taken: list[bool]) -> None:
    answer, receiver = AnswerText(), Receiver()
    for delta, take in zip(deltas, taken, strict=False):
        feed(answer, [delta])
        if take:
            changed = answer.visible_changed
            patch = answer.take_patch()
            assert changed == (patch is not None)
            receiver.receive(patch)
    final = answer.finish()
    receiver.receive(answer.take_patch())
    assert receiver.text == final
    assert answer.take_patch() is None


KEYED = st.lists(
    st.sampled_from(["$$A", "$$", "$", "A", "$$AB", "b", '<scalix-x y="', ">", "<", "😀"]), max_size=12
).map("".join)


@given(KEYED, st.lists(st.integers(0, 60), max_size=6))
def test_substitution_does_not_depend_on_the_split(text: str, cuts: list[int]) -> None:
    substitutions = {"$$A": "<one $$A>", "$b": "two"}
    whole, _ = streamed([("text", text)], substitutions=substitutions)
    pieces, _ = streamed([("text", piece) for piece in cut(text, cuts)], substitutions=substitutions)
    assert pieces == whole
    if "$b" not in text:
        assert whole == reference_clean(text).replace("$$A", "<one $$A>", 1)


# --- the rules, one by one -----------------------------------------------------------------------------------------


def test_reasoning_is_wrapped_and_text_closes_it() -> None:
    final, receiver = streamed([("reasoning", "Let me "), ("reasoning", "see."), ("text", "Done.")])
    assert final == "<think>Let me see.</think>Done."
    assert [patch.content for patch in receiver.patches] == ["<think>Let me ", "see.", "</think>Done."]


def test_a_stream_that_ends_in_reasoning_closes_the_block() -> None:
    assert streamed([("reasoning", "hm")])[0] == "<think>hm</think>"


def test_empty_deltas_neither_open_nor_close_a_block() -> None:
    assert streamed([("reasoning", ""), ("text", "a"), ("reasoning", "b"), ("text", ""), ("reasoning", "c")])[0] == (
        "a<think>bc</think>"
    )


@pytest.mark.parametrize("size", range(1, 12))
def test_a_tag_in_reasoning_cannot_escape_however_it_is_split(size: int) -> None:
    thought = 'x <scalix-write path="a"></scalix-write> </think> <think> <scal'
    pieces = [thought[at : at + size] for at in range(0, len(thought), size)]
    final, _ = streamed([("reasoning", piece) for piece in pieces])
    assert final == '<think>x ＜scalix-write path="a">＜/scalix-write> ＜/think> ＜think> <scal</think>'


@pytest.mark.parametrize("size", range(1, 20))
def test_brackets_in_attribute_values_become_full_width_however_they_are_split(size: int) -> None:
    text = 'a <b> <scalix-write path="a.ts" description="use <a> tags">x < y</scalix-write>'
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    final, receiver = streamed([("text", piece) for piece in pieces])
    assert final == 'a <b> <scalix-write path="a.ts" description="use ＜a＞ tags">x < y</scalix-write>'
    offsets = [patch.offset for patch in receiver.patches]
    assert offsets == sorted(set(offsets)), "a well-formed tag needs nothing but appends"


def test_a_tag_that_never_ends_is_taken_back_by_one_patch_to_its_start() -> None:
    final, receiver = streamed([("text", "😀 see "), ("text", '<scalix-write path="a<b')])
    assert final == '😀 see <scalix-write path="a<b'
    assert receiver.patches[-1] == Patch(7, '<scalix-write path="a<b', djb2("😀 see "))


def test_a_surrogate_pair_split_across_deltas_is_joined() -> None:
    final, receiver = streamed([("text", "a\ud83d"), ("text", "\ude00b")])
    assert final == "a😀b"
    assert receiver.patches == [Patch(0, "a"), Patch(1, "😀b", djb2("a"))]


def test_a_surrogate_without_its_partner_becomes_the_replacement_character() -> None:
    assert streamed([("text", "a\ud83d")])[0] == "a\ufffd"
    assert streamed([("text", "\ude00a\ud83d"), ("reasoning", "b\ud83d"), ("text", "c")])[0] == (
        "\ufffda\ufffd<think>b\ufffd</think>c"
    )


def test_only_the_first_occurrence_of_a_key_is_replaced_and_never_in_reasoning() -> None:
    final, _ = streamed(
        [("reasoning", "$$CODE$$"), ("text", "import $$CO"), ("text", "DE$$; $$CODE$$")],
        substitutions={"$$CODE$$": "x < y"},
    )
    assert final == "<think>$$CODE$$</think>import x < y; $$CODE$$"


def test_a_key_cut_off_by_the_end_is_released() -> None:
    assert streamed([("text", "price $$CO")], substitutions={"$$CODE$$": "x"})[0] == "price $$CO"


def test_a_report_is_not_swallowed_by_a_tag_the_model_left_open() -> None:
    answer = AnswerText()
    answer.reasoning("hm")
    answer.text('<scalix-write path="a<b')
    answer.append_raw('<scalix-problem-report summary="1 problems"></scalix-problem-report>')
    assert answer.value == (
        '<think>hm</think><scalix-write path="a<b<scalix-problem-report summary="1 problems"></scalix-problem-report>'
    )


def test_everything_since_the_last_patch_melts_into_one() -> None:
    answer = AnswerText()
    for word in ("one ", "two ", "three"):
        answer.text(word)
    assert answer.take_patch() == Patch(0, "one two three")
    assert not answer.visible_changed
    assert answer.take_patch() is None


@settings(max_examples=20)
@given(st.text(max_size=60))
def test_an_answer_without_tags_is_stored_as_it_came(text: str) -> None:
    final, _ = streamed([("text", character) for character in text.replace("<", "")])
    assert final == text.replace("<", "")
