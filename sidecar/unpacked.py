"""What the one-file binary left on the disk, when nobody else is there to remove it.

PyInstaller's bootloader unpacks to a ``_MEI...`` folder in the temporary folder, starts the real process and removes
the folder when that has ended. A bootloader that is killed cannot: then the process that it started does it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def remove_if_orphaned(parent: int) -> None:
    """Remove this process's unpacked folder when ``parent``, the pid it was started by, is gone. Never raises.

    For the last moment before the exit: nothing can be imported from the bundle after it. Windows does not let a
    process delete libraries that it has loaded; there the folder stays.
    """
    folder = getattr(sys, "_MEIPASS", None)
    if folder is None or sys.platform == "win32" or os.getppid() == parent:
        return
    if Path(folder).name.startswith("_MEI"):  # of one folder it is the program itself
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
