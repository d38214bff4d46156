"""A session recorded by ``serve --record`` plays again, with nothing but the recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.replay.format import Session, SessionInvalid, is_recording, load_session
from sidecar.replay.play import play
from sidecar.replay.recording import load_recording, session_of
from sidecar.replay.report import report
from tests.host import sidecar_command
from tests.replay.test_replay import PLAYS

pytestmark = pytest.mark.anyio

NOT_IN_A_RECORDING = {
    "attachments-refused": "what was attached",
    "build-and-ask": "settings that changed between two turns",
    "newer-database": "what the database was",
    "no-database": "what the database was",
}
RECORDED = [(folder, mode) for folder, mode in PLAYS if folder.name not in NOT_IN_A_RECORDING]


@pytest.mark.parametrize(("folder", "mode"), RECORDED, ids=[f"{folder.name}-{mode}" for folder, mode in RECORDED])
async def test_a_recorded_session_plays_again(folder: Path, mode: str, tmp_path: Path) -> None:
    recording = tmp_path / "recorded.ndjson"
    (tmp_path / "first").mkdir()
    (tmp_path / "again").mkdir()
    difference = await play(load_session(folder), mode=mode, folder=tmp_path / "first", record=recording)
    assert difference is None, report(folder.name, difference)
    assert is_recording(recording)
    session = load_recording(recording)
    assert session.modes == (mode,)
    difference = await play(session, mode=mode, folder=tmp_path / "again")
    assert difference is None, report(folder.name, difference)


def frames(*pairs: tuple[str, Any]) -> list[str]:
    return [json.dumps({"t": 1.0, "dir": direction, "frame": frame}) for direction, frame in pairs]


INITIALIZE = ("in", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"processId": 4711}})
INITIALIZED = ("out", {"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": 1, "serverInfo": {"version": "0"}}})


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (lambda line: {**line, "text": line["text"] + "!"} if line.get("text") else line, "text"),
        (lambda line: _changed(line, "updatedFiles", True), "updatedFiles"),
        (lambda line: _changed(line, "chatSummary", "Other"), "chatSummary"),
        (lambda line: _changed(line, "finishReason", "length"), "finishReason"),
    ],
)
async def test_what_a_sidecar_does_otherwise_than_recorded_is_shown(wrong: Any, where: str, tmp_path: Path) -> None:
    recording = tmp_path / "recorded.ndjson"
    (tmp_path / "first").mkdir()
    (tmp_path / "again").mkdir()
    folder = next(folder for folder, _ in PLAYS if folder.name == "fixture-replies")
    await play(load_session(folder), mode="patch", folder=tmp_path / "first", record=recording)
    session = load_recording(recording)
    as_recorded = [json.loads(line) for line in recording.read_text("utf-8").splitlines()]
    otherwise = session_of("otherwise", [json.dumps(wrong(line)) for line in as_recorded])
    assert otherwise != session
    changed = Session(name="changed", steps=otherwise.steps, script=session.script, modes=session.modes)
    difference = await play(changed, mode="patch", folder=tmp_path / "again", timeout_s=1)
    assert difference is not None
    assert where in report("changed", difference)


def _changed(line: dict[str, Any], member: str, value: Any) -> dict[str, Any]:
    """The line with another member in the terminal notification."""
    frame = line.get("frame", {})
    if frame.get("method") != "chat:response:end":
        return line
    return {**line, "frame": {**frame, "params": {**frame["params"], member: value}}}


async def test_a_recording_of_a_process_plays_on_a_process(tmp_path: Path) -> None:
    recording = tmp_path / "recorded.ndjson"
    (tmp_path / "first").mkdir()
    (tmp_path / "again").mkdir()
    folder = next(folder for folder, _ in PLAYS if folder.name == "cancel-anywhere")
    command = sidecar_command()
    options = {"mode": "patch", "command": command}
    assert await play(load_session(folder), folder=tmp_path / "first", record=recording, **options) is None
    assert await play(load_recording(recording), folder=tmp_path / "again", **options) is None


def test_what_is_not_played_is_told() -> None:
    lines = frames(
        INITIALIZE,
        INITIALIZED,
        ("in", {"jsonrpc": "2.0", "id": 2, "method": "get-user-settings"}),
        ("out", {"jsonrpc": "2.0", "id": 2, "result": {}}),
    )
    session = session_of("r", [*lines, '{"t": 2, "dir": "in", "bytes": 5}', '{"t": 3, "dir'])
    assert session.notes == ["1 lines that were no messages are left out", "1 × get-user-settings is not played"]
    assert len(session.steps) == 2


def test_the_host_s_own_paths_and_process_are_not_played() -> None:
    session = session_of("r", frames(INITIALIZE, INITIALIZED))
    assert "4711" not in repr(session.steps)


@pytest.mark.parametrize("lines", [['{"t": 1, "dir": "in"', '{"t": 1}'], ['{"t": 1}'], ["[]"], ["5"]])
def test_a_file_that_is_no_recording_is_refused(lines: list[str]) -> None:
    with pytest.raises(SessionInvalid, match="ine 1"):
        session_of("r", lines)


async def test_a_session_that_was_killed_plays_as_far_as_it_went(tmp_path: Path) -> None:
    rows = [
        {"id": 8, "chatId": 3, "role": "user", "content": "hi", "approvalState": None, "commitHash": None},
        {"id": 9, "chatId": 3, "role": "assistant", "content": "", "approvalState": None, "commitHash": None},
    ]
    chunk = {"chatId": 3, "streamId": "s", "seq": 0, "messages": rows, "effectiveModel": {"provider": "x", "name": "y"}}
    lines = frames(
        INITIALIZE,
        INITIALIZED,
        ("in", {"jsonrpc": "2.0", "id": 2, "method": "chat:stream", "params": {"chatId": 3, "prompt": "hi"}}),
        ("out", {"jsonrpc": "2.0", "method": "chat:response:chunk", "params": chunk}),
    )
    text = "<think>Let me"
    lines.append(json.dumps({"t": 9, "dir": "out", "unfinished": "s", "text": text}))
    session = session_of("killed", lines)
    assert await play(session, mode="messages", folder=tmp_path) is None
    assert {"text": {"chatId": 3, "is": text}} in [getattr(step, "members", None) for step in session.steps]
