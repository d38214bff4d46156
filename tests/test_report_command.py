"""The report's periods: what people write, and how it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from protocol.usage import AnalyticsResult
from sidecar.commands.report import bucket, moment, period
from tests.analytics.history import report_of

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 31, 14, 5, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("48h", timedelta(hours=48)), ("7d", timedelta(days=7)), (" 2 W ", timedelta(weeks=2))],
)
def test_an_age_is_counted_back_from_now(text: str, expected: timedelta) -> None:
    assert NOW - moment(text, NOW) == expected


def test_a_date_is_midnight_here_and_a_time_may_name_its_zone() -> None:
    local = moment("2026-01-15", NOW)
    assert (local.hour, local.minute, local.tzinfo is not None) == (0, 0, True)
    assert moment("2026-01-15T10:00:00Z", NOW) == datetime(2026, 1, 15, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "7y", "2026-13-01"])
def test_anything_else_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no date"):
        moment(text, NOW)


def test_short_periods_are_shown_by_the_hour() -> None:
    assert bucket(NOW - timedelta(days=3), NOW) == "hour"
    assert bucket(NOW - timedelta(days=4), NOW) == "day"
    assert bucket(None, NOW) == "day"


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        ("2026-01-01T00:00:00+01:00", "2026-02-01T00:00:00+01:00", "1 Jan – 31 Jan 2026"),
        ("2025-12-30T23:00:00Z", "2026-01-01T23:00:00Z", "31 Dec 2025 – 1 Jan 2026"),
        ("2026-01-30T14:05:00+01:00", "2026-01-31T14:05:00.001+01:00", "30 Jan 14:05 – 31 Jan 2026 14:05"),
    ],
)
async def test_a_period_in_words(since: str, until: str, told: str) -> None:
    result: AnalyticsResult = await report_of([], since=since, until=until)
    assert period(result, NOW) == told
