"""The report's page: complete, by itself, and safe whatever a model is called."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from protocol.usage import AnalyticsResult
from sidecar.analytics import formats
from sidecar.analytics.charts import Series, lines, ranking, stacked_bars, ticks
from sidecar.analytics.page import html_page, label
from tests.analytics.history import month, report_of
from tests.store.ledger_entries import NOON, entry

pytestmark = pytest.mark.anyio

SVG = "{http://www.w3.org/2000/svg}"


def page_of(result: AnalyticsResult) -> str:
    return html_page(result, period="3 Dec – 1 Jan 2026", made="1 Jan 2026 13:00")


def svgs(page: str) -> dict[str, ElementTree.Element]:
    return {
        (root := ElementTree.fromstring(text)).get("id", ""): root
        for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    }


def titles(svg: ElementTree.Element) -> list[str]:
    return [title.text or "" for title in svg.iter(f"{SVG}title")]


async def test_every_plot_is_there_with_its_values_in_words() -> None:
    result = await report_of(month())
    found = svgs(page_of(result))
    assert set(found) == {
        f"chart-{name}"
        for name in ("requests", "cost", "latency", "fallbacks", "model-requests", "model-cost", "model-ttft",
                     "model-fallbacks")
    }  # fmt: skip
    point = result.series[-1]
    day = label(point.label)
    assert f"{day}: {point.completed} completed" in titles(found["chart-requests"])
    assert f"{day}: {formats.money(point.cost_usd)} cost" in titles(found["chart-cost"])
    assert f"{day}: {formats.duration(point.response_time_avg_ms)} response time" in titles(found["chart-latency"])
    first = result.models[0]
    assert any(each.endswith(f"{first.attempts} requests") for each in titles(found["chart-model-requests"]))


async def test_the_figures_of_the_plan_and_every_model_are_told() -> None:
    result = await report_of(month())
    page = page_of(result)
    assert f"<span class=figure>{result.analytics.cost_savings}</span>" in page
    assert f"<span class=figure>{formats.money(result.totals.cost_usd)}</span>" in page
    assert "compared with gpt-4.1" in page
    for provider in ("google", "anthropic", "openai", "ollama"):
        assert page.count(provider) >= 2, "in the table of models and in that of providers"
    assert "No price is known for" in page


async def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    page = page_of(await report_of(month()))
    assert "<script" not in page.replace("&lt;script", "")
    assert "alert(1)" not in re.sub(r"&lt;script&gt;alert\(1\)&lt;/script&gt;", "", page)
    assert "default-src 'none'" in page
    addresses = set(re.findall(r"[a-z]+://[^\s\"'<>)]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, "names, not addresses"
    assert not re.search(r"\b(src|href|action)=|url\(|@import", page)


async def test_the_same_figures_are_the_same_page() -> None:
    result = await report_of(month())
    assert page_of(result) == page_of(result)


async def test_without_any_use_it_says_so() -> None:
    page = page_of(await report_of([]))
    assert "Nothing was recorded in this period." in page
    assert svgs(page) == {}


async def test_a_single_answer_without_a_price_is_a_page_too() -> None:
    page = page_of(await report_of([entry(provider="ollama", model="llama3", cost_usd=None)]))
    found = svgs(page)
    assert "chart-cost" not in found
    assert "chart-latency" in found
    assert page.count("<p class=none>none</p>") == 4, "no cost and no fallbacks, over time and by model"


async def test_a_year_by_the_day_and_two_days_by_the_hour() -> None:
    year = await report_of(month(days=360), since="2025-01-01")
    assert len(year.series) > 300
    assert len(titles(svgs(page_of(year))["chart-fallbacks"])) >= len(year.series)
    hours = await report_of([entry(at=NOON)], bucket="hour")
    assert "1 Jan 13:00: 1 completed" in titles(svgs(page_of(hours))["chart-requests"])


def test_a_row_without_values_is_drawn_as_a_gap() -> None:
    svg = ElementTree.fromstring(
        lines("x", ["a", "b", "c"], [Series("time", "time", [1000.0, None, 3000.0])], formats.duration, formats.seconds)
    )
    assert [each for each in titles(svg) if "time" in each] == ["a: 1.0 s time", "c: 3.0 s time"]


def test_the_first_of_a_ranking_stands_on_top() -> None:
    svg = ElementTree.fromstring(ranking("x", ["best", "worst"], [Series("points", "cost", [9.0, 1.0])], formats.count))
    places = {
        (bar.findtext(f"{SVG}title") or ""): float(bar.find(f"{SVG}rect").get("y", "0"))  # type: ignore[union-attr]
        for bar in svg.iter(f"{SVG}g")
        if bar.get("class") == "bar"
    }
    assert places["best: 9 points"] < places["worst: 1 points"]


def test_a_long_name_is_cut_in_the_plot() -> None:
    assert "a" * 23 + "…" in ranking("x", ["a" * 60], [Series("n", "cost", [1])], formats.count)


def test_scales_are_round_and_counts_have_no_halves() -> None:
    assert ticks(7) == [0, 2, 4, 6, 8]
    assert ticks(1, whole=True) == [0, 1]
    assert ticks(0.013) == pytest.approx([0, 0.005, 0.01, 0.015])
    assert ticks(0) == [0, 1]
    svg = stacked_bars("x", ["a"], [Series("n", "cost", [1])], formats.count, formats.count)
    assert re.findall(r"<text[^>]*>([01])</text>", svg) == ["0", "1"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (formats.money(0), "$0.00"),
        (formats.money(12.5), "$12.50"),
        (formats.money(-0.3), "-$0.30"),
        (formats.money(0.0042), "$0.0042"),
        (formats.money(None), "–"),
        (formats.duration(340), "340 ms"),
        (formats.duration(1200), "1.2 s"),
        (formats.duration(150_000), "2.5 min"),
        (formats.share(0.9999), "99.9%"),
        (formats.share(1), "100%"),
        (formats.share(None), "–"),
        (formats.short_count(999_600), "1M"),
        (formats.short_count(12_345), "12.3k"),
        (formats.short_count(0), "0"),
    ],
)
def test_figures_in_words(said: str, expected: str) -> None:
    assert said == expected
