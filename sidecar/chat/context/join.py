"""Joining very large texts without holding the interpreter for the whole of it.

``"".join`` of 20 MB with one character beyond Latin-1 fills 40 or 80 MB in a single call: 25 to 100 ms in which no
other thread runs, the event loop's included. CPython can fill a new string piece by piece (``PyUnicode_New``,
``PyUnicode_CopyCharacters``: public C API, both check kinds and bounds), so here each piece is a call of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final

from sidecar.lengths import utf16_length

PLAIN_JOIN_CHARS: Final = 2_000_000
"""Up to here one join takes a few ms at most, whatever it holds."""

_PIECE_CHARS: Final = 500_000
_CLASSES: Final = (0x7F, 0xFF, 0xFFFF, 0x10FFFF)


def widest(text: str) -> int:
    """The largest code point of the class ``text`` is stored in: ASCII, Latin-1, the basic plane, or all."""
    if text.isascii():
        return _CLASSES[0]
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return _CLASSES[2] if utf16_length(text) == len(text) else _CLASSES[3]
    return _CLASSES[1]


def join(parts: Sequence[str], widest_char: int) -> str:
    """All of ``parts``; ``widest_char`` is the largest ``widest`` of them."""
    length = sum(map(len, parts))
    if length <= PLAIN_JOIN_CHARS or sys.implementation.name != "cpython":
        return "".join(parts)
    return _join_in_pieces(parts, length, widest_char)


def _join_in_pieces(parts: Sequence[str], length: int, widest_char: int) -> str:
    import ctypes

    new = ctypes.pythonapi.PyUnicode_New
    new.restype, new.argtypes = ctypes.c_void_p, (ctypes.c_ssize_t, ctypes.c_uint32)
    copy = ctypes.pythonapi.PyUnicode_CopyCharacters
    copy.restype = ctypes.c_ssize_t
    copy.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.py_object, ctypes.c_ssize_t, ctypes.c_ssize_t)
    release = ctypes.pythonapi.Py_DecRef
    release.restype, release.argtypes = None, (ctypes.c_void_p,)

    # Only the address is held until the text is complete: a string with a second reference may not be written to.
    address = new(length, widest_char)
    try:
        position = 0
        for piece in _pieces(parts):
            copy(address, position, piece, 0, len(piece))
            position += len(piece)
        text: str = ctypes.cast(address, ctypes.py_object).value
    finally:
        release(address)
    return text


def _pieces(parts: Sequence[str]) -> Iterator[str]:
    """Neighbours put together, so that there are few calls."""
    group: list[str] = []
    size = 0
    for part in parts:
        group.append(part)
        size += len(part)
        if size >= _PIECE_CHARS:
            yield "".join(group)
            group, size = [], 0
    yield "".join(group)
