"""A second, forgiving reading of JSON that the strict parser refused.

Seen in the wild: halves of surrogate pairs (a proxy that splits text by UTF-16 units), bytes that are not UTF-8, raw
control characters inside strings, ``NaN`` and ``Infinity`` among the log probabilities. None of them is worth an
answer.
"""

from __future__ import annotations

import json
import re
from typing import Final

_HIGH_AT_END: Final = re.compile('[\ud800-\udbff](?=")')
_LOW_AT_START: Final = re.compile('(?<=[ []")[\udc00-\udfff]')
"""Halves at the edges of strings in what ``json.dumps`` writes, where a quote inside a string follows a backslash."""


def tolerant(data: bytes) -> str | None:
    """``data`` as JSON text, or None when it is not JSON at all.

    Bytes that are not UTF-8 become U+FFFD, numbers without a value become null; halves of surrogate pairs stay.
    """
    try:
        value = json.loads(data.decode("utf-8", "replace"), strict=False, parse_constant=lambda _: None)
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def strict(text: str) -> bytes:
    """JSON text as UTF-8; halves of surrogate pairs, which have no form there, become U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def escaped(text: str) -> bytes:
    """JSON text as ASCII, halves of surrogate pairs as the escapes they came in."""
    return json.dumps(json.loads(text, strict=False)).encode()


def ends_in_half(text: str) -> bool:
    """Whether a string in this JSON text ends in the first half of a surrogate pair: the rest may be on its way, as
    servers send that cut text by UTF-16 unit."""
    return _HIGH_AT_END.search(text) is not None


def rejoined(first: str, second: str) -> tuple[str, str] | None:
    """Two JSON texts with the half that ends a string of the first put in front of its partner in the second; None
    when there is no partner."""
    high = _HIGH_AT_END.search(first)
    low = _LOW_AT_START.search(second)
    if high is None or low is None:
        return None
    return first[: high.start()] + first[high.end() :], second[: low.start()] + high[0] + second[low.start() :]
