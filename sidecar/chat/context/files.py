"""Reading one regular file, whole, with a limit: no symlinks, no pipes, no devices."""

from __future__ import annotations

import codecs
import os
import stat
from typing import Final

_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class NotARegularFile(OSError):
    """A folder, pipe, socket or device stands where a file was expected."""


class FileTooLarge(OSError):
    """The file has more bytes than the limit."""


def read_regular(path: str | os.PathLike[str], limit: int) -> tuple[bytes, os.stat_result]:
    """The bytes of ``path`` and its state when it was opened. Blocks.

    The last component is not followed when it is a symlink, and a pipe does not make the open wait. Raises
    ``OSError``: ``FileTooLarge`` above ``limit`` bytes, also when the file grows while it is read, and
    ``NotARegularFile``.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise NotARegularFile(f"{os.fspath(path)!r} is not a regular file")
        if state.st_size > limit:
            raise FileTooLarge(f"{os.fspath(path)!r} has more than {limit} bytes")
        data = os.read(descriptor, state.st_size + 1)
        if len(data) == state.st_size:
            return data, state
        chunks = [data]
        size = len(data)
        while chunk := os.read(descriptor, 65536):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise FileTooLarge(f"{os.fspath(path)!r} has more than {limit} bytes")
        return b"".join(chunks), state
    finally:
        os.close(descriptor)


def decode(data: bytes) -> tuple[str, bool]:
    """``data`` as UTF-8 text, and whether it was valid; what is not valid becomes U+FFFD, as Node does it.

    Except for UTF-16 that says so (Windows' "Unicode", PowerShell's ``>``): as UTF-8 nothing of it could be read.
    """
    try:
        return data.decode("utf-8"), True
    except UnicodeDecodeError:
        is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if is_utf16 else "utf-8", "replace"), False
