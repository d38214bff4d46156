"""Usage, analytics, recommendation, health, and the user's budget (protocol page 5, app contract 13.2).

The plan's own names are kept as they are (``requests_today``, ``cost_savings`` ...); everything else is camel case.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from protocol.chat import LimitsReport, ModelRef


class UserBudget(msgspec.Struct, frozen=True, rename="camel"):
    """Result of ``get-user-budget``: credits, and when they are renewed (ISO 8601 UTC)."""

    used_credits: float
    total_credits: float
    budget_reset_date: str


class UsageResult(msgspec.Struct, frozen=True):
    """Result of ``usage:get``. ``resets_at`` is ISO 8601 UTC."""

    usage: LimitsReport
    tier: str
    resets_at: str
    upgrade_prompt: bool


class AnalyticsParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``analytics:get``; ``since`` (included) and ``until`` (not included) are ISO 8601.

    Without them: the last 30 days, or with ``bucket`` ``hour`` the last 48 hours, up to now. ``time_zone`` is an IANA
    name (``Europe/Berlin``); without it days and hours are those of this machine.
    """

    since: str | None = None
    until: str | None = None
    bucket: Literal["hour", "day"] = "day"
    time_zone: str | None = None


class AnalyticsSummary(msgspec.Struct, frozen=True):
    """The four figures of the plan; the exact numbers behind them are in ``totals``.

    ``cost_savings`` (``"$12.50"``): what the same tokens would have cost on the selected model, or on the dearest
    model with a key where the selected one has no price, less what they did cost. ``model_efficiency`` (``"85%"``):
    answers completed on the first attempt, of all asked for and not cancelled at once. ``response_time_avg``
    (``"1.2s"``): from the request to the end of a completed answer. ``fallback_usage``: completed answers that another
    model than the one asked first gave. Without data they are ``"$0.00"``, ``"0%"``, ``"0.0s"`` and 0.
    """

    cost_savings: str
    model_efficiency: str
    response_time_avg: str
    fallback_usage: int


class UsageFigures(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the ledger says about a period. Times in ms, costs in USD, rates from 0 to 1; null is unknown.

    ``requests`` are answers asked for, ``attempts`` the calls made for them; ``success_rate`` is completed of
    completed and failed attempts. Percentiles are within 5 % of the exact ones. ``cost_usd`` sums the known costs:
    ``unknown_cost_requests`` attempts used tokens at a price nobody knows. ``estimated_requests`` attempts have tokens
    counted on this machine because the provider reported none. ``tokens_per_second`` is after the first token.
    """

    requests: int
    attempts: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    fallbacks: int
    success_rate: float | None
    first_attempt_rate: float | None
    response_time_avg_ms: float | None
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    tokens_per_second: float | None
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cached_input_tokens: int
    total_tokens: int
    estimated_requests: int
    cost_usd: float | None
    unknown_cost_requests: int


class AnalyticsTotals(UsageFigures, frozen=True, kw_only=True, rename="camel"):
    """The whole period. ``savings_usd`` is against ``savings_reference``; null when neither has a price."""

    savings_usd: float | None
    savings_reference: ModelRef | None


class ModelFigures(UsageFigures, frozen=True, kw_only=True, rename="camel"):
    """One model."""

    provider: str
    name: str


class ProviderFigures(UsageFigures, frozen=True, kw_only=True, rename="camel"):
    """One provider, all its models."""

    provider: str


class SeriesPoint(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One local day or hour: its first moment (ISO 8601 UTC), and its local date, or date and hour, as ``label``."""

    start: str
    label: str
    requests: int
    completed: int
    failed: int
    fallbacks: int
    total_tokens: int
    cost_usd: float | None
    response_time_avg_ms: float | None


class AnalyticsResult(msgspec.Struct, frozen=True, rename="camel"):
    """Result of ``analytics:get``; models and providers with most requests first, the series without gaps.

    ``warnings`` are sentences about what is odd in the figures.
    """

    analytics: AnalyticsSummary
    totals: AnalyticsTotals
    models: list[ModelFigures]
    providers: list[ProviderFigures]
    series: list[SeriesPoint]
    since: str
    until: str
    time_zone: str
    """The name asked for, or ``local``."""
    price_version: str | None = None
    warnings: list[str] = msgspec.field(default_factory=list)


class RecommendParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``models:recommend``. ``needs``: ``vision``, ``reasoning``, ``long-context``; others are ignored."""

    chat_id: int | None = None
    prompt: str | None = None
    needs: list[str] | None = None


class ModelSelection(msgspec.Struct, frozen=True):
    """What is recommended, in the names of the plan: ``provider/name``, a sentence, and what comes next."""

    recommended: str | None
    reason: str
    fallback_options: list[str]


class Candidate(msgspec.Struct, frozen=True):
    """One model that was weighed. ``why`` are its figures in words."""

    provider: str
    name: str
    score: float
    why: list[str]


class RecommendResult(msgspec.Struct, frozen=True):
    """Result of ``models:recommend``, best candidate first."""

    model_selection: ModelSelection
    candidates: list[Candidate]


class ModelHealth(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How one model has been doing: its circuit in this process, and the last seven days of the ledger.

    ``state`` is the circuit's: ``closed`` asks, ``open`` does not, ``half-open`` tries once. ``success_rate``,
    percentiles (ms) and ``calls`` are of the last seven days; where the ledger has none, of this process.
    """

    provider: str
    name: str
    state: str
    success_rate: float | None
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    last_error_code: str | None
    retry_after_ms: int | None
    calls: int


class ProviderHealth(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One provider, its models together; ``state`` is the best of its circuits."""

    provider: str
    state: str
    success_rate: float | None
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    last_error_code: str | None
    calls: int


class HealthParams(msgspec.Struct, frozen=True):
    """Params of ``providers:health``. ``probe``: also ask every provider that is set up whether it answers now."""

    probe: bool | None = None


class ProviderProbe(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether a provider answers at this moment, found without spending a token.

    ``provider`` is ``auto`` for what Scalix Pro or a LiteLLM proxy serves. ``address`` is its host (and port), null
    when there is none to ask; ``ms`` is the time to its answer. ``reachable``: an HTTP answer came, whatever it said;
    ``code`` and ``message`` say what is wrong with it (a refused key, an overloaded server), null when nothing is.
    """

    provider: str
    reachable: bool
    address: str | None = None
    ms: float | None = None
    code: str | None = None
    message: str | None = None


class HealthResult(msgspec.Struct, frozen=True):
    """Result of ``providers:health``; ``probes``, one per provider that is set up, only when they were asked for."""

    providers: list[ProviderHealth]
    models: list[ModelHealth]
    probes: list[ProviderProbe] | msgspec.UnsetType = msgspec.UNSET
