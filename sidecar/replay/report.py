"""The first difference, so that a person sees it at once. Plain text; the command colours it."""

from __future__ import annotations

import json
from typing import Any, Final

from sidecar.replay.match import Mismatch
from sidecar.replay.player import Difference, shown

_WINDOW: Final = 60
_SHOWN_CHARS: Final = 1200
_LOG_LINES: Final = 12


def report(name: str, difference: Difference) -> str:
    """Context before, what was expected, what came."""
    lines = [f"{name}: line {difference.line} {difference.what}"]
    if difference.said:
        lines.append(f"  “{difference.said}”")
    if difference.before:
        lines += ["", *(f"  {line}" for line in difference.before)]
    if difference.mismatch is not None:
        lines += ["", *_mismatch(difference.mismatch)]
    if log := difference.log.strip():
        lines += ["", "  log of the sidecar:", *(f"    {shown(line)}" for line in log.splitlines()[-_LOG_LINES:])]
    return "\n".join(lines)


def _mismatch(mismatch: Mismatch) -> list[str]:
    expected, got = mismatch.expected, mismatch.got
    where = f"  {mismatch.path or 'the frame'} {mismatch.why}"
    if isinstance(expected, str) and isinstance(got, str) and "${" not in expected:
        at = first_difference(expected, got)
        if max(len(expected), len(got)) > 2 * _WINDOW:
            where += f" from character {at} ({len(expected)} expected, {len(got)} got)"
            expected, got = _window(expected, at), _window(got, at)
    lines = [where]
    if mismatch.why not in {"was not expected", "came instead"}:
        lines.append(f"    expected  {_shown(expected)}")
    if mismatch.why != "is missing":
        lines.append(f"    got       {_shown(got)}")
    return lines


def first_difference(left: str, right: str) -> int:
    """Index of the first character that differs; the shorter length when one begins with the other."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


def _window(text: str, at: int) -> str:
    start, end = max(0, at - _WINDOW), at + _WINDOW
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")


def _shown(value: Any) -> str:
    return shown(json.dumps(value, ensure_ascii=False), _SHOWN_CHARS)


def as_json(name: str, mode: str, difference: Difference | None) -> dict[str, Any]:
    """The outcome of one play for programs."""
    if difference is None:
        return {"session": name, "mode": mode, "same": True}
    mismatch = difference.mismatch
    return {
        "session": name,
        "mode": mode,
        "same": False,
        "line": difference.line,
        "what": difference.what,
        "path": None if mismatch is None else mismatch.path,
        "expected": None if mismatch is None else mismatch.expected,
        "got": None if mismatch is None else mismatch.got,
    }
