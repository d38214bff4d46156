"""A month of use for tests of the report: several models, a bad day, answers without a price, hostile names."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from protocol.usage import AnalyticsParams, AnalyticsResult
from sidecar.analytics.figures import Reference
from sidecar.analytics.report import Analytics
from sidecar.catalog.prices import PriceList
from sidecar.store.database import Database
from sidecar.store.ledger import Ledger, LedgerEntry
from sidecar.store.zone import named_zone
from tests.app_database import create_app_database
from tests.store.ledger_entries import DAY, HOUR, NOON, Clock, entry

MODELS = (
    ("google", "gemini-2.5-flash", 0.002),
    ("anthropic", "claude-sonnet-4-20250514", 0.02),
    ("openai", "gpt-4.1", 0.01),
    ("ollama", "llama3:8b", None),
    ("custom::lan", "a-very-long-model-name-of-some-company <script>alert(1)</script>", None),
)


def month(seed: int = 1, answers: int = 300, days: int = 30) -> list[LedgerEntry]:
    """Attempts at five models over some days, one of them bad."""
    generator = random.Random(seed)
    found = []
    for number in range(answers):
        day = generator.randrange(days)
        model = generator.choice(MODELS)
        at = NOON - day * DAY - generator.randrange(8) * HOUR
        given: dict[str, Any] = {"at": at, "call_id": str(number)}
        if generator.random() < (0.6 if day == 7 else 0.03):
            found.append(_attempt(model, **given, outcome="error", code="MODEL_UNAVAILABLE", ttft_ms=None))
            given |= {"attempt": 2, "fallback_from": f"{model[0]}/{model[1]}"}
            model = MODELS[0] if model is not MODELS[0] else MODELS[1]
        first = generator.lognormvariate(6.4, 0.5)
        found.append(_attempt(model, **given, ttft_ms=first, ms=first + generator.randrange(2_000, 20_000)))
    return found


def _attempt(model: tuple[str, str, float | None], **fields: Any) -> LedgerEntry:
    provider, name, cost = model
    if fields.get("outcome") == "error":
        fields |= {"input_tokens": None, "output_tokens": None}
        cost = None
    return entry(provider=provider, model=name, cost_usd=cost, **fields)


async def report_of(entries: list[LedgerEntry], **params: Any) -> AnalyticsResult:
    """What ``analytics:get`` says about these entries an hour after noon."""
    zone = named_zone("Europe/Berlin")
    assert zone is not None

    async def reference() -> Reference:
        return Reference(("openai", "gpt-4.1"), ())

    async def enabled() -> bool:
        return True

    with tempfile.TemporaryDirectory() as folder:
        create_app_database(Path(folder) / "sqlite.db")
        database = Database(Path(folder) / "sqlite.db")
        ledger = Ledger(database, zone=lambda: zone, clock=Clock(NOON + HOUR))
        for each in entries:
            ledger.record(each)
        try:
            return await Analytics(ledger, PriceList(), reference, enabled).report(AnalyticsParams(**params))
        finally:
            await database.aclose()
