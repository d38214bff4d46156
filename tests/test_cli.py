"""The commands for people: what they print, and their exit codes."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from sidecar import __version__
from sidecar.cli import run
from sidecar.commands.replay import program
from tests.app_database import create_app_database, insert_model, insert_provider
from tests.host import clean_environment
from tests.replay.test_replay import SESSIONS

ROOT = Path(__file__).resolve().parents[1]
PLAIN = next(folder for folder in SESSIONS if folder.name == "plain-reply")

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def others_logs() -> Iterator[None]:
    """A command sets up the log of its process, which is that of the tests that come after it."""
    yield
    structlog.reset_defaults()


def test_the_version_is_told(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"scalix-sidecar {__version__}")


def test_the_help_names_every_command(capsys: Capture) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("serve", "chat", "models", "report", "doctor", "replay"):
        assert command in shown


@pytest.mark.parametrize("arguments", [["models", "--nope"], ["replay"], ["juggle"]])
def test_a_wrong_call_says_how_it_is_meant(arguments: list[str], capsys: Capture) -> None:
    assert run(arguments) == 2
    assert "Usage" in capsys.readouterr().err


# --- models ----------------------------------------------------------------------------------------------------------


def test_models_are_listed_with_the_custom_ones(tmp_path: Path, capsys: Capture) -> None:
    create_app_database(tmp_path / "sqlite.db")
    insert_provider(tmp_path / "sqlite.db", "custom::mine", name="Mine")
    insert_model(tmp_path / "sqlite.db", "custom::mine", "my-model")
    assert run(["models", "--user-data", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [model["apiName"] for model in found["custom::mine"]] == ["my-model"]
    assert found["openai"]


def test_models_of_one_provider_are_a_table_of_their_own(tmp_path: Path, capsys: Capture) -> None:
    assert run(["models", "--user-data", str(tmp_path), "--provider", "anthropic"]) == 0
    shown = capsys.readouterr().out
    assert "anthropic/" in shown
    assert "openai/" not in shown


def test_a_provider_that_is_not_there_is_told(tmp_path: Path, capsys: Capture) -> None:
    assert run(["models", "--user-data", str(tmp_path), "--provider", "nobody"]) == 1
    assert "nobody" in capsys.readouterr().err


# --- what is no call at all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["models", "recommend", "--need", "flying"], "'long-context'"),
        (["chat", "hi", "--model", "gpt-4.1"], "provider/name"),
        (["chat", "hi", "--model", "openai/"], "provider/name"),
        (["chat", " \n"], "empty"),
        (["models", "--user-data", __file__], "is a file"),
        (["doctor", "--user-data", __file__], "is a file"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_done(arguments: list[str], said: str, capsys: Capture) -> None:
    assert run(arguments) == 2
    assert said in capsys.readouterr().err


# --- replay ----------------------------------------------------------------------------------------------------------


def test_a_session_is_played_in_both_chunk_modes(capsys: Capture) -> None:
    assert run(["replay", str(PLAIN)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["plain-reply (messages)", "plain-reply (patch)"]


def test_the_first_difference_is_shown(tmp_path: Path, capsys: Capture) -> None:
    session = _changed(tmp_path, "More", "Less")
    assert run(["replay", str(session)]) == 1
    shown = capsys.readouterr().out
    assert "changed (patch): line 6 was expected, and something else came" in shown
    assert "Less" in shown
    assert "More" in shown


def test_the_first_difference_for_programs(tmp_path: Path, capsys: Capture) -> None:
    session = _changed(tmp_path, "More", "Less")
    assert run(["replay", str(session), "--json"]) == 1
    outcomes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(found["mode"], found["same"], found["path"], found["line"]) for found in outcomes] == [
        ("messages", False, "text", 6),
        ("patch", False, "text", 6),
    ]


def test_a_folder_of_sessions_is_all_of_them(tmp_path: Path, capsys: Capture) -> None:
    for name in ("one", "two"):
        shutil.copytree(PLAIN, tmp_path / name)
    assert run(["replay", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize("content", ["not json\n", '{"t": 1}\n', '{"do": 1}\n'])
def test_what_cannot_be_played_says_why(content: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file.ndjson").write_text(content)
    assert run(["replay", str(tmp_path / "file.ndjson")]) == 2
    assert "ine 1" in capsys.readouterr().err


def test_what_is_no_session_is_told_by_name_and_with_what_one_is(tmp_path: Path, capsys: Capture) -> None:
    assert run(["replay", str(tmp_path / "missing")]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'missing'} is not there. Give a recording")
    assert run(["replay", str(tmp_path)]) == 2
    assert "has no sessions in it" in capsys.readouterr().err
    (tmp_path / "empty").touch()
    assert run(["replay", str(tmp_path / "empty")]) == 2
    assert "holds no step" in capsys.readouterr().err, "nothing that was compared is no success"
    (tmp_path / "binary").write_bytes(b"\x00\xff\xfe")
    assert run(["replay", str(tmp_path / "binary")]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'binary'} is no text")


def test_a_session_is_named_by_its_folder_wherever_one_stands(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PLAIN)
    assert run(["replay", "."]) == 0
    assert capsys.readouterr().out.startswith("plain-reply (messages)")


@pytest.mark.parametrize("command", ["/no/such/program", "'not closed", " "])
def test_a_sidecar_that_cannot_be_started_is_told(command: str, capsys: Capture) -> None:
    assert run(["replay", str(PLAIN), "--sidecar", command]) == 2
    assert capsys.readouterr().err.startswith("--sidecar: ")


@pytest.mark.process
def test_another_sidecar_is_tested_by_its_command(capsys: Capture) -> None:
    assert run(["replay", str(PLAIN), "--sidecar", shlex.join([sys.executable, "-m", "sidecar"])]) == 0
    assert run(["replay", str(PLAIN), "--sidecar", shlex.join([sys.executable, "-c", "print('no sidecar')"])]) == 1
    assert "no JSON" in capsys.readouterr().out


@pytest.mark.process
def test_a_recording_of_a_real_process_is_played_by_the_command(tmp_path: Path) -> None:
    recording = tmp_path / "recorded.ndjson"
    lines = [{"id": 1, "method": "initialize", "params": {}}, {"id": 2, "method": "chat:cancel", "params": [7]}]
    command = [sys.executable, "-m", "sidecar"]
    served = [*command, "serve", "--user-data", str(tmp_path), "--record", str(recording)]
    spoken = "".join(json.dumps({"jsonrpc": "2.0", **line}) + "\n" for line in lines)
    options = {"capture_output": True, "cwd": ROOT, "env": clean_environment(), "text": True}
    subprocess.run(served, check=True, input=spoken, **options)  # type: ignore[call-overload]
    played = subprocess.run([*command, "replay", str(recording)], check=True, **options)  # type: ignore[call-overload]
    assert played.stdout.startswith("recorded (messages): as written")


def test_a_command_line_is_split_as_a_shell_would(tmp_path: Path) -> None:
    there = tmp_path / "my apps"
    there.mkdir()
    mine = shutil.copy(sys.executable, there)
    assert program(f'"{mine}" -v') == [mine, "-v"]


def _changed(folder: Path, old: str, new: str) -> Path:
    """The plain reply, expecting something else."""
    session = folder / "changed"
    shutil.copytree(PLAIN, session)
    file = session / "session.ndjson"
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
    return session
