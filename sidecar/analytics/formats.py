"""Figures in words, for the terminal and the page. What is unknown is a dash and never a zero."""

from __future__ import annotations

import math
from typing import Final

UNKNOWN: Final = "–"


def count(value: float | None) -> str:
    """``12,345``."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def short_count(value: float | None) -> str:
    """``950``, ``12.3k``, ``1.2M``: tokens."""
    if value is None:
        return UNKNOWN
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{unit}" if abs(value) < size * 999.5 else f"{value / size:,.0f}{unit}"
    return f"{value:.0f}"


def money(usd: float | None) -> str:
    """``$12.50``; below ten cents as many digits as it takes to tell something: ``$0.0042``."""
    if usd is None:
        return UNKNOWN
    sign, amount = "-" if usd < 0 else "", abs(usd)
    if amount == 0 or amount >= 0.0995:
        return f"{sign}${amount:,.2f}"
    digits = min(8, 1 - math.floor(math.log10(amount)))
    return f"{sign}${amount:.{digits}f}"


def duration(ms: float | None) -> str:
    """``340 ms``, ``1.2 s``, ``2.5 min``."""
    if ms is None:
        return UNKNOWN
    if ms < 999.5:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.1f} s" if ms < 99_950 else f"{ms / 60_000:.1f} min"


def share(ratio: float | None) -> str:
    """``98%``; never 100 % when something was left out."""
    if ratio is None:
        return UNKNOWN
    percent = ratio * 100
    return f"{min(percent, 99.9):.1f}%" if 99.5 <= percent < 100 else f"{percent:.0f}%"


def rate(tokens_per_second: float | None) -> str:
    """``85 tok/s``."""
    return UNKNOWN if tokens_per_second is None else f"{tokens_per_second:,.0f} tok/s"


def seconds(ms: float) -> str:
    """``0``, ``0.5 s``, ``30 s``: the scale of a plot."""
    return "0" if ms == 0 else f"{ms / 1000:g} s"
