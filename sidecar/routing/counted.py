"""What this process has counted and the database does not have yet, and what is known of today. No I/O of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Final

import msgspec

from sidecar.store.limits import (
    KEPT_DAYS,
    LimitRow,
    Tally,
    day_of,
    delete_old_rows,
    plus,
    stored_tally,
    write_rows,
)

COUNT_EVERY_S: Final = 5
"""How long today's figures go on by what this process adds to them, before other processes' calls are looked for.
Where there is a limit they are looked for with every call."""

CLEAN_UP_EVERY_S: Final = 3600
"""How often rows that count no more are deleted: that reads a week of them."""


class Counted:
    """The rows of this process, by id. Times are in seconds since 1970."""

    def __init__(self) -> None:
        self._rows: dict[str, LimitRow] = {}
        """Those the database does not have yet."""
        self._dropped: set[str] = set()
        """Ids of rows that are to be deleted: their calls came to nothing."""
        self._known: tuple[int, Tally] = (0, Tally())
        """The day and tally last read from the database."""
        self._counted_at = 0
        self._cleaned_at: int | None = None

    @property
    def rows(self) -> dict[str, LimitRow]:
        """A copy of what is not written yet."""
        return dict(self._rows)

    def put(self, row: LimitRow) -> None:
        """Count a call, or count it anew."""
        self._rows[row.id] = row

    def forget(self, row: LimitRow) -> None:
        """A call came to nothing: it does not count."""
        self._rows.pop(row.id, None)
        if row.paid:
            self._dropped.add(row.id)

    def today(self, now: int) -> Tally:
        """The last known tally of today plus what is not written down yet."""
        return plus(self._known_today(now), self._rows.values(), now)

    def learn(self, now: int, stored: Tally, without: Collection[str]) -> None:
        """What the database holds of today but for the rows ``without``. Of no use once one of those is written, which
        would count nowhere, or another was put, which may be among them and would count twice."""
        if self._rows.keys() == set(without):
            self._known, self._counted_at = (day_of(now), stored), now

    def unwritten(self, now: int) -> Unwritten:
        """What is to be written down: what is settled or limited. Long past days are dropped."""
        self._rows = {key: row for key, row in self._rows.items() if row.day >= day_of(now) - KEPT_DAYS}
        rows = {key: row for key, row in self._rows.items() if row.settled or row.paid}
        clean_up = self._cleaned_at is None or abs(now - self._cleaned_at) >= CLEAN_UP_EVERY_S
        # A limited row may have been counted when its place was taken.
        known = self._known[0] == day_of(now) and abs(now - self._counted_at) < COUNT_EVERY_S
        count = not known or bool(self._dropped) or any(row.paid for row in rows.values())
        return Unwritten(self, rows, frozenset(self._dropped), now, count, clean_up)

    def written(self, done: Unwritten, tally: Tally | None) -> None:
        """A transaction with ``done`` was committed. ``tally`` None: today is what was known and its rows."""
        # One that was settled meanwhile is due again.
        new = [row for key, row in done.rows.items() if self._rows.get(key) is row]
        if tally is None:
            self._known = (day_of(done.now), plus(self._known_today(done.now), new, done.now))
        else:
            self._known, self._counted_at = (day_of(done.now), tally), done.now
        for row in new:
            del self._rows[row.id]
        self._dropped -= done.dropped
        if done.clean_up:
            self._cleaned_at = done.now

    def _known_today(self, now: int) -> Tally:
        day, known = self._known
        return known if day == day_of(now) else Tally()


class Unwritten(msgspec.Struct, frozen=True):
    """What is in memory only, to be written in a transaction of its own or of another writer.

    ``write`` raises ``sqlite3.Error``; call ``written`` with its result when the transaction was committed. A
    transaction that fails loses nothing: the same rows are unwritten next time.
    """

    counted: Counted
    rows: dict[str, LimitRow]
    dropped: frozenset[str]
    now: int
    count: bool
    """Whether to read today's figures anew: that reads all of today's rows."""
    clean_up: bool

    def write(self, connection: sqlite3.Connection) -> Tally | None:
        """On the writer's thread. Today's figures, when they were counted."""
        write_rows(connection, self.rows.values(), self.dropped)
        if self.clean_up:
            delete_old_rows(connection, self.now)
        return stored_tally(connection, self.now) if self.count else None

    def written(self, tally: Tally | None) -> None:
        """On the event loop."""
        self.counted.written(self, tally)
