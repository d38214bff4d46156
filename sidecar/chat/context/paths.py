"""Which paths may be touched: relative, inside their folder with symlinks resolved, and no secrets.

The checks come in two steps. ``relative_path`` reads the text alone, so a trick is refused before any system call;
``confined`` asks the file system where the path really leads. Both speak of one folder, the app's.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from sidecar.errors import ValidationFailed

MAX_PATH_CHARS: Final = 4096

_SECRET_FOLDERS: Final = frozenset({".git", ".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker", ".config"})
_SECRET_NAMES: Final = frozenset({".netrc", "_netrc", ".git-credentials", ".htpasswd", ".npmrc", ".pypirc"})
_SECRET_SUFFIXES: Final = (".key", ".pem", ".p12", ".pfx", ".jks", ".keystore")
_PRIVATE_KEY = re.compile(r"id_(?:rsa|dsa|ecdsa|ed25519)(?:\..*)?")


def is_secret(path: str) -> bool:
    """Whether a relative path names something whose content is never sent (upstream lessons 11).

    Case and the trailing dots and spaces that Windows drops make no difference; ``.env`` counts anywhere in the path,
    as in the app (contract 11.1). ``id_rsa.pub`` counts too: nobody asks about it.
    """
    lowered = path.lower()
    if ".env" in lowered:
        return True
    segments = [segment.rstrip(". ") or segment for segment in lowered.split("/")]
    name = segments[-1]
    return (
        not _SECRET_FOLDERS.isdisjoint(segments)
        or not _SECRET_NAMES.isdisjoint(segments)
        or name.endswith(_SECRET_SUFFIXES)
        or _PRIVATE_KEY.fullmatch(name) is not None
    )


def is_secret_folder(name: str) -> bool:
    """Whether a folder of this name is not even looked into."""
    return name.lower().rstrip(". ") in _SECRET_FOLDERS


def relative_path(path: str, *, field: str | None = None) -> str:
    """``path`` with slashes, without ``.`` and ``..``; never absolute, never above its folder.

    Back-slashes count as separators on every system, as in the app's tags. Raises ``ValidationFailed`` with ``field``
    as its path for absolute paths, drive letters, UNC paths, control characters, an empty path, and ``..`` that
    leads out.
    """
    if not path or len(path) > MAX_PATH_CHARS or any(ord(char) < 32 for char in path):
        raise ValidationFailed(
            f"A file path must have 1 to {MAX_PATH_CHARS} characters and no control characters.", path=field
        )
    slashed = path.replace("\\", "/")
    if slashed.startswith("/") or PureWindowsPath(slashed).drive or (sys.platform == "win32" and ":" in slashed):
        raise ValidationFailed(f"The path {path!r} must be relative to the app's folder.", path=field)
    kept: list[str] = []
    for segment in slashed.split("/"):
        if segment == "..":
            if not kept:
                raise ValidationFailed(f"The path {path!r} leads out of the app's folder.", path=field)
            kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    if not kept:
        raise ValidationFailed(f"The path {path!r} does not name a file.", path=field)
    return "/".join(kept)


def confined(folder: Path, path: str, *, field: str | None = None) -> Path:
    """Where ``path`` in ``folder`` really is, symlinks resolved. Blocks: call it on a worker thread.

    Raises ``ValidationFailed`` when it is outside of ``folder`` or a secret, under either of its names. The file
    itself need not exist.
    """
    relative = relative_path(path, field=field)
    try:
        root = Path(os.path.realpath(folder))
        target = Path(os.path.realpath(root / relative))
        inside = target.relative_to(root).as_posix()
    except (ValueError, OSError) as error:
        raise ValidationFailed(f"The path {path!r} leads out of the app's folder.", path=field) from error
    if is_secret(relative) or is_secret(inside):
        raise ValidationFailed(f"The file {relative!r} may hold secrets and is never read.", path=field)
    return target


def app_directory(app_path: str, *, apps_root: Path) -> Path:
    """The folder of an app: ``<apps root>/<apps.path>``; an absolute path is used as it is.

    Raises ``ValidationFailed`` for a path that is empty, leads out of ``apps_root``, or is ``apps_root`` itself.
    """
    if app_path and "\0" not in app_path and Path(app_path).is_absolute():
        return Path(app_path)
    try:
        return apps_root / PurePosixPath(relative_path(app_path, field="app.path"))
    except ValidationFailed as error:
        raise ValidationFailed(f"The app's folder is not known. {error.message}", path="app.path") from error
