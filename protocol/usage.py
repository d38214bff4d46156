"""Usage, analytics, recommendation, health, and the user's budget (protocol page 5, app contract 13.2).

The plan's own names are kept as they are (``requests_today``, ``cost_savings`` ...); everything else is camel case.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from protocol.chat import LimitsReport


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


class AnalyticsParams(msgspec.Struct, frozen=True):
    """Params of ``analytics:get``; ``since`` and ``until`` are ISO 8601 UTC."""

    since: str | None = None
    until: str | None = None
    bucket: Literal["hour", "day"] = "day"


class AnalyticsSummary(msgspec.Struct, frozen=True):
    """The four figures of the plan, as text (``"$12.50"``, ``"85%"``, ``"1.2s"``) and a count of fallbacks."""

    cost_savings: str
    model_efficiency: str
    response_time_avg: str
    fallback_usage: int | float | str


class AnalyticsResult(msgspec.Struct, frozen=True):
    """Result of ``analytics:get``; exact numbers are in ``totals``."""

    analytics: AnalyticsSummary
    totals: dict[str, Any]
    models: list[dict[str, Any]]
    series: list[dict[str, Any]]


class RecommendParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``models:recommend``."""

    chat_id: int | None = None
    prompt: str | None = None
    needs: list[str] | None = None


class ModelSelection(msgspec.Struct, frozen=True):
    """What is recommended, in the names of the plan."""

    recommended: str | None
    reason: str
    fallback_options: list[str]


class Candidate(msgspec.Struct, frozen=True):
    """One model that was weighed."""

    provider: str
    name: str
    score: float
    why: list[str]


class RecommendResult(msgspec.Struct, frozen=True):
    """Result of ``models:recommend``, best candidate first."""

    model_selection: ModelSelection
    candidates: list[Candidate]
