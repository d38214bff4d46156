"""What a LiteLLM proxy says when it refuses: what of it the user is told, and what it speaks for. Pure.

A proxy has reasons of its own (virtual keys, budgets, limits, its database) and passes on those of the vendors behind
it, which begin with litellm's name for them. Both were read off the real one (``tests/litellm_proxy``).
"""

from __future__ import annotations

import re
from typing import Final

from protocol.errors import ErrorCode
from sidecar.engines.failure_body import VendorFailure

_CHECK_KEY: Final = "Check LITE_LLM_MASTER_KEY, or the key of this provider in the settings."
_UNHELPFUL: Final[dict[tuple[int | None, str], str]] = {
    (400, "no_db_connection"): "The LiteLLM proxy does not know this key, and has no database to look it up in. "
    + _CHECK_KEY,
    (401, "token_not_found_in_db"): f"The LiteLLM proxy does not know this key. {_CHECK_KEY}",
}
"""What to say instead of a sentence that tells the user nothing, by its status and type. With 503 ``no_db_connection``
is an outage of that database, and says so itself."""

_FOR_THE_OPERATOR: Final = re.compile(r"\n\nLiteLLM: model group '.*", re.DOTALL)
"""How its fallbacks are, or could be, configured."""

_OF_A_VENDOR: Final = re.compile(r"litellm\.\w{1,40}(?:Error|Exception): ")
_ASK_THE_OPERATOR: Final = "That is between the proxy and its provider: tell whoever runs the proxy."
_OPERATORS_TROUBLE: Final = frozenset(
    {ErrorCode.AUTHENTICATION_FAILED, ErrorCode.PERMISSION_DENIED, ErrorCode.INSUFFICIENT_CREDITS}
)

_MODEL_DENIED: Final = re.compile(r"\w{1,40}_model_access_denied")
"""How a model is refused that the key, its user or its team may not use."""

_MODELS_BUDGET: Final = re.compile(r"crossed budget", re.IGNORECASE)
"""Of a model's deployments, or of the provider behind them."""

_LIMIT_OF_CALLER: Final = re.compile(
    r"Rate limit exceeded for (?:api_key|user|team|team_member|end_user|organization|tag|tag_per_key): "
)
"""Its own limits, those aside that count one model alone (``model_per_key``)."""


def sentence(status: int | None, code: ErrorCode, failure: VendorFailure) -> str:
    """The sentence for the user: ``failure``'s own, or a better one where a proxy's says too little or too much."""
    said = _UNHELPFUL.get((status, failure.type or "")) or _FOR_THE_OPERATOR.sub("", failure.message or "")
    if failure.type == "expired_key":  # it tells only the two times
        return _followed(said, _CHECK_KEY)
    if code in _OPERATORS_TROUBLE and _OF_A_VENDOR.match(said):
        return _followed(said, _ASK_THE_OPERATOR)
    return said


def is_of_one_model(message: str, kind: str | None) -> bool:
    """Whether a refusal of this sentence and type leaves the proxy's other models as they were: the vendor behind this
    one refuses the proxy, or the key may not use this one, or what it may cost is used up."""
    return bool(_MODEL_DENIED.fullmatch(kind or "") or _OF_A_VENDOR.match(message) or _MODELS_BUDGET.search(message))


def is_of_every_model(message: str, kind: str | None) -> bool:
    """Whether the proxy would say the same of each of its models: a limit of whoever asks, or the outage of the
    database that it looks keys up in."""
    return kind == "no_db_connection" or _LIMIT_OF_CALLER.match(message) is not None


def _followed(said: str, hint: str) -> str:
    return f"{said.strip().rstrip('.')}. {hint}"
