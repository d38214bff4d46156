"""The report as one HTML page: tables and charts, nothing loaded from elsewhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from scripts.bench.figures import Figure, Report, Section
from scripts.bench.terminal import number

COLOURS: Final = {
    "sidecar": "#2563eb",
    "AI SDK": "#f59e0b",
    "openai SDK": "#10b981",
    "litellm": "#ef4444",
    "aiohttp + msgspec": "#9ca3af",
}
OTHER: Final = "#64748b"

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1e293b; }
h2 { margin-top: 2.5rem; } .note, .machine { color: #64748b; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { padding: .25rem .6rem; border-bottom: 1px solid #e2e8f0; text-align: left; }
td.n { text-align: right; white-space: nowrap; }
.ok { color: #15803d; font-weight: 600; } .missed { color: #b91c1c; font-weight: 600; }
svg { max-width: 100%; height: auto; }
"""


def html_page(report: Report) -> str:
    """The whole page."""
    machine = ", ".join(f"{name}: {value}" for name, value in report.machine.items())
    body = "".join(map(section_html, report.sections))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Scalix sidecar: benchmark</title>'
        f"<style>{STYLE}</style><h1>Scalix sidecar: benchmark</h1>"
        f'<p class="machine">{escape(report.started)}{" (quick run)" if report.quick else ""}<br>{escape(machine)}<br>'
        f"{escape(', '.join(report.versions.values()))}</p>{summary_html(report)}{body}</html>\n"
    )


def summary_html(report: Report) -> str:
    """How many targets were met, and which were not."""
    judged = [(section, figure) for section in report.sections for figure in section.figures if figure.verdict]
    missed = [(section, figure) for section, figure in judged if figure.verdict == "missed"]
    items = "".join(
        f"<li>{escape(section.title)}: {escape(figure.case)} "
        f"{number(figure.spread.median)} {escape(figure.unit)}, {escape(figure.target.words if figure.target else '')}"
        for section, figure in missed
    )
    return f"<p>{len(judged) - len(missed)} of {len(judged)} targets met.</p><ul>{items}</ul>"


def section_html(section: Section) -> str:
    """Title, note, chart, table."""
    rows = "".join(map(row_html, section.figures))
    skipped = "".join(f"<p>skipped: {escape(line)}</p>" for line in section.skipped)
    head = "<tr><th></th><th></th><th>median</th><th>spread</th><th>n</th><th>target</th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else ""
    return f"<h2>{escape(section.title)}</h2><p class='note'>{escape(section.note)}</p>{chart(section)}{table}{skipped}"


def row_html(figure: Figure) -> str:
    """One figure."""
    spread = figure.spread
    reach = f"{number(spread.low)} – {number(spread.high)}" if spread.n > 1 else ""
    verdict = ""
    if figure.target is not None:
        verdict = f'<span class="{figure.verdict}">{figure.verdict}</span> {escape(figure.target.words)}'
    return (
        f"<tr><td>{escape(figure.case)}</td><td>{escape(figure.peer)}</td>"
        f"<td class='n'>{number(spread.median)} {escape(figure.unit)}</td><td class='n'>{reach}</td>"
        f"<td class='n'>{spread.n}</td><td>{verdict}</td></tr>"
    )


def chart(section: Section) -> str:
    """A section's figures as inline SVG, one panel per unit; empty when there is nothing to compare."""
    if section.chart == "none" or len(section.figures) < 2:
        return ""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    units = list(dict.fromkeys(figure.unit for figure in section.figures))
    panels = [[figure for figure in section.figures if figure.unit == unit] for unit in units]
    heights = [max(1.2, 0.3 * len(panel) + 0.9) for panel in panels]
    drawing, axes = pyplot.subplots(
        len(panels), 1, figsize=(9, sum(heights)), squeeze=False, height_ratios=heights, layout="constrained"
    )
    for axis, unit, panel in zip(axes[:, 0], units, panels, strict=True):
        (lines if section.chart == "lines" else bars)(axis, panel)
        axis.set_xlabel(unit) if section.chart == "bars" else axis.set_ylabel(unit)
        axis.spines[["top", "right"]].set_visible(False)
    out = io.StringIO()
    drawing.savefig(out, format="svg", metadata={"Date": None})
    pyplot.close(drawing)
    return out.getvalue()[out.getvalue().index("<svg") :]


def bars(axis: Any, figures: Sequence[Figure]) -> None:
    """One bar per figure, its spread as a whisker; logarithmic where the figures lie far apart."""
    places = range(len(figures))
    spreads = [figure.spread for figure in figures]
    medians = [spread.median for spread in spreads]
    whiskers = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
    colours = [COLOURS.get(figure.peer, OTHER) for figure in figures]
    axis.barh(places, medians, xerr=whiskers, color=colours, error_kw={"ecolor": "#334155", "capsize": 2}, height=0.7)
    axis.set_yticks(places, [f"{figure.case}  ·  {figure.peer}" for figure in figures], fontsize=8)
    axis.invert_yaxis()
    if min(medians) > 0 and max(medians) > 30 * min(medians):
        axis.set_xscale("log")
    for place, spread in zip(places, spreads, strict=True):
        axis.annotate(f" {number(spread.median)}", (spread.high, place), va="center", fontsize=8)


def lines(axis: Any, figures: Sequence[Figure]) -> None:
    """One line per peer over the cases, which are numbers of deltas."""
    for peer in dict.fromkeys(figure.peer for figure in figures):
        own = [figure for figure in figures if figure.peer == peer]
        axis.plot([figure.case for figure in own], [figure.spread.median for figure in own], marker="o", label=peer)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8)
