"""``scalix-sidecar report``: what the ledger says, as tables in the terminal, as a page, or as JSON."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import msgspec

from protocol.usage import AnalyticsResult, UsageFigures
from sidecar.analytics import formats
from sidecar.commands.local import CommandFailed, local_sidecar

HOURLY_UP_TO: Final = timedelta(days=3)
"""Periods up to this long are shown by the hour."""

BAR: Final = 16
"""Characters of the longest bar in the table over time."""

WIDE: Final = 100
"""Columns of a terminal that has room for every figure."""
PIPED_WIDTH: Final = 120

_AGO: Final = re.compile(r"(\d{1,5})\s*([hdw])")
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


async def report(
    *, since: str | None, until: str | None, html: Path | None, user_data: Path | None, as_json: bool
) -> int:
    """Print the report, or write the page. Returns 0, or 1 with the reason on stderr."""
    now = datetime.now().astimezone()
    try:
        first, last = (None if text is None else moment(text, now) for text in (since, until))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    params: dict[str, Any] = {"bucket": bucket(first, last or now)}
    params |= {name: at.isoformat() for name, at in (("since", first), ("until", last)) if at is not None}
    async with local_sidecar(user_data) as sidecar:
        try:
            told = await sidecar.request("analytics:get", params)
        except CommandFailed as error:
            sys.stderr.write(f"{error.message}\n")
            return 1
    if as_json:
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    if html is not None:
        return await anyio.to_thread.run_sync(_write_page, html, told, now, as_json)
    if not as_json:
        _print(msgspec.convert(told, AnalyticsResult), now)
    return 0


def moment(text: str, now: datetime) -> datetime:
    """A local date or time (``2026-01-31``, ``2026-01-31T14:00``), or how long ago: ``48h``, ``7d``, ``4w``.

    ``now`` has a time zone. Raises ``ValueError`` with a sentence for anything else.
    """
    wanted = text.strip().lower()
    try:
        if ago := _AGO.fullmatch(wanted):
            return now - int(ago[1]) * _UNITS[ago[2]]
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no date (2026-01-31), time (2026-01-31T14:00) or age (48h, 7d, 4w).") from error


def bucket(since: datetime | None, until: datetime) -> str:
    """How finely a period is shown."""
    return "hour" if since is not None and until - since <= HOURLY_UP_TO else "day"


def period(result: AnalyticsResult, now: datetime) -> str:
    """``28 Oct – 26 Nov 2026``, in the zone of ``now``; with times where it does not begin at midnight."""
    since, until = (datetime.fromisoformat(text).astimezone(now.tzinfo) for text in (result.since, result.until))
    last = until - timedelta(milliseconds=1)
    timed = (since.hour, since.minute) != (0, 0)
    begin = _day(since, with_time=timed, with_year=since.year != last.year)
    return f"{begin} – {_day(last, with_time=timed, with_year=True)}"


def _day(at: datetime, *, with_time: bool, with_year: bool) -> str:
    text = f"{at.day} {at:%b}" + (f" {at.year}" if with_year else "")
    return f"{text} {at:%H:%M}" if with_time else text


def _write_page(path: Path, told: Any, now: datetime, quietly: bool) -> int:
    from sidecar.analytics.page import html_page

    result = msgspec.convert(told, AnalyticsResult)
    made = _day(now, with_time=True, with_year=True)
    try:
        path.write_text(html_page(result, period=period(result, now), made=made), encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"The page could not be written to {path}: {error.strerror}.\n")
        return 1
    if not quietly:
        sys.stdout.write(f"{path}\n")
    return 0


# --- in the terminal -----------------------------------------------------------------------------------------------


def _print(result: AnalyticsResult, now: datetime) -> None:
    from rich.markup import escape

    from sidecar.commands.terminal import terminal

    console = terminal(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(f"[bold]Scalix usage[/bold]  {period(result, now)}\n")
    for warning in result.warnings:
        console.print(f"[yellow]![/yellow] {escape(warning)}")
    if not (result.totals.attempts or result.totals.skipped):
        console.print("Nothing was recorded in this period.")
        return
    for table in _tables(result, wide=console.width >= WIDE):
        console.print(table)
        console.print()


def _tables(result: AnalyticsResult, *, wide: bool) -> list[Any]:
    from rich.table import Table

    totals, plan = result.totals, result.analytics
    reference = "" if totals.savings_reference is None else f" (compared with {totals.savings_reference.name})"
    figures = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in (
        ("cost", f"[bold]{formats.money(totals.cost_usd)}[/bold]{_unpriced(totals)}"),
        ("saved", f"{plan.cost_savings}{reference}"),
        ("requests", f"{totals.requests:,}, {formats.share(totals.success_rate)} of {totals.attempts:,} attempts"),
        ("at the first try", formats.share(totals.first_attempt_rate)),
        ("response time", f"{formats.duration(totals.response_time_avg_ms)} on average"),
        ("first words", f"{formats.duration(totals.ttft_p50_ms)}, 95%: {formats.duration(totals.ttft_p95_ms)}"),
        ("fallbacks", f"{plan.fallback_usage:,}"),
        ("tokens", f"{totals.input_tokens:,} in, {totals.output_tokens:,} out"),
    ):
        figures.add_row(f"[dim]{name}[/dim]", value)
    return [figures, _over_time(result), _models(result, wide=wide)]


def _unpriced(totals: UsageFigures) -> str:
    unknown = totals.unknown_cost_requests
    return f" [dim]and {unknown:,} requests without a price[/dim]" if unknown else ""


def _over_time(result: AnalyticsResult) -> Any:
    from rich.table import Table

    table = Table("", "requests", "", "failed", "fallbacks", "response", "cost", box=None, header_style="dim")
    for column in table.columns[1:2] + table.columns[3:]:
        column.justify = "right"
    most = max((point.requests for point in result.series), default=0) or 1
    used = [point for point in result.series if point.requests or point.failed]
    for point in used:
        bar = "█" * round(point.requests * BAR / most) or "▏"
        table.add_row(
            point.label.replace("T", " "), str(point.requests), f"[blue]{bar}[/blue]", _or_nothing(point.failed),
            _or_nothing(point.fallbacks), formats.duration(point.response_time_avg_ms), formats.money(point.cost_usd),
        )  # fmt: skip
    return table


def _or_nothing(count: int) -> str:
    return str(count) if count else ""


_Column = tuple[str, Callable[[UsageFigures], str]]

_ALWAYS: Final[Sequence[_Column]] = (
    ("attempts", lambda f: formats.count(f.attempts)),
    ("completed", lambda f: formats.share(f.success_rate)),
    ("first words", lambda f: formats.duration(f.ttft_p50_ms)),
    ("cost", lambda f: formats.money(f.cost_usd)),
)
_WITH_ROOM: Final[Sequence[_Column]] = (
    ("95%", lambda f: formats.duration(f.ttft_p95_ms)),
    ("speed", lambda f: formats.rate(f.tokens_per_second)),
    ("tokens", lambda f: formats.short_count(f.total_tokens)),
    ("for others", lambda f: formats.count(f.fallbacks)),
)


def _models(result: AnalyticsResult, *, wide: bool) -> Any:
    from rich.markup import escape
    from rich.table import Table

    columns = [*_ALWAYS, *(_WITH_ROOM if wide else ())]
    table = Table(box=None, header_style="dim")
    table.add_column("model", overflow="fold")
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for model in result.models:
        table.add_row(escape(f"{model.provider}/{model.name}"), *(shown(model) for _, shown in columns))
    return table
