"""Event framing, by the WHATWG rules that matter here."""

from __future__ import annotations

import time

import pytest

from sidecar.engines.wire.sse import SseEvent, SseFramer


def frame(*pieces: bytes) -> list[tuple[bytes | None, bytes]]:
    framer = SseFramer()
    events: list[SseEvent] = []
    for piece in pieces:
        events += framer.feed(piece)
    events += framer.finish()
    return [(event.event, event.data) for event in events]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [(None, b"a"), (None, b"b")]),
        (b"data:a\n\n", [(None, b"a")]),
        (b"data:  a\n\n", [(None, b" a")]),
        (b"data: a\ndata: b\ndata:c\n\n", [(None, b"a\nb\nc")]),
        (b"event: ping\ndata: {}\n\n", [(b"ping", b"{}")]),
        (b"data: {}\nevent:late\n\n", [(b"late", b"{}")]),
        (b"event: ping\n\ndata: a\n\n", [(None, b"a")]),
        (b": comment\n\ndata: a\n: more\n\n", [(None, b"a")]),
        (b"id: 3\nretry: 5\nnonsense\ndata: a\n\n", [(None, b"a")]),
        (b"data:\n\ndata: \n\ndata: a\n\n", [(None, b"a")]),
        (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [(None, b"a"), (None, b"b")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\r\n\r\n", [(None, b"a"), (None, b"b"), (None, b"c")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(None, b"a")]),
        (b"data: a\n\ndata: last", [(None, b"a"), (None, b"last")]),
        (b"database: no\n\ndata: a\n\n", [(None, b"a")]),
        (b'data: a\n\nerror: {"code":500}\n\n', [(None, b"a"), (b"error", b'{"code":500}')]),
        (b"error: none\n\ndata: a\n\n", [(None, b"a")]),
        ("data: 世\n\n".encode(), [(None, "世".encode())]),
        (b"", []),
    ],
)
def test_a_stream_is_cut_into_its_events_however_it_arrives(
    stream: bytes, events: list[tuple[bytes | None, bytes]]
) -> None:
    assert frame(stream) == events
    assert frame(*(stream[at : at + 1] for at in range(len(stream)))) == events
    assert frame(*(stream[at : at + 3] for at in range(0, len(stream), 3))) == events


def test_an_event_is_delivered_as_soon_as_its_blank_line_begins() -> None:
    framer = SseFramer()
    assert [event.data for event in framer.feed(b"data: a\r\n\r")] == [b"a"]
    assert framer.feed(b"\n") == []
    assert [event.data for event in framer.feed(b"data: b\n\n")] == [b"b"]


def test_a_huge_event_in_small_pieces_takes_time_in_proportion_to_its_size() -> None:
    def seconds(size: int) -> float:
        framer = SseFramer()
        piece = b"x" * 1024
        begun = time.process_time()
        framer.feed(b"data: ")
        for _ in range(size // len(piece)):
            framer.feed(piece)
        (event,) = framer.feed(b"\n\n")
        assert len(event.data) == size
        return time.process_time() - begun

    small = min(seconds(1 << 20) for _ in range(3))
    large = min(seconds(1 << 24) for _ in range(2))
    # 16 times the bytes; work that grows with the square would take 256 times as long.
    assert large < 100 * max(small, 0.001)


def test_an_event_that_outgrows_the_bound_is_dropped_and_said_so() -> None:
    framer = SseFramer(max_event_bytes=1000)
    assert [event.data for event in framer.feed(b"data: ok\n\ndata: ")] == [b"ok"]
    for _ in range(20):
        framer.feed(b"x" * 100)
    assert framer.overflowed
    assert framer.feed(b"\n\ndata: b\n\n") == []
    assert framer.finish() == []
