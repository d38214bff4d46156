"""JSON that strict parsers refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sidecar.engines.base import Dialect
from sidecar.engines.wire.repair import strict, tolerant
from tests.engines.wire.reading import block_delta, chunk, data, message_end, message_start, part, read

HIGH, LOW = "\ud83d", "\udc4b"


@pytest.mark.parametrize("alone", ["a\ud83db", "\udc4b", 'say "\udc4b" twice \ud83d"'])
def test_a_half_without_its_partner_becomes_a_replacement_character(alone: str) -> None:
    text = tolerant(json.dumps({"d": alone}).encode())
    assert text is not None
    assert json.loads(strict(text)) == {"d": alone.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")}


def test_bytes_that_are_no_utf8_and_numbers_without_a_value() -> None:
    text = tolerant(b'{"d": "a\xffb\x01", "logprob": NaN}')
    assert text is not None
    assert json.loads(strict(text)) == {"d": "a\ufffdb\x01", "logprob": None}
    assert tolerant(b'{"d": ') is None


def ascii_data(*values: object) -> bytes:
    """Events whose JSON escapes what is not ASCII, as most servers write it."""
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def answers(*texts: str) -> Iterator[tuple[Dialect, bytes]]:
    """An answer of these deltas in three dialects."""
    yield "openai-chat", ascii_data(*(chunk({"content": text}) for text in texts), chunk({}, "stop"))
    yield "google", ascii_data(*(part({"text": text}) for text in texts), part(finish="STOP"))
    deltas = [block_delta(0, "text_delta", text=text) for text in texts]
    yield "anthropic", ascii_data(message_start(), *deltas, *message_end("end_turn"))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Hi " + HIGH, LOW + "!"], "Hi 👋!"),
        ([HIGH, LOW + "\ud83c", "\udffd"], "👋🏽"),
        (["Hi " + HIGH, "there"], "Hi \ufffdthere"),
        (["Hi ", HIGH, "there"], "Hi \ufffdthere"),
        (["Hi " + HIGH, "\ud83d", LOW], "Hi \ufffd👋"),
        ([LOW + " alone"], "\ufffd alone"),
        ([HIGH], "\ufffd"),
    ],
)
def test_a_pair_cut_between_two_events_is_whole_again_and_a_half_alone_keeps_its_place(
    texts: list[str], expected: str
) -> None:
    for dialect, stream in answers(*texts):
        reading = read(dialect, stream)
        assert (reading.text, reading.finish, reading.error) == (expected, "stop", None)


def test_a_half_at_the_very_end_of_a_broken_stream_is_not_lost() -> None:
    reading = read("openai-chat", ascii_data(chunk({"content": "Hi " + HIGH})))
    assert (reading.text, reading.cut) == ("Hi \ufffd", True)


def test_events_without_a_blank_line_between_them_are_read_one_by_one() -> None:
    stream = data(chunk({"content": "a"}), chunk({"content": "b"}), chunk({}, "stop"), "[DONE]").replace(b"\n\n", b"\n")
    for ending in (b"", b"\n"):
        reading = read("openai-chat", stream + ending)
        assert (reading.text, reading.finish) == ("ab", "stop")
    cut = read("openai-chat", stream[: stream.index(b'"b"')])
    assert (cut.text, cut.cut, cut.error) == ("a", True, None)
