"""What holds for every dialect alike, whatever happens to the bytes on the way."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.engines.base import Dialect
from sidecar.engines.wire import StreamCut, decoder_for
from tests.engines.wire.reading import Reading, data, named, read, summed
from tests.engines.wire.samples import REASONING, SAMPLES, TEXT

every_dialect = pytest.mark.parametrize("dialect", list(SAMPLES))
WHOLE: dict[Dialect, Reading] = {dialect: read(dialect, sample) for dialect, sample in SAMPLES.items()}


@every_dialect
def test_a_full_answer_is_read(dialect: Dialect) -> None:
    reading = WHOLE[dialect]
    assert reading.text == TEXT
    assert reading.reasoning == REASONING
    assert [(call.name, json.loads(call.arguments), call.provider_executed) for call in reading.calls] == [
        ("count_birds", {"pond": "north"}, False)
    ]
    assert [json.loads(delta) for delta in reading.inputs.values()] == [{"pond": "north"}]
    assert reading.finish == "tool-calls"
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.usage.output_tokens, reading.usage.total_tokens) == (21, 13, 34)
    assert reading.error is None
    assert not reading.cut


@settings(max_examples=150, deadline=None)
@given(dialect=st.sampled_from(list(SAMPLES)), draw=st.data())
def test_any_split_of_the_bytes_gives_the_same_answer(dialect: Dialect, draw: st.DataObject) -> None:
    sample = draw.draw(st.sampled_from([SAMPLES[dialect], SAMPLES[dialect].replace(b"\n", b"\r\n")]))
    cuts = sorted(draw.draw(st.sets(st.integers(1, len(sample) - 1), max_size=40)))
    pieces = [sample[start:end] for start, end in zip([0, *cuts], [*cuts, len(sample)], strict=True)]
    assert read(dialect, *pieces) == WHOLE[dialect]


@every_dialect
def test_one_byte_at_a_time_gives_the_same_answer(dialect: Dialect) -> None:
    sample = SAMPLES[dialect]
    assert read(dialect, *(sample[at : at + 1] for at in range(len(sample)))) == WHOLE[dialect]


@every_dialect
@pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
def test_other_line_endings_give_the_same_answer(dialect: Dialect, ending: bytes) -> None:
    sample = SAMPLES[dialect].replace(b"\n", ending)
    assert read(dialect, sample) == WHOLE[dialect]
    assert read(dialect, *(sample[at : at + 1] for at in range(len(sample)))) == WHOLE[dialect]


@every_dialect
def test_keep_alives_and_unknown_fields_between_events_are_passed_over(dialect: Dialect) -> None:
    noise = b": still here\n\nid: 7\nretry: 3000\n\nevent: ping\n\n\n\n"
    sample = noise + SAMPLES[dialect].replace(b"\n\n", b"\n\n" + noise)
    assert read(dialect, sample) == WHOLE[dialect]


@every_dialect
def test_a_byte_order_mark_and_data_without_a_space_change_nothing(dialect: Dialect) -> None:
    sample = b"\xef\xbb\xbf" + SAMPLES[dialect].replace(b"data: ", b"data:")
    assert read(dialect, sample) == WHOLE[dialect]
    assert read(dialect, sample[:1], sample[1:2], sample[2:]) == WHOLE[dialect]


@every_dialect
@pytest.mark.parametrize(
    "mark", [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE]", b"event: done\ndata: [DONE]\n\n"]
)
def test_an_end_mark_after_the_answer_changes_nothing(dialect: Dialect, mark: bytes) -> None:
    assert read(dialect, SAMPLES[dialect] + mark) == WHOLE[dialect]


@every_dialect
def test_a_missing_last_blank_line_changes_nothing(dialect: Dialect) -> None:
    assert read(dialect, SAMPLES[dialect].rstrip(b"\n")) == WHOLE[dialect]


@every_dialect
def test_a_stream_cut_at_any_byte_is_interrupted_or_whole_and_its_text_is_a_prefix(dialect: Dialect) -> None:
    sample = SAMPLES[dialect]
    whole = WHOLE[dialect]
    for length in range(len(sample)):
        decoder = decoder_for(dialect)
        events = decoder.feed(sample[:length])
        try:
            events += decoder.finish()
        except StreamCut as broken:
            events += broken.events
            assert summed(events).finish is None
        else:
            assert summed(events).finish == whole.finish
        reading = summed(events)
        assert whole.text.startswith(reading.text)
        assert whole.reasoning.startswith(reading.reasoning)
        assert reading.calls == whole.calls[: len(reading.calls)]
        assert reading.error is None


@every_dialect
def test_a_stream_without_its_finish_marker_is_interrupted(dialect: Dialect) -> None:
    sample = SAMPLES[dialect]
    events = [event for event in re.split(rb"(?<=\n\n)", sample) if event]
    reading = read(dialect, *events[: len(events) // 2])
    assert reading.cut
    assert reading.finish is None


@every_dialect
def test_an_empty_answer_is_interrupted(dialect: Dialect) -> None:
    assert read(dialect).cut
    assert read(dialect, b"", b"\n\n").cut
    assert read(dialect, b": hello\n\n").cut


@every_dialect
def test_events_of_unknown_types_are_ignored_whatever_their_shape(dialect: Dialect) -> None:
    unknown = named(
        {"type": "sparkle.added", "sparkle": {"colour": "blue"}},
        {"type": "sparkle.delta", "index": 3, "note": [1, 2]},
    )
    if dialect != "openai-chat":
        unknown += named({"type": "sparkle.odd", "delta": 5, "item": "x", "message": [], "index": {}, "id": []})
    assert read(dialect, unknown + SAMPLES[dialect].replace(b"\n\n", b"\n\n" + unknown)) == WHOLE[dialect]


@every_dialect
def test_malformed_json_ends_the_stream_after_what_came_before(dialect: Dialect) -> None:
    events = [event for event in re.split(rb"(?<=\n\n)", SAMPLES[dialect]) if event]
    after = max(at for at, event in enumerate(events) if b"Two birds." in event) + 1
    broken = b"".join(events[:after]) + b'data: {"oops": \n\n' + b"".join(events[after:])
    reading = read(dialect, broken)
    assert reading.text == TEXT
    assert reading.error is not None
    assert reading.error.type == "invalid_json"
    assert "not valid JSON" in reading.error.message
    assert reading.error.body == '{"oops": '
    assert reading.finish is None
    assert not reading.cut


@every_dialect
@pytest.mark.parametrize(
    "odd", [b'{"index": "x", "id": {}, "choices": 5, "candidates": 5, "type": "error" oops}', b'{"id": []']
)
def test_json_that_is_odd_before_it_is_broken_is_broken(dialect: Dialect, odd: bytes) -> None:
    reading = read(dialect, SAMPLES[dialect].split(b"\n\n")[0] + b"\n\ndata: " + odd + b"\n\n")
    assert reading.error is not None
    assert reading.error.type == "invalid_json"


DEEP = b"[" * 100_000


@every_dialect
@pytest.mark.parametrize(
    "bottomless",
    [
        DEEP,
        DEEP + b"]" * 100_000,
        b'{"error": ' + DEEP,
        b'{"type": "error", "x": ' + DEEP + b"]" * 100_000 + b"}",
        b'{"choices": [{"delta": {"content": ' + DEEP + b"]" * 100_000 + b"}}]}",
        b'{"candidates": [{"content": {"parts": [{"functionCall": {"args": ' + DEEP + b"]" * 100_000 + b"}}]}}]}",
    ],
    ids=["open", "closed", "in an error, open", "beside a type", "as content", "as arguments"],
)
def test_what_is_nested_without_end_is_an_answer_that_cannot_be_read(dialect: Dialect, bottomless: bytes) -> None:
    """Whatever comes of it is an event or nothing; nobody's recursion limit is reached."""
    for framed in (b"data: " + bottomless + b"\n\n", bottomless):
        reading = read(dialect, framed)
        assert reading.error is not None or reading.cut
        assert reading.text == ""


@every_dialect
def test_a_web_page_is_an_error_that_says_so(dialect: Dialect) -> None:
    page = b"<!DOCTYPE html>\n<html><body>Sign in to the hotel network</body></html>"
    for pieces in ([page], [page[at : at + 1] for at in range(len(page))]):
        reading = read(dialect, *pieces)
        assert reading.error is not None
        assert reading.error.type == "html"
        assert "web page" in reading.error.message
        assert reading.error.body == page.decode()


@every_dialect
def test_a_plain_json_error_is_an_error_and_not_an_interruption(dialect: Dialect) -> None:
    body = b'{\n  "error": {"message": "The pond is closed.", "type": "overloaded_error"}\n}\n'
    for pieces in ([body], [body[at : at + 1] for at in range(len(body))]):
        reading = read(dialect, *pieces)
        assert reading.error is not None
        assert (reading.error.message, reading.error.type, reading.error.status) == (
            "The pond is closed.",
            "overloaded_error",
            529,
        )
        assert not reading.cut


@every_dialect
def test_a_json_body_that_is_cut_is_interrupted(dialect: Dialect) -> None:
    assert read(dialect, b'{"choices": [{"mess').cut
    assert read(dialect, b'[{"candidates": [').cut


@every_dialect
def test_nothing_follows_an_error(dialect: Dialect) -> None:
    decoder = decoder_for(dialect)
    events = decoder.feed(data({"error": {"message": "No."}}))
    assert summed(events).error is not None
    assert decoder.feed(SAMPLES[dialect]) == []
    assert decoder.finish() == []


@every_dialect
def test_an_error_written_without_framing_in_mid_stream_is_seen(dialect: Dialect) -> None:
    head = SAMPLES[dialect].split(b"\n\n")[0] + b"\n\n"
    reading = read(dialect, head + b'{"error": {"message": "Worker died", "code": 502}}\n')
    assert reading.error is not None
    assert (reading.error.message, reading.error.status) == ("Worker died", 502)


@every_dialect
def test_bytes_that_are_no_utf8_and_half_surrogates_do_not_cost_the_answer(dialect: Dialect) -> None:
    sample = SAMPLES[dialect]
    spoiled = sample.replace(b"Two birds.", b"Two b\xffrds \\ud83d.")
    reading = read(dialect, spoiled)
    assert reading.text.startswith("Grüße, 世界 🌍!\nTwo b\ufffdrds")
    assert reading.finish == "tool-calls"
    assert reading.text.encode()


def decode(dialect: Dialect, *pieces: bytes) -> None:
    """Decode for the sake of what it raises."""
    decoder = decoder_for(dialect)
    for piece in pieces:
        decoder.feed(piece)
    with contextlib.suppress(StreamCut):
        decoder.finish()


@every_dialect
@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_an_interruption(dialect: Dialect, noise: bytes) -> None:
    decode(dialect, noise)
    decode(dialect, b"data: " + noise + b"\n\n")
    decode(dialect, SAMPLES[dialect][:300], noise, SAMPLES[dialect][300:])


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[Dialect, bytes]:
    """A sample with some bytes cut out, doubled, or replaced by what means something to a decoder."""
    dialect = draw(st.sampled_from(list(SAMPLES)))
    sample = SAMPLES[dialect]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(sample)))
        end = draw(st.integers(start, min(len(sample), start + 30)))
        put = draw(st.sampled_from([b"", sample[start:end] * 2, *MEANINGFUL]) | st.binary(max_size=3))
        sample = sample[:start] + put + sample[end:]
    return dialect, sample


MEANINGFUL = [
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"data:",
    b":",
    b"{",
    b"}",
    b'"',
    b"null",
    b"\\ud83d",
    b"\\udc4b",
    b"1e999",
    b"NaN",
    b"[DONE]",
    b'\n{"error"',
    b"\xff",
    b"\xef\xbb\xbf",
    b"99999999999999999999999",
]


@settings(max_examples=300, deadline=None)
@given(spoiled())
def test_any_split_of_spoiled_bytes_gives_the_same_and_raises_nothing_but_an_interruption(
    case: tuple[Dialect, bytes],
) -> None:
    dialect, sample = case
    reading = read(dialect, sample)
    assert read(dialect, *(sample[at : at + 13] for at in range(0, len(sample), 13))) == reading


ODD: list[Any] = [None, True, 5, -1, 1.5, 1e300, "odd", "", [], {}, [1], {"a": 1}, [[]], [{}]]


def mutants(value: Any) -> Iterator[Any]:
    """``value`` with one member, at any depth, replaced by something that does not belong there."""
    yield from ODD
    if isinstance(value, dict):
        for name, inner in value.items():
            for mutant in mutants(inner):
                yield {**value, name: mutant}
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            for mutant in mutants(inner):
                yield [*value[:at], mutant, *value[at + 1 :]]


@every_dialect
def test_no_member_of_an_unexpected_type_raises_anything_but_an_interruption(dialect: Dialect) -> None:
    lines = [line[6:] for line in SAMPLES[dialect].split(b"\n") if line.startswith(b"data: {")]
    for line in lines:
        for mutant in mutants(json.loads(line)):
            decode(dialect, data(mutant))
