"""Why the settings file could not be written, in a sentence that names it and says what to do. Pure."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from protocol.errors import ErrorCode
from sidecar.errors import SidecarError

_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SettingsNotWritten(SidecarError):
    """A change could be written nowhere, and nothing has changed. The message begins ``Failed to write settings: ``.

    ``SETTINGS_UNREADABLE`` is the protocol's code for a settings file that is no use as it is.
    """

    default_code = ErrorCode.SETTINGS_UNREADABLE


def not_written(path: Path, error: OSError, consequence: str | None = None) -> SettingsNotWritten:
    """What the system's refusal means for the user; ``consequence`` is what else did not happen for it."""
    reason = error.strerror or type(error).__name__
    if error.errno in _FORBIDDEN:
        what, advice = f"{path} may not be written ({reason})", "Make the file and its folder writable"
    elif error.errno in _FULL:
        what, advice = f"there is no room for {path} ({reason})", "Free some disk space"
    else:
        what, advice = f"{path} cannot be replaced ({reason})", "Check what is at that path"
    if consequence is not None:
        what = f"{what}; {consequence}"
    return SettingsNotWritten(f"Failed to write settings: {what}. {advice}, then try again.", path=str(path))


def kept_busy(path: Path) -> SettingsNotWritten:
    """The app wrote the file again whenever it was about to be replaced."""
    return SettingsNotWritten(
        f"Failed to write settings: the app keeps writing {path}. Try again in a moment.", path=str(path)
    )
