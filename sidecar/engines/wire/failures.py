"""What a vendor's error object says, whatever its shape.

Errors that arrive in a stream come without an HTTP status of their own (the stream began with 200). The status is
guessed from the code or type by the vendors' own tables, so that retry and fallback treat both alike:
Anthropic "Errors", OpenAI "Error codes", Google ``google.rpc.Code``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.engines.base import StreamError

_STATUS_OF = {
    "invalid_request_error": 400,
    "invalid_request": 400,
    "invalid_prompt": 400,
    "invalid_argument": 400,
    "invalid_parameter": 400,
    "failed_precondition": 400,
    "bad_request": 400,
    "context_length_exceeded": 400,
    "string_above_max_length": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "unauthorized": 401,
    "billing_error": 402,
    "insufficient_credits": 402,
    "payment_required": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "forbidden": 403,
    "not_found_error": 404,
    "not_found": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "rate_limit": 429,
    "too_many_requests": 429,
    "throttling": 429,
    "insufficient_quota": 429,
    "resource_exhausted": 429,
    "server_error": 500,
    "internal_server_error": 500,
    "internal_error": 500,
    "internal": 500,
    "api_error": 500,
    "bad_gateway": 502,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "server_overloaded": 503,
    "unavailable": 503,
    "the service is currently unavailable": 503,  # xAI's code
    "slow_down": 503,
    "deadline_exceeded": 504,
    "timeout_error": 504,
    "gateway_timeout": 504,
    "overloaded_error": 529,
}

_STATUS_OF_WORD = {word.replace("_", "").replace(" ", ""): status for word, status in _STATUS_OF.items()}
"""Without what separates the parts of a word: Alibaba writes ``InvalidApiKey``."""

_NO_SENTENCE = "The model server reported an error without a message."


def stream_error(error: Any, body: bytes, *, beside: dict[str, Any] | None = None) -> StreamError:
    """The event for an error value found in a stream.

    ``error`` is the vendor's value: a string, or an object with any of ``message``, ``type``, ``code``, ``status``
    (also nested under ``error`` or FastAPI's ``detail``). ``body`` is the JSON text it came in. ``beside`` holds the
    members beside a value that is a mere sentence.
    """
    text = body.decode("utf-8", "replace")
    fields = error if isinstance(error, dict) else {**(beside or {}), "message": error}
    nested = fields.get("error") or fields.get("detail")
    if "message" not in fields and nested:
        fields = nested if isinstance(nested, dict) else {"message": nested}
    kind = _word(fields.get("type"))
    code = _word(fields.get("code"))
    state = _word(fields.get("status"))
    return StreamError(
        message=_sentence(fields),
        type=kind if kind is not None else state,
        code=code,
        status=_status(fields, (code, kind, state)),
        body=text,
    )


def _sentence(fields: dict[str, Any]) -> str:
    message = fields.get("message")
    if isinstance(message, str) and message.strip():
        return message
    if message and not isinstance(message, bool):
        return msgspec.json.encode(message).decode()
    return _NO_SENTENCE


def _word(value: Any) -> str | None:
    """A code or type as text; vendors send numbers too."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value)


def _status(fields: dict[str, Any], words: tuple[str | None, ...]) -> int | None:
    for name in ("status_code", "code", "status", "http_code"):
        value = fields.get(name)
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    for word in words:
        if word is None:
            continue
        known = _STATUS_OF_WORD.get(word.partition(".")[0].lower().replace("_", "").replace(" ", ""))
        if known is not None:
            return known
    return None
