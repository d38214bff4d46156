"""JSON-RPC 2.0 messages, both ways (protocol page 1)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from protocol.errors import RpcCode

RequestId = str | int
"""Ids are strings or integers and are echoed with their type."""


class ErrorObject(msgspec.Struct):
    """``error`` of a response. ``data`` is always an object (``protocol.errors.ErrorData`` and more)."""

    code: int
    message: str
    data: dict[str, Any]


class Result(msgspec.Struct):
    """An answer."""

    id: RequestId
    result: Any
    jsonrpc: Literal["2.0"] = "2.0"


class Failure(msgspec.Struct):
    """An error answer; ``id`` is null when the request's own could not be read."""

    id: RequestId | None
    error: ErrorObject
    jsonrpc: Literal["2.0"] = "2.0"


class Notification(msgspec.Struct):
    """A message that is not answered."""

    method: str
    params: Any
    jsonrpc: Literal["2.0"] = "2.0"


class Request(msgspec.Struct):
    """A message that is answered exactly once."""

    id: RequestId
    method: str
    params: Any
    jsonrpc: Literal["2.0"] = "2.0"


class Malformed(msgspec.Struct):
    """A line, or a member of a batch, that is no message: answered with ``code`` and ``id``."""

    code: RpcCode
    message: str
    id: RequestId | None = None


Incoming = Request | Notification | Result | Failure | Malformed
"""One message as read from the host."""
