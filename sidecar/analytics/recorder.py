"""From a finished call to the ledger: one entry per attempt, priced, with the tokens nobody reported counted here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from sidecar.engines.base import Target, Usage
from sidecar.routing.attempts import Attempt, Fallback
from sidecar.store.ledger import Ledger, LedgerEntry


class Prices(Protocol):
    """``catalog.prices.PriceList``."""

    @property
    def version(self) -> str | None: ...

    def cost(self, provider: str, model: str, tokens: Usage) -> float | None:
        """USD, or None when unknown."""
        ...


class FinishedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A routed call that is over, however it ended (``routing.runner.RoutedStream``).

    ``prompt_units`` and ``answer_units`` are lengths in UTF-16 code units; no text is taken.
    """

    kind: Literal["chat", "llm", "help"]
    call_id: str
    attempts: Sequence[Attempt]
    fallbacks: Sequence[Fallback]
    target: Target
    usage: Usage | None
    prompt_units: int
    answer_units: int
    chat_id: int | None = None


class UsageRecorder:
    """Puts finished calls into the ledger while ``enabled`` (``enhancedAnalytics``) says so."""

    def __init__(self, ledger: Ledger, prices: Prices, enabled: Callable[[], Awaitable[bool]]) -> None:
        self._ledger = ledger
        self._prices = prices
        self._enabled = enabled

    async def record(self, call: FinishedCall) -> None:
        """Record a call; waits for no database."""
        if call.attempts and await self._enabled():
            for entry in entries_of(call, self._prices, self._ledger.clock()):
                self._ledger.record(entry)


def estimated_tokens(units: int) -> int:
    """Tokens of a text of that many UTF-16 code units (app contract 6)."""
    return -(-max(0, units) // 4)


def entries_of(call: FinishedCall, prices: Prices, now_ms: int) -> list[LedgerEntry]:
    """One entry per attempt, all at the moment the call ended. Only an attempt that answered has tokens and a cost."""
    stood_in = {(f.to.provider, f.to.model): f"{f.from_.provider}/{f.from_.model}" for f in call.fallbacks}
    targets = [call.target, *(each for f in call.fallbacks for each in (f.from_, f.to))]
    routes = {(target.provider, target.model): target.route for target in targets}
    entries = []
    for number, attempt in enumerate(call.attempts, 1):
        model = (attempt.provider, attempt.name)
        entry = LedgerEntry(
            at=now_ms,
            kind=call.kind,
            call_id=call.call_id,
            chat_id=call.chat_id,
            attempt=number,
            provider=attempt.provider,
            model=attempt.name,
            route=routes.get(model),
            outcome=attempt.outcome,
            code=attempt.code,
            ttft_ms=attempt.ttft_ms,
            ms=attempt.ms,
            fallback_from=stood_in.get(model),
        )
        if number == len(call.attempts) and _answered(attempt):
            entry = _with_tokens(entry, call, prices)
        entries.append(entry)
    return entries


def _answered(attempt: Attempt) -> bool:
    return attempt.outcome == "ok" or attempt.ttft_ms is not None


def _with_tokens(entry: LedgerEntry, call: FinishedCall, prices: Prices) -> LedgerEntry:
    usage, estimated = counted(call.usage, call.prompt_units, call.answer_units)
    cost = prices.cost(call.target.provider, call.target.model, usage)
    return msgspec.structs.replace(
        entry,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cached_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        estimated=estimated,
        cost_usd=cost,
        price_version=None if cost is None else prices.version,
    )


def counted(usage: Usage | None, prompt_units: int, answer_units: int) -> tuple[Usage, bool]:
    """The provider's counts, with prompt and answer estimated where it gave none, and whether any were."""
    given = usage or Usage()
    if given.input_tokens is not None and given.output_tokens is not None:
        return given, False
    return Usage(
        input_tokens=estimated_tokens(prompt_units) if given.input_tokens is None else given.input_tokens,
        output_tokens=estimated_tokens(answer_units) if given.output_tokens is None else given.output_tokens,
        reasoning_tokens=given.reasoning_tokens,
        cached_input_tokens=given.cached_input_tokens,
        cache_write_tokens=given.cache_write_tokens,
        total_tokens=given.total_tokens,
    ), True
