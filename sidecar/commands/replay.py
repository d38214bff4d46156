"""``scalix-sidecar replay``: play sessions and recordings back, show the first difference of each."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sidecar.errors import ValidationFailed
from sidecar.replay.format import SESSION_FILE, Session, is_recording, load_session
from sidecar.replay.play import play_in_temporary_folder
from sidecar.replay.player import Difference
from sidecar.replay.recording import load_recording
from sidecar.replay.report import as_json, report

SAME, DIFFERENT, UNPLAYABLE = 0, 1, 2
"""Exit codes."""


async def replay(paths: Sequence[Path], *, sidecar: str | None, json_output: bool) -> int:
    """Play everything in ``paths`` (sessions, folders of sessions, recordings), each in its chunk modes.

    ``sidecar`` is the command line of the sidecar to test; None plays on one in this process. Returns an exit code.
    """
    outcome = SAME
    try:
        command = None if sidecar is None else program(sidecar)
        for path in _unfolded(paths):
            session = load_recording(path) if is_recording(path) else load_session(path)
            outcome = max(outcome, await _play(session, command, json_output=json_output))
    except ValidationFailed as error:
        sys.stderr.write(f"{error}\n")
        return UNPLAYABLE
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'The session cannot be played'}: {error.strerror}\n")
        return UNPLAYABLE
    return outcome


def program(command: str) -> list[str]:
    """The words of a command line, as this platform's shell would split it. Raises ``ValidationFailed`` when the first
    one is no program that can be started."""
    try:
        words = shlex.split(command, posix=os.name != "nt")
    except ValueError as error:
        raise ValidationFailed(f"--sidecar: {command!r} is no command line ({error}).") from error
    words = [word.strip('"') for word in words] if os.name == "nt" else words
    if not words or shutil.which(words[0]) is None:
        raise ValidationFailed(f"--sidecar: {(words or [command])[0]!r} is no program that can be started.")
    return words


def _unfolded(paths: Sequence[Path]) -> list[Path]:
    """Folders of sessions become their sessions. Raises ``ValidationFailed`` for a path with nothing to play."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ValidationFailed(f"{path} is not there. Give a recording, a session's folder, or a folder of those.")
        if not path.is_dir() or (path / SESSION_FILE).exists():
            found.append(path)
        elif inside := sorted(path.glob(f"*/{SESSION_FILE}")):
            found += [session.parent for session in inside]
        else:
            raise ValidationFailed(f"{path} has no sessions in it: each is a folder with a {SESSION_FILE}.")
    return found


async def _play(session: Session, command: list[str] | None, *, json_output: bool) -> int:
    outcome = SAME
    for mode in session.modes:
        start = time.perf_counter()
        difference = await play_in_temporary_folder(session, mode=mode, command=command)
        _tell(session, mode, difference, time.perf_counter() - start, json_output=json_output)
        outcome = max(outcome, SAME if difference is None else DIFFERENT)
    if not json_output:
        for note in session.notes:
            sys.stdout.write(f"  note: {note}\n")
    return outcome


def _tell(session: Session, mode: str, difference: Difference | None, seconds: float, *, json_output: bool) -> None:
    if json_output:
        outcome = {**as_json(session.name, mode, difference), "seconds": round(seconds, 3), "notes": session.notes}
        sys.stdout.write(json.dumps(outcome, ensure_ascii=False) + "\n")
    elif difference is None:
        sys.stdout.write(f"{session.name} ({mode}): as written, {seconds:.1f} s\n")
    else:
        sys.stdout.write(_coloured(report(f"{session.name} ({mode})", difference)) + "\n")


def _coloured(text: str) -> str:
    """Expected green, got red, on a terminal."""
    if not sys.stdout.isatty():
        return text
    from rich.text import Text

    from sidecar.commands.terminal import terminal

    coloured = Text()
    styles = {"expected": "green", "got": "red", "→": "cyan", "·": "dim", "←": ""}
    for number, line in enumerate(text.splitlines()):
        first = (line.split(maxsplit=1) or [""])[0]
        coloured.append(line + "\n", "bold" if number == 0 else styles.get(first, ""))
    console = terminal()
    with console.capture() as captured:
        console.print(coloured, soft_wrap=True, end="")
    return captured.get().rstrip("\n")
