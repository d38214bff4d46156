"""Claiming stdin and stdout before anything else is imported.

The host's pipes move to private, close-on-exec descriptors; fd 1 becomes stderr and fd 0 the null device. A stray
``print``, a library's banner, or a child process writing to its fd 1 can then only reach the log.
Standard library only, and as little of it as possible: this runs first.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple


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
    private_in = os.dup(0)
    private_out = os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        os.dup2(2, 1)
    except OSError:  # started without stderr: what would have been printed goes nowhere
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os.close(sink)
    # dup() gives non-inheritable descriptors (PEP 446), so no child can hold the host's pipes open.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    return ClaimedDescriptors(private_in, private_out)
