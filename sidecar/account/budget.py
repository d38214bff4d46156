"""``get-user-budget``: what is left of the Pro budget (app contract 13.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import anyio
import msgspec
import structlog

from protocol.usage import UserBudget
from sidecar.errors import ProviderError, SidecarError
from sidecar.routing.inputs import Environment
from sidecar.routing.keys import checked_pro_key
from sidecar.routing.pro import client_headers
from sidecar.secret import SecretText

USER_SERVICE: Final = "https://llm-gateway.scalix.world/v1"
CREDITS_PER_USD: Final = 15
"""The app's conversion (10 * 3 / 2)."""
TRIES: Final = 3
TRY_TIMEOUT_S: Final = 10.0
PAUSE_S: Final = 1.0
"""Times the number of the try."""

Fetch = Callable[[str, Mapping[str, str]], Awaitable[tuple[int, bytes]]]
"""``(url, headers) -> (status, body)``; raises ``ProviderError`` when there is no answer."""

log = structlog.get_logger("sidecar.account")


class _UserInfo(msgspec.Struct):
    spend: float
    max_budget: float
    budget_reset_at: str


class _Answer(msgspec.Struct):
    user_info: _UserInfo


def service_headers(key: SecretText, environ: Environment) -> dict[str, str]:
    """The headers every Scalix service wants (app contract 9.1). Raises ``ProviderError`` for a malformed key."""
    return {
        "Authorization": f"Bearer {checked_pro_key(key).reveal()}",
        **client_headers(environ),
        "Content-Type": "application/json",
    }


async def user_budget(
    fetch: Fetch,
    *,
    base: str,
    headers: Mapping[str, str],
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> UserBudget | None:
    """Ask the user service; None on any failure, which is logged: the app shows nothing then.

    Three tries of 10 s; server errors, time-outs and network failures are tried again, 4xx is not.
    """
    for number in range(1, TRIES + 1):
        try:
            with anyio.fail_after(TRY_TIMEOUT_S):
                status, body = await fetch(f"{base.rstrip('/')}/user/info", headers)
        except (TimeoutError, ProviderError) as error:
            log.warning("the user service did not answer", attempt=number, reason=type(error).__name__)
        else:
            if status < 500:
                return _budget(status, body)
            log.warning("the user service failed", attempt=number, status=status)
        if number < TRIES:
            await sleep(PAUSE_S * number)
    return None


def _budget(status: int, body: bytes) -> UserBudget | None:
    if status >= 400:
        log.warning("the user service refused", status=status)
        return None
    try:
        info = msgspec.json.decode(body, type=_Answer, strict=False).user_info
        reset = datetime.fromisoformat(info.budget_reset_at)
    except (msgspec.DecodeError, ValueError):
        log.warning("the user service's answer was not understood")
        return None
    moment = (reset if reset.tzinfo else reset.replace(tzinfo=UTC)).astimezone(UTC)
    return UserBudget(
        used_credits=info.spend * CREDITS_PER_USD,
        total_credits=info.max_budget * CREDITS_PER_USD,
        budget_reset_date=f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
    )


async def budget_or_none(
    fetch: Fetch, *, base: str, key: SecretText | None, environ: Environment, test_build: bool
) -> UserBudget | None:
    """The whole rule: None in test builds, without a key, with a malformed one, and on any failure."""
    if test_build or key is None:
        return None
    try:
        return await user_budget(fetch, base=base, headers=service_headers(key, environ))
    except SidecarError as error:
        log.warning("no budget", code=error.code.value)
        return None
