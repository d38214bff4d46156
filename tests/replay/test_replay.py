"""Every session, in both chunk modes, on the sidecar in memory and on the spawned one (or the frozen binary).

``pytest --sidecar CMD`` names another command for the spawned one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.replay.format import MODES, load_session
from sidecar.replay.play import play
from sidecar.replay.report import report
from tests.host import sidecar_command

pytestmark = pytest.mark.anyio

SESSIONS = sorted(path.parent for path in (Path(__file__).parent / "sessions").glob("*/session.ndjson"))
PLAYS = [(folder, mode) for folder in SESSIONS for mode in MODES if mode in load_session(folder).modes]


@pytest.mark.parametrize(("folder", "mode"), PLAYS, ids=[f"{folder.name}-{mode}" for folder, mode in PLAYS])
@pytest.mark.parametrize("where", ["memory", pytest.param("process", marks=pytest.mark.process)])
async def test_the_session_goes_as_written(folder: Path, mode: str, where: str, tmp_path: Path) -> None:
    command = sidecar_command() if where == "process" else None
    difference = await play(load_session(folder), mode=mode, folder=tmp_path, command=command)
    assert difference is None, report(f"{folder.name} ({mode})", difference)
