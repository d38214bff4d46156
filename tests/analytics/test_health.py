"""``providers:health``: what this process sees now, and what the ledger remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import ErrorCode
from sidecar.analytics.health import provider_health
from sidecar.routing.breaker import CircuitBreaker, CircuitKey
from sidecar.store.database import Database
from sidecar.store.ledger import Ledger
from tests.app_database import create_app_database
from tests.store.ledger_entries import DAY, HOUR, NOON, Clock, entry

pytestmark = pytest.mark.anyio

GPT = CircuitKey("openai", "gpt-4.1", "https://a")
FLASH = CircuitKey("google", "flash", "https://b")


async def test_circuits_say_how_it_is_now_and_the_ledger_how_it_was(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    create_app_database(path)
    breaker = CircuitBreaker(lambda: 0.0)
    for _ in range(3):
        breaker.record_failure(GPT, ErrorCode.NETWORK)
    breaker.record_success(FLASH, 300.0)
    database = Database(path)
    ledger = Ledger(database, clock=Clock(NOON + HOUR))
    for number in range(8):
        ledger.record(entry(call_id=str(number), ttft_ms=500.0))
    ledger.record(entry(call_id="8", outcome="error", code="TIMEOUT", ttft_ms=None))
    ledger.record(entry(call_id="9", outcome="cancelled"))
    ledger.record(entry(call_id="a", model="o3", outcome="error", code="PERMISSION_DENIED", ttft_ms=None))
    ledger.record(entry(call_id="old", model="gone", at=NOON - 8 * DAY))
    result = await provider_health(ledger, breaker.health())
    found = {(each.provider, each.name): each for each in result.models}
    await database.aclose()
    assert list(found) == [("openai", "gpt-4.1"), ("google", "flash"), ("openai", "o3")]
    gpt, flash, o3 = found.values()
    assert (gpt.state, gpt.last_error_code, gpt.retry_after_ms, gpt.calls) == ("open", "NETWORK", 30_000, 9)
    assert gpt.success_rate == pytest.approx(8 / 9)
    assert gpt.ttft_p50_ms == pytest.approx(500, rel=0.05)
    assert (flash.state, flash.success_rate, flash.ttft_p50_ms, flash.calls) == ("closed", 1.0, 300.0, 1)
    assert (o3.state, o3.success_rate, o3.last_error_code, o3.ttft_p50_ms) == ("closed", 0.0, "PERMISSION_DENIED", None)
    openai, google = result.providers
    assert (openai.provider, openai.state, openai.calls) == ("openai", "closed", 10)
    assert openai.success_rate == pytest.approx(0.8)
    assert openai.ttft_p95_ms == pytest.approx(500, rel=0.05)
    assert (google.provider, google.ttft_p50_ms) == ("google", 300.0)


async def test_without_a_database_the_circuits_answer_alone(tmp_path: Path) -> None:
    breaker = CircuitBreaker(lambda: 0.0)
    breaker.record_success(FLASH, 300.0)
    database = Database(tmp_path / "none.db")
    result = await provider_health(Ledger(database), breaker.health())
    await database.aclose()
    assert [(each.name, each.state) for each in result.models] == [("flash", "closed")]
