"""The lines of a recording, read: one entry per frame."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from sidecar.replay.format import Json, SessionInvalid


class Entry(msgspec.Struct, frozen=True):
    """One frame of a recording; ``number`` is its line."""

    number: int
    incoming: bool
    frame: Json
    text: str | None = None


def read_entries(lines: list[str]) -> tuple[list[Entry], dict[str, Any], list[str]]:
    """The frames of a recording, the texts of streams that never ended by stream id, and remarks.

    Raises ``SessionInvalid``.
    """
    entries: list[Entry] = []
    unfinished: dict[str, Any] = {}
    unreadable = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            if number == len(lines):
                break  # the process died while it wrote this
            raise SessionInvalid(f"Line {number} of the recording is not valid JSON.") from None
        match value:
            case {"unfinished": str(stream)}:
                unfinished[stream] = value.get("text")
            case {"dir": "in" | "out" as direction, "frame": dict() | list() as frames}:
                members = frames if isinstance(frames, list) else [frames]
                text, incoming = value.get("text"), direction == "in"
                entries += [Entry(number, incoming, _without_version(member), text) for member in members]
            case {"dir": _}:
                unreadable += 1
            case _:
                raise SessionInvalid(f"Line {number} is not a line of a recording.")
    notes = [f"{unreadable} lines that were no messages are left out"] if unreadable else []
    return entries, unfinished, notes


def _without_version(frame: Json) -> Json:
    return {key: value for key, value in frame.items() if key != "jsonrpc"}


def params_of(frame: Json) -> Json:
    """Its params as an object, also where they came as a list of one; ``{}`` for any others."""
    params = frame.get("params")
    if isinstance(params, list) and len(params) == 1 and isinstance(params[0], dict):
        params = params[0]
    return params if isinstance(params, dict) else {}


def is_request(frame: Json) -> bool:
    """Whether it wants an answer."""
    return "id" in frame and "method" in frame


def key_of(identifier: Any) -> str:
    """An id as a key: ``1`` and ``"1"`` are two."""
    return json.dumps(identifier)
