"""Line framing, without I/O (protocol page 1).

Only the byte ``0x0A`` ends a line; a trailing ``\\r`` is dropped; blank lines are ignored. A line longer than the cap
is discarded as it arrives and reported once, so memory never holds more than the cap.
"""

from __future__ import annotations

from typing import Final

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""Default cap of one line, in bytes, its terminator not counted."""


class Oversized:
    """Stands in the stream of lines where one was longer than the cap."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Oversized()"


OVERSIZED: Final = Oversized()


class LineFramer:
    """Push framer: bytes in, whole lines out. Work per byte is constant for any split of the input."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_line_bytes
        self._pieces: list[bytes] = []
        self._held = 0
        self._discarding = False

    def feed(self, data: bytes) -> list[bytes | Oversized]:
        """The lines that ``data`` completes, without their terminators."""
        lines: list[bytes | Oversized] = []
        *complete, rest = data.split(b"\n")
        for piece in complete:
            self._hold(piece)
            if self._discarding:
                lines.append(OVERSIZED)
            else:
                line = b"".join(self._pieces).removesuffix(b"\r")
                if line.strip():
                    lines.append(line)
            self._reset()
        self._hold(rest)
        return lines

    def _hold(self, piece: bytes) -> None:
        if not piece or self._discarding:
            return
        # One byte of grace: the tolerated \r before the terminator is not part of the line.
        if self._held + len(piece) - piece.endswith(b"\r") > self._max:
            self._pieces.clear()
            self._held = 0
            self._discarding = True
            return
        self._pieces.append(piece)
        self._held += len(piece)

    def _reset(self) -> None:
        self._pieces = []
        self._held = 0
        self._discarding = False
