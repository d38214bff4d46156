"""Error codes of the wire, and the data that travels with them.

The JSON-RPC number says *which layer* refused; ``data.code`` says *what happened*; ``data.kind`` is the coarse
class a host may branch on without knowing every code.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

import msgspec


class RpcCode(IntEnum):
    """JSON-RPC error numbers (JSON-RPC 2.0 section 5.1, and the implementation-defined range)."""

    PARSE = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    NOT_INITIALIZED = -32002
    OVERLOADED = -32001
    APPLICATION = -32000
    CANCELLED = -32800


class Kind(StrEnum):
    """Coarse error class, stable across versions."""

    VALIDATION = "validation"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    AUTH = "auth"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    EXTERNAL = "external"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class ErrorCode(StrEnum):
    """``data.code``: what happened, in the words of the protocol page."""

    VALIDATION = "VALIDATION"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    MISSING_API_KEY = "MISSING_API_KEY"
    AUTHENTICATION_FAILED = "AUTHENTICATION_FAILED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    INSUFFICIENT_CREDITS = "INSUFFICIENT_CREDITS"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED"
    CONTENT_FILTERED = "CONTENT_FILTERED"
    BAD_REQUEST = "BAD_REQUEST"
    TIMEOUT = "TIMEOUT"
    NETWORK = "NETWORK"
    STREAM_INTERRUPTED = "STREAM_INTERRUPTED"
    DATABASE_BUSY = "DATABASE_BUSY"
    DATABASE_UNREADABLE = "DATABASE_UNREADABLE"
    DATABASE_TOO_NEW = "DATABASE_TOO_NEW"
    SETTINGS_UNREADABLE = "SETTINGS_UNREADABLE"
    SECRET_LOCKED = "SECRET_LOCKED"  # noqa: S105 - a code, not a credential
    FEATURE_DISABLED = "FEATURE_DISABLED"
    CANCELLED = "CANCELLED"
    OVERLOADED = "OVERLOADED"
    INTERNAL = "INTERNAL"


KIND_OF: Final[dict[ErrorCode, Kind]] = {
    ErrorCode.VALIDATION: Kind.VALIDATION,
    ErrorCode.NOT_FOUND: Kind.NOT_FOUND,
    ErrorCode.CONFLICT: Kind.CONFLICT,
    ErrorCode.MISSING_API_KEY: Kind.AUTH,
    ErrorCode.AUTHENTICATION_FAILED: Kind.AUTH,
    ErrorCode.PERMISSION_DENIED: Kind.AUTH,
    ErrorCode.INSUFFICIENT_CREDITS: Kind.AUTH,
    ErrorCode.RATE_LIMIT_EXCEEDED: Kind.RATE_LIMITED,
    ErrorCode.MODEL_UNAVAILABLE: Kind.UNAVAILABLE,
    ErrorCode.CONTEXT_LENGTH_EXCEEDED: Kind.VALIDATION,
    ErrorCode.CONTENT_FILTERED: Kind.EXTERNAL,
    ErrorCode.BAD_REQUEST: Kind.EXTERNAL,
    ErrorCode.TIMEOUT: Kind.EXTERNAL,
    ErrorCode.NETWORK: Kind.EXTERNAL,
    ErrorCode.STREAM_INTERRUPTED: Kind.EXTERNAL,
    ErrorCode.DATABASE_BUSY: Kind.UNAVAILABLE,
    ErrorCode.DATABASE_UNREADABLE: Kind.UNAVAILABLE,
    ErrorCode.DATABASE_TOO_NEW: Kind.UNAVAILABLE,
    ErrorCode.SETTINGS_UNREADABLE: Kind.UNAVAILABLE,
    ErrorCode.SECRET_LOCKED: Kind.AUTH,
    ErrorCode.FEATURE_DISABLED: Kind.UNAVAILABLE,
    ErrorCode.CANCELLED: Kind.CANCELLED,
    ErrorCode.OVERLOADED: Kind.UNAVAILABLE,
    ErrorCode.INTERNAL: Kind.INTERNAL,
}

RETRYABLE: Final[frozenset[ErrorCode]] = frozenset(
    {
        ErrorCode.RATE_LIMIT_EXCEEDED,
        ErrorCode.MODEL_UNAVAILABLE,
        ErrorCode.TIMEOUT,
        ErrorCode.NETWORK,
        ErrorCode.STREAM_INTERRUPTED,
        ErrorCode.DATABASE_BUSY,
        ErrorCode.OVERLOADED,
    }
)
"""Codes for which the same request may succeed later without the user changing anything."""


class ErrorData(msgspec.Struct, omit_defaults=True, rename="camel"):
    """``error.data`` of every error response. More members may follow; a host ignores those it does not know."""

    code: ErrorCode
    kind: Kind
    retryable: bool
    retry_after_ms: int | None = None
    """How long the provider, or our own limit, asks to wait, in ms."""
    provider: str | None = None
    model: str | None = None
    request_id: str | None = None
    path: str | None = None
    """For bad params: the field at fault, dotted (``attachments[0].name``)."""
    status: int | None = None
    """The HTTP status a provider answered with."""
    details: str | None = None
    """What a provider answered beyond ``message``, keys cut out, shortened."""
