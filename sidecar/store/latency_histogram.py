"""Times to the first token as counts in fixed buckets, so that a year of percentiles is one addition per day.

Bucket 0 holds everything below 10 ms, the last one everything from about 10 minutes; between them each bucket is 10 %
wider than the one before. A percentile is answered as the middle of its bucket (geometric), so it is at most 5 % off
the exact nearest-rank value; outside 10 ms to 10 min it is the nearest end of that range.

The counts are the 32-bit lanes of one big integer: two histograms are added by adding two numbers. Stored form: one
byte saying how many empty buckets come first, then the lanes, little-endian, without the zeros at the end.
"""

from __future__ import annotations

import math
import sqlite3
from typing import Any, Final

SHORTEST_MS: Final = 10.0
RATIO: Final = 1.1
BUCKETS: Final = 118

_LANE_BITS: Final = 32
_LANE_MASK: Final = (1 << _LANE_BITS) - 1
_ALL_BITS: Final = BUCKETS * _LANE_BITS
_ALL_BYTES: Final = _ALL_BITS // 8
_LOG_RATIO: Final = math.log(RATIO)


def bucket_of(ms: float) -> int:
    """The bucket a time in ms falls into."""
    if ms < SHORTEST_MS:
        return 0
    return min(BUCKETS - 1, 1 + int(math.log(ms / SHORTEST_MS) / _LOG_RATIO))


def middle_ms(bucket: int) -> float:
    """The time a bucket stands for."""
    if bucket == 0:
        return SHORTEST_MS
    if bucket == BUCKETS - 1:
        return float(SHORTEST_MS * RATIO ** (bucket - 1))
    return float(SHORTEST_MS * RATIO ** (bucket - 0.5))


def pack(counts: int) -> bytes | None:
    """The stored form of a histogram; None for an empty one."""
    if counts <= 0:
        return None
    empty = ((counts & -counts).bit_length() - 1) // _LANE_BITS
    lanes = counts >> (empty * _LANE_BITS)
    return bytes((empty,)) + lanes.to_bytes((lanes.bit_length() + 7) // 8, "little")


def unpack(stored: Any) -> int:
    """The lanes of a stored histogram; whatever is none (NULL, text, a bucket that is not ours) counts nothing."""
    if not isinstance(stored, bytes) or len(stored) < 2:
        return 0
    counts = int.from_bytes(stored[1:], "little") << (stored[0] * _LANE_BITS)
    return counts if counts.bit_length() <= _ALL_BITS else 0


def percentile(counts: int, share: float) -> float | None:
    """The nearest-rank percentile in ms, within 5 %; None when nothing was counted. ``share`` is 0 to 1."""
    lanes = [(counts >> (_LANE_BITS * bucket)) & _LANE_MASK for bucket in range(BUCKETS)]
    total = sum(lanes)
    if total == 0:
        return None
    rank = max(1, math.ceil(share * total))
    for bucket, count in enumerate(lanes):
        rank -= count
        if rank <= 0:
            return middle_ms(bucket)
    return middle_ms(BUCKETS - 1)


class _OfTimes:
    """SQL aggregate over times in ms; what is no time is left out."""

    def __init__(self) -> None:
        self._counts = 0

    def step(self, ms: Any) -> None:
        if isinstance(ms, int | float) and 0 <= ms < math.inf:
            self._counts += 1 << (_LANE_BITS * bucket_of(ms))

    def finalize(self) -> bytes | None:
        return pack(self._counts)


class _Sum:
    """SQL aggregate over stored histograms. A year of a dozen models is ten thousand of them, so a step only keeps."""

    def __init__(self) -> None:
        self._stored: list[Any] = []
        self.step = self._stored.append

    def finalize(self) -> bytes | None:
        sums: dict[int, int] = {}
        """By the number of empty buckets before them: shifted once, not each."""
        for stored in self._stored:
            if type(stored) is bytes and 2 <= len(stored) <= _ALL_BYTES - 4 * stored[0] + 1:
                sums[stored[0]] = sums.get(stored[0], 0) + int.from_bytes(stored[1:], "little")
        return pack(sum(counts << (empty * _LANE_BITS) for empty, counts in sums.items()))


def add(left: Any, right: Any) -> bytes | None:
    """Two stored histograms as one."""
    return pack(unpack(left) + unpack(right))


def register(connection: sqlite3.Connection) -> None:
    """Make ``histogram_of(ms)``, ``histogram_sum(stored)`` and ``histogram_add(a, b)`` known to a connection."""
    aggregates: Any = connection
    aggregates.create_aggregate("histogram_of", 1, _OfTimes)
    aggregates.create_aggregate("histogram_sum", 1, _Sum)
    connection.create_function("histogram_add", 2, add, deterministic=True)
