"""What sums mean: rates, averages, percentiles, costs, and the plan's four figures in the plan's format. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from protocol.chat import ModelRef
from protocol.usage import AnalyticsSummary, AnalyticsTotals, ModelFigures, ProviderFigures, SeriesPoint
from sidecar.analytics.sums import ModelKey, Sums
from sidecar.engines.base import Usage

CostOf = Callable[[str, str, Usage], float | None]
"""(provider, model, tokens) -> USD at the model's ordinary prices, or None."""


class Reference(NamedTuple):
    """What answers are compared with: the selected model, and every model with a key (provider, name)."""

    selected: tuple[str, str] | None
    keyed: tuple[tuple[str, str], ...]


def added(sums: Iterable[Sums]) -> Sums:
    """Sums of sums."""
    total = Sums()
    for each in sums:
        total.add(each)
    return total


def figures(sums: Sums) -> dict[str, Any]:
    """The fields of ``UsageFigures``."""
    return {
        "requests": sums["calls"],
        "attempts": sums["attempts"],
        "completed": sums["ok"],
        "failed": sums["errors"],
        "cancelled": sums["cancelled"],
        "skipped": sums["skipped"],
        "fallbacks": sums["fallbacks"],
        "success_rate": _ratio(sums["ok"], sums["ok"] + sums["errors"]),
        "first_attempt_rate": _ratio(sums["first_ok"], sums["judged_calls"]),
        "response_time_avg_ms": _ratio(sums["ok_ms"], sums["ok"]),
        "ttft_p50_ms": sums.ttft_ms(0.5),
        "ttft_p95_ms": sums.ttft_ms(0.95),
        "tokens_per_second": _ratio(sums["speed_tokens"] * 1000, sums["speed_ms"]),
        "input_tokens": sums["input_tokens"],
        "output_tokens": sums["output_tokens"],
        "reasoning_tokens": sums["reasoning_tokens"],
        "cached_input_tokens": sums["cached_tokens"],
        "total_tokens": sums["input_tokens"] + sums["output_tokens"],
        "estimated_requests": sums["estimated"],
        "cost_usd": _cost(sums),
        "unknown_cost_requests": sums["uncosted"],
    }


def totals(models: Mapping[ModelKey, Sums], reference: Reference, cost_of: CostOf) -> AnalyticsTotals:
    """The whole period."""
    savings, model = savings_usd(models, reference, cost_of)
    return AnalyticsTotals(
        **figures(added(models.values())),
        savings_usd=savings,
        savings_reference=None if model is None else ModelRef(*model),
    )


def model_figures(models: Mapping[ModelKey, Sums]) -> list[ModelFigures]:
    """Per model, most requests first."""
    grouped: dict[tuple[str, str], list[Sums]] = {}
    for key, sums in models.items():
        grouped.setdefault((key.provider, key.model), []).append(sums)
    found = [ModelFigures(provider=key[0], name=key[1], **figures(added(sums))) for key, sums in grouped.items()]
    return sorted(found, key=lambda each: (-each.attempts, each.provider, each.name))


def provider_figures(models: Mapping[ModelKey, Sums]) -> list[ProviderFigures]:
    """Per provider, most requests first."""
    grouped: dict[str, list[Sums]] = {}
    for key, sums in models.items():
        grouped.setdefault(key.provider, []).append(sums)
    found = [ProviderFigures(provider=key, **figures(added(sums))) for key, sums in grouped.items()]
    return sorted(found, key=lambda each: (-each.attempts, each.provider))


def point(start: str, label: str, sums: Sums) -> SeriesPoint:
    """One day or hour."""
    return SeriesPoint(
        start=start,
        label=label,
        requests=sums["calls"],
        completed=sums["ok"],
        failed=sums["errors"],
        fallbacks=sums["fallbacks"],
        total_tokens=sums["input_tokens"] + sums["output_tokens"],
        cost_usd=_cost(sums),
        response_time_avg_ms=_ratio(sums["ok_ms"], sums["ok"]),
    )


def savings_usd(
    models: Mapping[ModelKey, Sums], reference: Reference, cost_of: CostOf
) -> tuple[float | None, tuple[str, str] | None]:
    """What the priced tokens would have cost on the reference model, less what they did cost; and that model.

    Use whose price nobody knows is left out on both sides. The reference is priced at its ordinary rates, without the
    surcharge for long prompts, because sums no longer tell how long each was. Negative when the reference is cheaper.
    """
    paid = added(sums for key, sums in models.items() if key.priced)
    tokens = _tokens(paid)
    if reference.selected is not None and (at_selected := cost_of(*reference.selected, tokens)) is not None:
        return at_selected - paid["cost_usd"], reference.selected
    priced = [(cost, model) for model in reference.keyed if (cost := cost_of(*model, tokens)) is not None]
    if not priced:
        return None, None
    dearest, model = max(priced)
    return dearest - paid["cost_usd"], model


def summary(total: AnalyticsTotals) -> AnalyticsSummary:
    """The plan's four figures."""
    return AnalyticsSummary(
        cost_savings=dollars(total.savings_usd or 0.0),
        model_efficiency=f"{round((total.first_attempt_rate or 0.0) * 100)}%",
        response_time_avg=f"{(total.response_time_avg_ms or 0.0) / 1000:.1f}s",
        fallback_usage=total.fallbacks,
    )


def dollars(amount: float) -> str:
    """``$12.50``; ``-$0.31`` for a loss."""
    cents = f"{abs(amount):.2f}"
    return f"-${cents}" if amount < 0 and float(cents) else f"${cents}"


def _tokens(sums: Sums) -> Usage:
    return Usage(
        input_tokens=sums["input_tokens"],
        output_tokens=sums["output_tokens"],
        reasoning_tokens=sums["reasoning_tokens"],
        cached_input_tokens=sums["cached_tokens"],
        cache_write_tokens=sums["cache_write_tokens"],
    )


def _cost(sums: Sums) -> float | None:
    """The known costs; unknown when nothing of what was used has a price."""
    return None if sums["uncosted"] and not sums["costed"] else float(sums["cost_usd"])


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
