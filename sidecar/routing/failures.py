"""What is said when no model answered. Pure; keeps the app's words (app contract 7.9) and is never empty."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from protocol.errors import ErrorCode
from sidecar.engines import proxy_words
from sidecar.engines.base import Finish, Target
from sidecar.errors import ProviderError, StreamInterrupted
from sidecar.routing.attempts import Attempt, attempt_reports
from sidecar.routing.breaker import CircuitBreaker, circuit_of

KEY_ERRORS: Final = frozenset(
    {
        ErrorCode.MISSING_API_KEY,
        ErrorCode.AUTHENTICATION_FAILED,
        ErrorCode.PERMISSION_DENIED,
        ErrorCode.INSUFFICIENT_CREDITS,
    }
)
"""What only the user can mend: a key, its rights or its money."""


def final_error(
    failed: Sequence[tuple[Target, ProviderError]], skipped: int, attempts: Sequence[Attempt]
) -> ProviderError:
    """The error of a call all of whose attempts failed: the last one as it is when there was only one.

    ``failed`` has one entry per attempt, ``skipped`` counts the models left out because their circuit was open.
    """
    target, last = failed[-1]
    tried = len({(each.provider, each.model, each.base_url) for each, _ in failed}) + skipped
    said = _sentence(last)
    if tried > 1:
        message = f"All {tried} models failed for stream. Last error: {said}"
    elif len(failed) > 1 and not last.retryable:
        message = f"Failed after {len(failed)} attempts with non-retryable error: '{said}'"
    elif len(failed) > 1:
        message = f"Failed after {len(failed)} attempts. Last error: {said}"
    else:
        return with_attempts(last, attempts, target)
    code = _common_code([error for _, error in failed], skipped) if tried > 1 else last.code
    error = ProviderError(
        message,
        code=code,
        status=last.status,
        raw_code=last.raw_code,
        retryable=last.retryable,
        retry_after_ms=last.retry_after_ms,
        provider=last.provider,
        model=last.model,
        request_id=last.request_id,
        extra=last.extra,
    )
    return with_attempts(error, attempts, target)


def circuit_open(skipped: Sequence[Target], breaker: CircuitBreaker) -> ProviderError:
    """The error of a call whose every model is known to be down."""
    first = skipped[0]
    waits = [wait for each in skipped if (wait := breaker.retry_after_ms(circuit_of(each))) is not None]
    wait_ms = min(waits, default=0)
    names = ", ".join(dict.fromkeys(each.model for each in skipped))
    verb = "has" if len(skipped) == 1 else "have"
    return ProviderError(
        f"{names} {verb} not been answering. Try again in {max(1, round(wait_ms / 1000))} s, or choose another model.",
        code=ErrorCode.MODEL_UNAVAILABLE,
        retry_after_ms=wait_ms,
        provider=first.provider,
        model=first.model,
    )


def ended_in_error(finish: Finish) -> ProviderError:
    """The error of an answer that ended with one before it had begun, told by nothing but its finish reason: Gemini's
    malformed function calls, Mistral's and OpenRouter's ``error``. Asked again, models mostly answer."""
    word = f" ({finish.raw})" if finish.raw and finish.raw != "error" else ""
    return ProviderError(
        f"The model stopped with an error before it wrote anything{word}. Try again, or choose another model.",
        code=ErrorCode.MODEL_UNAVAILABLE,
        retryable=True,
        status=HTTPStatus.OK,
        raw_code=finish.raw,
    )


def refuses_the_key(error: ProviderError) -> bool:
    """Whether no model would answer with this key. One that may not use just this model may use others."""
    if error.code not in KEY_ERRORS or proxy_words.is_of_one_model(error.message, error.raw_code):
        return False
    return not (error.code is ErrorCode.PERMISSION_DENIED and error.raw_code == "model_not_found")  # OpenAI


def speaks_for_door(target: Target, error: ProviderError) -> bool:
    """Whether the failure would meet every model behind the same key and base.

    A host that cannot be reached does. So does a rate limit of engine and gateway: they have tried other models
    themselves, what is used up is the account. And some of what a LiteLLM proxy says of itself.
    """
    if error.code is ErrorCode.NETWORK or proxy_words.is_of_every_model(error.message, error.raw_code):
        return True
    return error.code is ErrorCode.RATE_LIMIT_EXCEEDED and target.route in {"engine", "gateway"}


def ran_out_of_time(error: ProviderError) -> bool:
    """Whether the time-out is ours: the model was silent for all the time it is given. One that the provider tells of
    (408, 504) has a status, and may have come at once."""
    return error.code is ErrorCode.TIMEOUT and error.status is None


def interrupted(error: ProviderError) -> ProviderError:
    """What a failure in the middle of an answer is to the user: ``STREAM_INTERRUPTED``, with the provider's reason,
    where asking again may help (protocol page 3). A stall (``TIMEOUT``) and what only the user can mend stay what they
    are."""
    if not error.retryable or error.code in {ErrorCode.TIMEOUT, ErrorCode.STREAM_INTERRUPTED}:
        return error
    return StreamInterrupted(
        f"The model's answer broke off before it was complete: {_sentence(error)}",
        status=error.status,
        details=error.details,
        raw_code=error.raw_code,
        retry_after_ms=error.retry_after_ms,
        provider=error.provider,
        model=error.model,
        request_id=error.request_id,
        extra={name: value for name, value in error.extra.items() if name != "scope"},
    )


def with_attempts(error: ProviderError, attempts: Sequence[Attempt], target: Target | None = None) -> ProviderError:
    """``error`` saying what was tried and, for ``target``, whose failure it is."""
    error.extra["attempts"] = attempt_reports(attempts)
    if error.code is ErrorCode.RATE_LIMIT_EXCEEDED:
        error.extra.setdefault("scope", "provider")
    if target is not None:
        error.provider = error.provider or target.provider
        error.model = error.model or target.model
    return error


def _common_code(errors: Sequence[ProviderError], skipped: int) -> ErrorCode:
    """The code all failures share; a key error as the last word, since it stopped the search; else unavailable."""
    if refuses_the_key(errors[-1]):
        return errors[-1].code
    codes = {error.code for error in errors}
    return codes.pop() if len(codes) == 1 and not skipped else ErrorCode.MODEL_UNAVAILABLE


def _sentence(error: ProviderError) -> str:
    """The error's own words; users have met ``Last error: <none>``."""
    return error.message.strip() or f"the provider gave no reason ({error.code.value})"
