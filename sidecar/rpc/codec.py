"""One line of JSON to messages, and messages to one line. No I/O, no state."""

from __future__ import annotations

import json
from typing import Any, Final, Never, TypeGuard

import msgspec

from protocol.envelope import ErrorObject, Failure, Incoming, Malformed, Notification, Request, RequestId, Result
from protocol.errors import KIND_OF, ErrorCode, RpcCode

_encoder: Final = msgspec.json.Encoder(order=None)
_decoder: Final = msgspec.json.Decoder()

Outgoing = Request | Notification | Result | Failure


def encode(message: Outgoing | list[Result | Failure]) -> bytes:
    """The line of a message, or of a batch of answers, with its terminator."""
    return _encoder.encode(message) + b"\n"


def decode(line: bytes) -> Incoming | list[Incoming]:
    """What a line holds. Never raises: what is wrong with it is a ``Malformed``."""
    try:
        value = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        value = _decode_leniently(line)
        if isinstance(value, Malformed):
            return value
    if isinstance(value, list):
        if not value:
            return Malformed(RpcCode.INVALID_REQUEST, "Invalid Request: the batch is empty")
        return [_message(member) for member in value]
    return _message(value)


def _decode_leniently(line: bytes) -> Any:
    """Second reading with the standard library's parser, for the JSON that JavaScript writes and msgspec refuses:
    lone surrogates (``"\\ud800"``, half an emoji cut by the user's editor), which become U+FFFD."""
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
        text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return json.loads(text)
    except (ValueError, RecursionError):
        return Malformed(RpcCode.PARSE, "Parse error: the line is not valid JSON")


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _message(value: Any) -> Incoming:
    if not isinstance(value, dict):
        return Malformed(RpcCode.INVALID_REQUEST, "Invalid Request: a message is a JSON object")
    identifier = value.get("id")
    readable = identifier if is_request_id(identifier) else None
    if value.get("jsonrpc") != "2.0":
        return Malformed(RpcCode.INVALID_REQUEST, 'Invalid Request: "jsonrpc" must be "2.0"', readable)
    if "method" in value:
        return _call(value, readable)
    if "result" in value and readable is not None:
        return Result(id=readable, result=value["result"])
    if isinstance(value.get("error"), dict):
        return Failure(id=readable, error=_error_object(value["error"]))
    return Malformed(RpcCode.INVALID_REQUEST, 'Invalid Request: "method" is missing', readable)


def _call(value: dict[str, Any], identifier: RequestId | None) -> Incoming:
    method = value["method"]
    if not isinstance(method, str):
        return Malformed(RpcCode.INVALID_REQUEST, 'Invalid Request: "method" must be a string', identifier)
    params = value.get("params")
    if "id" not in value:
        return Notification(method=method, params=params)
    if identifier is None:
        return Malformed(RpcCode.INVALID_REQUEST, 'Invalid Request: "id" must be a string or an integer')
    return Request(id=identifier, method=method, params=params)


def is_request_id(value: Any) -> TypeGuard[RequestId]:
    """Whether this can be the id of a request. In Python ``True`` equals 1, on the wire it does not."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def _error_object(value: dict[str, Any]) -> ErrorObject:
    code, message, data = value.get("code"), value.get("message"), value.get("data")
    return ErrorObject(
        code=code if isinstance(code, int) else RpcCode.INTERNAL,
        message=message if isinstance(message, str) else "",
        data=data if isinstance(data, dict) else {},
    )


def failure(identifier: RequestId | None, code: RpcCode, message: str, data: dict[str, Any] | None = None) -> Failure:
    """An error answer. Without ``data``, the kind that belongs to the JSON-RPC code is filled in."""
    if data is None:
        domain = _DOMAIN_CODE.get(code, ErrorCode.VALIDATION)
        data = {"code": domain.value, "kind": KIND_OF[domain].value, "retryable": code is RpcCode.OVERLOADED}
    return Failure(id=identifier, error=ErrorObject(code=int(code), message=message, data=data))


_DOMAIN_CODE: Final = {
    RpcCode.INTERNAL: ErrorCode.INTERNAL,
    RpcCode.METHOD_NOT_FOUND: ErrorCode.NOT_FOUND,
    RpcCode.OVERLOADED: ErrorCode.OVERLOADED,
    RpcCode.CANCELLED: ErrorCode.CANCELLED,
}
