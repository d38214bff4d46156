"""Whose certificates are trusted, and the HTTP client without the ones it would read for itself.

Everything here reads files: call it on a worker thread.
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_PlainContext: Final = ssl.SSLContext
"""The interpreter's own class, taken before anything may have put another in its place."""

_CA_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where Linux distributions keep the system's certificates; a frozen binary's OpenSSL may look elsewhere."""


def tls_context() -> ssl.SSLContext:
    """A client context that trusts what the operating system trusts, company authorities included, and
    ``SSL_CERT_FILE``.

    On Linux the system's trust *is* a file, so OpenSSL itself is enough; ``truststore`` would read that file again
    for every connection, on the event loop.

    Always an instance of what ``ssl.SSLContext`` is now: aiohttp does not verify anything with a context that is not
    (``TCPConnector._get_ssl_context``), and somebody may have put truststore's class there.
    """
    if sys.platform.startswith("linux") and ssl.SSLContext is _PlainContext:
        context = _PlainContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_default_verify_paths()
        if not context.cert_store_stats()["x509_ca"] and (file := system_ca_file()):
            context.load_verify_locations(file)
    else:
        import truststore

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    extra = os.environ.get("SSL_CERT_FILE")
    if extra and Path(extra).is_file():
        context.load_verify_locations(extra)
    return context


def system_ca_file() -> str | None:
    """The file that holds what a Linux system trusts; None when there is none or the system keeps it elsewhere."""
    return next((name for name in _CA_FILES if Path(name).is_file()), None)


# --- the HTTP client's own -----------------------------------------------------------------------------------------

_unread: list[Callable[[], Any]] = []
"""What would have read the certificates of the contexts that aiohttp makes while it is imported."""
_importing: Final = threading.Lock()


def import_client() -> ModuleType:
    """aiohttp, imported without reading certificates.

    It makes two contexts when it is imported, and reads the system's certificates for each: 40 ms before the first
    word of a first chat, and 2 MB, for contexts that no call of ours uses. Without certificates they trust nobody. So
    every HTTPS call brings its ``tls_context``, and whoever lets aiohttp use its own calls ``read_certificates`` first.

    The lists of its signals, which are short and seldom read, do not have to be in C++: 1 MB, with that library.
    """
    os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")
    with _importing, _certificates_unread():
        import aiohttp
    return aiohttp


def read_certificates() -> None:
    """Complete aiohttp's own contexts (litellm uses them)."""
    with _importing:
        while _unread:
            _unread.pop()()


@contextmanager
def _certificates_unread() -> Iterator[None]:
    """Contexts made by this thread remember what they were to read, instead of reading it."""
    thread, kind = threading.get_ident(), ssl.SSLContext

    def remembering(read: Callable[..., Any]) -> Callable[..., Any]:
        def remember(context: ssl.SSLContext, *arguments: Any) -> Any:
            if threading.get_ident() != thread:
                return read(context, *arguments)
            return _unread.append(lambda: read(context, *arguments))

        return remember

    names = ("load_default_certs", "set_default_verify_paths")
    own = {name: method for name in names if (method := vars(kind).get(name)) is not None}
    for name in names:
        setattr(kind, name, remembering(getattr(kind, name)))
    try:
        yield
    finally:
        for name in names:
            if name in own:
                setattr(kind, name, own[name])
            else:  # inherited
                delattr(kind, name)
