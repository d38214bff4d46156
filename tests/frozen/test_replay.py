"""The replayed sessions on both binaries: every one with ``dev.py test --frozen``, else a few."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.replay.format import load_session
from sidecar.replay.play import play
from sidecar.replay.report import report
from tests.frozen.binaries import WANTED, needs_binaries
from tests.replay.test_replay import PLAYS

pytestmark = [pytest.mark.anyio, *needs_binaries]

SMOKE = {"plain-reply", "cancel-anywhere", "finish-reasons", "attachments", "settings-odd-values", "no-database"}
"""A plain answer, every way a stream may end, files, settings, and a place without a database."""
CHOSEN = [(folder, mode) for folder, mode in PLAYS if WANTED == "whole" or (folder.name in SMOKE and mode == "patch")]


def test_the_few_sessions_are_there() -> None:
    assert {folder.name for folder, mode in PLAYS if mode == "patch"} >= SMOKE


@pytest.mark.parametrize(("folder", "mode"), CHOSEN, ids=[f"{folder.name}-{mode}" for folder, mode in CHOSEN])
async def test_the_session_goes_as_written(binary: Path, folder: Path, mode: str, tmp_path: Path) -> None:
    difference = await play(load_session(folder), mode=mode, folder=tmp_path, command=[str(binary)])
    assert difference is None, report(f"{folder.name} ({mode})", difference)
