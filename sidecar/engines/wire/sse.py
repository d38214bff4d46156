"""Server-sent events: bytes in, events out. No I/O, no text decoding, no idea of what the data means.

Follows the event stream rules of the WHATWG HTML standard, section 9.2.6, as far as they matter to a client that
reads one answer: lines end in LF, CRLF or CR; a line that starts with a colon is a comment (vendors' keep-alives);
several ``data`` lines are joined by LF; one space after the field's colon is dropped; a byte order mark may come
first. Three departures, all so that nothing a server said is lost: ``finish`` delivers an event whose blank line never
came, a line that begins with ``{"error"`` counts as data, since servers that fail in mid-stream write their error
without framing it, and so does an ``error`` field, in which older llama.cpp servers tell theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""The largest single event accepted, in bytes; a generated image of 4K is some 30 MB of base64."""

_BOM = b"\xef\xbb\xbf"

_LAST = 4
"""Events at the end of what is there that a run leaves alone: how a stream ends is never plain."""


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event. ``event`` is its name when it has one; ``data`` is never empty."""

    event: bytes | None
    data: bytes


class SseRun(msgspec.Struct, frozen=True, gc=False):
    """Events that are all of one form: their data as one JSON array, how many they are, and the bytes after them."""

    array: bytes
    count: int
    rest: bytes


class SseFramer:
    """Cuts an event stream into events, in time linear in the bytes however they are split.

    ``overflowed`` becomes true, and everything after is dropped, when one event outgrows ``max_event_bytes``.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.overflowed = False
        self._max = max_event_bytes
        self._begun = False
        self._buffer = bytearray()
        self._skip_lf = False

    def feed(self, data: bytes) -> list[SseEvent]:
        """Events completed by ``data``."""
        if not self._begun:
            data = self._begin(data)
        if self._skip_lf and data:
            self._skip_lf = False
            if data.startswith(b"\n"):
                data = data[1:]
        if b"\r" in data:
            # A lone CR is a line end at once; the LF that may follow it in the next read is then skipped.
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events: list[SseEvent] = []
        if not data or self.overflowed:
            return events
        buffer = self._buffer
        if buffer:
            searched = len(buffer) - 1
            buffer += data
            end = buffer.find(b"\n\n", searched)
            if end < 0:
                self._check_size()
                return events
            _parse(bytes(buffer[:end]), events)
            data = bytes(buffer[end + 2 :])
            buffer.clear()
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        for block in blocks:
            # Data alone, the most common shape, costs no call.
            if block.startswith(b"data: {") and b"\n" not in block:
                events.append(SseEvent(None, block[6:]))
            else:
                _parse(block, events)
        if rest:
            buffer += rest
            self._check_size()
        return events

    def run(self, data: bytes, heads: Sequence[bytes]) -> SseRun | None:
        """The events completed by ``data``, less the last few, when each is one of the ``heads``, the same for all,
        and one JSON object.

        Takes nothing: call ``skip`` and feed the rest, or feed ``data``. None when anything else is among them, and
        when nothing is known of the first.
        """
        if not self._begun or self._skip_lf or self.overflowed or data.endswith(b"\r"):
            return None
        if len(self._buffer) > len(data):
            return None  # a huge event in many reads: it would be copied with each
        whole = bytes(self._buffer) + data
        line_end = b"\r\n" if b"\r" in data else b"\n"
        blank = line_end * 2
        end = len(whole)
        for _ in range(1 + _LAST):
            end = whole.rfind(blank, 0, end)
            if end < 0:
                return None
        written = (head.replace(b"\n", line_end) for head in heads)
        start = next((head for head in written if whole.startswith(head + b"{")), None)
        if start is None:
            return None
        values = whole[len(start) : end].split(blank + start + b"{")
        array = b"[" + b",{".join(values) + b"]"
        if b"\n" in array or b"\r" in array:
            return None
        return SseRun(array, len(values), whole[end + len(blank) :])

    def skip(self) -> None:
        """What was held for its end is part of a run that was read."""
        self._buffer.clear()

    def finish(self) -> list[SseEvent]:
        """The last event, if the stream ended without its blank line. It may be cut off."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        events: list[SseEvent] = []
        if not self.overflowed:
            _parse(rest, events)
        return events

    def _begin(self, data: bytes) -> bytes:
        """Drop a byte order mark, which may itself be split."""
        self._buffer += data
        head = bytes(self._buffer)
        if len(head) < len(_BOM) and _BOM.startswith(head):
            return b""
        self._begun = True
        self._buffer.clear()
        return head.removeprefix(_BOM)

    def _check_size(self) -> None:
        if len(self._buffer) > self._max:
            self.overflowed = True
            self._buffer = bytearray()


def _parse(block: bytes, events: list[SseEvent]) -> None:
    """Read one event, its lines LF-separated, and append it unless it has no data."""
    # A name and one line of data, as most vendors write, need no look at each line.
    if block.startswith(b"event: "):
        data_at = block.find(b"\ndata: {")
        if data_at > 7 and block.find(b"\n", 7) == data_at and block.find(b"\n", data_at + 1) < 0:
            events.append(SseEvent(block[7:data_at], block[data_at + 7 :]))
            return
    _parse_lines(block, events)


def _parse_lines(block: bytes, events: list[SseEvent]) -> None:
    name: bytes | None = None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line.startswith(b"event:"):
            name = (line[7:] if line.startswith(b"event: ") else line[6:]) or None
        elif line.startswith(b'{"error"'):
            data.append(line)
        elif line.startswith(b"error: {"):
            name = b"error"
            data.append(line[7:])
    if data:
        joined = data[0] if len(data) == 1 else b"\n".join(data)
        if joined.strip():
            events.append(SseEvent(name, joined))
