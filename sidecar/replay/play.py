"""One session, one chunk mode, one sidecar: from files to the first difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread

from sidecar.replay.format import Session
from sidecar.replay.links import memory_link, process_link
from sidecar.replay.place import place_of
from sidecar.replay.player import TIMEOUT_S, Difference, Player


async def play(
    session: Session,
    *,
    mode: str,
    folder: Path,
    command: Sequence[str] | None = None,
    record: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Difference | None:
    """Play ``session`` in an empty ``folder``; None when everything went as written.

    ``command`` starts a sidecar process (``serve`` and its options are added); without one it runs in this process.
    ``record`` is where the sidecar writes a recording of it.
    Raises ``SessionInvalid``.
    """
    async with place_of(session.script, folder) as place:
        if command is None:
            link = memory_link(folder, place.environment, record=record)
        else:
            link = process_link(command, folder, place.environment, record=record)
        async with link as connected:
            return await Player(session, place, connected, mode=mode, timeout_s=timeout_s).play()


async def play_in_temporary_folder(
    session: Session, *, mode: str, command: Sequence[str] | None = None, timeout_s: float = TIMEOUT_S
) -> Difference | None:
    """As ``play``, in a folder that is removed afterwards."""
    async with anyio.TemporaryDirectory(prefix="scalix-replay-", ignore_cleanup_errors=True) as folder:
        return await play(session, mode=mode, folder=Path(folder), command=command, timeout_s=timeout_s)
