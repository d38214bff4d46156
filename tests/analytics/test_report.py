"""``analytics:get``: the plan's figures, the exact ones beside them, and what is odd about them."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from protocol.chat import ModelRef
from protocol.usage import AnalyticsParams, AnalyticsResult
from sidecar.analytics import report as module
from sidecar.analytics.figures import Reference, dollars
from sidecar.analytics.report import Analytics
from sidecar.analytics.sums import read_models
from sidecar.catalog.prices import PriceList
from sidecar.errors import InvalidParams
from sidecar.store.database import Database
from sidecar.store.ledger import Ledger
from sidecar.store.zone import named_zone
from tests.app_database import create_app_database, execute
from tests.store.ledger_entries import DAY, HOUR, NOON, Clock, entry

pytestmark = pytest.mark.anyio

PRICES = {
    name: {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": price,
        "output_cost_per_token": price,
    }
    for name, price in {"cheap": 1e-6, "middle": 1e-5, "dear": 1e-4}.items()
}


class Place:
    """Analytics over one database."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sqlite.db"
        self.clock = Clock(NOON + HOUR)
        self.reference = Reference(None, ())
        self.enabled = True
        self.database = Database(self.path, busy_timeout_ms=0)
        self.ledger = self.new_ledger(self.database)
        (folder / "prices.json").write_text(json.dumps(PRICES))
        self.analytics = self.over(self.ledger, folder)

    def new_ledger(self, database: Database) -> Ledger:
        zone = named_zone("Europe/Berlin")
        assert zone is not None
        return Ledger(database, zone=lambda: zone, clock=self.clock)

    def over(self, ledger: Ledger, folder: Path) -> Analytics:
        async def reference() -> Reference:
            return self.reference

        async def enabled() -> bool:
            return self.enabled

        return Analytics(ledger, PriceList(folder / "prices.json"), reference, enabled)

    def record(self, **fields: Any) -> None:
        self.ledger.record(entry(**fields))

    async def report(self, **params: Any) -> AnalyticsResult:
        return await self.analytics.report(AnalyticsParams(**params))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    create_app_database(made.path)
    yield made
    await made.database.aclose()


async def test_without_any_use_the_figures_have_their_format(place: Place) -> None:
    result = await place.report()
    found = result.analytics
    assert (found.cost_savings, found.model_efficiency, found.response_time_avg) == ("$0.00", "0%", "0.0s")
    assert found.fallback_usage == 0
    assert result.totals.success_rate is None
    assert result.totals.response_time_avg_ms is None
    assert result.series == []
    assert result.warnings == []


async def test_the_four_figures_of_the_plan(place: Place) -> None:
    place.reference = Reference(("openai", "dear"), ())
    for number in range(3):
        place.record(call_id=str(number), model="cheap", ms=1000.0 + 100 * number, cost_usd=0.00014)
    place.record(call_id="3", model="cheap", outcome="error", code="TIMEOUT", cost_usd=None,
                 input_tokens=None, output_tokens=None)  # fmt: skip
    place.record(call_id="3", attempt=2, model="middle", ms=1700.0, cost_usd=0.0014, fallback_from="openai/cheap")
    result = await place.report()
    assert result.analytics.model_efficiency == "75%", "three of four answers came at once"
    assert result.analytics.response_time_avg == "1.2s"
    assert result.analytics.fallback_usage == 1
    assert result.totals.savings_usd == pytest.approx(4 * 140 * 1e-4 - 3 * 0.00014 - 0.0014)
    assert result.totals.savings_reference == ModelRef("openai", "dear")
    assert result.analytics.cost_savings == "$0.05"
    totals = result.totals
    assert (totals.requests, totals.attempts, totals.completed, totals.failed) == (4, 5, 4, 1)
    assert totals.success_rate == pytest.approx(0.8)
    assert totals.cost_usd == pytest.approx(3 * 0.00014 + 0.0014)
    assert totals.total_tokens == 4 * 140
    assert totals.ttft_p50_ms == pytest.approx(200, rel=0.05)
    assert [(each.name, each.attempts, each.success_rate) for each in result.models] == [
        ("cheap", 4, 0.75),
        ("middle", 1, 1.0),
    ]
    assert [(each.provider, each.attempts) for each in result.providers] == [("openai", 5)]


async def test_savings_are_against_the_dearest_keyed_model_when_the_selected_one_has_no_price(place: Place) -> None:
    place.reference = Reference(("auto", "auto"), (("openai", "cheap"), ("openai", "dear"), ("ollama", "llama3")))
    place.record(model="cheap", cost_usd=0.00014)
    place.record(call_id="local", provider="ollama", model="llama3", cost_usd=None)
    result = await place.report()
    assert result.totals.savings_reference == ModelRef("openai", "dear")
    assert result.totals.savings_usd == pytest.approx(140 * 1e-4 - 0.00014), "what has no price is on neither side"
    assert result.totals.unknown_cost_requests == 1
    assert result.warnings == ["No price is known for ollama/llama3: what they cost is not part of the sums."]


async def test_an_unknown_cost_is_null_and_never_zero(place: Place) -> None:
    place.record(provider="ollama", model="llama3", cost_usd=None)
    result = await place.report()
    assert result.totals.cost_usd is None
    assert result.models[0].cost_usd is None
    assert result.series[-1].cost_usd is None
    assert result.totals.savings_usd is None


async def test_a_dearer_choice_than_the_reference_is_a_loss(place: Place) -> None:
    place.reference = Reference(("openai", "cheap"), ())
    place.record(model="dear", input_tokens=10_000, output_tokens=0, cost_usd=1.0)
    assert (await place.report()).analytics.cost_savings == "-$0.99"
    assert dollars(-0.001) == "$0.00"


async def test_the_series_has_a_point_for_every_day_of_the_user(place: Place) -> None:
    place.record(at=NOON - 3 * DAY)
    place.record(at=NOON - 2 * DAY + 11 * HOUR, call_id="b")
    place.record(at=NOON, call_id="c")
    result = await place.report()
    assert [(each.label, each.requests) for each in result.series] == [
        ("2025-12-29", 1),
        ("2025-12-30", 0),
        ("2025-12-31", 1),
        ("2026-01-01", 1),
    ]
    assert result.series[-1].start == "2025-12-31T23:00:00.000Z"
    utc = await place.report(time_zone="UTC")
    assert [(each.label, each.requests) for each in utc.series][1] == ("2025-12-30", 1)
    assert utc.time_zone == "UTC"
    assert result.time_zone == "local"


async def test_hours_of_the_last_two_days(place: Place) -> None:
    place.record(at=NOON - 10 * HOUR)
    place.record(at=NOON, call_id="b")
    result = await place.report(bucket="hour")
    assert result.series[0].label == "2026-01-01T03:00"
    assert [each.requests for each in result.series] == [1, *([0] * 9), 1, 0]
    long = await place.report(bucket="hour", since="2025-01-01T00:00:00Z")
    assert "The series by hour shows the last 31 days of the period." in long.warnings


async def test_the_period_is_exact_to_the_millisecond(place: Place) -> None:
    place.record(at=NOON - 1)
    place.record(at=NOON, call_id="b")
    place.record(at=NOON + 1, call_id="c")
    result = await place.report(since="2026-01-01T12:00:00Z", until="2026-01-01T13:00:00.001+01:00")
    assert result.totals.requests == 1
    assert (result.since, result.until) == ("2026-01-01T12:00:00.000Z", "2026-01-01T12:00:00.001Z")


@pytest.mark.parametrize(
    "params", [{"since": "yesterday"}, {"until": ""}, {"since": "2026-01-02", "until": "2026-01-01"}]
)
async def test_a_period_that_is_none_is_refused(place: Place, params: dict[str, str]) -> None:
    with pytest.raises(InvalidParams) as caught:
        await place.report(**params)
    assert caught.value.path == next(iter(params))


@pytest.mark.parametrize(
    "params",
    [
        {"since": "0001-01-01"},
        {"since": "0001-01-01", "until": "9999-12-31T23:59:59Z"},
        {"time_zone": "../x"},
        {"time_zone": "Mars/Olympus"},
    ],
)
async def test_a_period_at_the_end_of_the_world_is_answered(place: Place, params: dict[str, str]) -> None:
    place.record()
    assert (await place.report(**params)).totals.requests == 1
    assert (await place.report(until="9999-12-31T23:59:59Z")).totals.requests == 0
    assert (await place.report(until="0001-01-01", bucket="hour")).totals.requests == 0


async def test_what_the_database_does_not_have_yet_is_counted_once(place: Place) -> None:
    place.record()
    await place.ledger.flush()
    other = sqlite3.connect(place.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    place.record(call_id="waiting", at=NOON + 1)
    result = await place.report()
    assert result.totals.requests == 2
    assert result.series[-1].requests == 2
    other.execute("ROLLBACK")
    other.close()
    assert (await place.report()).totals.requests == 2


async def test_a_report_that_takes_long_is_not_taken_for_a_locked_database(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any) -> Any:
        threading.Event().wait(0.3)  # years of use, in the zone of another continent
        return read_models(*arguments)

    monkeypatch.setattr(module, "WAIT_S", 0.1)
    monkeypatch.setattr(module, "read_models", slow)
    place.record()
    assert await place.ledger.flush()
    result = await place.report(time_zone="Asia/Kathmandu")
    assert (result.totals.requests, result.warnings) == (1, [])


async def test_without_a_database_the_session_is_counted_and_it_is_said(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.record()
    result = await place.report()
    assert result.totals.requests == 1
    assert "since Scalix was started" in result.warnings[0]
    await place.database.aclose()


async def test_a_clock_set_back_is_named_and_loses_nothing(place: Place) -> None:
    place.record(at=NOON + 40 * DAY)
    place.record(call_id="now")
    result = await place.report()
    assert result.totals.requests == 1
    assert "the clock of this computer was set back" in result.warnings[0]
    place.clock.now = NOON + 41 * DAY
    assert (await place.report(since="2026-01-01")).totals.requests == 2


async def test_rows_that_nobody_understands_are_named(place: Place) -> None:
    place.record()
    await place.ledger.flush()
    execute(
        place.path,
        "INSERT INTO sidecar_requests (at, kind, call_id, attempt, provider, model, outcome, ms, cost_usd)"
        " VALUES (?, 'chat', 'x', 1, 'openai', 'gpt-9', 'postponed', 5, -3)",
        NOON,
    )
    result = await place.report()
    assert "1 requests have an outcome or a cost that this version does not understand." in result.warnings
    assert result.totals.requests == 2
    assert result.totals.cost_usd == pytest.approx(0.01)


async def test_prices_that_are_no_prices_are_named(place: Place, tmp_path: Path) -> None:
    odd = {"cheap": {**PRICES["cheap"], "output_cost_per_token": "a lot"}, "dear": {**PRICES["dear"]}}
    odd["dear"]["input_cost_per_token"] = -1
    (tmp_path / "prices.json").write_text(json.dumps(odd))
    for number, model in enumerate(("cheap", "dear")):
        place.record(call_id=str(number), model=model, cost_usd=None)
    result = await place.report()
    assert result.totals.cost_usd is None
    assert (
        "The price data has prices that are no prices for openai/cheap, openai/dear; they are not used."
        in result.warnings
    )


async def test_switched_off_it_says_so_and_cleared_it_is_empty(place: Place) -> None:
    place.record()
    place.enabled = False
    assert (await place.report()).warnings == ["Analytics is switched off: new requests are not recorded."]
    await place.analytics.clear()
    place.enabled = True
    assert (await place.report()).totals.requests == 0
