"""The user's time zone: which day a moment belongs to. Moments are ms since the epoch, UTC."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, tzinfo
from typing import Final

import msgspec

HOUR_MS: Final = 3_600_000


class Zone(msgspec.Struct, frozen=True):
    """A time zone. ``name`` tells it from others; ``tz`` None is the machine's own."""

    name: str
    tz: tzinfo | None = None

    def at(self, ms: int) -> datetime:
        """A moment as local date and time."""
        return datetime.fromtimestamp(ms / 1000, tz=UTC).astimezone(self.tz)

    def day_of(self, ms: int) -> date:
        """The local day of a moment."""
        return self.at(ms).date()

    def start_of(self, day: date) -> int:
        """The first moment of a local day."""
        if self.tz is None:
            return int(time.mktime((day.year, day.month, day.day, 0, 0, 0, 0, 0, -1)) * 1000)
        return int(datetime(day.year, day.month, day.day, tzinfo=self.tz).timestamp() * 1000)

    def start_of_hour(self, ms: int) -> int:
        """The first moment of a local hour; it may be at a quarter of a UTC hour."""
        shift = self._offset_ms(ms)
        return (ms + shift) // HOUR_MS * HOUR_MS - shift

    def _offset_ms(self, ms: int) -> int:
        """How far local time is ahead of UTC at a moment."""
        if self.tz is None:
            return time.localtime(ms / 1000).tm_gmtoff * 1000
        offset = datetime.fromtimestamp(ms / 1000, tz=self.tz).utcoffset()
        return 0 if offset is None else int(offset.total_seconds() * 1000)


def machine_zone() -> Zone:
    """The machine's zone, named by its offsets so that a journey is noticed."""
    return Zone(f"local {time.tzname[0]}{time.timezone:+d} {time.tzname[1]}{time.altzone:+d}")


def named_zone(name: str) -> Zone | None:
    """A zone of the IANA database (``Europe/Berlin``); None when it is not known here."""
    import zoneinfo  # looks for its data all over the file system

    try:
        return Zone(name, zoneinfo.ZoneInfo(name))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
