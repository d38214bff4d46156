"""What was measured, as values: samples, what they come to, and whether a target was met. Pure; knows no clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

ENOUGH_FOR_DECILES = 10

Verdict = Literal["ok", "missed"]


class Spread(msgspec.Struct, frozen=True):
    """Median and spread: p10 to p90 from ten samples on, else the least and the greatest."""

    median: float
    low: float
    high: float
    n: int
    kind: Literal["p10-p90", "min-max"]


def spread(samples: Sequence[float]) -> Spread:
    """What samples come to. Raises ``ValueError`` without any."""
    if not samples:
        raise ValueError("nothing was measured")
    ordered = sorted(samples)
    if len(ordered) < ENOUGH_FOR_DECILES:
        return Spread(statistics.median(ordered), ordered[0], ordered[-1], len(ordered), "min-max")
    deciles = statistics.quantiles(ordered, n=10, method="inclusive")
    return Spread(statistics.median(ordered), deciles[0], deciles[-1], len(ordered), "p10-p90")


class Target(msgspec.Struct, frozen=True):
    """What the median (with ``worst``: the greatest sample) has to stay below."""

    limit: float
    words: str
    worst: bool = False


class Figure(msgspec.Struct):
    """One measured thing: ``case`` of one ``peer``, with its samples in ``unit``."""

    case: str
    peer: str
    unit: str
    samples: list[float]
    target: Target | None = None

    @property
    def spread(self) -> Spread:
        """Median and spread."""
        return spread(self.samples)

    @property
    def verdict(self) -> Verdict | None:
        """Whether the target was met; None without one."""
        if self.target is None:
            return None
        value = max(self.samples) if self.target.worst else self.spread.median
        return "ok" if value <= self.target.limit else "missed"


class Section(msgspec.Struct):
    """A measurement's figures, how to read them, and what could not be measured."""

    id: str
    title: str
    note: str
    figures: list[Figure] = []
    skipped: list[str] = []
    chart: Literal["bars", "lines", "none"] = "bars"

    def add(self, case: str, peer: str, unit: str, samples: Sequence[float], target: Target | None = None) -> None:
        """Add a figure; one without samples is left out."""
        if samples:
            self.figures.append(Figure(case, peer, unit, list(samples), target))

    def median(self, case: str, peer: str) -> float | None:
        """The median of a figure, None when it is not there."""
        found = (figure for figure in self.figures if (figure.case, figure.peer) == (case, peer))
        figure = next(found, None)
        return None if figure is None else figure.spread.median


class Report(msgspec.Struct):
    """One run of the benchmark."""

    started: str
    """ISO 8601, UTC."""
    quick: bool
    machine: dict[str, str]
    versions: dict[str, str]
    sections: list[Section] = []

    def as_json(self) -> bytes:
        """The report for programs: every figure with its samples, spread and verdict."""
        whole = msgspec.to_builtins(self)
        for section, plain in zip(self.sections, whole["sections"], strict=True):
            for figure, row in zip(section.figures, plain["figures"], strict=True):
                row["spread"] = msgspec.to_builtins(figure.spread)
                row["verdict"] = figure.verdict
        return msgspec.json.format(msgspec.json.encode(whole))


def against(
    section: Section,
    peer: str,
    other: str,
    words: str,
    *,
    share: float = 1.0,
    plus: float = 0.0,
    among: Callable[[str], bool] = lambda _: True,
) -> None:
    """Give the figures of ``peer`` in the cases ``among`` that have no target yet one: at most ``share`` of the median
    of ``other`` in the same case, to which ``plus`` is added."""
    for figure in section.figures:
        judged = figure.peer == peer and figure.target is None and among(figure.case)
        median = section.median(figure.case, other) if judged else None
        if median is not None:
            limit = share * (median + plus)
            figure.target = Target(limit, f"{words} ({limit:.3g})")
