"""Secrets that tests plant, and the search for them in everything that is left behind.

``planted(...)`` makes one: whatever it looks like, it has ``MARK`` in it. After each test ``tests/conftest.py`` looks
for the mark, as text and in the forms a program may turn text into, in every file under the test's folder, in every
frame that the sidecars sent, and in everything they logged. Allowed are

* envelopes of the settings that hold plain text, in the settings file, its copies and our table;
* the answers of ``get-user-settings`` and ``set-user-settings`` and the question ``host:encrypt-secrets``: showing
  the host its own secrets is what they are for;
* requests to a provider on this machine, which leave nothing behind.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

MARK: Final = "Zq7Planted4WxKv"
"""Looks like nothing else, to a vendor's pattern neither."""


def planted(shape: str = "sk-{}0123456789abcdef") -> str:
    """A secret in the given shape; ``{}`` is where the mark goes."""
    in_use()
    return shape.format(MARK)


def in_use() -> None:
    """A secret that was planted when a module was loaded is at work in this test."""
    global _in_use
    _in_use = True


_in_use = False
"""Whether anything was at work since the last search: where nothing was, nothing need be searched."""


def _forms() -> dict[str, bytes]:
    """The mark as it may be found, by what was done to it."""
    plain = MARK.encode()
    forms = {
        "plain text": plain,
        "UTF-16, little-endian": MARK.encode("utf-16-le"),
        "UTF-16, big-endian": MARK.encode("utf-16-be"),
        "hexadecimal": plain.hex().encode(),
        "hexadecimal, upper case": plain.hex().upper().encode(),
        "percent-encoded": "".join(f"%{byte:02X}" for byte in plain).encode(),
        "percent-encoded, lower case": "".join(f"%{byte:02x}" for byte in plain).encode(),
        "JSON escapes": "".join(f"\\u{byte:04x}" for byte in plain).encode(),
        "backwards": plain[::-1],
    }
    for name, encoded in (("base64", plain), ("base64 of UTF-16", MARK.encode("utf-16-le"))):
        for shift in range(3):
            text = base64.b64encode(b"\0" * shift + encoded)
            # The first and last digits depend on what stands beside the mark.
            inner = text[4 * bool(shift) : len(text) // 4 * 4 - 4]
            forms[f"{name}, shifted by {shift}"] = inner
            if inner != (url_safe := inner.translate(bytes.maketrans(b"+/", b"-_"))):
                forms[f"{name}, URL-safe, shifted by {shift}"] = url_safe
    return forms


FORMS: Final = _forms()


def forms_in(data: bytes) -> list[str]:
    """The forms in which the mark is in ``data``."""
    return [name for name, form in FORMS.items() if form in data]


# --- files -----------------------------------------------------------------------------------------------------------

_ENVELOPE: Final = re.compile(rb'"value"(\s*):(\s*)"(?:[^"\\]|\\.)*"?')
"""The member of an envelope that holds the secret, also where a file ends in the middle of it."""

_NOT_OURS: Final = frozenset({"scalix-apps", "node_modules", "__pycache__", ".git"})
"""Folders of the user's apps: nothing of ours is ever written there, and they are large."""


def leaks_in_folder(folder: Path) -> Iterator[str]:
    """A sentence for every file under ``folder`` in which the mark must not be and is."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield from leaks_in_file(path)


def leaks_in_file(path: Path) -> Iterator[str]:
    """The same for one file."""
    data = path.read_bytes()
    if path.name.startswith(("user-settings.json", "sqlite.db")):
        data = _without_envelopes(data)
    if data.startswith(b"SQLite format 3\0") and forms_in(data):
        data = _contents(path) or data
    yield from (f"{path}: {form}" for form in forms_in(data))
    if forms_in(os.fsencode(path.name)):
        yield f"{path.name}: the name of a file"


def _without_envelopes(data: bytes) -> bytes:
    return _ENVELOPE.sub(rb'"value"\1:\2""', data)


def _contents(path: Path) -> bytes:
    """Every value of every table; those of our settings without their envelopes.

    An envelope that lies on two pages of the file is one only here. Nothing for a database that cannot be read.
    """
    found: list[bytes] = []
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection,
    ):
        connection.text_factory = bytes
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            table = name.decode()
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                values = b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
                found.append(_without_envelopes(values) if table == "sidecar_settings" else values)
    return b"\n".join(found)


# --- frames ----------------------------------------------------------------------------------------------------------

_SHOWS_SECRETS: Final = frozenset({"get-user-settings", "set-user-settings"})


class Frames:
    """What one sidecar has sent. ``asked`` and ``sent`` see every frame of the host and of the sidecar."""

    def __init__(self) -> None:
        self._shown: set[Any] = set()
        self._lines: list[bytes] = []
        _open.append(self)

    def asked(self, line: bytes) -> None:
        """A frame of the host: the id of a question whose answer may show secrets is remembered."""
        if b"-user-settings" in line:
            frame = json.loads(line)
            if frame.get("method") in _SHOWS_SECRETS and isinstance(frame.get("id"), int | str):
                self._shown.add(frame["id"])

    def sent(self, line: bytes) -> None:
        """A frame of the sidecar."""
        self._lines.append(line)

    def leaks(self) -> Iterator[str]:
        """A sentence for every frame in which the mark must not be and is."""
        if not forms_in(b"\n".join(self._lines)):
            return
        for line in self._lines:
            forms = forms_in(line)
            if forms and not self._may_show(json.loads(line)):
                yield f"{line[:120].decode('utf-8', 'replace')}...: {', '.join(forms)}"

    def _may_show(self, frame: Any) -> bool:
        if not isinstance(frame, dict):
            return False
        if frame.get("method") == "host:encrypt-secrets":
            return True
        return "result" in frame and frame.get("id") in self._shown


_open: list[Frames] = []
_logs: list[bytes] = []


def logged(text: bytes) -> None:
    """What a sidecar wrote to stderr."""
    _logs.append(text)


def leaks_since_last_asked(folders: Iterable[Path]) -> list[str]:
    """Everything that is wrong in ``folders``, in the frames and in the logs since the last call."""
    global _in_use
    frames, logs, searched = list(_open), b"\n".join(_logs), _in_use
    _open.clear()
    _logs.clear()
    _in_use = False
    found = [leak for folder in folders for leak in leaks_in_folder(folder)] if searched else []
    found += [leak for each in frames for leak in each.leaks()]
    found += [f"stderr: {form}" for form in forms_in(logs)]
    return found


def environment() -> dict[str, str]:
    """Secrets in the environment of every sidecar under test, that it has no use for."""
    secret = planted("{}abcdef0123456789")
    return {
        "GITHUB_TOKEN": f"ghp_{secret}",
        "AWS_SECRET_ACCESS_KEY": secret,
        "DATABASE_URL": f"postgres://me:{quote(secret)}@db.test/app",
    }
