"""Patches: how a growing text travels without being sent again (protocol page 6).

Everything here counts **UTF-16 code units**, as JavaScript indexes strings: an emoji is two. ``PatchLog`` is the
sender's book-keeping; the work per patch depends on what is new, never on how long the text already is.
"""

from __future__ import annotations

import sys

import msgspec

from sidecar.lengths import utf16_length

HASH_SEED = 5381
_MASK = 0xFFFFFFFF
_NATIVE_UTF16 = "utf-16-le" if sys.byteorder == "little" else "utf-16-be"


class Patch(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """``streamingPatch``: the receiver sets ``text = text.slice(0, offset) + content``.

    ``offset`` is in UTF-16 code units and never splits a surrogate pair. ``prefix_hash`` (on the wire ``prefixHash``,
    an unsigned 32-bit integer) is ``djb2`` over the units before ``offset``; absent when ``offset`` is 0.
    """

    offset: int
    content: str
    prefix_hash: int | None = None


def _units(text: str) -> bytes | memoryview:
    """The UTF-16 code units of a text; lone surrogates count as the units they are."""
    if text.isascii():
        return text.encode("ascii")
    return memoryview(text.encode(_NATIVE_UTF16, "surrogatepass")).cast("H")


def djb2(text: str, seed: int = HASH_SEED) -> int:
    """``h = ((h * 33) ^ unit) mod 2**32`` over the UTF-16 units; ``seed`` continues an earlier hash."""
    return _djb2(_units(text), seed)


def _djb2(units: bytes | memoryview, h: int) -> int:
    """The hash over units. The exclusive or leaves no closed form, so this loop is the main cost of a patch.

    The modulus may wait, as higher bits never reach lower ones: taking it once per four units halves the time.
    """
    count = len(units)
    done = 0
    if count >= 16:
        done = count & ~3
        four = iter(units[:done])
        for a, b, c, d in zip(four, four, four, four, strict=True):
            h = ((((h * 33 ^ a) * 33 ^ b) * 33 ^ c) * 33 ^ d) & _MASK
    for unit in units[done:]:
        h = (h * 33 ^ unit) & _MASK
    return h


class PatchLog:
    """The text as sent so far, plus what waits for the next patch.

    One place in the text may be marked; ``rewind`` takes the text back to the mark. The hash at the mark is kept, so
    a rewind costs nothing however much was sent. Only well-formed text may be appended (no lone surrogates).
    """

    __slots__ = ("_hash", "_length", "_mark", "_rewound", "_sent", "pending")

    def __init__(self) -> None:
        self.pending: list[str] = []
        """Pieces not yet in a patch. Appending to it directly is the hot path of ``append``."""
        self._sent: list[str] = []
        self._length = 0
        self._hash = HASH_SEED
        self._rewound = False
        self._mark: _Mark | None = None

    @property
    def changed(self) -> bool:
        """Whether ``take`` would give a patch."""
        return bool(self.pending) or self._rewound

    @property
    def length(self) -> int:
        """Length of ``text`` in UTF-16 code units."""
        return self._length + sum(map(utf16_length, self.pending))

    @property
    def text(self) -> str:
        """The whole text, sent and pending: what a receiver holds after the next patch.

        Reading it melts the pieces: a host that does not take patches must not cost an object per delta.
        """
        mark = self._mark
        if mark is None and len(self.pending) > 1:
            self.pending = ["".join(self.pending)]
        if mark is None or mark.sent_index is None:
            self._sent = ["".join(self._sent)] if self._sent else []
        return "".join(self._sent) + "".join(self.pending)

    def append(self, piece: str) -> None:
        """Add to the end."""
        if piece:
            self.pending.append(piece)

    def mark(self) -> None:
        """Remember the current end as the place ``rewind`` goes back to; replaces an earlier mark."""
        self._mark = _Mark(pending_index=len(self.pending))

    def unmark(self) -> None:
        """Forget the mark."""
        self._mark = None

    def rewind(self) -> None:
        """Take the text back to the mark, which stays set. Raises ``ValueError`` without a mark."""
        mark = self._mark
        if mark is None:
            raise ValueError("there is no mark to rewind to")
        if mark.sent_index is None:
            del self.pending[mark.pending_index :]
            return
        del self._sent[mark.sent_index :]
        self.pending = []
        self._length = mark.length
        self._hash = mark.hash
        self._rewound = True
        mark.sent_index, mark.pending_index = None, 0

    def take(self) -> Patch | None:
        """Everything since the last patch as one, or None when nothing changed."""
        pending = self.pending
        if not pending and not self._rewound:
            return None
        content = pending[0] if len(pending) == 1 else "".join(pending)
        offset = self._length
        patch = Patch(offset, content, self._hash if offset else None)
        self.pending = []
        self._rewound = False
        mark = self._mark
        if mark is None or mark.sent_index is not None:
            self._advance(content)
        else:
            head = "".join(pending[: mark.pending_index])
            self._advance(head)
            mark.sent_index, mark.length, mark.hash = len(self._sent), self._length, self._hash
            self._advance(content[len(head) :])
        return patch

    def _advance(self, content: str) -> None:
        """Count and hash text that has just gone out."""
        if not content:
            return
        self._sent.append(content)
        units = _units(content)
        self._hash = _djb2(units, self._hash)
        self._length += len(units)

    def copy(self) -> PatchLog:
        """An independent copy; cheap once ``text`` was read."""
        other = PatchLog()
        other.pending = self.pending.copy()
        other._sent = self._sent.copy()
        other._length, other._hash, other._rewound = self._length, self._hash, self._rewound
        if self._mark is not None:
            other._mark = self._mark.copy()
        return other


class _Mark:
    """Where to rewind to: an index into the pending pieces, or once sent, into the sent ones with length and hash."""

    __slots__ = ("hash", "length", "pending_index", "sent_index")

    def __init__(self, pending_index: int) -> None:
        self.pending_index = pending_index
        self.sent_index: int | None = None
        self.length = 0
        self.hash = HASH_SEED

    def copy(self) -> _Mark:
        """An independent copy."""
        other = _Mark(self.pending_index)
        other.sent_index, other.length, other.hash = self.sent_index, self.length, self.hash
        return other
