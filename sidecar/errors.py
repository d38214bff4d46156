"""The domain exception tree.

::

    SidecarError                      any failure that has a sentence for the user
    ├── ValidationFailed              VALIDATION         bad argument; ``path`` names the field
    │   └── InvalidParams             (-32602)           a field is missing or of the wrong type
    ├── NotFound                      NOT_FOUND          no such chat, provider, model
    ├── Conflict                      CONFLICT           already exists, chat is busy
    ├── FeatureDisabled               FEATURE_DISABLED   switched off; ``delegate`` says who should serve instead
    ├── Overloaded                    OVERLOADED         too much in flight, retry later
    ├── Cancelled                     CANCELLED          the host asked for it
    ├── ProviderError                 any provider code  one upstream call failed
    │   ├── MissingApiKey             MISSING_API_KEY    found before any request was made
    │   └── StreamInterrupted         STREAM_INTERRUPTED the stream broke or ended without its finish marker
    ├── StoreError
    │   ├── DatabaseBusy              DATABASE_BUSY
    │   ├── DatabaseUnreadable        DATABASE_UNREADABLE
    │   └── DatabaseTooNew            DATABASE_TOO_NEW
    ├── SettingsUnreadable            SETTINGS_UNREADABLE
    └── SecretLocked                  SECRET_LOCKED

They are raised where the failure is known and mapped to the wire in exactly one place, ``rpc.dispatcher``.
Messages are sentences for the user and never hold a secret; whoever builds one from foreign text redacts it first
(``sidecar.redaction``).
"""

from __future__ import annotations

from typing import Any, Final

from protocol.errors import KIND_OF, RETRYABLE, ErrorCode, Kind

OUR_MISTAKE: Final = "Internal error. See the sidecar's log."
"""What the user is told of a bug."""


class SidecarError(Exception):
    """Base of all domain errors.

    ``message`` is the sentence the app shows. ``extra`` holds further members of ``error.data`` under their wire
    names (``scope``, ``attempts``, ``delegate`` ...).
    """

    default_code: ErrorCode = ErrorCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        retryable: bool | None = None,
        retry_after_ms: int | None = None,
        provider: str | None = None,
        model: str | None = None,
        request_id: str | None = None,
        path: str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else self.default_code
        self.retryable = retryable if retryable is not None else self.code in RETRYABLE
        self.retry_after_ms = retry_after_ms
        self.provider = provider
        self.model = model
        self.request_id = request_id
        self.path = path
        self.extra: dict[str, Any] = dict(extra or {})

    @property
    def kind(self) -> Kind:
        """The coarse class of ``code``."""
        return KIND_OF[self.code]

    def data(self) -> dict[str, Any]:
        """``error.data`` under its wire names; absent optionals are left out."""
        data: dict[str, Any] = {"code": self.code.value, "kind": self.kind.value, "retryable": self.retryable}
        optional = {
            "retryAfterMs": self.retry_after_ms,
            "provider": self.provider,
            "model": self.model,
            "requestId": self.request_id,
            "path": self.path,
        }
        data.update({name: value for name, value in optional.items() if value is not None})
        data.update(self.extra)
        return data


class ValidationFailed(SidecarError):
    """A bad argument. ``path`` names the field when there is one."""

    default_code = ErrorCode.VALIDATION


class InvalidParams(ValidationFailed):
    """A field of the params is missing or of the wrong type: JSON-RPC ``-32602``."""


class NotFound(SidecarError):
    """No such chat, app, provider or model."""

    default_code = ErrorCode.NOT_FOUND


class Conflict(SidecarError):
    """Already exists, or the chat is busy."""

    default_code = ErrorCode.CONFLICT


class FeatureDisabled(SidecarError):
    """The path is switched off; the host should use ``delegate`` (``legacyAISDK``) instead."""

    default_code = ErrorCode.FEATURE_DISABLED

    def __init__(self, message: str, *, delegate: str = "legacyAISDK") -> None:
        super().__init__(message, extra={"delegate": delegate})


class Overloaded(SidecarError):
    """Too many requests in flight or too many active streams."""

    default_code = ErrorCode.OVERLOADED


class Cancelled(SidecarError):
    """The host cancelled the request before it had a result."""

    default_code = ErrorCode.CANCELLED


class ProviderError(SidecarError):
    """One upstream call failed.

    ``status`` is the vendor's HTTP status as sent (None when there was no answer). ``details`` is the redacted,
    length-bounded response body, shown to the user after ``Details:`` as the app does. ``raw_code`` is the vendor's
    own error code or type. The same call may be repeated when ``retryable``.
    """

    default_code = ErrorCode.MODEL_UNAVAILABLE

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        status: int | None = None,
        details: str | None = None,
        raw_code: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(message, code=code, **rest)
        self.status = status
        self.details = details
        self.raw_code = raw_code
        self.nothing_there = False
        """The server has nothing at the address that was asked: it refused neither the model nor the request."""

    def data(self) -> dict[str, Any]:
        """As every error's, with what the vendor itself answered."""
        answered = {"status": self.status, "details": self.details}
        return {**super().data(), **{name: value for name, value in answered.items() if value is not None}}


class MissingApiKey(ProviderError):
    """No usable key, found before any request was made."""

    default_code = ErrorCode.MISSING_API_KEY


class StreamInterrupted(ProviderError):
    """The upstream stream broke, or ended without its finish marker."""

    default_code = ErrorCode.STREAM_INTERRUPTED


class StoreError(SidecarError):
    """The app's database could not be used."""

    default_code = ErrorCode.DATABASE_UNREADABLE


class DatabaseBusy(StoreError):
    """Locked past the time-out."""

    default_code = ErrorCode.DATABASE_BUSY


class DatabaseUnreadable(StoreError):
    """Missing, corrupt, or not a database."""

    default_code = ErrorCode.DATABASE_UNREADABLE


class DatabaseTooNew(StoreError):
    """A schema this build must not write."""

    default_code = ErrorCode.DATABASE_TOO_NEW


class SettingsUnreadable(SidecarError):
    """The settings cannot be parsed; they are kept as they are."""

    default_code = ErrorCode.SETTINGS_UNREADABLE


class SecretLocked(SidecarError):
    """A secret the host could not decrypt; its ciphertext is kept."""

    default_code = ErrorCode.SECRET_LOCKED
