"""Lines out of bytes (protocol page 1)."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from sidecar.transport.framing import OVERSIZED, LineFramer


def test_only_the_newline_byte_ends_a_line() -> None:
    text = '{"a":"x\u2028y\u0085z"}\rtail'.encode()
    assert LineFramer().feed(text + b"\n") == [text]


def test_a_trailing_carriage_return_is_tolerated() -> None:
    assert LineFramer().feed(b'{"a":1}\r\n') == [b'{"a":1}']


def test_blank_lines_are_ignored() -> None:
    assert LineFramer().feed(b"\n\r\n  \n\t\r\n{}\n") == [b"{}"]


def test_a_line_of_exactly_the_cap_passes_and_one_byte_more_does_not() -> None:
    framer = LineFramer(max_line_bytes=4)
    assert framer.feed(b"abcd\nabcde\nabcd\r\nxy\n") == [b"abcd", OVERSIZED, b"abcd", b"xy"]


def test_an_overlong_line_is_not_held_in_memory() -> None:
    framer = LineFramer(max_line_bytes=1 << 20)
    tracemalloc.start()
    try:
        for _ in range(1000):
            assert framer.feed(b"x" * (1 << 14)) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 21, "of 16 MiB not more than the cap is held"
    assert framer.feed(b"\nok\n") == [OVERSIZED, b"ok"]


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=12), st.data())
def test_any_split_of_the_same_bytes_gives_the_same_lines(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = LineFramer(max_line_bytes=16).feed(stream)
    framer = LineFramer(max_line_bytes=16)
    assert [line for piece in pieces for line in framer.feed(piece)] == whole
