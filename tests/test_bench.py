"""What the benchmark's report says about made-up measurements; nothing is timed here."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from scripts.bench.figures import Report, Section, Target, against, spread
from scripts.bench.page import html_page
from scripts.bench.provider import DIALECTS, text_of
from scripts.bench.terminal import number, show_report


def made_up() -> Report:
    first = Section("ttft", "First token", "Less is better.", skipped=["AI SDK: <Node> is not installed"])
    first.add("openai-chat", "sidecar", "ms", [3.0, 1.0, 2.0], Target(2.5, "below 2.5 ms"))
    first.add("openai-chat", "litellm", "ms", [6.0, 5.0, 400.0])
    first.add("openai-chat", "openai SDK", "ms", [])
    growth = Section("growth", "Long answers", "", chart="lines")
    for size in ("1,000", "10,000"):
        growth.add(size, "sidecar", "µs", [10.0, 12.0], Target(5.0, "at most 5"))
    return Report(
        "2026-01-31T12:00:00+00:00", True, {"processor": "a <fast> one"}, {"sidecar": "sidecar 1.0"}, [first, growth]
    )


def test_few_samples_are_told_by_their_extremes_and_many_by_their_deciles() -> None:
    few, many = spread([3.0, 1.0, 2.0]), spread([float(n) for n in range(101)])
    assert (few.median, few.low, few.high, few.n, few.kind) == (2.0, 1.0, 3.0, 3, "min-max")
    assert (many.median, many.low, many.high, many.n, many.kind) == (50.0, 10.0, 90.0, 101, "p10-p90")
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_a_target_is_held_against_the_median_or_the_worst() -> None:
    section = Section("cancel", "Cancel", "")
    section.add("median", "sidecar", "ms", [1.0, 1.0, 9.0], Target(2.0, "below 2"))
    section.add("worst", "sidecar", "ms", [1.0, 1.0, 9.0], Target(2.0, "every one below 2", worst=True))
    section.add("none", "sidecar", "ms", [1.0])
    assert [figure.verdict for figure in section.figures] == ["ok", "missed", None]


def test_a_peer_becomes_the_target_where_it_was_measured() -> None:
    section = Section("cpu", "CPU", "")
    section.add("chat", "sidecar", "µs", [10.0])
    section.add("chat", "AI SDK", "µs", [70.0])
    section.add("cohere", "sidecar", "µs", [10.0])
    against(section, "sidecar", "AI SDK", "not above the AI SDK")
    assert [(figure.verdict, figure.target and figure.target.words) for figure in section.figures] == [
        ("ok", "not above the AI SDK (70)"),
        (None, None),
        (None, None),
    ]


def test_a_share_of_a_peer_may_be_the_target_in_some_cases() -> None:
    section = Section("cpu", "CPU", "")
    for case in ("chat: alone", "chat: paced"):
        section.add(case, "sidecar", "ms", [20.0])
        section.add(case, "AI SDK", "ms", [70.0])
    against(section, "sidecar", "AI SDK", "a fifth", share=0.2, plus=10.0, among=lambda case: case.endswith("alone"))
    against(section, "sidecar", "AI SDK", "not above")
    assert [(figure.verdict, figure.target and figure.target.words) for figure in section.figures[::2]] == [
        ("missed", "a fifth (16)"),
        ("ok", "not above (70)"),
    ]


def test_the_json_holds_every_sample_its_spread_and_the_verdict() -> None:
    report = json.loads(made_up().as_json())
    assert report["machine"] == {"processor": "a <fast> one"}
    assert report["versions"] == {"sidecar": "sidecar 1.0"}
    first, growth = report["sections"]
    assert first["skipped"] == ["AI SDK: <Node> is not installed"]
    assert [(figure["peer"], figure["samples"]) for figure in first["figures"]] == [
        ("sidecar", [3.0, 1.0, 2.0]),
        ("litellm", [6.0, 5.0, 400.0]),
    ]
    assert first["figures"][0]["spread"] == {"median": 2.0, "low": 1.0, "high": 3.0, "n": 3, "kind": "min-max"}
    assert [figure["verdict"] for figure in first["figures"] + growth["figures"]] == ["ok", None, "missed", "missed"]


def test_the_page_shows_charts_verdicts_and_what_was_left_out() -> None:
    page = html_page(made_up())
    assert page.count("<svg") == 2
    assert "1 of 3 targets met" in page
    assert '<span class="missed">missed</span> at most 5' in page
    assert "AI SDK: &lt;Node&gt; is not installed" in page
    assert "a &lt;fast&gt; one" in page
    assert "http://" not in page.replace("http://www.w3.org/", "").replace("http://purl.org/", "").replace(
        "http://creativecommons.org/", ""
    ), "nothing is loaded from elsewhere"


def test_the_terminal_shows_the_same() -> None:
    out = io.StringIO()
    show_report(Console(file=out, width=140), made_up())
    shown = out.getvalue()
    for words in (
        "First token",
        "2 ms",
        "1 - 3",
        "ok  below 2.5 ms",
        "missed  at most 5",
        "skipped: AI SDK",
        "quick run",
    ):
        assert words in shown


def test_numbers_have_three_digits() -> None:
    assert [number(value) for value in (0.0123, 1.234, 56.78, 1234.5)] == ["0.0123", "1.23", "56.8", "1,234"]


def test_every_dialect_of_the_provider_has_the_same_text() -> None:
    pieces = [" the", " answer"]
    for stream in DIALECTS.values():
        events = b"".join(stream(pieces))
        assert all(json.dumps(piece).encode() in events for piece in pieces)
    assert text_of(2) == "".join(pieces)
