"""The usage ledger: what every attempt at a model took and cost, kept on this machine only.

Writing never touches the streaming path: ``record`` puts an entry into a queue and returns; ``run`` writes what has
gathered in one short transaction. A database that is missing, locked or too new keeps the entries in memory (the
newest ``CAPACITY``), and they are written when it is back.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, TypeVar

import anyio
import msgspec
import structlog

from sidecar.errors import StoreError
from sidecar.store import ledger_tables as tables
from sidecar.store.database import Database
from sidecar.store.migrations import ensure_sidecar_tables
from sidecar.store.zone import Zone, machine_zone

T = TypeVar("T")

CAPACITY: Final = 10_000
"""Entries kept in memory while the database cannot be written."""

GATHER_S: Final = 0.25
"""How long entries are gathered for one transaction."""

RETRY_S: Final = 5.0
PRUNE_EVERY_MS: Final = 6 * 3_600_000
PRUNE_ROUNDS: Final = 100

log = structlog.get_logger("sidecar.ledger")


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at one model. Times in ms, ``at`` since the epoch (UTC); None is unknown.

    ``attempt`` counts from 1 within ``call_id``, one call being one answer asked for. ``fallback_from`` names the
    model (``provider/name``) this attempt stood in for. ``estimated``: tokens were counted here, not by the provider.
    """

    at: int
    kind: Literal["chat", "llm", "help"]
    call_id: str
    attempt: int
    provider: str
    model: str
    outcome: str
    ms: float
    chat_id: int | None = None
    route: str | None = None
    code: str | None = None
    ttft_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    estimated: bool = False
    cost_usd: float | None = None
    price_version: str | None = None
    fallback_from: str | None = None


_COLUMNS: Final = LedgerEntry.__struct_fields__
_INSERT: Final = (
    f"INSERT INTO sidecar_requests (id, {', '.join(_COLUMNS)})"  # noqa: S608 - our own names
    f" VALUES ({', '.join('?' * (len(_COLUMNS) + 1))}) ON CONFLICT (id) DO NOTHING"
)


class Ledger:
    """The queue in front of the tables. ``clock`` gives ms since the epoch, ``sleep`` takes seconds."""

    def __init__(
        self,
        database: Database,
        *,
        zone: Callable[[], Zone] = machine_zone,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        capacity: int = CAPACITY,
    ) -> None:
        self._database = database
        self.zone = zone
        self.clock = clock
        self._sleep = sleep
        self._pending: deque[tuple[int, LedgerEntry]] = deque(maxlen=capacity)
        self._ids = _ids(clock)
        self._wake = anyio.Event()
        self._pruned_at: int | None = None
        self.dropped = 0
        """Entries that found no room in memory while the database could not be written."""
        self.listeners: list[Callable[[LedgerEntry], None]] = []
        """Told of every entry as it is recorded."""
        self.on_cleared: list[Callable[[], None]] = []
        """Told when everything is to be forgotten."""

    def record(self, entry: LedgerEntry) -> None:
        """Take an entry. Never waits, never raises."""
        if len(self._pending) == self._pending.maxlen:
            self.dropped += 1
        self._pending.append((next(self._ids), entry))
        self._wake.set()
        for listener in self.listeners:
            listener(entry)

    def unwritten(self) -> list[tuple[int, LedgerEntry]]:
        """What is in memory only, as far as is known here, with the ids it will have; oldest first."""
        return list(self._pending)

    async def run(self) -> None:
        """Write entries as they come, until cancelled."""
        while True:
            await self._wake.wait()
            await self._sleep(GATHER_S)
            if await self.flush():
                await self._prune()
            else:
                await self._sleep(RETRY_S)

    async def flush(self) -> bool:
        """Write everything recorded so far; False when the database would not take it (it is kept, and tried again).

        Entries written by a flush whose caller gave up are recognised by their ids and not written twice.
        """
        self._wake = anyio.Event()
        batch = list(self._pending)
        if not batch:
            return True
        zone = self.zone()

        def work(connection: sqlite3.Connection) -> None:
            ensure_sidecar_tables(connection)
            write_entries(connection, batch, zone)

        try:
            await self._database.write(work)
        except (StoreError, sqlite3.Error) as error:
            self._wake.set()
            log.warning("usage is kept in memory", reason=str(error), entries=len(batch))
            return False
        written = {identifier for identifier, _ in batch}
        kept = [each for each in self._pending if each[0] not in written]
        self._pending.clear()
        self._pending.extend(kept)
        if kept:
            self._wake.set()
        return True

    async def clear(self) -> None:
        """Delete the whole ledger, in memory and in the file (overwritten there). Raises ``StoreError``.

        Today's counters for the limits are not part of it.
        """
        self._pending.clear()
        self.dropped = 0
        for forget in self.on_cleared:
            forget()
        if not self._database.path.exists():
            return

        def work(connection: sqlite3.Connection) -> None:
            if tables.exist(connection):
                tables.clear(connection)

        await self._database.write(work)
        # Where the app keeps a write-ahead log, what was deleted is still in it until it is taken over.
        await self._database.read(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    async def read(self, work: Callable[[sqlite3.Connection], T], zone: Zone) -> T | None:
        """Run ``work`` over the tables, days being those of ``zone``; None when there are none yet.

        Raises ``StoreError``.
        """

        def guarded(connection: sqlite3.Connection) -> T | None:
            if not tables.exist(connection):
                return None
            tables.prepare(connection, zone)
            return work(connection)

        return await self._database.read(guarded)

    async def _prune(self) -> None:
        """Fold old rows away, a few at a time; what cannot be done now is done another time."""
        now = self.clock()
        if self._pruned_at is not None and abs(now - self._pruned_at) < PRUNE_EVERY_MS:
            return
        self._pruned_at = now
        zone = self.zone()

        def work(connection: sqlite3.Connection) -> bool:
            tables.prepare(connection, zone)
            tables.fold(connection, zone)
            return tables.prune(connection, zone, now)

        try:
            for _ in range(PRUNE_ROUNDS):
                if not await self._database.write(work):
                    return
        except (StoreError, sqlite3.Error) as error:
            log.warning("old usage was not folded", reason=str(error))


def write_entries(connection: sqlite3.Connection, entries: Iterable[tuple[int, LedgerEntry]], zone: Zone) -> None:
    """Insert entries (with their ids) and bring the sums up to date."""
    tables.prepare(connection, zone)
    connection.executemany(_INSERT, [(identifier, *msgspec.structs.astuple(entry)) for identifier, entry in entries])
    tables.fold(connection, zone)


def recent_entries(connection: sqlite3.Connection, since: int, most: int) -> list[tuple[int, LedgerEntry]]:
    """The newest entries since then, oldest first, with their ids. A row this build cannot read is left out."""
    rows = connection.execute(
        f"SELECT id, {', '.join(_COLUMNS)} FROM sidecar_requests"  # noqa: S608 - our own names
        " WHERE at >= ? ORDER BY at DESC, id DESC LIMIT ?",
        (since, most),
    ).fetchall()
    found = []
    for row in reversed(rows):
        values = dict(zip(_COLUMNS, row[1:], strict=True))
        try:
            found.append((row[0], msgspec.convert({**values, "estimated": bool(values["estimated"])}, LedgerEntry)))
        except msgspec.ValidationError:
            continue
    return found


def stored_ids(connection: sqlite3.Connection, ids: Iterable[int]) -> set[int]:
    """Those of ``ids`` that the table has."""
    found = "SELECT id FROM sidecar_requests WHERE id = ?"
    return {each for each in ids if connection.execute(found, (each,)).fetchone() is not None}


def in_memory(entries: Sequence[LedgerEntry], zone: Zone) -> sqlite3.Connection:
    """A ledger of its own over ``entries``, to be read like the database; the caller closes it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    tables.create(connection)
    write_entries(connection, enumerate(entries, 1), zone)
    return connection


def _ids(clock: Callable[[], int]) -> Iterator[int]:
    """Row ids that two sidecars do not share: the time in ms, then 21 bits that walk at random over all values.

    Not one after the other: SQLite gives a row without an id the highest one plus one.
    """
    stride = random.getrandbits(20) * 2 + 3
    for number in itertools.count(random.getrandbits(21), stride):
        yield (max(0, clock()) & 0x3FF_FFFF_FFFF) << 21 | (number & 0x1F_FFFF)
