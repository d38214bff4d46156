"""A lock between sidecars on the folder they all write to. Blocking; used on worker threads only.

It is on the folder itself, so that no file of its own lies around. Windows has no such locks, and goes without.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 2.0
"""How long one waits for another; a sidecar that hangs must not hang the others."""

LOOK_AGAIN_S: Final = 0.005

if sys.platform == "win32":

    @contextmanager
    def locked(folder: Path) -> Iterator[None]:  # noqa: ARG001
        """Nobody is kept out."""
        yield

else:
    import fcntl

    @contextmanager
    def locked(folder: Path) -> Iterator[None]:
        """Keep out whoever locks the same folder; after ``PATIENCE_S``, or where there are no locks, go on without."""
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError:  # then nothing can be written there either
            yield
            return
        try:
            until = time.monotonic() + PATIENCE_S
            while not _taken(descriptor) and time.monotonic() < until:
                threading.Event().wait(LOOK_AGAIN_S)
            yield
        finally:
            os.close(descriptor)  # which unlocks it

    def _taken(descriptor: int) -> bool:
        """Whether waiting is over."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a network drive that knows no locks
            return True
        return True
