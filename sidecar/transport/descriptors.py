"""Claiming stdin and stdout before anything else is imported.

The host's pipes move to private, close-on-exec descriptors; fd 1 becomes stderr and fd 0 the null device. A stray
``print``, a library's banner, or a child process writing to its fd 1 can then only reach the log.
Standard library only, and as little of it as possible: this runs first.
"""

from __future__ import annotations

import os
import sys
from typing import Final, NamedTuple

_STDERR: Final = 2


class ClaimedDescriptors(NamedTuple):
    """Private descriptors of the host's pipes."""

    stdin: int
    stdout: int


def claim_stdio() -> ClaimedDescriptors:
    """Move the host's pipes out of everybody else's reach. Call once, before any import that may print."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(0, os.O_BINARY)
        msvcrt.setmode(1, os.O_BINARY)
    _open_missing()
    private_in = os.dup(0)
    private_out = os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    # dup() gives non-inheritable descriptors (PEP 446), so no child can hold the host's pipes open.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    return ClaimedDescriptors(private_in, private_out)


def _open_missing() -> None:
    """Put the null device where we were started without a descriptor. ``dup`` gives out the lowest free number: the
    host's pipe would get number 2, and whatever is printed would go up it."""
    while (null := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(null, True)
    os.close(null)
