"""The advisor: history once, entries as they come, and the order of ``auto``."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocol.language_models import LocalModel
from protocol.usage import RecommendParams
from sidecar.catalog.catalog import Catalog
from sidecar.catalog.prices import PriceList
from sidecar.engines.base import Target
from sidecar.routing.advisor import ModelAdvisor
from sidecar.routing.breaker import CircuitBreaker
from sidecar.routing.inputs import Environment
from sidecar.secret import SecretText
from sidecar.settings.store import SettingsStore
from sidecar.store.database import Database
from sidecar.store.ledger import Ledger
from tests.app_database import create_app_database, execute
from tests.store.ledger_entries import NOON, Clock, entry

pytestmark = pytest.mark.anyio

FLASH = ("google", "gemini-2.5-flash")
SONNET = ("anthropic", "claude-sonnet-4-20250514")
KEYS = {"GEMINI_API_KEY": "k" * 30, "ANTHROPIC_API_KEY": "k" * 30}


def target(model: tuple[str, str], *, automatic: bool = True) -> Target:
    return Target(provider=model[0], model=model[1], wire_model=model[1], dialect="openai-chat",
                  base_url="http://x", automatic=automatic)  # fmt: skip


class Place:
    """One installation's database, and advisors over it as a restart would make them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "sqlite.db"
        create_app_database(self.path)
        self.database = Database(self.path, busy_timeout_ms=0)
        self.clock = Clock()

    def advisor(self) -> tuple[Ledger, ModelAdvisor]:
        ledger = Ledger(self.database, clock=self.clock)

        async def local() -> list[LocalModel]:
            return []

        async def tokens(_chat: int, _prompt: str) -> int:
            return 300_000

        advisor = ModelAdvisor(
            ledger=ledger,
            settings=SettingsStore(self.database, self.folder / "user-settings.json", environ=KEYS, secrets=None),
            environment=Environment(KEYS),
            catalog=Catalog(self.database),
            prices=PriceList(),
            breaker=CircuitBreaker(lambda: 0.0),
            local_models=local,
            prompt_tokens=tokens,
        )
        return ledger, advisor


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    await made.database.aclose()


def fail(ledger: Ledger, times: int, **more: Any) -> None:
    for number in range(times):
        ledger.record(entry(call_id=f"f{number}", provider=FLASH[0], model=FLASH[1], outcome="error",
                            code="MODEL_UNAVAILABLE", ttft_ms=None, **more))  # fmt: skip


async def test_auto_keeps_the_apps_order_until_something_is_known(place: Place) -> None:
    ledger, advisor = place.advisor()
    targets = [target(FLASH), target(SONNET)]
    assert advisor.in_order(targets) == tuple(targets), "before anything is read"
    await advisor.load()
    assert advisor.in_order(targets) == tuple(targets)
    fail(ledger, 6)
    assert [each.provider for each in advisor.in_order(targets)] == ["anthropic", "google"]


async def test_what_the_user_chose_himself_keeps_its_place(place: Place) -> None:
    ledger, advisor = place.advisor()
    await advisor.load()
    fail(ledger, 6)
    chosen = [target(FLASH, automatic=False), target(SONNET, automatic=False)]
    assert advisor.in_order(chosen) == tuple(chosen)


async def test_nothing_is_tried_at_somebody_elses_expense(place: Place) -> None:
    ledger, advisor = place.advisor()
    await advisor.load()
    for number in range(400):
        ledger.record(entry(call_id=str(number), provider=FLASH[0], model=FLASH[1], at=NOON + number))
        place.clock.now = NOON + number
        first = {
            route: advisor.in_order([msgspec.structs.replace(target(model), route=route) for model in (FLASH, SONNET)])
            for route in ("direct", "proxy")
        }
        assert first["proxy"][0].provider == "google"
        if first["direct"][0].provider == "anthropic":
            break
    assert first["direct"][0].provider == "anthropic", "with one's own keys it is tried once in a while"


async def test_a_new_key_is_a_new_start(place: Place) -> None:
    ledger, advisor = place.advisor()
    await advisor.load()
    keyed = [msgspec.structs.replace(target(model), api_key=SecretText("old")) for model in (FLASH, SONNET)]
    assert advisor.in_order(keyed) == tuple(keyed)
    fail(ledger, 6)
    assert [each.provider for each in advisor.in_order(keyed)] == ["anthropic", "google"]
    mended = [msgspec.structs.replace(keyed[0], api_key=SecretText("new")), keyed[1]]
    assert advisor.in_order(mended) == tuple(mended)


async def test_a_restart_forgets_nothing_and_counts_nothing_twice(place: Place) -> None:
    ledger, _ = place.advisor()
    fail(ledger, 6)
    assert await ledger.flush()
    second, advisor = place.advisor()
    second.record(entry(call_id="early", provider=SONNET[0], model=SONNET[1]))
    await advisor.load()
    await advisor.load()
    assert advisor._record.evidence(*FLASH, NOON).failures == 6
    assert advisor._record.evidence(*SONNET, NOON).answers == 1
    answer = await advisor.recommend(RecommendParams())
    assert answer.model_selection.recommended == "/".join(SONNET)


async def test_an_unreadable_database_leaves_the_apps_order_and_is_asked_again(place: Place) -> None:
    ledger, advisor = place.advisor()
    fail(ledger, 6)
    assert await ledger.flush()
    other = sqlite3.connect(place.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    _, fresh = place.advisor()
    await fresh.load()
    assert [each.provider for each in fresh.in_order([target(FLASH), target(SONNET)])] == ["google", "anthropic"]
    other.execute("ROLLBACK")
    other.close()
    await fresh.load()
    assert [each.provider for each in fresh.in_order([target(FLASH), target(SONNET)])] == ["anthropic", "google"]
    await advisor.load()


async def test_clearing_forgets_what_was_measured(place: Place) -> None:
    ledger, advisor = place.advisor()
    await advisor.load()
    fail(ledger, 6)
    await ledger.clear()
    assert advisor._record.evidence(*FLASH, NOON).failures == 0


async def test_rows_of_a_newer_build_do_not_stop_the_history(place: Place) -> None:
    ledger, _ = place.advisor()
    fail(ledger, 1)
    assert await ledger.flush()
    execute(
        place.path,
        "INSERT INTO sidecar_requests (at, kind, call_id, attempt, provider, model, outcome, ms)"
        " VALUES (?, 'dream', 'x', 1, 'google', 'gemini-2.5-flash', 'error', 'long')",
        NOON,
    )
    _, advisor = place.advisor()
    await advisor.load()
    assert advisor._record.evidence(*FLASH, NOON).failures == 1


async def test_a_chats_tokens_rule_out_what_is_too_small(place: Place) -> None:
    _, advisor = place.advisor()
    answer = await advisor.recommend(RecommendParams(chat_id=1))
    names = [each.name for each in answer.candidates]
    assert SONNET[1] not in names
    assert msgspec.to_builtins(answer.model_selection)["recommended"] == "/".join(FLASH)
