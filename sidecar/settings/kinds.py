"""What a setting may be, as data, and where a value is none of it.

Strict, as the app's validation is (app contract 14): nothing is coerced, and members that nobody knows are let
through at every level. A problem names the place and what belongs there, never the value. pydantic would say the same
for 7 MB of memory and 60 ms at the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias


class Plain(NamedTuple):
    """A value without members; ``words`` say what it must be."""

    words: str
    fits: Callable[[Any], bool]


class Record(NamedTuple):
    """An object with members of its own; those of ``required`` must be there."""

    members: Mapping[str, Kind]
    required: tuple[str, ...] = ()


class Each(NamedTuple):
    """An object of any members, all of one kind."""

    member: Kind


class Either(NamedTuple):
    """One kind or another. What is neither is wrong as a whole: nobody can say which one was meant."""

    kinds: tuple[Kind, ...]


Kind: TypeAlias = Plain | Record | Each | Either


def is_number(value: Any) -> bool:
    """A finite number; true and false are none."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


TRUTH: Final = Plain("true or false", lambda value: isinstance(value, bool))
TEXT: Final = Plain("a text", lambda value: isinstance(value, str))
NUMBER: Final = Plain("a number", is_number)
PERCENT: Final = Plain("a number from 0 to 100", lambda value: is_number(value) and 0 <= value <= 100)


def one_of(*texts: str) -> Plain:
    """One of a few texts."""
    named = ", ".join(f'"{text}"' for text in texts[:-1])
    last = f'"{texts[-1]}"'
    return Plain(f"{named} or {last}" if named else last, lambda value: isinstance(value, str) and value in texts)


class Fault(NamedTuple):
    """A part of a value that does not fit: the member names that lead to it, and what must be there."""

    path: tuple[str, ...]
    reason: str


def faults(kind: Kind, value: Any) -> Iterator[Fault]:
    """Everything in ``value`` that is not of its kind, by the smallest parts that can be left out."""
    match kind:
        case Plain(words, fits):
            if not fits(value):
                yield Fault((), f"must be {words}")
        case Either(kinds):
            if all(any(faults(each, value)) for each in kinds):
                yield Fault((), "has the wrong form")
        case Record() | Each() if not isinstance(value, dict):
            yield Fault((), "must be an object")
        case Record(known, required):
            yield from (Fault((), f'must have "{name}"') for name in required if name not in value)
            yield from _inside({name: known[name] for name in value if name in known}, value)
        case Each(member):
            yield from _inside(dict.fromkeys(value, member), value)


def _inside(kinds: Mapping[str, Kind], value: Mapping[str, Any]) -> Iterator[Fault]:
    for name, kind in kinds.items():
        for fault in faults(kind, value[name]):
            yield Fault((name, *fault.path), fault.reason)
