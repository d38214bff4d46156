"""Bodies as JSON, the large ones in slices and off the event loop."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.engines import body
from sidecar.engines.base import FilePart, Message, ModelCall, Target, TextPart, ToolResultPart

TARGET = Target(provider="p", model="m", wire_model="m", dialect="openai-chat", base_url="http://127.0.0.1")


def call(*parts: Any, **of_target: Any) -> ModelCall:
    target = msgspec.structs.replace(TARGET, **of_target)
    return ModelCall(target=target, messages=(Message("user", tuple(parts)),), request_id="r")


@given(st.text(st.sampled_from('aé→😀"\\\n\x00\x7f\u2028')), st.integers(1, 5))
def test_slices_put_together_are_the_bytes_of_the_whole(text: str, size: int) -> None:
    value = {"messages": [{"content": text}, {"content": text * 3}], "n": 1.5, "none": None, "flag": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body, "_SLICE_CHARS", size)
        assert body.encode(value) == msgspec.json.encode(value)


def test_half_a_surrogate_pair_is_refused_in_a_slice_as_in_the_whole() -> None:
    for text in ("\ud83d", "x" * 1_000_000 + "\ud83d"):
        with pytest.raises(UnicodeEncodeError):
            body.encode({"content": text})


@pytest.mark.parametrize(
    "large",
    [
        call(TextPart("x" * body.LARGE_CHARS)),
        call(TextPart("x" * (body.LARGE_CHARS // 2)), ToolResultPart("1", "t", "x" * (body.LARGE_CHARS // 2))),
        call(FilePart("image/png", base64="A" * body.LARGE_CHARS)),
        call(TextPart("x"), body={"scalix_options": {"files": [{"path": "a", "content": "x" * body.LARGE_CHARS}]}}),
    ],
)
@pytest.mark.anyio
async def test_a_large_request_is_prepared_on_another_thread(large: ModelCall) -> None:
    assert await body.prepared(large, lambda _: threading.get_ident()) != threading.get_ident()


@pytest.mark.parametrize(
    "small",
    [
        call(TextPart("x" * (body.LARGE_CHARS - 1)), FilePart("image/png", url="https://example.org/a.png")),
        call(TextPart("x"), body={"scalix_options": {"files": [{"path": "a", "content": "x"}]}, "thinking": 1}),
    ],
)
@pytest.mark.anyio
async def test_any_other_request_is_prepared_at_once(small: ModelCall) -> None:
    assert await body.prepared(small, lambda _: threading.get_ident()) == threading.get_ident()
