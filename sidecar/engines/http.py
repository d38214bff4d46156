"""The HTTP client of every engine: one session, streamed answers, and time-outs that keep-alives cannot defeat.

It knows bytes, statuses and connections; what the bytes mean is the decoder's business, what a status means is
``engines.errors``'. Nothing is retried here, with one exception that no caller could judge: a kept-alive connection
which the server had closed before it read the request.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Mapping
from math import inf
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from sidecar.certificates import import_client, tls_context
from sidecar.engines.network import connection_failure, proxy_for
from sidecar.engines.timeouts import CONNECT_S
from sidecar.errors import Cancelled, StreamInterrupted
from sidecar.redaction import register_headers

if TYPE_CHECKING:
    import asyncio
    import ssl

    from aiohttp import ClientResponse, ClientSession

    from sidecar.engines.base import Progress

_LONGEST_HEADER: Final = 1 << 16
_MOST_HEADERS: Final = 1000
"""Bytes of a header, and headers of an answer. aiohttp refuses more than 8 KiB and 128 of them; company gateways add
policies and cookies of their own."""

_READ_BUFFER: Final = 1 << 17
"""Bytes; reading from the socket pauses at twice this much unread."""

_KEEP_ALIVE_S: Final = 60.0
_POOL: Final = 256
"""Connections in all; no limit per host, because all 64 streams may go to the same one."""

_INLINE_BODY: Final = 1 << 20
"""Bytes; aiohttp warns about larger bodies unless they come as a file."""


class StreamedResponse:
    """The head of an answer, and its body batch by batch.

    ``status``; ``headers`` with lower-case names. ``read`` keeps to the time set by ``expect_within``: a single
    timer per answer that looks at a moving deadline, so a chunk costs no timer of its own.
    """

    def __init__(self, response: ClientResponse, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._readany = response.content.readany
        self._url = url
        self._loop = loop
        self._deadline = inf
        self._timer: asyncio.TimerHandle | None = None
        self._waiting = False
        self._expired = False

    def expect_within(self, seconds: float) -> None:
        """The next ``read`` that waits must be over in ``seconds`` from now (``inf``: no limit)."""
        self._deadline = self._loop.time() + seconds
        timer = self._timer
        if timer is None or self._deadline < timer.when():
            self._arm()

    async def read(self) -> bytes:
        """The bytes that have arrived, at least one; ``b""`` at the end of the body.

        Raises ``TimeoutError`` past the deadline and ``StreamInterrupted`` when the connection broke; the connection
        is closed in both cases.
        """
        self._waiting = True
        try:
            return await self._readany()
        except _failures() as error:
            self.close()
            if self._expired:
                raise TimeoutError from None
            raise connection_failure(error, self._url, answering=True) from error
        finally:
            self._waiting = False

    async def peek(self) -> bytes:
        """What the next ``read`` will give, which it then gives at once. Raises as ``read`` does."""
        data, readany = await self.read(), self._readany

        async def again() -> bytes:
            self._readany = readany
            return data

        self._readany = again
        return data

    async def read_all(self, limit: int) -> bytes:
        """The body up to ``limit`` bytes, for error answers; what arrived before a break or time-out is returned."""
        body = bytearray()
        try:
            while len(body) < limit and (data := await self.read()):
                body += data
        except (TimeoutError, StreamInterrupted):
            pass
        return bytes(body[:limit])

    def close(self) -> None:
        """Ends the answer: closes the connection at once, unless the body was read to its end and it is back in the
        pool."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._response.close()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._deadline != inf:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._loop.time() < self._deadline:
            self._arm()
        elif self._waiting:
            self._expired = True
            self._response.close()  # wakes the reader with an error


class ProviderHttp:
    """One connection pool for the life of the process; the session is made on the loop at first use.

    ``aclose`` closes every connection. HTTPS trusts what the operating system trusts (``sidecar.certificates``);
    proxies are those of the environment, never for loopback; redirects are not followed. Credentials in the headers of
    a request are registered with ``redaction`` before it is sent, since vendors quote them back.
    """

    def __init__(self) -> None:
        self._session: ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._opening = anyio.Lock()
        self._closed = False

    async def warm(self) -> None:
        """Imports the client ahead of the first call, on a worker thread.

        Certificates are read by the first call that needs some: 20 ms and 1.4 MB that calls to this machine do without.
        """
        await self._open("http://")

    async def aclose(self) -> None:
        """Closes all connections. Calls in flight end with an error; later calls raise ``Cancelled``."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post_stream(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        within_s: float = inf,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> StreamedResponse:
        """POSTs ``body``; returns the answer as soon as its head is there. The caller closes it.

        ``within_s`` limits the time to the head and, until ``expect_within`` moves it, that to the first bytes
        (``TimeoutError``). Raises ``ProviderError`` (NETWORK, BAD_REQUEST) when there is no answer.
        """
        import asyncio

        session = await self._open(url)
        register_headers(headers)
        loop = asyncio.get_running_loop()
        start = loop.time()
        with anyio.move_on_after(None if within_s == inf else within_s) as scope:
            response = await self._post(session, url, headers, body, on_progress)
        if scope.cancelled_caught:
            raise TimeoutError
        streamed = StreamedResponse(response, url, loop)
        streamed.expect_within(start + within_s - loop.time())
        if on_progress is not None:
            on_progress("first_byte")
        return streamed

    async def get(self, url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """GETs a small document: status and body (cut after about 1 MiB). Sets no time limit.

        Raises ``ProviderError`` when there is no answer.
        """
        session = await self._open(url)
        register_headers(headers)
        try:
            async with session.get(url, allow_redirects=False, **self._route(url, headers)) as response:
                body = bytearray()
                async for data in response.content.iter_any():
                    body += data
                    if len(body) > _INLINE_BODY:
                        break
                return response.status, bytes(body)
        except _failures() as error:
            raise connection_failure(error, url, answering=False) from error

    async def _post(
        self,
        session: ClientSession,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        on_progress: Callable[[Progress], None] | None,
    ) -> ClientResponse:
        route = self._route(url, headers)
        for last in (False, True):
            trace = SimpleNamespace(reused=False, on_progress=on_progress)
            data = body if len(body) <= _INLINE_BODY else io.BytesIO(body)
            try:
                return await session.post(url, data=data, allow_redirects=False, trace_request_ctx=trace, **route)
            except _failures() as error:
                if last or not (trace.reused and _is_stale(error)):
                    raise connection_failure(error, url, answering=False) from error
        raise AssertionError("unreachable")

    def _route(self, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """The request's headers, certificates and proxy, as aiohttp takes them."""
        route: dict[str, Any] = {"headers": headers}
        if secure := url.startswith("https:"):
            route["ssl"] = self._tls
        if proxy := proxy_for(url):
            route["proxy"] = proxy.url
            if secure:
                route["proxy_headers"] = proxy.headers  # of the CONNECT request only
            else:
                route["headers"] = {**headers, **proxy.headers}
        return route

    async def _open(self, url: str) -> ClientSession:
        if self._closed:
            raise Cancelled("The sidecar is shutting down.")
        session = self._session
        if session is None or (url.startswith("https:") and not _is_usable(self._tls)):
            async with self._opening:
                session = await self._open_once(url)
        return session

    async def _open_once(self, url: str) -> ClientSession:
        if self._session is None:
            aiohttp = await anyio.to_thread.run_sync(import_client)
            from sidecar.engines.chunkless import ChunklessResponse

            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            trace.on_connection_create_end.append(_note_connection)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_POOL, limit_per_host=0, keepalive_timeout=_KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                auto_decompress=True,
                trust_env=False,
                read_bufsize=_READ_BUFFER,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "scalix-sidecar", "Accept-Encoding": "identity"},
                trace_configs=[trace],
                response_class=ChunklessResponse,
                max_field_size=_LONGEST_HEADER,
                max_headers=_MOST_HEADERS,
            )
        if url.startswith("https:") and not _is_usable(self._tls):
            self._tls = await anyio.to_thread.run_sync(tls_context)
        return self._session


def _is_usable(context: ssl.SSLContext | None) -> bool:
    """False too when ``ssl.SSLContext`` was replaced since: aiohttp would take the old one and verify nothing."""
    import ssl

    return isinstance(context, ssl.SSLContext)


def _failures() -> tuple[type[Exception], ...]:
    """What a connection may die of."""
    import aiohttp

    return (OSError, ValueError, aiohttp.ClientError)  # ValueError: a header or URL that is none


async def _note_reuse(_: Any, context: Any, __: Any) -> None:
    if context.trace_request_ctx is not None:  # a GET does not ask
        context.trace_request_ctx.reused = True
    await _note_connection(_, context, __)


async def _note_connection(_: Any, context: Any, __: Any) -> None:
    if context.trace_request_ctx is not None and context.trace_request_ctx.on_progress is not None:
        context.trace_request_ctx.on_progress("connect")


def _is_stale(error: Exception) -> bool:
    """A connection that had been closed while it lay in the pool: the server saw nothing of the request."""
    from aiohttp import ClientConnectorError, ClientOSError, ServerDisconnectedError

    if isinstance(error, ServerDisconnectedError):
        return True
    gone = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
    return isinstance(error, ClientOSError) and not isinstance(error, ClientConnectorError) and error.errno in gone
