"""The network around a call: which proxy, and what a failed connection means.

aiohttp is imported inside the functions that need it: this module loads before the first answer.
"""

from __future__ import annotations

import base64
import ipaddress
import ssl
from functools import lru_cache
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from protocol.errors import ErrorCode
from sidecar.engines.errors import cut_off
from sidecar.errors import ProviderError
from sidecar.redaction import redact

# --- proxies -----------------------------------------------------------------------------------------------------


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy: its URL without credentials, and the header that carries them."""

    url: str
    headers: dict[str, str]


@lru_cache
def is_loopback(host: str) -> bool:
    """True for names and addresses of this machine: they are never reached through a proxy."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def proxy_for(url: str) -> Proxy | None:
    """The proxy for ``url`` by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY (Windows and macOS: else the system's).

    SOCKS proxies are passed over; the HTTP client cannot speak to them.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    from urllib.request import getproxies, proxy_bypass  # aiohttp, imported by now, has it loaded

    proxies = getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or proxy_bypass(host):
        return None
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    if proxy.scheme not in ("http", "https") or not proxy.hostname:
        return None
    headers = {}
    if proxy.username is not None:
        credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
    bare = urlunsplit((proxy.scheme, proxy.netloc.rpartition("@")[2], "", "", ""))
    return Proxy(url=bare, headers=headers)


# --- failures ----------------------------------------------------------------------------------------------------


def place_of(url: str) -> str:
    """``host`` or ``host:port`` of ``url``: what may be named in a message (never the path, query or credentials)."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the provider"
    return f"{parts.hostname}{port}" if parts.hostname else "the provider"


def connection_failure(error: Exception, url: str, *, answering: bool) -> ProviderError:
    """What a failed connection means, in a sentence that says what to do. ``error`` is aiohttp's or the system's.

    ``answering`` tells a stream that broke (``StreamInterrupted``) from one that never began (``NETWORK``).
    """
    if answering:
        return cut_off(f"The connection to {place_of(url)} broke before the answer was complete.")
    if (refused := _refused_request(error, url)) is not None:
        return refused
    retryable = not (_is_certificate_problem(error) or _wants_password(error) or _is_compressed(error))
    return ProviderError(_sentence(error, url), code=ErrorCode.NETWORK, retryable=retryable)


def not_an_address(url: str) -> ProviderError:
    """``url``, typed into the settings, is none."""
    return ProviderError(
        f"The address of the provider is not a valid URL: {redact(url.partition('?')[0], limit=200)}. "
        "Correct the base URL in the settings.",
        code=ErrorCode.BAD_REQUEST,
    )


def _refused_request(error: Exception, url: str) -> ProviderError | None:
    """What never left this machine, because the address or a header is not one."""
    from aiohttp import InvalidURL, NonHttpUrlClientError

    if isinstance(error, InvalidURL | NonHttpUrlClientError):
        return not_an_address(url)
    if isinstance(error, ValueError) and not isinstance(error, ssl.SSLError):
        return ProviderError(
            "A header of the request has characters that cannot be sent. Paste the raw API key only, on one line.",
            code=ErrorCode.BAD_REQUEST,
        )
    return None


def _is_certificate_problem(error: Exception) -> bool:
    from aiohttp import ClientConnectorCertificateError

    return isinstance(error, ClientConnectorCertificateError | ssl.SSLCertVerificationError)


def _wants_password(error: Exception) -> bool:
    from aiohttp import ClientHttpProxyError

    return isinstance(error, ClientHttpProxyError) and error.status == 407


def _is_compressed(error: Exception) -> bool:
    """An answer in a compression that was not asked for and cannot be read here."""
    from aiohttp import ClientResponseError

    return isinstance(error, ClientResponseError) and "content-encoding" in error.message


def _sentence(error: Exception, url: str) -> str:  # noqa: PLR0911, PLR0912 - a table of kinds, narrowest first
    import aiohttp

    place = place_of(url)
    match error:
        case _ if _is_compressed(error):
            return f"{place} answers in a compression nobody asked for. Ask its owner to leave answers uncompressed."
        case _ if _wants_password(error):
            return f"The proxy refused to connect to {place}: it wants a user name and password (HTTP 407)."
        case aiohttp.ClientHttpProxyError(status=status):
            return f"The proxy could not connect to {place} (HTTP {status}). Check the proxy settings."
        case aiohttp.ClientProxyConnectionError():
            return f"Could not reach the proxy on the way to {place}. Check HTTPS_PROXY and NO_PROXY."
        case aiohttp.ClientConnectorDNSError():
            return f"Could not find {place}. Check the address and your internet connection."
        case _ if _is_certificate_problem(error):
            return (
                f"The certificate of {place} is not trusted. If your company inspects traffic, install its root "
                "certificate in the system's trust store or set SSL_CERT_FILE."
            )
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return f"No secure connection to {place} could be made. Check that the address should begin with https."
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return f"Could not connect to {place} in time. Check your internet connection, firewall and proxy."
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return f"Could not connect to {place}: nothing is listening there. Check that the server is running."
        case aiohttp.ClientConnectorError():
            return f"Could not connect to {place}. Check the address and your internet connection."
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return f"{place} did not answer in HTTP. Check the base URL."
        case _ if urlsplit(url).scheme == "http":
            return (
                f"{place} closed the connection without an answer. Try again; if the server expects a secure "
                "connection, its address begins with https."
            )
        case _:
            return f"{place} closed the connection without an answer. Try again."
