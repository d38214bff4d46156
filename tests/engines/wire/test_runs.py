"""Reading much text in one go gives what reading it event by event gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.engines.base import Dialect
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
)

SMALL = 1000
"""Bytes; too few for a run."""

TEXTS = ["word ", "Grüße 🌍", 'a "quoted" \\ slash\n\ndata: {', "", "\ud83d", "\ude00", "data: x"]
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
COUNTS = {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}

PLAIN: dict[Dialect, list[Any]] = {
    "openai-chat": [chunk({"content": text}) for text in TEXTS]
    + [chunk({"content": "with nulls", "refusal": None, "tool_calls": None}, logprobs=None, usage=None)],
    "google": [part({"text": text}) for text in TEXTS] + [part({"text": "counted"}, usageMetadata=COUNTS)],
    "anthropic": [block_delta(index, "text_delta", text=text) for text in TEXTS for index in (0, 1)],
}
ODD: dict[Dialect, list[Any]] = {
    "openai-chat": [
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "both", "reasoning": "hm"}),
        chunk({"content": "end"}, "stop"),
        chunk({"content": None, "refusal": "I will not. "}),
        chunk(usage=USAGE),
        chunk({"content": "cited"}, citations=["https://a.example"]),
        chunk(),
        {"error": {"message": "no", "code": 500}},
        "[DONE]",
    ],
    "google": [
        part({"text": "hm", "thought": True}),
        part({"text": "two "}, {"text": "parts"}),
        part({"text": "end"}, finish="STOP"),
        part({"functionCall": {"name": "n", "args": {}}}),
        {"candidates": []},
        {"error": {"message": "no", "code": 500}},
    ],
    "anthropic": [
        block_delta(0, "thinking_delta", thinking="hm"),
        block_delta(0, "signature_delta", signature="s"),
        block_start(0, "text", text=""),
        block_stop(0),
        message_end("end_turn", output_tokens=3)[0],
        {"type": "ping"},
        {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
    ],
}
START: dict[Dialect, Any] = {
    "openai-chat": chunk({"role": "assistant", "content": ""}),
    "google": part({"text": "First"}),
    "anthropic": message_start(input_tokens=3),
}
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
    name = value["type"].encode() if dialect == "anthropic" and not isinstance(value, str) else b""
    return (b"event: " + name + b"\n" if name else b"") + b"data: " + line + b"\n\n"


@pytest.mark.parametrize("dialect", list(PLAIN))
@settings(max_examples=100, deadline=None)
@given(draw=st.data())
def test_a_large_read_is_worth_as_many_small_ones(dialect: Dialect, draw: st.DataObject) -> None:
    pool = [framed(dialect, value) for value in [*PLAIN[dialect], *PLAIN[dialect], *ODD[dialect]]] + RAW
    events = draw.draw(st.lists(st.tuples(st.sampled_from(pool), st.sampled_from([1, 2, 30])), max_size=8))
    plain = framed(dialect, PLAIN[dialect][0])
    body = plain * 40 + b"".join(event * times for event, times in events) + plain * draw.draw(st.integers(0, 40))
    if draw.draw(st.booleans()):
        body = body.replace(b"\n", b"\r\n")
    body = framed(dialect, START[dialect]) + body
    first = draw.draw(st.integers(SMALL // 2, SMALL))
    cut = draw.draw(st.integers(first, len(body)))
    small = [body[at : at + SMALL] for at in range(0, len(body), SMALL)]
    assert read(dialect, body[:first], body[first:cut], body[cut:]) == read(dialect, *small)


@pytest.mark.parametrize("dialect", list(PLAIN))
def test_plain_text_is_read_in_one_go(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = decoder_for(dialect)
    decoder.feed(framed(dialect, START[dialect]))
    one_by_one: list[bytes] = []
    event = type(decoder)._event

    def counted(self: Any, name: bytes | None, data: bytes, out: list[Any]) -> None:
        one_by_one.append(data)
        event(self, name, data, out)

    monkeypatch.setattr(type(decoder), "_event", counted)
    text = framed(dialect, PLAIN[dialect][0])
    assert len(decoder.feed(text * 100 + text[:9])) == 100
    assert len(decoder.feed(text[9:] + text * 100)) == 101
    assert len(one_by_one) < 10
