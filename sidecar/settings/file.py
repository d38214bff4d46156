"""``user-settings.json``: read whole, replaced atomically, never given up.

Replacing is: temporary file in the same folder, flushed to the disk, the old one copied to ``.bak``, renamed over.
Whoever dies in between leaves the old file or the new one. The app overwrites the file in place without a lock, so a
text that cannot be parsed may be one that is half written: it is read again for a moment before it counts as broken.

Blocking; called on worker threads only.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from sidecar.settings.document import Document, NotAnObject, members, render
from sidecar.settings.folder_lock import locked

Step: TypeAlias = Callable[[str], None]
"""Called before and after every write that matters, with its name; a fault-injection test dies there."""

REREAD_WAIT_S: Final = 0.02
REREADS: Final = 3
FRESH_S: Final = 1.0
"""A file changed within this time may still be in the middle of being written by the app."""

COARSEST_TICK_S: Final = 2.0
"""How far apart two changes may be and still get one modification time (FAT; 4 ms and less elsewhere)."""

STALE_TEMPORARY_S: Final = 60.0
NEW_FILE_MODE: Final = 0o600
"""The file may hold keys in plain text where the host has no safe storage."""


def no_step(_: str) -> None:
    """The step of production: nothing."""


Stamp: TypeAlias = tuple[int, int, int] | None
"""(mtime in ns, size in bytes, inode) of the file; None when there is none."""


REFUSED: Final = (-1, -1, -1)
"""The stamp of a file the system does not let us look at, and of what is no file."""


@dataclass(frozen=True, slots=True)
class FileText:
    """The file as it was at one moment. ``document`` is None when there is none or it cannot be used; ``digest`` is
    the SHA-256 of its bytes, None when they could not be read; ``changed_at`` is its modification time in ms, and
    ``looked_at`` the time in ms when it was read."""

    stamp: Stamp
    digest: str | None
    document: Document | None
    changed_at: int = 0
    looked_at: int = 0

    @property
    def exists(self) -> bool:
        """Whether there is a file at all."""
        return self.stamp is not None

    @property
    def unreadable(self) -> bool:
        """There is a file, and its text cannot be used."""
        return self.exists and self.document is None

    @property
    def stamp_tells(self) -> bool:
        """Whether a later change would show in the stamp, the size being the same: not within the clock's tick."""
        return self.looked_at - self.changed_at > COARSEST_TICK_S * 1000


MISSING: Final = FileText(None, None, None)


class ChangedMeanwhile(Exception):
    """Somebody else wrote the file between reading and replacing it."""


class SettingsFile:
    """One settings file. A link is followed, so that its target is replaced and the link stays."""

    def __init__(self, path: Path, *, step: Step = no_step) -> None:
        self.path = path
        self._step = step

    def stamp(self) -> Stamp:
        """What to compare to see whether the file changed."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return REFUSED
        if not stat.S_ISREG(found.st_mode):  # opening a named pipe would wait for ever
            return REFUSED
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def is_still(self, known: FileText) -> bool:
        """Whether the file is what it was then, as far as one look without reading it can tell for certain."""
        tells = not known.exists or (known.digest is not None and known.stamp_tells)
        return tells and self.stamp() == known.stamp

    def unchanged(self, known: FileText) -> FileText | None:
        """``known``, looked at again, when the file is still what it was then; None when it is not."""
        if self.stamp() != known.stamp:
            return None
        if not known.exists or known.digest is None or known.stamp_tells:
            return known
        looked_at = _now_ms()
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        return replace(known, looked_at=looked_at) if _digest(content) == known.digest else None

    def read(self) -> FileText:
        """The file now; ``unreadable`` also when the system refuses to read it."""
        text = self._read_once()
        for _ in range(REREADS):
            if not text.unreadable or time.time() - text.changed_at / 1000 > FRESH_S:
                break
            threading.Event().wait(REREAD_WAIT_S)
            text = self._read_once()
        return text

    def _read_once(self) -> FileText:
        stamp, looked_at = self.stamp(), _now_ms()
        if stamp is None:
            return MISSING
        if stamp == REFUSED:
            return FileText(stamp, None, None)
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return MISSING
        except OSError:
            return FileText(stamp, None, None)
        try:
            document = members(content.decode("utf-8-sig"))
        except (UnicodeDecodeError, NotAnObject):
            document = None
        return FileText(stamp, _digest(content), document, stamp[0] // 1_000_000, looked_at)

    def write(self, document: Document, expected: FileText) -> FileText:
        """Replace the file by ``document``. Raises ``OSError``; ``ChangedMeanwhile`` when it is not ``expected``."""
        target = Path(os.path.realpath(self.path))
        mode = self._mode(target)
        content = render(document).encode()
        temporary = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        self._sweep(target)
        self._step("file: before")
        try:
            self._write_temporary(temporary, content, target, mode)
            if self.unchanged(expected) is None:
                raise ChangedMeanwhile
            if expected.exists:
                self.copy_to(target.with_name(f"{target.name}.bak"), flush=False)
            self._step("file: backed up")
            if self.unchanged(expected) is None:
                raise ChangedMeanwhile
            self._step("file: checked")
            written = temporary.stat()
            temporary.replace(target)
        except (OSError, ChangedMeanwhile):
            temporary.unlink(missing_ok=True)
            raise
        self._step("file: renamed")
        _flush_folder(target.parent)
        # What was written, not what is there by now: a later change by the app must be seen as one.
        stamp = (written.st_mtime_ns, written.st_size, written.st_ino)
        return FileText(stamp, _digest(content), dict(document), stamp[0] // 1_000_000, stamp[0] // 1_000_000)

    def one_writer(self) -> AbstractContextManager[None]:
        """Keep other sidecars from writing between our reading and our replacing. The app takes no part in it.

        The table's transaction does that too, but not for those who write while they cannot have it.
        """
        return locked(Path(os.path.realpath(self.path)).parent)

    def _mode(self, target: Path) -> int:
        """The permissions to keep. Raises ``PermissionError`` for a file its owner made read-only.

        The rename would succeed on it; but read-only is a wish, and the app too fails to write such a file.
        """
        try:
            mode = stat.S_IMODE(target.stat().st_mode)
        except FileNotFoundError:
            return NEW_FILE_MODE
        if not mode & stat.S_IWUSR:
            raise PermissionError(13, "the file is read-only", str(target))
        return mode

    def _write_temporary(self, temporary: Path, content: bytes, target: Path, mode: int) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, NEW_FILE_MODE)
        with os.fdopen(descriptor, "wb") as stream:
            self._step("file: temporary created")
            stream.write(content)
            stream.flush()
            self._step("file: temporary written")
            os.fsync(stream.fileno())
        _keep_owner(temporary, target)
        temporary.chmod(mode)
        self._step("file: temporary flushed")

    def copy_to(self, copy: Path, *, flush: bool = True) -> Path:
        """Copy the file's bytes and permissions beside it, whole or not at all. Raises ``OSError``.

        Without ``flush`` a power cut may lose the copy, not the file; the app waits for our transaction meanwhile.
        """
        content = self.path.read_bytes()
        temporary = copy.with_name(f"{copy.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        mode = stat.S_IMODE(self.path.stat().st_mode)
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, NEW_FILE_MODE), "wb") as stream:
                stream.write(content)
                stream.flush()
                if flush:
                    os.fsync(stream.fileno())
            _keep_owner(temporary, self.path)
            temporary.chmod(mode)
            self._step("file: copy written")
            temporary.replace(copy)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return copy

    def keep_for_recovery(self, digest: str | None, now_ms: int) -> Path:
        """Copy a file that cannot be parsed to ``<name>.recovery-<ms>``, once per content. Raises ``OSError``."""
        return self._keep(digest, ".recovery-", str(now_ms))

    def keep_before_migration(self, digest: str | None, now_ms: int) -> Path:
        """Copy the file to ``<name>.before-sidecar-<ms>.bak``, once per content. Raises ``OSError``."""
        return self._keep(digest, ".before-sidecar-", f"{now_ms}.bak")

    def _keep(self, digest: str | None, middle: str, last: str) -> Path:
        for earlier in self._beside(f"{self.path.name}{middle}"):
            if earlier.suffix != ".tmp" and _digest(earlier.read_bytes()) == digest:
                return earlier
        return self.copy_to(self.path.with_name(f"{self.path.name}{middle}{last}"))

    def _beside(self, prefix: str) -> list[Path]:
        return [path for path in self.path.parent.iterdir() if path.name.startswith(prefix)]

    def _sweep(self, target: Path) -> None:
        """Remove what a killed writer left behind."""
        for left in target.parent.iterdir():
            if not (left.name.startswith(f"{target.name}.") and left.suffix == ".tmp"):
                continue
            try:
                if time.time() - left.stat().st_mtime > STALE_TEMPORARY_S:
                    left.unlink()
            except OSError:  # somebody else's, or gone already: it does no harm
                continue


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _keep_owner(path: Path, model: Path) -> None:
    """Give ``path`` the owner of ``model`` where we may; as the user's own process there is nothing to do."""
    if not hasattr(os, "chown") or not model.exists():
        return
    wanted, actual = model.stat(), path.stat()
    if (wanted.st_uid, wanted.st_gid) != (actual.st_uid, actual.st_gid):
        try:
            os.chown(path, wanted.st_uid, wanted.st_gid)
        except PermissionError:
            return


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable. Windows cannot open folders, and needs not."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
