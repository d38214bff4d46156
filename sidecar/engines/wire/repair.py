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


class SplitPairs:
    """Puts surrogate pairs together whose halves came in two events, as servers send that cut text by UTF-16 unit."""

    def __init__(self) -> None:
        self._high = ""

    def join(self, text: str) -> str:
        """``text`` (JSON) with the half of the event before put in front of its partner; keeps a half at an end."""
        if self._high:
            text = _LOW_AT_START.sub(lambda low: self._high + low[0], text, count=1)
            self._high = ""
        if (high := _HIGH_AT_END.search(text)) is not None:
            self._high = high[0]
            text = text[: high.start()] + text[high.end() :]
        return text


def repaired(data: bytes, pairs: SplitPairs | None = None) -> bytes | None:
    """``data`` as strict JSON, or None when it is not JSON at all.

    What has no text form becomes U+FFFD, numbers without a value become null. ``pairs`` remembers half a surrogate
    pair from one event to the next.
    """
    try:
        value = json.loads(data.decode("utf-8", "replace"), strict=False, parse_constant=lambda _: None)
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    if pairs is not None:
        text = pairs.join(text)
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.encode()
