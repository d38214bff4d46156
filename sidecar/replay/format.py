"""Sessions as files: NDJSON that reads like a story.

A line is one of::

    {"say": "what happens next, for the reader"}
    {"dir": "in",  "frame": {...}}                    the host sends this ("raw": "..." for a line that is no message)
    {"dir": "out", "frame": {...}, "text": "..."}     the sidecar is expected to send this; "text" is the stream's
                                                      answer as a renderer has rebuilt it by then
    {"do": "wait", ...}                               something else happens, see ``sidecar.replay.player``

``"jsonrpc"`` and ``seq`` are left out: the runner adds and checks them. Chunks after a stream's first are folded into
the rebuilt text. ``"modes": ["patch"]`` on a line plays it in that chunk mode only.

Expected values are exact. Placeholders: ``${any}``, ``${string}``, ``${int}``, ``${ms}``, ``${uuid}``, ``${iso}``,
alone or inside a longer string; with a name (``${uuid:a}``) the first one captures and later ones must be equal.
``${name}`` is a value known already: captured before, or ``${chunks}``, ``${provider}`` (base URL), ``${folder}``.
``$${`` is a plain ``${``. ``"...": true`` in an object allows further members, ``"${...}"`` as a list's last element
further elements. ``{"${repeat}": ["text", n]}`` and ``{"${join}": [...]}`` stand for a long string.

Beside a session lies its script (``sidecar.replay.script``): ``provider.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from protocol.lifecycle import ChunkMode
from sidecar.errors import ValidationFailed

SESSION_FILE: Final = "session.ndjson"
SCRIPT_FILE: Final = "provider.json"
MODES: Final[tuple[ChunkMode, ...]] = get_args(ChunkMode)

Json = dict[str, Any]


class SessionInvalid(ValidationFailed):
    """A session, script or recording that cannot be played; the message names the line."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line. ``number`` counts from 1; ``modes`` are the chunk modes it is played in."""

    number: int
    modes: tuple[str, ...] = MODES


class Say(Step, frozen=True, kw_only=True):
    """A remark for the reader of the session and of a difference."""

    text: str


class Incoming(Step, frozen=True, kw_only=True):
    """Host to sidecar: a message without ``jsonrpc``, or the text of a line that is no message."""

    frame: Json | None = None
    raw: str | None = None


class Expected(Step, frozen=True, kw_only=True):
    """Sidecar to host. ``text`` None: the rebuilt answer is not looked at."""

    frame: Json
    text: str | None = None


class Do(Step, frozen=True, kw_only=True):
    """Something the runner does or checks."""

    verb: str
    members: Json


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A whole session. ``notes`` say what could not be taken over from a recording."""

    name: str
    steps: list[Step]
    script: Json
    modes: tuple[str, ...] = MODES
    notes: list[str] = []


def load_session(path: Path) -> Session:
    """A session folder, or its ``session.ndjson``. Raises ``SessionInvalid``."""
    folder = path if path.is_dir() else path.parent
    file = folder / SESSION_FILE if path.is_dir() else path
    script = folder / SCRIPT_FILE
    steps = read_steps(_text(file).split("\n"), file)
    if not steps:
        raise SessionInvalid(f"{file} holds no step of a session.")
    try:
        content = expand(json.loads(_text(script))) if script.exists() else {}
    except ValueError as error:
        raise SessionInvalid(f"{script} is not valid JSON: {error}.") from error
    modes = content.pop("modes", None)
    name = folder.resolve().name
    return Session(name=name, steps=steps, script=content, modes=MODES if modes is None else tuple(modes))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise SessionInvalid(f"The session cannot be read: {error.strerror} ({error.filename}).") from error
    except UnicodeDecodeError as error:
        raise SessionInvalid(f"{file} is no text, so no session: {error}.") from error


def is_recording(path: Path) -> bool:
    """Whether a file was written by ``serve --record``: its lines carry the time of each frame."""
    if path.is_dir():
        return False
    with path.open("rb") as file:
        first = file.readline()
    try:
        line = json.loads(first)
    except ValueError:
        return False
    return isinstance(line, dict) and "t" in line


def read_steps(lines: Iterable[str], where: Path) -> list[Step]:
    """The steps of a session. Raises ``SessionInvalid``."""
    steps = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = expand(json.loads(line))
            steps.append(_step(value, number))
        except (ValueError, KeyError, TypeError) as error:
            raise SessionInvalid(f"{where}, line {number} is not a step of a session: {error}.") from error
    return steps


def _step(value: Json, number: int) -> Step:
    place: dict[str, Any] = {"number": number, "modes": tuple(value.pop("modes", MODES))}
    match value:
        case {"say": str(text)}:
            return Say(text=text, **place)
        case {"dir": "in", "frame": dict(frame)}:
            return Incoming(frame=frame, **place)
        case {"dir": "in", "raw": str(raw)}:
            return Incoming(raw=raw, **place)
        case {"dir": "out", "frame": dict(frame)}:
            return Expected(frame=frame, text=value.get("text"), **place)
        case {"do": str(verb)}:
            return Do(verb=verb, members={key: item for key, item in value.items() if key != "do"}, **place)
        case _:
            raise ValueError('expected "say", "dir" with "frame", or "do"')


def expand(value: Any) -> Any:
    """The same JSON with ``${repeat}`` and ``${join}`` written out."""
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"${repeat}": [str(text), int(times)]}:
            return text * times
        case {"${join}": list(parts)}:
            return "".join(expand(part) for part in parts)
        case _:
            return {key: expand(item) for key, item in value.items()}
