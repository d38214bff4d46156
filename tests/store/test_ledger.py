"""The usage ledger: nothing waits for it, nothing is counted twice, nothing is lost."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.store import latency_histogram as histogram
from sidecar.store import ledger_tables as tables
from sidecar.store.database import Database
from sidecar.store.ledger import Ledger
from sidecar.store.zone import Zone, named_zone
from tests.app_database import create_app_database, execute, rows
from tests.store.ledger_entries import DAY, HOUR, NOON, Clock, entry

pytestmark = pytest.mark.anyio

UTC_ZONE = named_zone("UTC")
assert UTC_ZONE is not None


class Place:
    """A database and the ledgers on it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sqlite.db"
        self.clock = Clock()
        self.zone: Zone = UTC_ZONE  # type: ignore[assignment]
        self.databases: list[Database] = []

    def ledger(self, **options: Any) -> Ledger:
        database = Database(self.path, busy_timeout_ms=0)
        self.databases.append(database)
        return Ledger(database, zone=lambda: self.zone, clock=self.clock, **options)

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        return rows(self.path, sql, *values)

    def sums(self, table: str) -> dict[str, Any]:
        names = list(tables.MEASURES)
        (row,) = self.rows(f"SELECT {', '.join(f'IFNULL(SUM({name}), 0) AS {name}' for name in names)} FROM {table}")
        return {name: pytest.approx(row[name]) for name in names}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    create_app_database(made.path)
    yield made
    for database in made.databases:
        await database.aclose()


async def test_an_attempt_is_one_row_and_unknown_is_null(place: Place) -> None:
    ledger = place.ledger()
    ledger.record(entry(cost_usd=None, cached_tokens=None, chat_id=7, fallback_from="google/gemini-2.5-flash"))
    assert await ledger.flush()
    (row,) = place.rows("SELECT * FROM sidecar_requests")
    assert (row["provider"], row["model"], row["outcome"], row["chat_id"]) == ("openai", "gpt-4.1", "ok", 7)
    assert (row["ttft_ms"], row["ms"], row["input_tokens"], row["output_tokens"]) == (200.0, 1000.0, 100, 40)
    assert row["cost_usd"] is None
    assert row["cached_tokens"] is None
    assert row["fallback_from"] == "google/gemini-2.5-flash"
    (day,) = place.rows("SELECT * FROM sidecar_usage_days")
    assert (day["day"], day["uncosted"], day["fallbacks"]) == ("2026-01-01", 1, 1)


async def test_recording_waits_for_nothing_and_running_writes_it(place: Place) -> None:
    async def at_once(_: float) -> None:
        await anyio.lowlevel.checkpoint()

    ledger = place.ledger(sleep=at_once)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.run)
        for number in range(30):
            ledger.record(entry(call_id=str(number)))
        with anyio.fail_after(5):
            while ledger.unwritten():
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert place.sums("sidecar_usage_quarters")["ok"] == 30


async def test_a_locked_database_keeps_entries_and_takes_them_later(place: Place) -> None:
    ledger = place.ledger()
    other = sqlite3.connect(place.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ledger.record(entry())
    assert not await ledger.flush()
    assert len(ledger.unwritten()) == 1
    other.execute("ROLLBACK")
    other.close()
    ledger.record(entry(call_id="second"))
    assert await ledger.flush()
    assert ledger.unwritten() == []
    assert place.sums("sidecar_usage_days")["ok"] == 2


async def test_a_missing_database_costs_the_oldest_entries_beyond_the_bound(tmp_path: Path) -> None:
    place = Place(tmp_path)
    ledger = place.ledger(capacity=3)
    for number in range(5):
        ledger.record(entry(call_id=str(number)))
    assert not await ledger.flush()
    assert [each.call_id for _, each in ledger.unwritten()] == ["2", "3", "4"]
    assert ledger.dropped == 2
    create_app_database(place.path)
    assert await ledger.flush()
    assert place.sums("sidecar_usage_days")["ok"] == 3
    for database in place.databases:
        await database.aclose()


async def test_a_flush_whose_caller_gave_up_is_not_written_twice(place: Place) -> None:
    ledger = place.ledger()
    ledger.record(entry())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.flush)
        await anyio.lowlevel.checkpoint()  # handed to the worker thread
        tasks.cancel_scope.cancel()
    assert len(ledger.unwritten()) == 1
    assert await ledger.flush()
    assert place.sums("sidecar_usage_days")["ok"] == 1


async def test_two_sidecars_on_one_database_count_every_attempt_once(place: Place) -> None:
    first, second = place.ledger(), place.ledger()
    for number in range(20):
        (first if number % 2 else second).record(entry(call_id=str(number)))
    while not (await first.flush() and await second.flush()):
        continue
    assert len(place.rows("SELECT id FROM sidecar_requests")) == 20
    assert place.sums("sidecar_usage_days")["ok"] == 20
    assert place.sums("sidecar_usage_quarters")["cost_usd"] == 0.2


async def test_old_attempts_become_daily_sums_and_no_total_changes(place: Place) -> None:
    ledger = place.ledger()
    for day in range(0, 500, 5):
        ledger.record(entry(at=NOON - day * DAY, call_id=str(day)))
    assert await ledger.flush()
    before = place.sums("sidecar_usage_days")
    await ledger._prune()
    assert place.sums("sidecar_usage_days") == before
    (oldest,) = place.rows("SELECT MIN(at) AS at FROM sidecar_requests")
    assert oldest["at"] == NOON - 400 * DAY
    assert len(place.rows("SELECT 1 FROM sidecar_usage_days WHERE sealed = 1")) == 19
    assert place.rows("SELECT 1 FROM sidecar_usage_quarters WHERE start < ?", NOON - 400 * DAY) == []


async def test_a_clock_that_jumps_years_ahead_and_back_changes_no_total(place: Place) -> None:
    ledger = place.ledger()
    ledger.record(entry(call_id="before"))
    assert await ledger.flush()
    place.clock.now = NOON + 900 * DAY
    await ledger._prune()
    place.clock.now = NOON + HOUR
    ledger.record(entry(call_id="after", at=NOON + HOUR))
    assert await ledger.flush()
    place.zone = named_zone("Asia/Kolkata") or place.zone
    ledger.record(entry(call_id="travelled", at=NOON + 2 * HOUR))
    assert await ledger.flush()
    assert place.sums("sidecar_usage_days")["calls"] == 3
    assert place.sums("sidecar_usage_days")["cost_usd"] == 0.03


async def test_days_follow_the_user_into_another_time_zone(place: Place) -> None:
    ledger = place.ledger()
    ledger.record(entry(at=NOON + 11 * HOUR, call_id="late"))
    assert await ledger.flush()
    assert [row["day"] for row in place.rows("SELECT day FROM sidecar_usage_days")] == ["2026-01-01"]
    place.zone = named_zone("Asia/Tokyo") or place.zone
    ledger.record(entry(at=NOON + 12 * HOUR, call_id="later"))
    assert await ledger.flush()
    found = place.rows("SELECT day, ok FROM sidecar_usage_days")
    assert [(row["day"], row["ok"]) for row in found] == [("2026-01-02", 2)]


async def test_rows_of_a_newer_build_are_kept_counted_and_do_no_harm(place: Place) -> None:
    ledger = place.ledger()
    ledger.record(entry())
    assert await ledger.flush()
    execute(place.path, "ALTER TABLE sidecar_requests ADD COLUMN mood TEXT")
    execute(
        place.path,
        "INSERT INTO sidecar_requests (at, kind, call_id, attempt, provider, model, outcome, ms, ttft_ms, input_tokens,"
        " output_tokens, cost_usd, mood) VALUES (?, 'dream', 'x', 1, 'openai', 'gpt-9', 'paused', 'soon', 'NaN', -5,"
        " 'many', 'free', 'good')",
        NOON,
    )
    ledger.record(entry(call_id="next"))
    assert await ledger.flush()
    (row,) = place.rows("SELECT * FROM sidecar_usage_days WHERE model = 'gpt-9'")
    assert (row["odd"], row["ok"], row["input_tokens"], row["output_tokens"], row["cost_usd"]) == (1, 0, 0, 0, 0.0)
    assert row["ttft_histogram"] is None
    assert place.rows("SELECT mood FROM sidecar_requests WHERE model = 'gpt-9'")[0]["mood"] == "good"
    assert place.sums("sidecar_usage_days")["ok"] == 2


async def test_a_database_of_a_newer_sidecar_is_not_written_to(place: Place) -> None:
    ledger = place.ledger()
    ledger.record(entry())
    assert await ledger.flush()
    execute(place.path, "INSERT INTO sidecar_migrations (name, applied_at, build) VALUES ('0099_future', '', '9')")
    ledger.record(entry(call_id="next"))
    assert not await ledger.flush()
    assert len(ledger.unwritten()) == 1
    assert len(place.rows("SELECT 1 FROM sidecar_requests")) == 1


async def test_clearing_leaves_no_trace_in_the_file(place: Place) -> None:
    ledger = place.ledger()
    ledger.record(entry(model="model-nobody-must-find-again"))
    assert await ledger.flush()
    assert b"model-nobody-must-find-again" in place.path.read_bytes()
    ledger.record(entry(call_id="unwritten"))
    await ledger.clear()
    assert ledger.unwritten() == []
    for table in ("sidecar_requests", "sidecar_usage_quarters", "sidecar_usage_days"):
        assert place.rows(f"SELECT 1 FROM {table}") == []
    assert b"model-nobody-must-find-again" not in place.path.read_bytes()
    ledger.record(entry(call_id="afresh"))
    assert await ledger.flush()
    assert place.sums("sidecar_usage_days")["ok"] == 1


async def test_what_was_folded_away_before_is_gone_from_the_file_as_well(place: Place) -> None:
    ledger = place.ledger()
    await place.databases[0].write(lambda connection: connection.execute("PRAGMA secure_delete = OFF").fetchall())
    for number in range(2_000):
        ledger.record(entry(at=NOON - (500 if number < 1_000 else 1) * DAY, call_id=f"secret-call-{number}"))
    assert await ledger.flush()
    await ledger._prune()
    assert len(place.rows("SELECT 1 FROM sidecar_requests")) == 1_000
    assert b"secret-call-" in place.path.read_bytes()
    await ledger.clear()
    assert b"secret-call-" not in place.path.read_bytes()


async def test_clearing_leaves_nothing_in_a_write_ahead_log(place: Place) -> None:
    execute(place.path, "PRAGMA journal_mode = WAL")
    ledger = place.ledger()
    ledger.record(entry(model="model-nobody-must-find-again"))
    assert await ledger.flush()
    log = place.path.with_name(f"{place.path.name}-wal")
    assert b"model-nobody-must-find-again" in log.read_bytes()
    await ledger.clear()
    assert b"model-nobody-must-find-again" not in place.path.read_bytes() + log.read_bytes()


async def test_no_column_can_hold_a_prompt_or_an_answer(place: Place) -> None:
    ledger = place.ledger()
    ledger.record(entry())
    assert await ledger.flush()
    columns = {row["name"] for row in place.rows("SELECT name FROM pragma_table_info('sidecar_requests')")}
    assert columns == {*tables_columns(), "id", "folded"}
    assert not columns & {"prompt", "content", "text", "answer", "messages", "api_key", "error"}


def tables_columns() -> set[str]:
    from sidecar.store.ledger import LedgerEntry

    return set(LedgerEntry.__struct_fields__)


# --- histograms ----------------------------------------------------------------------------------------------------


def exact(times: list[float], share: float) -> float:
    return sorted(times)[max(0, math.ceil(share * len(times)) - 1)]


@given(st.lists(st.floats(10, 600_000), min_size=1, max_size=60), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_within_five_percent(times: list[float], share: float) -> None:
    counts = sum(1 << (32 * histogram.bucket_of(ms)) for ms in times)
    found = histogram.percentile(histogram.unpack(histogram.pack(counts)), share)
    assert found == pytest.approx(exact(times, share), rel=0.05)


def test_histograms_add_up_and_junk_counts_nothing() -> None:
    generator = random.Random(3)
    left = [generator.uniform(1, 5000) for _ in range(50)]
    right = [generator.uniform(1000, 900_000) for _ in range(70)]
    packed = [histogram.pack(sum(1 << (32 * histogram.bucket_of(ms)) for ms in times)) for times in (left, right)]
    both = sum(1 << (32 * histogram.bucket_of(ms)) for ms in [*left, *right])
    assert histogram.unpack(histogram.add(*packed)) == both
    assert histogram.percentile(0, 0.5) is None
    assert histogram.percentile(1, 0.5) == 10.0
    connection = sqlite3.connect(":memory:")
    histogram.register(connection)
    for junk in (None, "text", 5, b"", b"\xff\x01", b"\x00" + b"\xff" * 600):
        assert histogram.unpack(junk) == 0
        rows_ = "SELECT histogram_sum(value) FROM (SELECT ? AS value UNION ALL SELECT ?)"
        assert connection.execute(rows_, (junk, packed[0])).fetchone()[0] == packed[0]
    connection.close()
