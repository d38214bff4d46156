"""What every dialect's decoder shares: from the bytes of a body to single JSON values, and the end of a stream.

A stream request is answered by an event stream, as asked; by a plain JSON answer or error (servers that cannot
stream, gateways that fail early); by lines of JSON; by a JSON array (Gemini without ``alt=sse``); or by a web page
(a captive portal, a wrong base URL). The first byte that is not blank tells which. A dialect only reads values:
``_event`` for each, ``_close`` for what the end of the bytes completes.

Where much has arrived at once, most of it are pieces of text in one form: a dialect may have them read in one go
(``plain_values``), which costs less. Whatever is not exactly so is read event by event.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from sidecar.engines.base import Event, Finish, FinishReason, StreamError
from sidecar.engines.wire.repair import ends_in_half, escaped, rejoined, strict, tolerant
from sidecar.engines.wire.sse import MAX_EVENT_BYTES, SseEvent, SseFramer
from sidecar.errors import StreamInterrupted

_BOM = b"\xef\xbb\xbf"
_END_MARK = b"[DONE]"
_MAX_PAGE_BYTES = 8 * 1024

_RUN_BYTES = 2 * 1024
"""From here on it is worth looking for a run of plain events."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading a value may raise; the last for one that is nested too deeply."""


class StreamCut(StreamInterrupted):
    """The bytes ended without the dialect's finish marker.

    ``events`` is what the last, unterminated event still held; deliver it before reporting the failure.
    """

    def __init__(self, message: str, events: list[Event]) -> None:
        super().__init__(message)
        self.events = events


class _Named(msgspec.Struct, gc=False):
    type: str | None = None


class WireDecoder:
    """A ``Decoder`` less the dialect. Not reusable: one instance reads one answer.

    After a ``StreamError`` the rest of the stream is ignored. ``Finish`` may come twice when a vendor gives two
    reasons; the later one counts.
    """

    known_types: ClassVar[frozenset[str] | None] = None
    """Event types the dialect reads; an event of any other type may have any shape. None: events have no type."""

    plain_heads: ClassVar[tuple[bytes, ...]] = (b"data: ",)
    """What may stand before the JSON of an event that may be plain."""

    plain_values: ClassVar[tuple[msgspec.json.Decoder[list[Any]], ...]] = ()
    """Each decodes an array of events with one kind of text and nothing else; refuses any other (``UNREADABLE``)."""

    def __init__(self) -> None:
        self._framer = SseFramer()
        self._held: tuple[bytes | None, str] | None = None
        self._mode: Literal["opening", "sse", "json", "page"] = "opening"
        self._body = bytearray()
        self._by_line: bool | None = None
        self._closed = False
        self._reason: FinishReason | None = None
        self._raw_reason: str | None = None
        self._started = False
        """Whether ``ResponseStarted`` is out."""

    # --- Decoder -------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by ``data``."""
        out: list[Event] = []
        if self._closed:
            return out
        if self._mode == "sse":
            if len(data) > _RUN_BYTES:
                data = self._read_run(data, out)
            self._read_all(self._framer.feed(data), out)
        elif self._mode == "opening":
            self._open(data, out)
        elif self._mode == "json":
            self._read_json(data, out)
        elif len(self._body) < _MAX_PAGE_BYTES:
            self._body += data
        if self._framer.overflowed:
            self._too_large(out)
        return out

    def finish(self) -> list[Event]:
        """Events that only the end of the bytes completes.

        Raises ``StreamCut`` when the finish marker was not seen.
        """
        out: list[Event] = []
        if self._mode == "sse":
            for event in self._framer.finish():
                self._read(event.event, event.data, out, cut=True)
        elif self._mode == "json":
            self._finish_json(out)
        elif self._mode == "page":
            self._page(out)
        if self._held is not None:
            self._release(self._held, b"", out)
        if not self._closed:
            self._close(out)
        if not self._closed and self._reason is None:
            raise StreamCut(self._cut_message(), out)
        return out

    # --- the dialect's part --------------------------------------------------------------------------------------

    def _event(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        """Read one JSON value. Raises one of ``UNREADABLE`` before changing anything."""
        raise NotImplementedError

    def _plain(self, values: list[Any], out: list[Event]) -> None:
        """Take what one of ``plain_values`` gave: at least one value."""
        raise NotImplementedError

    def _close(self, out: list[Event]) -> None:
        """The bytes have ended without an error."""

    # --- what dialects call --------------------------------------------------------------------------------------

    def _finished(self, reason: FinishReason, raw: str | None, out: list[Event]) -> None:
        """The finish marker was seen."""
        if reason != self._reason or raw != self._raw_reason:
            self._reason, self._raw_reason = reason, raw
            out.append(Finish(reason, raw))

    def _failed(self, error: StreamError, out: list[Event]) -> None:
        """The vendor reported an error: the stream's last event."""
        self._closed = True
        out.append(error)

    # --- values --------------------------------------------------------------------------------------------------

    def _read_run(self, data: bytes, out: list[Event]) -> bytes:
        """Read the plain events that ``data`` completes, if that is what they are. Gives back what is left."""
        if not self.plain_values or not self._started or self._held is not None:
            return data
        run = self._framer.run(data, self.plain_heads)
        if run is None:
            return data
        for decoder in self.plain_values:
            try:
                values = decoder.decode(run.array)
            except UNREADABLE:
                continue
            if len(values) == run.count:  # else an event is two values, or two are one
                self._framer.skip()
                self._plain(values, out)
                return run.rest
        return data

    def _read_all(self, events: list[SseEvent], out: list[Event]) -> None:
        for event in events:
            if self._closed:
                return
            if self._held is not None:
                self._read(event.event, event.data, out)
                continue
            try:
                self._event(event.event, event.data, out)
            except UNREADABLE:
                self._read(event.event, event.data, out)

    def _read(self, name: bytes | None, data: bytes, out: list[Event], *, cut: bool = False) -> None:
        """Read a value, forgiving what can be forgiven. ``cut``: the last one; passed over when it is incomplete."""
        if self._held is not None:
            data = self._release(self._held, data, out)
        if self._closed or (cut and _is_cut(data)):
            self._read_lines(name, data, out)
            return
        try:
            self._event(name, data, out)
        except UNREADABLE as refused:
            if data.startswith(_END_MARK):
                return  # gateways end every dialect's streams as OpenAI ends its own
            if isinstance(refused, msgspec.ValidationError) and _is_whole(data):
                self._unexpected(data, out)
            else:
                self._read_odd(name, data, out)

    def _read_odd(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        """Read what is not strict JSON."""
        text = tolerant(data)
        if text is not None and ends_in_half(text):
            self._held = name, text
        elif text is not None and strict(text) != data:
            self._read(name, strict(text), out)
        elif not self._read_lines(name, data, out):
            message = "The model server sent a piece of its answer that is not valid JSON. Try again."
            self._failed(StreamError(message, type="invalid_json", body=_excerpt(data)), out)

    def _read_lines(self, name: bytes | None, data: bytes, out: list[Event]) -> bool:
        """Read several values, a line each: a server that puts no blank line between its events. The last may be cut.

        False when ``data`` is something else.
        """
        lines = data.split(b"\n")
        if self._closed or len(lines) == 1 or not all(map(_is_whole, lines[:-1])):
            return False
        for line in lines:
            self._read(name, line, out, cut=line is lines[-1])
        return True

    def _release(self, held: tuple[bytes | None, str], data: bytes, out: list[Event]) -> bytes:
        """Read the value that was held for the other half of a character; ``data`` is the next one, or empty.

        Gives back what is to be read next: ``data``, with the half in front where it has the partner.
        """
        name, text = held
        self._held = None
        following = tolerant(data)
        pair = rejoined(text, following) if following is not None else None
        if pair is not None:
            text, data = pair[0], escaped(pair[1])
        self._read(name, strict(text), out)
        return data

    def _unexpected(self, data: bytes, out: list[Event]) -> None:
        """Valid JSON of another shape than the dialect's: fatal, unless it is an event nobody here knows."""
        if self.known_types is not None:
            try:
                kind = msgspec.json.decode(data, type=_Named).type
            except msgspec.ValidationError:
                kind = None
            if kind is not None and kind not in self.known_types:
                return
        message = "The model server's answer has a form this app does not know. Check the provider's API type."
        self._failed(StreamError(message, type="invalid_event", body=_excerpt(data)), out)

    # --- the body ------------------------------------------------------------------------------------------------

    def _open(self, data: bytes, out: list[Event]) -> None:
        self._body += data
        head = bytes(self._body)
        if _BOM.startswith(head):
            return
        head = head.removeprefix(_BOM)
        first = head.lstrip()[:1]
        if not first:
            return
        self._body.clear()
        if first in b"{[":
            self._mode = "json"
        elif first == b"<":
            self._mode = "page"
        else:
            self._mode = "sse"
        out.extend(self.feed(head))

    def _read_json(self, data: bytes, out: list[Event]) -> None:
        """Lines of JSON are read as they come; anything else waits for the end of the bytes."""
        body = self._body
        searched = len(body)
        body += data
        if len(body) > MAX_EVENT_BYTES:
            body.clear()
            self._too_large(out)
        start = 0
        while self._by_line is not False and not self._closed:
            end = body.find(b"\n", max(start, searched))
            if end < 0:
                break
            line = bytes(body[start:end]).strip()
            if line and self._by_line is None:
                self._by_line = line.startswith(b"{") and _is_whole(line)
            if self._by_line is False:
                break
            start = end + 1
            if line:
                self._read(None, line, out)
        del body[:start]

    def _finish_json(self, out: list[Event]) -> None:
        rest = bytes(self._body).strip()
        if not rest or self._closed:
            return
        if rest.startswith(b"["):
            try:
                values = msgspec.json.decode(rest, type=list[msgspec.Raw])
            except UNREADABLE:
                return
            for value in values:
                self._read(None, bytes(value), out)
        else:
            self._read(None, rest, out, cut=True)

    def _page(self, out: list[Event]) -> None:
        message = (
            "The address answered with a web page instead of a model's answer. "
            "Check the provider's base URL, your network sign-in and proxy settings."
        )
        self._failed(StreamError(message, type="html", body=_excerpt(bytes(self._body))), out)

    def _too_large(self, out: list[Event]) -> None:
        if not self._closed:
            message = f"The model server sent a single event of more than {MAX_EVENT_BYTES >> 20} MiB."
            self._failed(StreamError(message, type="event_too_large"), out)

    def _cut_message(self) -> str:
        if self._mode == "opening":
            return "The model server closed the connection without an answer. Try again."
        return "The model's answer broke off before it was complete. Try again."


def _is_whole(data: bytes) -> bool:
    """Whether ``data`` is strict JSON, or the end mark."""
    if data.startswith(_END_MARK):
        return True
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except UNREADABLE:
        return False
    return True


def _is_cut(data: bytes) -> bool:
    """Whether ``data`` is neither JSON, however forgiving the reading, nor OpenAI's end mark."""
    return not _is_whole(data) and tolerant(data) is None


def _excerpt(data: bytes) -> str:
    """The start of ``data`` as text, at most 8 KiB."""
    return data[:_MAX_PAGE_BYTES].decode("utf-8", "replace")
