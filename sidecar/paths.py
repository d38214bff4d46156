"""Where the app keeps its things (app contract 15.3)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

APP_NAME: Final = "scalix"


@dataclass(frozen=True, slots=True)
class AppPaths:
    """The folders and files of one installation."""

    user_data: Path
    database: Path
    settings_file: Path
    apps_root: Path
    attachments: Path


def default_user_data(environ: Mapping[str, str]) -> Path:
    """Electron's ``userData`` of the app on this platform; ``./userData`` in development."""
    if environ.get("NODE_ENV") == "development":
        return Path.cwd() / "userData"
    import platformdirs  # the host names its folder: not needed before its first answer

    return Path(platformdirs.user_config_dir(APP_NAME, appauthor=False, roaming=True))


def temporary_folder(environ: Mapping[str, str], *, platform: str = sys.platform) -> Path:
    """Where Node says temporary files go (``os.tmpdir()``), because the app looks for its attachments there.

    Python's ``tempfile`` asks the variables in another order, and tries out which folder it may write to.
    """
    if platform == "win32":
        root = environ.get("SYSTEMROOT") or environ.get("WINDIR") or "C:\\Windows"
        return Path(environ.get("TEMP") or environ.get("TMP") or f"{root}\\temp")
    return Path(environ.get("TMPDIR") or environ.get("TMP") or environ.get("TEMP") or "/tmp")  # noqa: S108


def app_paths(
    environ: Mapping[str, str],
    *,
    user_data: str | os.PathLike[str] | None = None,
    database: str | None = None,
    settings_file: str | None = None,
    apps_root: str | None = None,
) -> AppPaths:
    """Explicit paths first, then the ones that follow from ``user_data``, then the app's defaults."""
    base = Path(user_data).expanduser() if user_data else default_user_data(environ)
    test_build = environ.get("E2E_TEST_BUILD") == "true"
    apps = Path(apps_root).expanduser() if apps_root else (base if test_build else Path.home()) / "scalix-apps"
    return AppPaths(
        user_data=base,
        database=Path(database).expanduser() if database else base / "sqlite.db",
        settings_file=Path(settings_file).expanduser() if settings_file else base / "user-settings.json",
        apps_root=apps,
        attachments=temporary_folder(environ) / "scalix-attachments",
    )
