"""litellm's exceptions as ours. Knows their shape, and does not import litellm."""

from __future__ import annotations

import ast
import re
from typing import Final

import msgspec

from protocol.errors import ErrorCode
from sidecar.engines.base import StreamError
from sidecar.engines.errors import cut_off, from_response, from_stream_error
from sidecar.errors import ProviderError
from sidecar.redaction import redact

_PYTHON_BYTES: Final = re.compile(r"""b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_WRAPPING: Final = re.compile(
    r"^(?:(?:litellm\.)?\w{1,60}(?:Error|Exception|Timeout)(?:: ?| - ?))+(?:Error code: \d{3} - )?"
)
"""What litellm puts before a vendor's words: ``litellm.RateLimitError: RateLimitError: OpenAIException - ``."""


def provider_error(error: Exception, *, answering: bool = False) -> ProviderError:
    """litellm's exception as ours: the vendor's status, headers and sentence are dug out of its wrapping.

    ``answering``: the answer had begun, so a connection that failed is a stream that broke.
    """
    inner = getattr(error, "original_exception", None) or error
    text = str(getattr(inner, "message", "") or inner) or type(inner).__name__
    kind = type(inner).__name__
    if kind == "APIConnectionError":
        sentence = redact(_WRAPPING.sub("", text), limit=500)
        return cut_off() if answering else ProviderError(sentence, code=ErrorCode.NETWORK)
    body = _vendor_body(text)
    status = getattr(inner, "status_code", None)
    if not isinstance(status, int):
        return from_stream_error(StreamError(_WRAPPING.sub("", text), type=kind, body=body))
    headers = getattr(inner, "litellm_response_headers", None) or {}
    return from_response(status, {name.lower(): value for name, value in headers.items()}, body.encode())


def _vendor_body(text: str) -> str:
    """The vendor's body inside litellm's message: JSON as it came, or as Python bytes, else its sentence."""
    if quoted := _PYTHON_BYTES.search(text):
        return _unquoted(quoted[0])
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        try:
            msgspec.json.decode(text[start : end + 1])
        except (msgspec.DecodeError, UnicodeError):
            pass
        else:
            return text[start : end + 1]
    return _WRAPPING.sub("", text)


def _unquoted(literal: str) -> str:
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return literal
    return bytes(value).decode("utf-8", "replace")
