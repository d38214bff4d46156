"""A second, forgiving reading of JSON that the strict parser refused.

Seen in the wild: halves of surrogate pairs (a proxy that splits text by UTF-16 units), bytes that are not UTF-8, raw
control characters inside strings, ``NaN`` and ``Infinity`` among the log probabilities. None of them is worth an
answer.
"""

from __future__ import annotations

import json


def repaired(data: bytes) -> bytes | None:
    """``data`` as strict JSON, or None when it is not JSON at all.

    What has no text form becomes U+FFFD, numbers without a value become null.
    """
    try:
        value = json.loads(data.decode("utf-8", "replace"), strict=False, parse_constant=lambda _: None)
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.encode()
