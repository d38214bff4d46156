"""Settings as JSON text, cut into members without being re-written.

A value that nobody changes keeps its bytes: number spelling (``1.0``, integers beyond 64 bits), escapes, inner key
order and white space. So a member is held as the slice of text it came from, and parsed only to be looked at.
Pure functions; no I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Document: TypeAlias = dict[str, str]
"""Member name to the JSON text of its value, in the order of the text."""

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_SAFE_INTEGER_DIGITS: Final = 18
"""Longer integers are read as floats, as JavaScript does with everything beyond 2^53; the text keeps them exact."""


class NotAnObject(ValueError):
    """The text is not a JSON object. Never holds the text: it may be a secret."""


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _SAFE_INTEGER_DIGITS else float(digits)


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_int=_integer, parse_constant=_constant)
_scan_value: Final = _DECODER.raw_decode


def members(text: str) -> Document:
    """The members of a JSON object; of a name that comes twice, the last. Raises ``NotAnObject``."""
    try:
        found, end = _object(text, _skip(text, 0))
        if _skip(text, end) != len(text):
            raise NotAnObject("text after the object")
        for name in found:
            name.encode()  # an unpaired surrogate cannot be stored
    except (ValueError, IndexError, RecursionError) as error:
        raise NotAnObject("The text is not a JSON object.") from (error if isinstance(error, NotAnObject) else None)
    return found


def _object(text: str, at: int) -> tuple[Document, int]:
    if text[at] != "{":
        raise NotAnObject("no opening brace")
    found: Document = {}
    at = _skip(text, at + 1)
    if text[at] == "}":
        return found, at + 1
    while True:
        if text[at] != '"':
            raise NotAnObject("no member name")
        name, at = _scan_value(text, at)
        at = _skip(text, at)
        if text[at] != ":":
            raise NotAnObject("no colon")
        start = _skip(text, at + 1)
        _, end = _scan_value(text, start)
        found[name] = text[start:end]
        at = _skip(text, end)
        if text[at] == "}":
            return found, at + 1
        if text[at] != ",":
            raise NotAnObject("no comma")
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def value_of(text: str) -> Any:
    """The value of a member, for looking at. Unpaired surrogates become U+FFFD, so that it can be sent."""
    value = _DECODER.decode(text)
    return _without_surrogates(value) if "\\ud" in text.lower() else value


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_without_surrogates(item) for item in value]
        case dict():
            return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def is_object(text: str) -> bool:
    """Whether the JSON text of a value is an object."""
    return text.startswith("{")


def text_of(value: Any, depth: int = 1) -> str:
    """A value as the app writes it: two spaces per level, ``depth`` levels below the margin.

    Raises ``ValueError`` for what JSON cannot hold (NaN).
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, allow_nan=False)
    return text.replace("\n", "\n" + "  " * depth)


def render(document: Mapping[str, str], depth: int = 0) -> str:
    """An object of members as the app writes it. Member text stands as it is."""
    if not document:
        return "{}"
    margin = "\n" + "  " * depth
    lines = (f"{margin}  {json.dumps(name, ensure_ascii=False)}: {text}" for name, text in document.items())
    return "{" + ",".join(lines) + margin + "}"


def same(left: str | None, right: str | None) -> bool:
    """Whether two member texts mean the same value. Spelling and the order of members do not matter."""
    if left is None or right is None:
        return left is right
    return left == right or equal(value_of(left), value_of(right))


def equal(left: Any, right: Any) -> bool:
    """JSON equality: ``1`` and ``1.0`` are one number, ``true`` is not ``1``."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(item, right[key]) for key, item in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def patched(old: str | None, value: Any, depth: int = 1) -> str:
    """The text of ``value``; whatever in it equals its counterpart in ``old`` keeps the old bytes."""
    if old is None:
        return text_of(value, depth)
    if equal(value_of(old), value):
        return old
    if not (isinstance(value, dict) and is_object(old)):
        return text_of(value, depth)
    inner = members(old)
    return render({key: patched(inner.get(key), item, depth + 1) for key, item in value.items()}, depth)
