"""What a turn of several calls costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.catalog.prices import PriceList
from sidecar.engines.base import Target, Usage
from sidecar.routing.attempts import Attempt
from sidecar.routing.inputs import Environment
from sidecar.routing.limits import TierLimiter, TierLimits
from sidecar.routing.meter import Meter
from sidecar.routing.recording import SettledCall
from sidecar.store.database import Database
from sidecar.store.ledger import Ledger

pytestmark = pytest.mark.anyio

USED = Usage(input_tokens=1000, output_tokens=400)


def meter(prices: PriceList | None = None) -> Meter:
    """What a call costs needs no database."""
    nowhere = Database(Path("nowhere.db"))
    limiter = TierLimiter(nowhere, TierLimits())
    return Meter(limiter, Environment({}), ledger=Ledger(nowhere), prices=prices or PriceList())


def call(model: str = "gemini-2.5-flash", usage: Usage | None = USED, outcome: str = "ok") -> SettledCall:
    attempt = Attempt(provider="google", name=model, outcome=outcome, ms=5.0, ttft_ms=1.0 if outcome == "ok" else None)  # type: ignore[arg-type]
    target = Target(provider="google", model=model, wire_model=model, dialect="google", base_url="http://x")
    return SettledCall(kind="chat", call_id="c", attempts=[attempt], target=target, usage=usage)


async def test_the_calls_of_a_turn_add_up() -> None:
    found = meter()
    await found.ready()
    assert found.cost([call()]) == pytest.approx(0.0013)
    assert found.cost([call(), call(), call(outcome="error", usage=None)]) == pytest.approx(0.0026)


@pytest.mark.parametrize("unknown", [call("never-heard-of"), call(usage=None)], ids=["no price", "no usage"])
async def test_one_call_of_unknown_cost_makes_the_turn_unknown(unknown: SettledCall) -> None:
    found = meter()
    await found.ready()
    assert found.cost([call(), unknown]) is None
    assert found.cost([unknown, call()]) is None
    assert found.cost([]) is None


async def test_without_price_data_the_end_is_not_held_up(tmp_path: Path) -> None:
    found = meter(PriceList(tmp_path / "none.json"))
    await found.ready()
    assert found.cost([call()]) is None
