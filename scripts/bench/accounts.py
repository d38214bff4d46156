"""What counting costs: limits before a call, the ledger beside its answer, a recommendation, a year's report."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import anyio

from scripts.bench.figures import Section, Target
from scripts.bench.host import SidecarHost
from scripts.bench.place import MODELS, Place, place
from scripts.bench.run import Run
from sidecar.engines.base import Target as Endpoint
from sidecar.routing.limits import TierLimiter, TierLimits
from sidecar.routing.recommend import ModelOption, Needs, rank, recommendation
from sidecar.routing.track_record import Observation, TrackRecord
from sidecar.store import ledger_tables
from sidecar.store.database import Database
from sidecar.store.migrations import ensure_sidecar_tables
from sidecar.store.zone import machine_zone
from tests.app_database import create_app_database

MODEL: Final = MODELS["openai-chat"]
ROWS: Final = 1_000_000
DAY_MS: Final = 86_400_000
CHUNKS: Final = 10_000
NOBODY: Final = "http://127.0.0.1:9"
"""Where no local server listens."""


# --- before and beside an answer -----------------------------------------------------------------------------------


def counting(run: Run) -> Section:
    """Limits and ledger: what they add to the first token, and to a chunk."""
    section = Section(
        "counting",
        "Limits and ledger",
        "A place for a call is taken before the provider is asked (by itself, on a file of its own). Then whole "
        "answers, with the ledger written and without it, in turns: to the first patch, and CPU of the sidecar per "
        "chunk of an answer that comes as fast as it can.",
        chart="none",
    )
    run.say("counting")
    for case, taken in anyio.run(places, run.rounds(300, 60)).items():
        section.add(case, "sidecar", "ms", taken, Target(0.3, "below 0.3 ms"))
    with place(run.provider) as where, where.sidecar() as host:
        host.idle(3)
        first: dict[bool, list[float]] = {True: [], False: []}
        chunk: dict[bool, list[float]] = {True: [], False: []}
        for number in range(run.rounds(40, 8) + 4):
            for on in (True, False):
                host.request("features:set", {"enhancedAnalytics": on})
                run.provider.script(20)
                (stream,) = host.chat(where.chats(1), MODEL)
                if number >= 4:
                    first[on].append(stream.ttft_ms)
        for number in range(run.rounds(20, 4) + 2):
            for on in (True, False):
                host.request("features:set", {"enhancedAnalytics": on})
                used = cpu_per_chunk(run, where, host)
                if number >= 2:
                    chunk[on].append(used)
    limit = median(first[False]) + 0.3
    section.add("first token, ledger on", "sidecar", "ms", first[True], Target(limit, f"off + 0.3 ({limit:.3g})"))
    section.add("first token, ledger off", "sidecar", "ms", first[False])
    limit = median(chunk[False]) * 1.05
    section.add("per chunk, ledger on", "sidecar", "µs CPU", chunk[True], Target(limit, f"as off, 5% ({limit:.3g})"))
    section.add("per chunk, ledger off", "sidecar", "µs CPU", chunk[False])
    return section


def cpu_per_chunk(run: Run, where: Place, host: SidecarHost) -> float:
    """In µs, of one long answer."""
    run.provider.script(CHUNKS)
    before = host.cpu_s()
    host.chat(where.chats(1), MODEL)
    return (host.cpu_s() - before) * 1e6 / CHUNKS


async def places(rounds: int) -> dict[str, list[float]]:
    """Milliseconds to a place for a call: with the user's own key, and where Scalix pays and limits."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="scalix-bench-") as folder:
        path = Path(folder) / "sqlite.db"
        create_app_database(path)
        database = Database(path)
        limiter = TierLimiter(database, TierLimits(free_requests=10**6, free_tokens=10**9))
        for case, route in (("a place, own key", "direct"), ("a place, limited by Scalix", "proxy")):
            target = Endpoint(provider="x", model="m", wire_model="m", dialect="openai-chat", base_url="http://x",
                              route=route)  # type: ignore[arg-type]  # fmt: skip
            found[case] = []
            for number in range(rounds + 20):
                started = time.perf_counter()
                taken = await limiter.reserve("free", target)
                took = (time.perf_counter() - started) * 1000
                await taken.commit(1000)
                if number >= 20:
                    found[case].append(took)
        await database.aclose()
    return found


# --- advice --------------------------------------------------------------------------------------------------------


def recommending(run: Run) -> Section:
    """A recommendation among 200 models."""
    section = Section(
        "recommending",
        "Recommending among 200 models",
        "Ranking and its reasons by themselves; and models:recommend from writing the request to having read the "
        "answer, every candidate with its figures (settings, catalogue and prices looked at again each time).",
        chart="none",
    )
    run.say("recommending")
    below = Target(2.0, "below 2 ms")
    section.add("rank and say why", "sidecar", "ms", ranking(run.rounds(200, 40)), below)
    with place(run.provider) as where:
        where.more_models(200)
        where.environ |= {"OLLAMA_HOST": NOBODY, "LM_STUDIO_BASE_URL": NOBODY}
        with where.sidecar() as host:
            host.idle(3)
            if len(host.request("models:recommend")["candidates"]) < 200:
                raise RuntimeError("not every model was weighed")
            taken = [host.timed("models:recommend") for _ in range(run.rounds(200, 40) + 10)][10:]
    section.add("models:recommend", "sidecar", "ms", taken, below)
    return section


def ranking(rounds: int) -> list[float]:
    """Milliseconds to rank 200 measured models and to give the reasons."""
    generator, record, now = random.Random(1), TrackRecord(), 1_767_268_800_000
    options = [ModelOption(provider=f"p{n % 10}", name=f"m{n}", usd_per_million=(1.0, 2.0 + n)) for n in range(200)]
    for number in range(2_000):
        option = generator.choice(options)
        outcome = "ok" if generator.random() < 0.95 else "error"
        seen = Observation(option.provider, option.name, now + number, outcome, "TIMEOUT", 400.0, 4_000.0, 300)
        record.observe(seen)
    found = []
    for number in range(rounds + 5):
        started = time.perf_counter()
        ranked = rank(options, lambda provider, name: record.evidence(provider, name, now + 3_600_000), curious=False)
        recommendation(ranked, Needs())
        if number >= 5:
            found.append((time.perf_counter() - started) * 1000)
    return found


# --- a year --------------------------------------------------------------------------------------------------------


def analytics(run: Run) -> Section:
    """``analytics:get`` over a million rows."""
    section = Section(
        "analytics",
        "analytics:get over 1,000,000 rows",
        "Attempts at twelve models over 399 days, evenly, a third of them without a price; from writing the request to "
        "having read the answer.",
        chart="none",
    )
    run.say("analytics: a ledger of a million rows")
    with place(run.provider) as where:
        fill(where.database)
        now = datetime.now(UTC)
        ago: Callable[[float], str] = lambda days: (now - timedelta(days=days)).isoformat()  # noqa: E731
        cases: dict[str, dict[str, Any]] = {
            "the last 30 days": {},
            "all of it, by the day": {"since": ago(400)},
            "half of it, from one minute to another": {"since": ago(250.123), "until": ago(50.321)},
            "48 hours, by the hour": {"bucket": "hour"},
            "31 days, by the hour": {"bucket": "hour", "since": ago(31)},
        }
        with where.sidecar() as host:
            host.idle(3)
            if host.request("analytics:get", cases["all of it, by the day"])["totals"]["requests"] != ROWS:
                raise RuntimeError("the ledger was not read whole")
            for case, params in cases.items():
                taken = [host.timed("analytics:get", params) for _ in range(run.rounds(30, 8) + 2)][2:]
                section.add(case, "sidecar", "ms", taken, Target(50.0, "below 50 ms"))
    return section


def fill(path: Path) -> None:
    """A million attempts, summed as the ledger sums them."""
    zone, now = machine_zone(), time.time_ns() // 1_000_000
    columns = "id, at, kind, call_id, attempt, provider, model, outcome, code, ttft_ms, ms, input_tokens, output_tokens"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        ensure_sidecar_tables(connection)
        ledger_tables.prepare(connection, zone)
        connection.execute("BEGIN")
        connection.execute(
            f"INSERT INTO sidecar_requests ({columns}, cost_usd)"
            " WITH RECURSIVE n(i, r) AS (SELECT 1, 7 UNION ALL"
            f" SELECT i + 1, (r * 1103515245 + 12345) & 2147483647 FROM n WHERE i < {ROWS})"
            " SELECT i, ? - CAST(i * 1.0 / ? * 399 * ? AS INTEGER), 'chat', i, 1, 'p' || (r / 7 % 12 % 5),"
            " 'm' || (r / 7 % 12),"
            " CASE WHEN r % 20 THEN 'ok' ELSE 'error' END, CASE WHEN r % 20 THEN NULL ELSE 'TIMEOUT' END,"
            " CASE WHEN r % 20 THEN 100 + r % 2000 END, 1000 + r % 9000, 1000, 200,"
            " CASE WHEN r % 3 THEN 0.001 END FROM n",
            (now, ROWS, DAY_MS),
        )
        ledger_tables.fold(connection, zone)
        connection.execute("COMMIT")
