"""``scalix-sidecar report --html``: what the ledger says, as one page that needs nothing but itself. Pure.

No script, no address, no picture from anywhere, and a Content-Security-Policy in the page that forbids them: it can be
kept and passed on, and looking at it tells nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from html import escape
from typing import Final, NamedTuple

from protocol.usage import AnalyticsResult, ModelFigures, ProviderFigures, SeriesPoint, UsageFigures
from sidecar.analytics import formats
from sidecar.analytics.charts import Format, Series, lines, ranking, stacked_bars
from sidecar.analytics.page_style import CSS

MODELS_SHOWN: Final = 8
"""Bars in a ranking; the table has every model."""


class Measure(NamedTuple):
    """One series of a ranking of models."""

    title: str
    colour: str
    value: Callable[[ModelFigures], float | None]


def html_page(result: AnalyticsResult, *, period: str, made: str) -> str:
    """The whole page. ``period`` (what it covers) and ``made`` (when) are texts for its head and its foot."""
    body = [
        f"<header><h1>Scalix usage</h1><p class=quiet>{escape(period)}</p></header>",
        _tiles(result),
        _notes(result.warnings),
    ]
    if result.totals.attempts or result.totals.skipped:
        body += [_over_time(result.series), _by_model(result.models), _tables(result)]
    else:
        body.append('<p class="empty quiet">Nothing was recorded in this period.</p>')
    prices = f" Prices: {escape(result.price_version)}." if result.price_version else ""
    body.append(
        f"<footer class=quiet>Made on this computer on {escape(made)} from what Scalix recorded here.{prices} "
        "This page loads nothing and sends nothing.</footer>"
    )
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8"><title>Scalix usage</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<style>{CSS}</style></head>\n<body><main>\n" + "\n".join(filter(None, body)) + "\n</main></body></html>\n"
    )


# --- figures -------------------------------------------------------------------------------------------------------


def _tiles(result: AnalyticsResult) -> str:
    plan, totals = result.analytics, result.totals
    reference = totals.savings_reference
    compared = "no model to compare with" if reference is None else f"compared with {reference.name}"
    unknown = totals.unknown_cost_requests
    tiles = [
        ("Cost", formats.money(totals.cost_usd), f"{unknown:,} requests without a price" if unknown else "all priced"),
        ("Saved", plan.cost_savings, compared),
        ("Requests", formats.count(totals.requests), f"{formats.share(totals.success_rate)} of attempts completed"),
        ("Tokens", formats.short_count(totals.total_tokens), _tokens(totals)),
        ("Response time", formats.duration(totals.response_time_avg_ms), "on average, to the end of the answer"),
        ("First words", formats.duration(totals.ttft_p50_ms), f"half of the time; 95%: {_p95(totals)}"),
        ("At the first try", formats.share(totals.first_attempt_rate), "of the answers asked for"),
        ("Fallbacks", formats.count(plan.fallback_usage), "answers that another model gave"),
    ]
    cells = (
        f"<div class=tile><span class=name>{escape(name)}</span><span class=figure>{escape(figure)}</span>"
        f"<span class=more>{escape(more)}</span></div>"
        for name, figure, more in tiles
    )
    return f"<section class=tiles aria-label=Totals>{''.join(cells)}</section>"


def _tokens(totals: UsageFigures) -> str:
    estimated = f", {totals.estimated_requests:,} requests estimated" if totals.estimated_requests else ""
    return f"{formats.short_count(totals.input_tokens)} in, {formats.short_count(totals.output_tokens)} out{estimated}"


def _p95(totals: UsageFigures) -> str:
    return formats.duration(totals.ttft_p95_ms)


def _notes(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    return f"<ul class=notes>{''.join(f'<li>{escape(warning)}</li>' for warning in warnings)}</ul>"


# --- plots ---------------------------------------------------------------------------------------------------------


def _over_time(series: Sequence[SeriesPoint]) -> str:
    labels = [label(point.label) for point in series]

    def row(title: str, colour: str, value: Callable[[SeriesPoint], float | None]) -> Series:
        return Series(title, colour, [value(point) for point in series])

    requests = [row("completed", "answered", lambda p: p.completed), row("failed", "failed", lambda p: p.failed)]
    cost = [row("cost", "cost", lambda p: p.cost_usd)]
    latency = [row("response time", "time", lambda p: p.response_time_avg_ms)]
    fallbacks = [row("fallbacks", "stand-in", lambda p: p.fallbacks)]
    count, money, duration, seconds = formats.count, formats.money, formats.duration, formats.seconds
    plots = [
        _plot("Requests", "requests", requests, lambda name: stacked_bars(name, labels, requests, count, count)),
        _plot("Cost", "cost", cost, lambda name: stacked_bars(name, labels, cost, money, money)),
        _plot("Response time", "latency", latency, lambda name: lines(name, labels, latency, duration, seconds)),
        _plot("Fallbacks", "fallbacks", fallbacks, lambda name: stacked_bars(name, labels, fallbacks, count, count)),
    ]
    return f"<section><h2>Over time</h2><div class=plots>{''.join(plots)}</div></section>"


def _by_model(models: Sequence[ModelFigures]) -> str:
    def best(title: str, name: str, shown: Format, *measures: Measure, ascending: bool = False) -> str:
        first = measures[0].value
        used = sorted((m for m in models if first(m)), key=lambda m: first(m) or 0.0, reverse=not ascending)
        rows = [Series(each.title, each.colour, [each.value(m) for m in used[:MODELS_SHOWN]]) for each in measures]
        names = [model.name for model in used[:MODELS_SHOWN]]
        return _plot(title, name, rows, lambda identifier: ranking(identifier, names, rows, shown))

    half = Measure("half of the time", "time", lambda m: m.ttft_p50_ms)
    most = Measure("95% of the time", "slow", lambda m: m.ttft_p95_ms)
    plots = [
        best("Requests", "model-requests", formats.count, Measure("requests", "answered", lambda m: m.attempts)),
        best("Cost", "model-cost", formats.money, Measure("cost", "cost", lambda m: m.cost_usd)),
        best("Time to the first words", "model-ttft", formats.duration, half, most, ascending=True),
        best(
            "Answers given for another model",
            "model-fallbacks",
            formats.count,
            Measure("fallbacks", "stand-in", lambda m: m.fallbacks),
        ),
    ]
    return f"<section><h2>By model</h2><div class=plots>{''.join(plots)}</div></section>"


def _plot(title: str, name: str, series: Sequence[Series], draw: Callable[[str], str]) -> str:
    """A figure with its title and, where there is more than one series, a legend; ``draw`` gets its id."""
    legends = (
        f'<span class=legend style="--series: var(--{each.colour})">{escape(each.title)}</span>'
        for each in (series if len(series) > 1 else ())
    )
    empty = not any(value for each in series for value in each.values)
    drawn = "<p class=none>none</p>" if empty else draw(name)
    caption = f'<figcaption><h3 id="{name}-title">{escape(title)}</h3>{"".join(legends)}</figcaption>'
    return f"<figure class=plot-card>{caption}{drawn}</figure>"


def label(text: str) -> str:
    """``2026-01-31`` as ``31 Jan``, ``2026-01-31T14:00`` as ``31 Jan 14:00``."""
    moment = datetime.fromisoformat(text)
    day = f"{moment.day} {moment:%b}"
    return f"{day} {moment:%H:%M}" if "T" in text else day


# --- tables --------------------------------------------------------------------------------------------------------

_COLUMNS: Final[Sequence[tuple[str, Callable[[UsageFigures], str]]]] = (
    ("attempts", lambda f: formats.count(f.attempts)),
    ("completed", lambda f: formats.share(f.success_rate)),
    ("for others", lambda f: formats.count(f.fallbacks)),
    ("first words", lambda f: formats.duration(f.ttft_p50_ms)),
    ("95%", lambda f: formats.duration(f.ttft_p95_ms)),
    ("speed", lambda f: formats.rate(f.tokens_per_second)),
    ("tokens in", lambda f: formats.short_count(f.input_tokens)),
    ("tokens out", lambda f: formats.short_count(f.output_tokens)),
    ("cost", lambda f: formats.money(f.cost_usd)),
)


def _tables(result: AnalyticsResult) -> str:
    models = ((f"{escape(each.name)} <span class=under>{escape(each.provider)}</span>", each) for each in result.models)
    providers: Iterable[tuple[str, ProviderFigures]] = ((escape(each.provider), each) for each in result.providers)
    return f"<section>{_table('Models', 'model', models)}{_table('Providers', 'provider', providers)}</section>"


def _table(title: str, first: str, rows: Iterable[tuple[str, UsageFigures]]) -> str:
    head = "".join(f"<th scope=col>{name}</th>" for name in (first, *(name for name, _ in _COLUMNS)))
    body = "".join(
        f"<tr><th scope=row>{name}</th>{''.join(f'<td>{escape(shown(each))}</td>' for _, shown in _COLUMNS)}</tr>"
        for name, each in rows
    )
    return (
        f"<h2>{title}</h2><div class=table-card tabindex=0><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )
