"""What a vendor's error object says, whatever its shape.

Errors that arrive in a stream come without an HTTP status of their own (the stream began with 200). The status is
guessed from the code or type (``engines.failure_words``), so that retry and fallback treat both alike.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.engines.base import StreamError
from sidecar.engines.failure_words import status_of_word

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
        if (known := status_of_word(word.partition(".")[0])) is not None:
            return known
    return None
