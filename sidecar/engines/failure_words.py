"""The HTTP status behind a vendor's word for a failure, for errors that come without one.

By the vendors' own tables: Anthropic "Errors", OpenAI "Error codes", Google ``google.rpc.Code``.
"""

from __future__ import annotations

from typing import Final

_STATUS_OF: Final = {
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
    "overloaded": 529,
    "overloaded_error": 529,
}

_BY_LETTERS: Final = {word.replace("_", "").replace(" ", ""): status for word, status in _STATUS_OF.items()}
"""Without what separates the parts of a word: Alibaba writes ``InvalidApiKey``."""


def status_of_word(word: str) -> int | None:
    """The status of a code or type (``overloaded_error``); None for a word nobody knows."""
    return _BY_LETTERS.get(word.lower().replace("_", "").replace(" ", ""))
