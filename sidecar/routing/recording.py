"""From a finished call to the ledger: one entry per attempt, priced, with the tokens nobody reported counted here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec

from sidecar.engines.base import Message, ReasoningPart, Target, TextPart, ToolCallPart, ToolResultPart, Usage
from sidecar.lengths import tokens_of, utf16_length
from sidecar.routing.attempts import Attempt, Fallback
from sidecar.store.ledger import LedgerEntry


class Prices(Protocol):
    """``catalog.prices.PriceList``."""

    @property
    def version(self) -> str | None: ...

    def cost(self, provider: str, model: str, tokens: Usage) -> float | None:
        """USD, or None when unknown."""
        ...


class SettledCall(msgspec.Struct, frozen=True, kw_only=True):
    """A routed call that is over, however it ended (``routing.runner.RoutedStream``).

    ``prompt_units`` and ``answer_units`` are lengths in UTF-16 code units, for when the provider counts no tokens.
    """

    kind: Literal["chat", "llm"]
    call_id: str
    attempts: Sequence[Attempt]
    target: Target
    """Who was asked last."""
    usage: Usage | None
    fallbacks: Sequence[Fallback] = ()
    chat_id: int | None = None
    prompt_units: int = 0
    answer_units: int = 0

    @property
    def answered(self) -> bool:
        """Whether any attempt said something."""
        return any(map(_answered, self.attempts))


def entries_of(call: SettledCall, prices: Prices, now_ms: int) -> list[LedgerEntry]:
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


def counted(call: SettledCall) -> tuple[Usage, bool]:
    """The provider's counts, with prompt and answer estimated where it gave none, and whether any were."""
    given = call.usage or Usage()
    if given.input_tokens is not None and given.output_tokens is not None:
        return given, False
    return Usage(
        input_tokens=tokens_of(call.prompt_units) if given.input_tokens is None else given.input_tokens,
        output_tokens=tokens_of(call.answer_units) if given.output_tokens is None else given.output_tokens,
        reasoning_tokens=given.reasoning_tokens,
        cached_input_tokens=given.cached_input_tokens,
        cache_write_tokens=given.cache_write_tokens,
        total_tokens=given.total_tokens,
    ), True


def prompt_units(messages: Iterable[Message], usage: Usage | None = None) -> int:
    """The length of a prompt's texts in UTF-16 code units; images and other files are not counted.

    Nothing is measured, and 0 returned, when ``usage`` tells the prompt's tokens already.
    """
    if usage is not None and usage.input_tokens is not None:
        return 0
    return sum(_part_units(part) for message in messages for part in message.parts)


def _part_units(part: object) -> int:
    if isinstance(part, TextPart | ReasoningPart):
        return utf16_length(part.text)
    if isinstance(part, ToolCallPart):
        return utf16_length(part.arguments)
    return utf16_length(part.content) if isinstance(part, ToolResultPart) else 0


def _answered(attempt: Attempt) -> bool:
    return attempt.outcome == "ok" or attempt.ttft_ms is not None


def _with_tokens(entry: LedgerEntry, call: SettledCall, prices: Prices) -> LedgerEntry:
    usage, estimated = counted(call)
    cost = prices.cost(call.target.provider, call.target.wire_model, usage)
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
