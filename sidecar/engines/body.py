"""A request's body as JSON bytes, and large ones without holding the event loop.

A code base of 20 MB is one text of the prompt. Encoding it in one call takes 30 to 80 ms in which no other thread
runs, so a large request is prepared on a worker thread, and its long texts are encoded slice by slice: JSON's escapes
go by character, so the slices put together are the bytes of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import anyio.to_thread
import msgspec

from sidecar.engines.base import FilePart, ModelCall, ReasoningPart, TextPart, ToolResultPart

T = TypeVar("T")

LARGE_CHARS: Final = 1 << 18
"""From here on encoding takes about as long as the way to a worker thread and back."""

_SLICE_CHARS: Final = 1 << 19


async def prepared(call: ModelCall, prepare: Callable[[ModelCall], T]) -> T:
    """``prepare(call)``, on a worker thread when the prompt is large. Raises what ``prepare`` raises."""
    if not is_large(call):
        return prepare(call)
    return await anyio.to_thread.run_sync(prepare, call, abandon_on_cancel=True)


def is_large(call: ModelCall) -> bool:
    """Whether the call's texts and files have ``LARGE_CHARS`` together; looks at lengths only."""
    chars = 0
    for message in call.messages:
        for part in message.parts:
            match part:
                case TextPart(text=text) | ReasoningPart(text=text) | ToolResultPart(content=text):
                    chars += len(text)
                case FilePart(base64=str(data)):
                    chars += len(data)
            if chars >= LARGE_CHARS:
                return True
    options = call.target.body.get("scalix_options")
    for file in options.get("files", ()) if isinstance(options, dict) else ():
        chars += len(file["content"])
        if chars >= LARGE_CHARS:
            return True
    return False


def encode(body: dict[str, Any]) -> bytes:
    """``body`` as JSON, the same bytes as one call would give. Raises what ``msgspec.json.encode`` raises."""
    return msgspec.json.encode(_sliced(body))


def _sliced(value: Any) -> Any:
    """The same JSON with the long texts encoded already."""
    if isinstance(value, str):
        return _raw_text(value) if len(value) > _SLICE_CHARS else value
    if isinstance(value, list):
        return [_sliced(item) for item in value]
    if isinstance(value, dict):
        return {key: _sliced(item) for key, item in value.items()}
    return value


def _raw_text(text: str) -> msgspec.Raw:
    slices = (text[start : start + _SLICE_CHARS] for start in range(0, len(text), _SLICE_CHARS))
    return msgspec.Raw(b"".join((b'"', *(msgspec.json.encode(piece)[1:-1] for piece in slices), b'"')))
