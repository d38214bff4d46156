"""The plots of the report: pygal draws them, the page's style sheet colours them.

Every chart is one inline SVG without a style, a script or an address of its own: colours are CSS variables of the page,
so that light and dark are the page's business, and what pygal would add for its tooltips is turned into the titles that
browsers show by themselves.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from xml.etree.ElementTree import Element, SubElement

import pygal
from pygal.style import Style

# pygal puts a finder for map plugins among the importers, one of a kind that Python 3.11 warns of at every import.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

WIDTH: Final = 520
HEIGHT: Final = 250
BAR_HEIGHT: Final = 30
LABEL_PX: Final = 13
NAME_PX: Final = 15
"""Names of models get room for the larger letters that the page gives them on a narrow screen."""

MARGIN: Final = 4
VALUE_ROOM: Final = 1.25
"""How much longer than the longest bar its row is: the value stands there."""

LONGEST_LABEL: Final = 24
"""Characters of a model's name that fit beside its bar; the table has the whole name."""

TICKS: Final = 4
X_LABELS: Final = 5
"""About how many labels an axis has."""

Format = Callable[[float], str]
"""A value in words."""


class Series(NamedTuple):
    """One row of values, None where there is none, and its colour (``--<colour>`` in the page)."""

    title: str
    colour: str
    values: Sequence[float | None]


def stacked_bars(name: str, labels: Sequence[str], series: Sequence[Series], shown: Format, axis: Format) -> str:
    """Bars over time, the series on top of each other. ``axis`` is how the scale is written."""
    chart = pygal.StackedBar(**_look(shown), height=HEIGHT)
    totals = [sum(value or 0 for value in values) for values in zip(*(each.values for each in series), strict=True)]
    _scale(chart, labels, totals, axis)
    return _drawn(chart, name, series)


def lines(name: str, labels: Sequence[str], series: Sequence[Series], shown: Format, axis: Format) -> str:
    """Lines over time, interrupted where there is no value."""
    chart = pygal.Line(**_look(shown), height=HEIGHT, allow_interruptions=True, dots_size=2.5)
    present = [value for each in series for value in each.values if value is not None]
    _scale(chart, labels, present, axis)
    return _drawn(chart, name, series)


def ranking(name: str, labels: Sequence[str], series: Sequence[Series], shown: Format) -> str:
    """One bar per label and series, lying, its value beside it, the first label on top."""
    per_label = BAR_HEIGHT if len(series) == 1 else round(BAR_HEIGHT * 1.4)
    height = 2 * MARGIN + per_label * len(labels)
    chart = pygal.HorizontalBar(
        **_look(shown, NAME_PX), height=height, show_x_labels=False, print_values=True, print_values_position="top"
    )
    present = [value for each in series for value in each.values if value is not None]
    chart.range = (0, max(present, default=1.0) * VALUE_ROOM)
    chart.y_labels = [0]
    chart.x_labels = [_short(label) for label in reversed(labels)]  # pygal draws the first one at the bottom
    return _drawn(chart, name, [each._replace(values=list(reversed(each.values))) for each in series])


def ticks(highest: float, *, whole: bool = False) -> list[float]:
    """Round numbers from 0 to at least ``highest``, about four of them; ``whole`` ones where nothing lies between."""
    if highest <= 0:
        return [0.0, 1.0]
    rough = highest / TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * size >= rough * 0.999)
    step = max(1.0, step) if whole else step
    return [round(step * number, 12) for number in range(math.ceil(highest / step - 1e-9) + 1)]


def _scale(chart: Any, labels: Sequence[str], values: Sequence[float], axis: Format) -> None:
    marks = ticks(max(values, default=0.0), whole=all(isinstance(value, int) for value in values))
    chart.y_labels = [{"value": mark, "label": axis(mark)} for mark in marks]
    chart.x_labels = list(labels)
    chart.x_labels_major_every = max(1, math.ceil(len(labels) / X_LABELS))


def _look(shown: Format, label_px: int = LABEL_PX) -> dict[str, Any]:
    style = Style(
        font_family="system-ui, sans-serif", label_font_size=label_px, major_label_font_size=label_px, transition="0"
    )
    return {
        "width": WIDTH,
        "style": style,
        "css": [],
        "js": [],
        "margin": MARGIN,
        "spacing": 6,
        "show_legend": False,
        "show_minor_x_labels": False,
        "truncate_label": -1,
        "value_formatter": shown,
        "no_data_text": "",
        "disable_xml_declaration": True,
    }


def _drawn(chart: Any, name: str, series: Sequence[Series]) -> str:
    for each in series:
        chart.add(each.title, list(each.values))
    chart.uuid = name
    chart.add_xml_filter(lambda root: _as_part_of_the_page(root, name, series))
    return str(chart.render(is_unicode=True))


def _as_part_of_the_page(root: Element, name: str, series: Sequence[Series]) -> Element:
    """Without definitions and comments; series in their colours, values as titles."""
    for child in list(root):
        if not isinstance(child.tag, str) or child.tag in {"defs", "title"}:
            root.remove(child)
    for guides in (each for each in root.iter("g") if each.get("class") == "guides"):
        for title in guides.findall("title"):  # a label's place on its axis, which is no news
            guides.remove(title)
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title")
    for number, each in enumerate(series):
        for group in root.iter("g"):
            if f"serie-{number}" in group.get("class", "").split():
                group.set("style", f"--series: var(--{each.colour})")
                for part in list(group.iter("g")):
                    _title_from(part, each.title)
    return root


def _title_from(group: Element, series: str) -> None:
    """pygal leaves what a tooltip would show in ``desc`` elements; browsers show a ``title``."""
    said = {desc.get("class", "").split(" ")[0]: desc for desc in group.findall("desc")}
    for desc in said.values():
        group.remove(desc)
    if "value" in said:
        words = [said[each].text for each in ("x_label", "value") if each in said and said[each].text]
        SubElement(group, "title").text = f"{': '.join(filter(None, words))} {series}"


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
