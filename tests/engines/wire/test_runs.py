"""Reading much text in one go gives what reading it event by event gives."""

from __future__ import annotations

import json
import re
import time
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.engines.base import Dialect, ReasoningDelta, TextDelta
from sidecar.engines.wire import decoder_for
from tests.engines.wire.reading import (
    block_delta,
    block_start,
    block_stop,
    chunk,
    message_end,
    message_start,
    part,
    read,
    summed,
)

SMALL = 1000
"""Bytes; too few for a run."""

TEXTS = ["word ", "Grüße 🌍", 'a "quoted" \\ slash\n\ndata: {', "", "\ud83d", "\ude00", "data: x"]
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
COUNTS = {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}


def spoken(kind: str, delta: str, index: int = 0, part: int = 0, **more: Any) -> dict[str, Any]:
    place = {"item_id": f"item_{index}", "output_index": index, "content_index": part}
    return {"type": f"response.{kind}.delta", **place, "delta": delta, **more}


def thought(delta: str, part: int) -> dict[str, Any]:
    place = {"item_id": "rs_1", "output_index": 7, "summary_index": part}
    return {"type": "response.reasoning_summary_text.delta", **place, "delta": delta}


TEXT: dict[Dialect, list[Any]] = {
    "openai-chat": [chunk({"content": text}) for text in TEXTS]
    + [chunk({"content": "with nulls", "refusal": None, "tool_calls": None}, logprobs=None, usage=None)],
    "google": [part({"text": text}) for text in TEXTS] + [part({"text": "counted"}, usageMetadata=COUNTS)],
    "anthropic": [block_delta(index, "text_delta", text=text) for text in TEXTS for index in (0, 1)],
    "openai-responses": [spoken("output_text", text, index, part) for text in TEXTS for index, part in ((0, 0), (0, 1))]
    + [spoken("output_text", "elsewhere", 3, logprobs=[], sequence_number=9), spoken("output_text", "told", item=None)],
}
THOUGHT: dict[Dialect, list[Any]] = {
    "openai-chat": [chunk({"reasoning_content": text, "content": None}) for text in [*TEXTS, "Thinking... "]]
    + [chunk({"reasoning_content": "hm", "content": ""})],
    "google": [part({"text": text, "thought": True}) for text in TEXTS]
    + [part({"text": "counted", "thought": True}, usageMetadata=COUNTS), part({"text": "not one", "thought": False})],
    "anthropic": [block_delta(index, "thinking_delta", thinking=text) for text in TEXTS for index in (2, 3)],
    "openai-responses": [thought(text, part) for text in TEXTS for part in (0, 1)],
}
PLAIN = {dialect: TEXT[dialect] + THOUGHT[dialect] for dialect in TEXT}
ODD: dict[Dialect, list[Any]] = {
    "openai-chat": [
        chunk({"reasoning_content": [{"type": "text", "text": "hm"}]}),
        chunk({"content": "both", "reasoning": "hm"}),
        chunk({"content": "end"}, "stop"),
        chunk({"content": None, "refusal": "I will not. "}),
        chunk(usage=USAGE),
        chunk({"content": "cited"}, citations=["https://a.example"]),
        chunk({"content": "found"}, search_results=[{"url": "https://b.example", "title": "B"}]),
        {"choices": [{"delta": {"content": "counted"}, "usage": USAGE}]},
        chunk(),
        {"error": {"message": "no", "code": 500}},
        "[DONE]",
    ],
    "google": [
        part({"text": "signed", "thought": True, "thoughtSignature": "s"}),
        part({"text": "two "}, {"text": "parts"}),
        part({"text": "end"}, finish="STOP"),
        part({"functionCall": {"name": "n", "args": {}}}),
        {"candidates": []},
        {"error": {"message": "no", "code": 500}},
    ],
    "anthropic": [
        block_delta(0, "odd_delta", text="both", thinking="hm"),
        block_delta(0, "signature_delta", signature="s"),
        block_start(0, "text", text=""),
        block_stop(0),
        message_end("end_turn", output_tokens=3)[0],
        {"type": "ping"},
        {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
    ],
    "openai-responses": [
        spoken("refusal", "I will not. "),
        spoken("reasoning_text", "hm", 6),
        {"type": "response.output_text.done", "output_index": 4, "content_index": 0, "text": "whole"},
        {"type": "response.output_item.added", "output_index": 3, "item": {"type": "message", "id": "msg_3"}},
        {"type": "response.completed", "response": {"status": "completed", "usage": {"output_tokens": 2}}},
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "no"}}},
        {"type": "response.output_text.delta", "delta": 5},
    ],
}
START: dict[Dialect, Any] = {
    "openai-chat": chunk({"role": "assistant", "content": ""}),
    "google": part({"text": "First"}),
    "anthropic": message_start(input_tokens=3),
    "openai-responses": {"type": "response.created", "response": {"id": "resp_1", "model": "lark-2"}},
}
NAMED: list[Dialect] = ["anthropic", "openai-responses"]
"""Their events have a name."""
RAW = [
    b": still here\n\n",
    b"\n",
    b"data: {\n\n",
    b'data: {"a":[1\n\n',
    b"data: 2]}\n\n",
    b"id: 7\n\n",
    b"data: {},{}\n\n",
]


def framed(dialect: Dialect, value: Any) -> bytes:
    line = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    name = b"event: " + value["type"].encode() + b"\n" if dialect in NAMED else b""
    return name + b"data: " + line + b"\n\n"


def deltas(dialect: Dialect, *pieces: bytes) -> list[tuple[type, str, str]]:
    """Kind, block and text of what was said, neighbours of one block as one."""
    decoder = decoder_for(dialect)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    said = [event for event in events if isinstance(event, TextDelta | ReasoningDelta)]
    blocks = groupby(said, key=lambda event: (type(event), event.id))
    return [(kind, block, "".join(event.text for event in of)) for (kind, block), of in blocks]


@pytest.mark.parametrize("dialect", list(PLAIN))
@settings(max_examples=100, deadline=None)
@given(draw=st.data())
def test_a_large_read_is_worth_as_many_small_ones(dialect: Dialect, draw: st.DataObject) -> None:
    pool = [framed(dialect, value) for value in [*PLAIN[dialect], *PLAIN[dialect], *ODD[dialect]]] + RAW
    events = draw.draw(st.lists(st.tuples(st.sampled_from(pool), st.sampled_from([1, 2, 30])), max_size=8))
    plain = framed(dialect, draw.draw(st.sampled_from(PLAIN[dialect])))
    body = plain * 40 + b"".join(event * times for event, times in events) + plain * draw.draw(st.integers(0, 40))
    if draw.draw(st.booleans()):
        body = body.replace(b"\n", b"\r\n")
    body = framed(dialect, START[dialect]) + body
    if draw.draw(st.booleans()):
        body = re.sub(rb"event: .*\n", b"", body)
    first = draw.draw(st.integers(SMALL // 2, SMALL))
    cut = draw.draw(st.integers(first, len(body)))
    small = [body[at : at + SMALL] for at in range(0, len(body), SMALL)]
    large = body[:first], body[first:cut], body[cut:]
    assert read(dialect, *large) == read(dialect, *small)
    assert deltas(dialect, *large) == deltas(dialect, *small)


@pytest.mark.parametrize(("dialect", "odd"), [(dialect, odd) for dialect in ODD for odd in ODD[dialect]])
def test_of_an_odd_event_among_plain_ones_nothing_is_lost(dialect: Dialect, odd: Any) -> None:
    start = framed(dialect, START[dialect])
    for plain in (TEXT[dialect][0], THOUGHT[dialect][0]):
        events = [framed(dialect, value) for value in [*[plain] * 40, odd, *[plain] * 40]]
        assert read(dialect, start, b"".join(events)) == read(dialect, start, *events)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("plain", [TEXT, THOUGHT], ids=["text", "thought"])
@pytest.mark.parametrize("dialect", list(TEXT))
def test_plain_text_is_read_in_one_go(
    dialect: Dialect, plain: dict[Dialect, list[Any]], line_end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = decoder_for(dialect)
    decoder.feed(framed(dialect, START[dialect]).replace(b"\n", line_end))
    one_by_one: list[bytes] = []
    event = type(decoder)._event

    def counted(self: Any, name: bytes | None, data: bytes, out: list[Any]) -> None:
        one_by_one.append(data)
        event(self, name, data, out)

    monkeypatch.setattr(type(decoder), "_event", counted)
    text = framed(dialect, plain[dialect][0]).replace(b"\n", line_end)
    said = summed(decoder.feed(text * 100 + text[:9]) + decoder.feed(text[9:] + text * 100))
    assert said.text + said.reasoning == "word " * 201
    assert len(one_by_one) < 12


def test_an_event_in_many_reads_costs_no_more_per_byte() -> None:
    read_bytes = 32 * 1024

    def took_s(reads: int) -> float:
        decoder = decoder_for("google")
        decoder.feed(framed("google", START["google"]))
        decoder.feed(b'data: {"candidates":[{"content":{"parts":[{"inlineData":{"data":"')
        piece = b"A" * read_bytes
        started = time.process_time()
        for _ in range(reads):
            decoder.feed(piece)
        return time.process_time() - started

    assert min(took_s(1024) for _ in range(3)) < 8 * min(took_s(256) for _ in range(3))
