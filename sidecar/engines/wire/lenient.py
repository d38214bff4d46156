"""Reading members of objects whose shape is the vendor's business: what is not as expected counts as absent."""

from __future__ import annotations

import re
from typing import Any, Final

LARGEST_COUNT: Final = 10**12
"""In tokens; what claims more than any call can have is no count. The sums of them fit SQLite's 64 bits."""

_DIGITS: Final = re.compile("[0-9]{1,15}")


def member(value: Any) -> dict[str, Any]:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """``value`` if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def count(value: Any) -> int | None:
    """A number of tokens, or None for anything that is not one. Some servers send counts as floats or as text."""
    if (isinstance(value, float) and value.is_integer()) or (isinstance(value, str) and _DIGITS.fullmatch(value)):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT else None


def first_count(*values: Any) -> int | None:
    """The first of ``values`` that is a count."""
    for value in values:
        if (number := count(value)) is not None:
            return number
    return None


def both_sides(
    prompt: int | None, output: int | None, *, cached: int | None, reasoning: int | None, total: int | None
) -> tuple[int | None, int | None]:
    """Prompt and output with what a vendor counts outside them (xAI): cached tokens where they outnumber the prompt's,
    reasoning where the vendor's own total says so."""
    if reasoning and prompt is not None and output is not None and total == prompt + output + reasoning:
        output += reasoning
    if prompt is not None and cached is not None and cached > prompt:
        prompt += cached
    return prompt, output


def total_of(prompt: int | None, output: int | None, given: Any = None) -> int | None:
    """The tokens of a call: both sides together, as the AI SDK counts them.

    ``given``, the vendor's own total, counts where a side is missing; without it the side that is there is the total.
    """
    if prompt is not None and output is not None:
        return prompt + output
    total = count(given)
    return total if total is not None else (prompt if output is None else output)
