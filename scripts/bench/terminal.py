"""The report for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.bench.figures import Figure, Report, Section

COLOUR = {"ok": "[green]ok[/]", "missed": "[red]missed[/]"}


def show_report(console: Console, report: Report) -> None:
    """Machine, versions, then every section."""
    machine = ", ".join(f"{name}: {value}" for name, value in report.machine.items())
    versions = ", ".join(report.versions.values())
    console.print(escape(f"{machine}\n{versions}{' (quick run)' if report.quick else ''}"), style="dim")
    for section in report.sections:
        show_section(console, section)


def show_section(console: Console, section: Section) -> None:
    """One table, and a line for everything that was left out."""
    table = Table(title=f"\n{section.title}", title_justify="left", title_style="bold", caption=section.note)
    table.caption_justify = "left"
    for name, justify in (("", "left"), ("", "left"), ("median", "right"), ("spread", "right"), ("n", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("target")
    before = ""
    for figure in section.figures:
        spread = figure.spread
        reach = f"{number(spread.low)} - {number(spread.high)}" if spread.n > 1 else ""
        case = "" if figure.case == before else figure.case
        before = figure.case
        table.add_row(
            escape(case), escape(figure.peer), f"{number(spread.median)} {figure.unit}", reach, str(spread.n),
            target(figure),
        )  # fmt: skip
    if section.figures:
        console.print(table)
    else:
        console.print(f"\n[bold]{escape(section.title)}[/]")
    for line in section.skipped:
        console.print(f"  [yellow]skipped:[/] {escape(line)}")


def target(figure: Figure) -> str:
    """The target's words and whether it was met."""
    if figure.target is None or figure.verdict is None:
        return ""
    return f"{COLOUR[figure.verdict]}  {escape(figure.target.words)}"


def number(value: float) -> str:
    """Three significant digits, thousands grouped."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
