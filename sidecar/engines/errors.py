"""Provider failure -> ``ProviderError``: one taxonomy (protocol page 3) for every vendor's way to say no.

Pure functions. Three doors: an HTTP answer that is not 200 (``from_response``), an error event inside a stream that
began with 200 (``from_stream_error``), and a connection that failed (``from_connection``, in ``engines.network``).
The message is the vendor's own sentence, because users search for it and the app's UI looks for parts of it (app
contract 7.18); ``details`` is the redacted body. Neither is ever empty of sense: a vendor that says nothing gets a
sentence made from its status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin

from protocol.errors import ErrorCode
from sidecar.engines import proxy_words
from sidecar.engines.base import ModelCall, StreamError
from sidecar.engines.failure_body import VendorFailure, body_text, read_failure, title_of
from sidecar.engines.failure_words import status_of_word
from sidecar.errors import ProviderError, StreamInterrupted
from sidecar.redaction import redact

MESSAGE_LIMIT: Final = 2_000
"""Characters kept of a vendor's sentence."""

DETAILS_LIMIT: Final = 4_000
"""Characters kept of a vendor's body."""

_LONGEST_RETRY_AFTER_MS: Final = 24 * 3600 * 1000


def from_response(
    status: int, headers: Mapping[str, str], body: bytes, *, url: str = "", now: datetime | None = None
) -> ProviderError:
    """The error of an HTTP answer to a request to ``url``. ``headers`` has lower-case names; ``now`` is for HTTP dates
    in Retry-After."""
    content_type = headers.get("content-type", "")
    failure = read_failure(body_text(body, content_type), content_type)
    if 300 <= status < 400:
        return _redirect(status, headers, url)
    retry_after_ms = _retry_after_ms(headers, now or datetime.now(UTC))
    if retry_after_ms is None:
        retry_after_ms = failure.retry_after_ms
    request_id = headers.get("x-request-id") or headers.get("request-id")
    error = _build(status, failure, retry_after_ms=retry_after_ms)
    if (should_retry := headers.get("x-should-retry")) in ("true", "false"):  # OpenAI's and Anthropic's servers
        error.retryable = should_retry == "true"
    if request_id:
        error.extra["providerRequestId"] = redact(request_id, limit=200)
    return error


_FOUND_BY_DECODER: Final[dict[str | None, tuple[ErrorCode, bool]]] = {
    "html": (ErrorCode.MODEL_UNAVAILABLE, False),
    "invalid_json": (ErrorCode.STREAM_INTERRUPTED, True),
    "invalid_event": (ErrorCode.MODEL_UNAVAILABLE, False),
    "event_too_large": (ErrorCode.MODEL_UNAVAILABLE, False),
}
"""Failures no vendor reported: the decoder could not read the answer. Its sentence is ours already. The same server is
not asked again, but nothing is wrong with the request: another one may answer it."""


def from_stream_error(event: StreamError) -> ProviderError:
    """The error of an event inside a stream that began with status 200."""
    if event.type in _FOUND_BY_DECODER:
        code, retryable = _FOUND_BY_DECODER[event.type]
        title = title_of(event.body or "") if event.type == "html" else None
        details = redact(event.body or "", limit=DETAILS_LIMIT) or None
        message = event.message if title is None else f"{event.message} The page says: {redact(title, limit=300)}"
        return ProviderError(message, code=code, retryable=retryable, details=details, raw_code=event.type)
    failure = read_failure(event.body or "", "application/json")
    failure.message = failure.message or event.message
    failure.code = event.code or failure.code
    failure.type = event.type or failure.type
    status = event.status or failure.status or _status_of_words(failure)
    return _build(status, failure, retry_after_ms=failure.retry_after_ms)


def timed_out(*, first: bool, seconds: float) -> ProviderError:
    """No first token, or no further one, in time."""
    what = "did not begin to answer" if first else "stopped sending and did not go on"
    return ProviderError(
        f"The model {what} within {seconds:g} seconds. Try again, or choose another model.", code=ErrorCode.TIMEOUT
    )


def cut_off(message: str | None = None) -> StreamInterrupted:
    """The connection broke in the middle of an answer."""
    return StreamInterrupted(message or "The connection to the model broke before the answer was complete.")


# --- which code --------------------------------------------------------------------------------------------------

_CODE_OF_STATUS: Final[dict[int, ErrorCode]] = {
    400: ErrorCode.BAD_REQUEST,
    401: ErrorCode.AUTHENTICATION_FAILED,
    402: ErrorCode.INSUFFICIENT_CREDITS,
    403: ErrorCode.PERMISSION_DENIED,
    404: ErrorCode.MODEL_UNAVAILABLE,
    405: ErrorCode.BAD_REQUEST,
    407: ErrorCode.NETWORK,
    408: ErrorCode.TIMEOUT,
    409: ErrorCode.MODEL_UNAVAILABLE,
    413: ErrorCode.CONTEXT_LENGTH_EXCEEDED,
    422: ErrorCode.BAD_REQUEST,
    425: ErrorCode.MODEL_UNAVAILABLE,
    429: ErrorCode.RATE_LIMIT_EXCEEDED,
    504: ErrorCode.TIMEOUT,
    524: ErrorCode.TIMEOUT,  # Cloudflare: the origin did not answer in time
}

_NOT_WORTH_REPEATING: Final = frozenset({404, 410, 501, 505})

_LITELLM_CLASS: Final = re.compile(
    r"litellm\.(AuthenticationError|PermissionDeniedError|NotFoundError|RateLimitError|BadRequestError|Timeout"
    r"|ServiceUnavailableError|InternalServerError|ContextWindowExceededError|ContentPolicyViolationError)"
)
_STATUS_OF_LITELLM_CLASS: Final = {
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "RateLimitError": 429,
    "BadRequestError": 400,
    "Timeout": 408,
    "ServiceUnavailableError": 503,
    "InternalServerError": 500,
    "ContextWindowExceededError": 400,
    "ContentPolicyViolationError": 400,
}

_NO_CREDITS: Final = re.compile(
    r"insufficient_quota|OpenAIException - You exceeded your current quota"
    r"|ExceededBudget|Budget_?Exceeded|budget has been exceeded|crossed budget|billing_hard_limit"
    r"|billing_not_active"
    r"|credit balance is too low|insufficient (?:credits|balance|funds)|more credits|out of credits|payment required"
    r"|used all available credits|monthly spending limit|reached your specified API usage limits"
    r"|doesn't have any credits",
    re.IGNORECASE,
)
_CONTEXT: Final = re.compile(
    r"context[_ ]length|context[_ -]window|ContextWindowExceeded|available context size"
    r"|maximum (?:context|prompt length)"
    r"|prompt is too long|input is too long|exceeds? context limit|too many (?:input )?tokens|request_too_large"
    r"|string_above_max_length"
    r"|(?:input|prompt) tokens? (?:count )?(?:\([^)]{0,40}\) )?exceeds?|exceeds the maximum number of tokens"
    r"|max(?:imum)? (?:number of )?(?:input |prompt )?tokens? (?:allowed|limit)[^.\n]{0,40}exceed"
    r"|too large for model|reduce the length of",
    re.IGNORECASE,
)
_FILTERED: Final = re.compile(
    r"content_?filter|content[_ ]policy|content management policy|ContentPolicyViolation|ResponsibleAIPolicyViolation"
    r"|content filtering|safety (?:system|check|reasons|filter)|safety_check|PROHIBITED_CONTENT|data_inspection_failed"
    r"|violates usage guidelines|usage policy violation|violating our usage policy|moderation_blocked"
    r"|requires moderation|^blocked (?:input|output)",
    re.IGNORECASE | re.MULTILINE,
)
_BAD_KEY: Final = re.compile(
    r"api[ _]key not valid|api_key_invalid|invalid[_ ]api[_ ]key|incorrect api key|invalid x-api-key"
    r"|LiteLLM Virtual Key expected|no_db_connection|no auth credentials found|authentication_error|API key expired",
    re.IGNORECASE,
)
_NO_MODEL: Final = re.compile(
    r"model_not_found|invalid[_ ]model\b|not a valid model|no such model|unknown model|model identifier is invalid"
    r"|model [^.\n]{0,120}(?:does not exist|not found|is not available|is not supported)|unsupported model",
    re.IGNORECASE,
)
_NOT_SERVED: Final = re.compile(
    r"user location is not supported|not available in your country|organization has been disabled", re.IGNORECASE
)
"""Nothing is wrong with the request: Google and Anthropic answer whoever they do not serve with status 400."""
_UNMISTAKABLE: Final[tuple[tuple[re.Pattern[str], tuple[int | None, ...], ErrorCode], ...]] = (
    (_NO_CREDITS, (None, 400, 401, 402, 403, 422, 429, 500), ErrorCode.INSUFFICIENT_CREDITS),
    (_CONTEXT, (None, 400, 404, 413, 422, 500), ErrorCode.CONTEXT_LENGTH_EXCEEDED),
    (_FILTERED, (None, 400, 403, 422, 498, 500), ErrorCode.CONTENT_FILTERED),
    (_BAD_KEY, (None, 400, 422), ErrorCode.AUTHENTICATION_FAILED),
    (_NOT_SERVED, (None, 400), ErrorCode.PERMISSION_DENIED),
    (_NO_MODEL, (None, 400, 422), ErrorCode.MODEL_UNAVAILABLE),
)
"""Sentences, the statuses they are believed with, and what they mean; the first one counts. None is repeated."""

_NOT_SOON: Final = re.compile(
    r"doesn't have a free quota tier|Request too large for|PerDay|per-day|calls / month|requires more system memory"
)
"""What a minute does not change: a free tier that is not there, a request larger than a minute's tokens, a day's or
month's quota (Google, OpenRouter, Cohere), a machine that is too small for the model (Ollama)."""


def classify(status: int | None, words: str) -> tuple[ErrorCode, bool]:
    """The error code, and whether the same call may be repeated. ``words`` is everything the vendor said.

    Statuses lie more often than words do (a used-up budget as 429, a bad Google key or an over-long prompt as 400),
    so words win where a vendor's sentence is unmistakable.
    """
    for pattern, statuses, meant in _UNMISTAKABLE:
        if status in statuses and pattern.search(words):
            return meant, False
    if status is None:
        return ErrorCode.MODEL_UNAVAILABLE, True
    code = _CODE_OF_STATUS.get(status)
    if code is None:  # 2xx: an answer that is none, such as a sign-in page
        code = ErrorCode.MODEL_UNAVAILABLE if status >= 500 or status < 300 else ErrorCode.BAD_REQUEST
    retryable = status in (408, 409, 425, 429) or (status >= 500 and status not in _NOT_WORTH_REPEATING)
    return code, retryable and _NOT_SOON.search(words) is None


def _status_of_words(failure: VendorFailure) -> int | None:
    for word in (failure.code, failure.type):
        if word and (status := status_of_word(word)):
            return status
    if match := _LITELLM_CLASS.search(failure.message or ""):
        return _STATUS_OF_LITELLM_CLASS[match[1]]
    return None


def _build(status: int | None, failure: VendorFailure, *, retry_after_ms: int | None) -> ProviderError:
    code, retryable = classify(status, failure.words())
    said = proxy_words.sentence(status, code, failure)
    mute = failure.is_page or (status == 401 and _JUST_REFUSED.fullmatch(said))
    if mute and (hint := _HINTS.get(status or 0)):
        said = f"{said.rstrip('.')}. {hint}"
    message = redact(said.strip(), limit=MESSAGE_LIMIT) or _sentence_of_status(status)
    details = redact(failure.body.strip(), limit=DETAILS_LIMIT) or None
    return ProviderError(
        message,
        code=code,
        retryable=retryable,
        retry_after_ms=retry_after_ms,
        status=status,
        details=None if details == message else details,
        raw_code=failure.code or failure.type,
        extra={
            **({"scope": "provider"} if code is ErrorCode.RATE_LIMIT_EXCEEDED else {}),
            **({"upgrade_prompt": True} if failure.upgrade_prompt else {}),
        },
    )


_HINTS: Final = {
    401: "Check the API key in the settings.",
    402: "Check your balance with the provider.",
    403: "Check whether the API key may use this model, and whether a firewall is in between.",
    429: "Wait a moment, or choose another model.",
}
"""What to do where the vendor only gave a status; Perplexity refuses keys with a web page."""

_JUST_REFUSED: Final = re.compile(r"(?:unauthorized|user not found|access denied|forbidden)\.?", re.IGNORECASE)
"""All that Mistral, OpenRouter and many gateways say of a key."""


def _sentence_of_status(status: int | None) -> str:
    if status is None:
        return "The provider reported an error without saying which."
    if status == 407:
        return (
            "The proxy on the way to the provider wants a user name and password (HTTP 407). "
            "Put them into HTTPS_PROXY or HTTP_PROXY."
        )
    try:
        phrase = f" ({HTTPStatus(status).phrase})"
    except ValueError:
        phrase = " (overloaded)" if status == 529 else ""
    told = f"The provider answered with HTTP status {status}{phrase} and no explanation."
    return f"{told} {_HINTS[status]}" if status in _HINTS else told


def _redirect(status: int, headers: Mapping[str, str], url: str) -> ProviderError:
    """Redirects are not followed: keys in headers must not travel to an address nobody configured."""
    location = headers.get("location", "")
    with suppress(ValueError):  # no address either way; told as it came
        location = urljoin(url.partition("?")[0], location) if location else ""
    where = redact(location.partition("?")[0], limit=300)
    to = f" to {where}" if where else ""
    return ProviderError(
        f"The provider redirects{to} (HTTP {status}). Enter that address as the base URL instead.",
        code=ErrorCode.BAD_REQUEST,
        retryable=False,
        status=status,
    )


def _retry_after_ms(headers: Mapping[str, str], now: datetime) -> int | None:
    """``retry-after-ms``, else ``Retry-After`` in seconds or as an HTTP date (RFC 9110 10.2.3). None as well for a
    moment that is over: it tells nothing, and asking again at once would only annoy.

    A LiteLLM proxy passes the vendor's own on with a prefix.
    """
    text = headers.get("retry-after-ms") or headers.get("llm_provider-retry-after-ms")
    if text is not None and (value := _number(text)) is not None:
        return _bounded_ms(value)
    text = headers.get("retry-after") or headers.get("llm_provider-retry-after")
    if text is None:
        return None
    if (value := _number(text)) is not None:
        return _bounded_ms(value * 1000)
    if (moment := _http_date(text)) is None:
        return None
    # By the server's own clock, where it tells: ours may be wrong.
    now = _http_date(headers.get("date", "")) or now
    return _bounded_ms((moment - now).total_seconds() * 1000)


def _http_date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value else None  # noqa: PLR0124 - NaN is the only number that differs from itself


def _bounded_ms(value: float) -> int | None:
    return int(min(value, _LONGEST_RETRY_AFTER_MS)) if value >= 0 else None


def attributed(error: ProviderError, call: ModelCall) -> ProviderError:
    """The same error, saying whose call failed."""
    error.provider, error.model, error.request_id = call.target.provider, call.target.model, call.request_id
    return error
