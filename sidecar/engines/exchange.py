"""One request to a provider, seen as batches of events: what all engines with a decoder of their own share."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from sidecar.engines import errors
from sidecar.engines.base import (
    Decoder,
    Event,
    Finish,
    ModelCall,
    Progress,
    ProxyMetadata,
    ResponseStarted,
    StreamError,
    Usage,
)
from sidecar.engines.body import prepared
from sidecar.engines.http import ProviderHttp, StreamedResponse
from sidecar.engines.network import not_an_address, place_of
from sidecar.engines.refusals import MAX_REFUSALS, Refusals
from sidecar.engines.timeouts import AFTER_END_S, USAGE_S, Timeouts
from sidecar.errors import ProviderError, StreamInterrupted

ERROR_BODY_LIMIT: Final = 1 << 18
"""Bytes read of a failed answer."""

_FIRST_PIECE: Final = 1024
"""Bytes decoded at a time until there is content."""

_ERROR_BODY_S: Final = 5.0
"""Seconds the body of a failed answer may take."""

_SAYS_WHAT: Final = re.compile("model|deployment|base URL|No endpoints found", re.IGNORECASE)
"""A sentence with one of these tells what was not found; the last is OpenRouter's."""

_NOT_CONTENT: Final = frozenset({ResponseStarted, Usage, ProxyMetadata})
"""Events that do not show that the model is at work: they do not move the time-outs."""


class PreparedRequest(msgspec.Struct, frozen=True):
    """A request ready to be sent: complete headers, body as JSON bytes."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"PreparedRequest({len(self.body)} bytes)"


def endpoint(base_url: str, path: str, query: Mapping[str, str] | None = None) -> str:
    """``base_url`` + ``path``, keeping a query of the base (company gateways) and adding ``query``.

    Raises ``ProviderError`` (BAD_REQUEST) when ``base_url`` is no URL.
    """
    try:
        parts = urlsplit(base_url.rstrip("/"))
    except ValueError:
        raise not_an_address(base_url) from None
    joined = "&".join(text for text in (parts.query, urlencode(dict(query or {}))) if text)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, joined, ""))


class Exchange:
    """Sends requests and turns their answers into events.

    Time-outs, cut streams, refused requests and error events all come out as ``ProviderError`` that says whose call
    it was.
    """

    def __init__(self, http: ProviderHttp, timeouts: Timeouts) -> None:
        self._http = http
        self._timeouts = timeouts
        self._refusals = Refusals()

    @asynccontextmanager
    async def stream(
        self, call: ModelCall, prepare: Callable[[ModelCall], PreparedRequest], decoder: Callable[[], Decoder]
    ) -> AsyncIterator[AsyncIterator[list[Event]]]:
        """Sends what ``prepare`` makes of ``call``; yields the batches of its answer, one per network read that
        completed an event.

        Entering waits for the head of the answer and raises what a failed one means. What the server refuses to be
        asked with is left out, at once and as part of the same call. Leaving closes the connection.
        """
        try:
            response = await self._accepted(self._refusals.known(call), prepare)
        except ProviderError as error:
            raise errors.attributed(error, call) from error.__cause__
        try:
            async with aclosing(self._batches(call, response, decoder())) as batches:
                yield batches
        finally:
            response.close()

    async def _accepted(self, call: ModelCall, prepare: Callable[[ModelCall], PreparedRequest]) -> StreamedResponse:
        """The head of a good answer, to ``call`` or to what the server's refusals leave of it."""
        request = await prepared(call, prepare)
        for _ in range(MAX_REFUSALS):
            try:
                return await self._answer(request, call.on_progress)
            except ProviderError as error:
                smaller = self._refusals.learn(call, error)
                if smaller is None:
                    raise
                before, call = request.body, _numbered(smaller)
                request = await prepared(call, prepare)
                if request.body == before:
                    raise
        return await self._answer(request, call.on_progress)

    async def _answer(
        self, request: PreparedRequest, on_progress: Callable[[Progress], None] | None
    ) -> StreamedResponse:
        """The head of a good answer, to be closed by the caller. Any other is closed and raised."""
        within_s = self._timeouts.first_token_s
        with ExitStack() as stack:
            try:
                response = await self._http.post_stream(
                    request.url, request.headers, request.body, within_s=within_s, on_progress=on_progress
                )
                stack.callback(response.close)
                refused = not _is_good(response) or (_says_page(response) and not await _is_stream(response))
            except TimeoutError:
                raise errors.timed_out(first=True, seconds=within_s) from None
            if not refused:
                stack.pop_all()
                return response
            response.expect_within(_ERROR_BODY_S)
            body = await response.read_all(ERROR_BODY_LIMIT)
            raise _at(request.url, errors.from_response(response.status, response.headers, body, url=request.url))

    async def _batches(
        self, call: ModelCall, response: StreamedResponse, decoder: Decoder
    ) -> AsyncGenerator[list[Event], None]:
        progress = _Progress(response, self._timeouts)
        try:
            while data := await progress.read():
                for piece in progress.pieces(data):
                    if events := decoder.feed(piece):
                        events, failure = _split(events)
                        progress.saw(events)
                        if events:
                            yield events
                        if failure is not None:
                            raise failure
                        progress.go_on()
                if progress.finished and b"[DONE]" in data:
                    progress.nothing_to_come()
            events, failure = _last(decoder)
            if events:
                yield events
            if failure is not None:
                raise failure
        except ProviderError as error:
            raise errors.attributed(error, call) from error.__cause__


class _Progress:
    """Where an answer is: before the first token, in it, or past the finish marker; and which time-out that means."""

    def __init__(self, response: StreamedResponse, timeouts: Timeouts) -> None:
        self._response = response
        self._timeouts = timeouts
        self._content = False
        self._moved = False
        self._usage = False
        self.finished = False

    async def read(self) -> bytes:
        """The next bytes; ``b""`` at the end, which past the finish marker comes at the latest with the grace time."""
        try:
            return await self._response.read()
        except TimeoutError:
            if self.finished:
                return b""
            first = not self._content
            seconds = self._timeouts.first_token_s if first else self._timeouts.idle_s
            raise errors.timed_out(first=first, seconds=seconds) from None
        except StreamInterrupted:
            if self.finished:
                return b""
            raise

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """``data`` in small pieces up to the first content: the first word does not wait for all that came with it."""
        start = 0
        while not self._content and start < len(data):
            yield data[start : start + _FIRST_PIECE]
            start += _FIRST_PIECE
        if start < len(data):
            yield data[start:] if start else data

    def saw(self, events: list[Event]) -> None:
        """Takes note of what a batch tells about the way."""
        moved = self.finished
        for kind in map(type, events):
            if kind not in _NOT_CONTENT:
                moved = True
                self._content = True
                if kind is Finish:
                    self.finished = True
            elif kind is Usage:
                self._usage = True
        self._moved = moved

    def go_on(self) -> None:
        """Starts the time for what comes next; called when the consumer is back, so that its own time is free."""
        if self._moved:
            after_finish = AFTER_END_S if self._usage else USAGE_S
            self._response.expect_within(after_finish if self.finished else self._timeouts.idle_s)

    def nothing_to_come(self) -> None:
        """The vendor said that this was all: wait for the end of the body only as long as reuse is worth it."""
        self._response.expect_within(AFTER_END_S)


def _at(url: str, error: ProviderError) -> ProviderError:
    """A refusal that says no more than that nothing is there gets told where it was looked for."""
    if error.status in (404, 405) and not _SAYS_WHAT.search(error.message):
        where = f"{place_of(url)}{urlsplit(url).path}"
        error.message = f"{error.message.rstrip('.')}. Nothing answers at {where}: check the base URL in the settings."
        error.nothing_there = True
    return error


def _numbered(call: ModelCall) -> ModelCall:
    """``call`` as the HTTP attempt that it is."""
    if call.next_attempt is None:
        return call
    return msgspec.structs.replace(call, attempt=call.next_attempt())


def _is_good(response: StreamedResponse) -> bool:
    """200, or any other status of success with a stream: gateways answer 201 to a POST. Without one it is no answer."""
    streams = "text/event-stream" in response.headers.get("content-type", "").lower()
    return response.status == 200 or (streams and 200 < response.status < 300 and response.status != 204)


def _says_page(response: StreamedResponse) -> bool:
    """A web page with status 200: a login page of a network, or a base URL that points to a web site."""
    return "text/html" in response.headers.get("content-type", "").lower()


async def _is_stream(response: StreamedResponse) -> bool:
    """Whether what is called a page begins like an answer: servers written in PHP call everything one."""
    try:
        return (await response.peek()).lstrip().startswith((b"data:", b"event:", b":", b"{", b"["))
    except StreamInterrupted:
        return False


def _split(events: list[Event]) -> tuple[list[Event], ProviderError | None]:
    """The content before an error event, and the error."""
    for index, event in enumerate(events):
        if type(event) is StreamError:
            return events[:index], errors.from_stream_error(event)
    return events, None


def _last(decoder: Decoder) -> tuple[list[Event], ProviderError | None]:
    """What the end of the bytes completes. A cut stream still delivers what its last event held."""
    try:
        return _split(decoder.finish())
    except StreamInterrupted as cut:
        return getattr(cut, "events", []), cut
