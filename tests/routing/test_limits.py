"""Daily limits: two sidecars, one database, a clock that does what it likes, and chats that go on regardless."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from protocol.errors import ErrorCode
from sidecar.engines.base import Target
from sidecar.errors import ProviderError
from sidecar.routing import limits as module
from sidecar.routing.counted import Counted
from sidecar.routing.inputs import Environment
from sidecar.routing.limits import Reservation, TierLimiter, TierLimits, unusable_limits
from sidecar.store.database import Database
from sidecar.store.limits import LimitRow, Tally, day_of
from tests.app_database import create_app_database, execute, rows
from tests.routing.scripted import target

pytestmark = pytest.mark.anyio

PAID = target("m", route="engine")
OWN = target("m", route="direct")
NOON = 20_000 * 86_400 + 43_200


class Now:
    def __init__(self, seconds: float = NOON) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_app_database(tmp_path / "sqlite.db")
    return tmp_path / "sqlite.db"


@asynccontextmanager
async def limiter(
    path: Path, now: Now, limits: TierLimits | None = None, busy_timeout_ms: int = 10_000
) -> AsyncIterator[TierLimiter]:
    database = Database(path, busy_timeout_ms=busy_timeout_ms)
    try:
        yield TierLimiter(database, limits or TierLimits(free_requests=3, free_tokens=1000), clock=now)
    finally:
        await database.aclose()


async def settled(tiers: TierLimiter, place: Reservation, tokens: int | None, target: Target | None = None) -> None:
    """The call is over, and that is written down."""
    place.settle(tokens, target=target)
    await tiers.flush()


async def refused(tiers: TierLimiter) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await tiers.reserve("free", PAID)
    return caught.value


async def test_the_last_request_of_the_day_is_the_last(path: Path) -> None:
    async with limiter(path, Now()) as tiers:
        for _ in range(3):
            await settled(tiers, await tiers.reserve("free", PAID), 10)
        error = await refused(tiers)
        usage = await tiers.snapshot("free", metered=True)
    assert error.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert (error.extra["scope"], error.extra["upgrade_prompt"]) == ("tier", True)
    assert error.retry_after_ms == 43_200_000
    assert "all 3 requests of today's free plan" in error.message
    assert (usage.requests_today, usage.tokens_used, usage.remaining_requests) == (3, 30, 0)
    assert usage.resets_at == "2024-10-05T00:00:00.000Z"


async def test_places_taken_at_the_same_time_count_once(path: Path) -> None:
    places: list[Reservation] = []

    async def take(tiers: TierLimiter) -> None:
        places.append(await tiers.reserve("free", PAID))

    async with limiter(path, Now(), TierLimits(free_requests=10)) as tiers:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(take, tiers)
        assert tiers.latest("free", metered=True).requests_today == 6
        for place in places:
            await settled(tiers, place, 10)
        usage = tiers.latest("free", metered=True)
    assert (usage.requests_today, usage.remaining_requests) == (6, 4)


async def test_the_days_tokens_are_limited_too(path: Path) -> None:
    async with limiter(path, Now()) as tiers:
        await settled(tiers, await tiers.reserve("free", PAID), 1000)
        assert "all the tokens of today's free plan" in (await refused(tiers)).message
        assert (await tiers.snapshot("free", metered=True)).remaining_requests == 0
        assert (await tiers.snapshot("free", metered=False)).remaining_requests is None


async def test_a_call_that_came_to_nothing_gives_its_place_back(path: Path) -> None:
    async with limiter(path, Now(), TierLimits(free_requests=1)) as tiers:
        place = await tiers.reserve("free", PAID)
        await refused(tiers)
        await settled(tiers, place, None)
        await settled(tiers, await tiers.reserve("free", PAID), 1)
        await refused(tiers)


async def test_a_settled_reservation_stays_settled(path: Path) -> None:
    async with limiter(path, Now()) as tiers:
        reservation = await tiers.reserve("free", PAID)
        await settled(tiers, reservation, 7)
        await settled(tiers, reservation, None)
        await settled(tiers, reservation, 9)
        assert (await tiers.snapshot("free", metered=True)).tokens_used == 7


async def test_a_count_below_nothing_gives_nothing_back(path: Path) -> None:
    async with limiter(path, Now()) as tiers:
        await settled(tiers, await tiers.reserve("free", PAID), 7)
        await settled(tiers, await tiers.reserve("free", PAID), -5)
        assert (await tiers.snapshot("free", metered=True)).tokens_used == 7


async def test_what_is_settled_while_it_is_written_is_written_again(path: Path) -> None:
    """Another writer takes what is unwritten into its transaction; a call may end before that is committed."""
    database = Database(path)
    async with limiter(path, Now()) as tiers:
        place = await tiers.reserve("free", PAID)
        unwritten = tiers.unwritten()
        place.settle(7)
        unwritten.written(await database.write(unwritten.write))
        await tiers.flush()
    await database.aclose()
    async with limiter(path, Now()) as later:
        assert (await later.snapshot("free", metered=True)).tokens_used == 7


def test_what_was_read_before_a_row_was_written_does_not_hide_that_row() -> None:
    """A reader who left the row out is answered after the writer: by then it is in neither of the two."""
    counted = Counted()
    counted.put(LimitRow("a", day_of(NOON), True, 7, True, NOON))
    left_out = counted.rows
    counted.unwritten(NOON).written(Tally(1, 7, 1, 7))
    counted.learn(NOON, Tally(), left_out)
    assert counted.today(NOON) == Tally(1, 7, 1, 7)
    counted.learn(NOON, Tally(2, 9, 2, 9), {})
    assert counted.today(NOON) == Tally(2, 9, 2, 9)


async def test_what_came_to_nothing_is_deleted_once(path: Path) -> None:
    async with limiter(path, Now()) as tiers:
        place = await tiers.reserve("free", PAID)
        place.settle(None)
        assert tiers.unwritten().dropped
        await tiers.flush()
        assert not tiers.unwritten().dropped


async def test_what_is_known_of_a_day_ends_with_it(path: Path) -> None:
    now = Now()
    async with limiter(path, now) as tiers:
        await settled(tiers, await tiers.reserve("free", PAID), 7)
        assert tiers.latest("free", metered=True).tokens_used == 7
        now.seconds += 86_400
        assert tiers.latest("free", metered=True).tokens_used == 0


async def test_own_keys_and_local_models_are_counted_and_never_limited(path: Path) -> None:
    async with limiter(path, Now()) as tiers:
        for _ in range(5):
            await settled(tiers, await tiers.reserve("free", OWN), 500)
        assert (await tiers.snapshot("free", metered=False)).remaining_requests is None
        usage = await tiers.snapshot("free", metered=True)
        await tiers.reserve("free", PAID)
    assert (usage.requests_today, usage.tokens_used, usage.remaining_requests) == (5, 2500, 3)


async def test_a_call_that_fell_back_to_an_own_key_is_not_charged(path: Path) -> None:
    async with limiter(path, Now()) as tiers:
        await settled(tiers, await tiers.reserve("free", PAID), 500, OWN)
        assert (await tiers.snapshot("free", metered=True)).remaining_requests == 3


async def test_pro_is_unlimited_unless_told(path: Path) -> None:
    async with limiter(path, Now(), TierLimits(free_requests=0)) as tiers:
        await settled(tiers, await tiers.reserve("pro", PAID), 10**7)
        assert (await tiers.snapshot("pro", metered=True)).remaining_requests is None
    async with limiter(path, Now(), TierLimits(pro_requests=1)) as tiers:
        with pytest.raises(ProviderError) as caught:
            await tiers.reserve("pro", PAID)
        assert caught.value.extra["upgrade_prompt"] is False


async def test_switched_off_it_counts_and_refuses_nothing(path: Path) -> None:
    async with limiter(path, Now()) as tiers:
        for _ in range(4):
            await settled(tiers, await tiers.reserve("free", PAID, enforced=False), 1000)
        usage = await tiers.snapshot("free", metered=True, enforced=False)
    assert (usage.requests_today, usage.remaining_requests) == (4, None)


async def test_two_sidecars_share_one_days_places(path: Path) -> None:
    got: list[bool] = []

    async def take(tiers: TierLimiter) -> None:
        try:
            await tiers.reserve("free", PAID)
            got.append(True)
        except ProviderError:
            got.append(False)

    now, five = Now(), TierLimits(free_requests=5)
    async with limiter(path, now, five) as one, limiter(path, now, five) as other, anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(take, one)
            group.start_soon(take, other)
    assert sorted(got) == [False] * 5 + [True] * 5


async def test_the_place_of_a_killed_process_is_free_again_after_ten_minutes(path: Path) -> None:
    now, one = Now(), TierLimits(free_requests=1)
    async with limiter(path, now, one) as killed:
        await killed.reserve("free", PAID)
    async with limiter(path, now, one) as tiers:
        now.seconds += 600
        await refused(tiers)
        now.seconds += 1
        await tiers.reserve("free", PAID)


async def test_a_stream_longer_than_ten_minutes_still_counts(path: Path) -> None:
    now = Now()
    async with limiter(path, now) as tiers:
        reservation = await tiers.reserve("free", PAID)
        now.seconds += 1200
        await settled(tiers, await tiers.reserve("free", PAID), 1)
        await settled(tiers, reservation, 99)
        usage = await tiers.snapshot("free", metered=True)
    assert (usage.requests_today, usage.tokens_used) == (2, 100)


async def test_midnight_utc_starts_anew(path: Path) -> None:
    now = Now()
    async with limiter(path, now) as tiers:
        for _ in range(3):
            await settled(tiers, await tiers.reserve("free", PAID), 1)
        now.seconds = 20_001 * 86_400 - 1
        assert (await refused(tiers)).retry_after_ms == 1000
        now.seconds += 1
        await settled(tiers, await tiers.reserve("free", PAID), 1)
        assert (await tiers.snapshot("free", metered=True)).requests_today == 1


async def test_a_clock_set_back_over_midnight_gives_nothing_back(path: Path) -> None:
    now = Now()
    async with limiter(path, now) as tiers:
        for _ in range(3):
            await settled(tiers, await tiers.reserve("free", PAID), 1)
        now.seconds -= 86_400
        await refused(tiers)


async def test_a_clock_that_was_far_ahead_locks_nobody_out(path: Path) -> None:
    now = Now(NOON + 30 * 86_400)
    async with limiter(path, now) as tiers:
        for _ in range(3):
            await settled(tiers, await tiers.reserve("free", PAID), 1)
        now.seconds = NOON
        await tiers.reserve("free", PAID)


async def test_a_reservation_from_the_future_expires_as_well(path: Path) -> None:
    now, one = Now(), TierLimits(free_requests=1)
    async with limiter(path, now, one) as tiers:
        await tiers.reserve("free", PAID)
        now.seconds -= 3600
        await tiers.reserve("free", PAID)


async def test_calls_nobody_limits_are_counted_on_and_those_of_another_sidecar_are_seen_after_a_moment(
    path: Path,
) -> None:
    now = Now()

    async def figures(tiers: TierLimiter) -> tuple[int, int]:
        await settled(tiers, await tiers.reserve("free", OWN), 10)
        usage = tiers.latest("free", metered=False)
        return usage.requests_today, usage.tokens_used

    async with limiter(path, now) as one, limiter(path, now) as other:
        assert [await figures(one) for _ in range(3)] == [(1, 10), (2, 20), (3, 30)]
        assert await figures(other) == (4, 40)
        assert await figures(one) == (4, 40), "the other's is not looked for with every call"
        now.seconds += 5
        assert await figures(one) == (6, 60)
        now.seconds += 86_400
        assert await figures(one) == (1, 10)


async def test_rows_that_count_no_more_are_deleted_once_an_hour(path: Path) -> None:
    now = Now()

    def stored() -> int:
        return len(rows(path, "SELECT id FROM sidecar_limits"))

    async with limiter(path, now) as tiers:
        await settled(tiers, await tiers.reserve("free", OWN), 1)
        now.seconds += 8 * 86_400
        await settled(tiers, await tiers.reserve("free", OWN), 1)
        assert stored() == 1, "the day of a week ago is gone"
        await tiers.reserve("free", PAID)
        now.seconds += 1800
        await settled(tiers, await tiers.reserve("free", OWN), 1)
        assert stored() == 3, "a place nobody gave back counts no more, and is still there"
        now.seconds += 1800
        await settled(tiers, await tiers.reserve("free", OWN), 1)
        assert stored() == 3, "it is gone"
        usage = await tiers.snapshot("free", metered=True)
    assert usage.requests_today == 3


async def test_a_missing_database_stops_no_chat_and_no_limit(tmp_path: Path) -> None:
    async with limiter(tmp_path / "none.db", Now()) as tiers:
        first = await tiers.reserve("free", PAID)
        await settled(tiers, first, 5)
        assert first.warning is not None
        assert "counted until Scalix is closed" in first.warning
        await tiers.reserve("free", PAID)
        await tiers.reserve("free", PAID)
        await refused(tiers)
        usage = await tiers.snapshot("free", metered=True)
    assert (usage.requests_today, usage.tokens_used, usage.remaining_requests) == (3, 5, 0)


async def test_a_call_that_cannot_be_written_down_keeps_no_later_one_from_it(path: Path) -> None:
    async with limiter(path, Now()) as tiers:
        await settled(tiers, await tiers.reserve("free", OWN), 1)
        execute(
            path,
            "CREATE TRIGGER refusing BEFORE INSERT ON sidecar_limits WHEN NEW.tokens = 2"
            " BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        await settled(tiers, await tiers.reserve("free", OWN), 2)
        await settled(tiers, await tiers.reserve("free", OWN), 3)
        assert [row["tokens"] for row in rows(path, "SELECT tokens FROM sidecar_limits ORDER BY tokens")] == [1, 3]


async def test_what_was_counted_without_a_database_is_written_when_it_is_back(tmp_path: Path) -> None:
    path, now = tmp_path / "sqlite.db", Now()
    async with limiter(path, now) as tiers:
        await settled(tiers, await tiers.reserve("free", PAID), 5)
        create_app_database(path)
        await settled(tiers, await tiers.reserve("free", PAID), 6)
    async with limiter(path, now) as later:
        usage = await later.snapshot("free", metered=True)
    assert (usage.requests_today, usage.tokens_used) == (2, 11)


async def test_a_locked_database_holds_a_call_up_for_a_moment_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DATABASE_WAIT_S", 0.05)
    now = Now()
    async with limiter(path, now, busy_timeout_ms=20_000) as tiers:
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(5):
            held = await tiers.reserve("free", PAID)
            await settled(tiers, held, 5)
            await tiers.reserve("free", PAID)
        assert held.warning is not None
        lock.rollback()
        lock.close()
        monkeypatch.setattr(module, "DATABASE_WAIT_S", 30)
        await settled(tiers, await tiers.reserve("free", PAID), 6)
        await refused(tiers)
        usage = await tiers.snapshot("free", metered=True)
    assert (usage.requests_today, usage.tokens_used) == (3, 11)


async def test_what_nobody_limits_does_not_touch_the_database(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    async with limiter(path, Now(), busy_timeout_ms=0) as tiers:
        places = [
            await tiers.reserve("free", OWN),
            await tiers.reserve("pro", PAID),
            await tiers.reserve("free", PAID, enforced=False),
        ]
        assert [place.warning for place in places] == [None] * 3
        other.close()
        for place in places:
            await settled(tiers, place, 10)
        usage = await tiers.snapshot("free", metered=True)
    assert (usage.requests_today, usage.remaining_requests) == (3, 1)


async def test_a_place_whose_commit_fails_is_taken_all_the_same(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM apps").fetchone()  # readers keep a rollback journal from being committed
    async with limiter(path, Now(), TierLimits(free_requests=1), busy_timeout_ms=0) as tiers:
        place = await tiers.reserve("free", PAID)
        assert (await refused(tiers)).code is ErrorCode.RATE_LIMIT_EXCEEDED
        other.close()
        await settled(tiers, place, 10)
        async with limiter(path, Now(), TierLimits(free_requests=1)) as elsewhere:
            await refused(elsewhere)


async def test_a_call_cancelled_while_it_reserves_takes_no_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DATABASE_WAIT_S", 30)
    async with limiter(path, Now(), TierLimits(free_requests=1), busy_timeout_ms=20_000) as tiers:
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            group.start_soon(tiers.reserve, "free", PAID)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
            lock.rollback()
            lock.close()
        await tiers.reserve("free", PAID)


def test_the_environment_replaces_the_defaults() -> None:
    values = {
        "SCALIX_FREE_REQUESTS_PER_DAY": "7",
        "SCALIX_FREE_TOKENS_PER_DAY": "unlimited",
        "SCALIX_PRO_REQUESTS_PER_DAY": "9",
        "SCALIX_PRO_TOKENS_PER_DAY": "-1",
    }
    limits = TierLimits.from_environment(Environment(values))
    assert (limits.of("free"), limits.of("pro")) == ((7, None), (9, None))
    assert TierLimits.from_environment(Environment({})).of("free") == (50, 100_000)
    assert unusable_limits(Environment(values)) == [
        "SCALIX_PRO_TOKENS_PER_DAY is '-1', which is neither a number nor unlimited; the limit is the usual one."
    ]
