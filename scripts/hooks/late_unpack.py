# ruff: noqa: PTH103, PTH105, PTH110, PTH118, PTH119, PTH120, PTH123 (pathlib is not loaded yet)
"""Runtime hook of the one-file binary: native modules and data leave the archive when they are first imported.

The bootloader unpacks its archive at every start. What the handshake does not need is stored under a type code that
the bootloader passes over, and is unpacked into the same folder, as the same file, by the import that needs it. Files
lie where they always lie in a bundle, so the program cannot tell the difference, and the bootloader deletes them with
the rest. In a one-folder build there are no such entries and nothing is installed.

Runs before the program: standard library only, as little of it as possible, no output.
"""

import os
import struct
import sys
import zlib
from _frozen_importlib_external import EXTENSION_SUFFIXES, spec_from_file_location
from _thread import RLock
from typing import Any

LATE = b"L"
"""Type code of what is unpacked late; the specification of the build writes it."""
KEY_END = ","
KEYS_END = "!"
"""An entry's name: the modules whose import unpacks it, then the file's place in the bundle."""
COOKIE = struct.Struct("!8sIIII64s")
COOKIE_MAGIC = b"MEI\014\013\012\013\016"
ENTRY = struct.Struct("!IIIIBc")
TAIL_BYTES = 1 << 16
PIECE_BYTES = 1 << 16
"""Unpacked at a time: memory that was asked for at once is not always given back."""


class LateUnpack:
    """A finder that finds late native modules, and unpacks the data of a package before anybody else finds it."""

    def __init__(self, archive: str, folder: str, entries: dict[str, list[tuple[str, int, int, bool]]]) -> None:
        """``entries``: what each module's import unpacks, as (place in the bundle, offset, stored bytes, deflated)."""
        self._archive = archive
        self._folder = folder
        self._entries = entries
        self._lock = RLock()

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """The specification of a late native module; None (somebody else's) for all others."""
        if name not in self._entries:
            return None
        last = name.rpartition(".")[2]
        for place in self._unpack(name):
            file = os.path.basename(place)
            if file.startswith(last) and file[len(last) :] in EXTENSION_SUFFIXES:
                return spec_from_file_location(name, os.path.join(self._folder, place))
        return None

    def _unpack(self, name: str) -> list[str]:
        entries = self._entries[name]
        with self._lock:
            try:
                for place, offset, length, deflated in entries:
                    self._write(os.path.join(self._folder, place), offset, length, deflated)
            except (OSError, zlib.error) as error:
                raise ImportError(f"{name} could not be unpacked to {self._folder}: {error}", name=name) from error
        return [entry[0] for entry in entries]

    def _write(self, target: str, offset: int, length: int, deflated: bool) -> None:
        if os.path.exists(target):
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        partial = f"{target}.part"
        inflate = zlib.decompressobj() if deflated else None
        with open(self._archive, "rb") as archive, open(partial, "wb") as file:
            archive.seek(offset)
            while length > 0 and (data := archive.read(min(length, PIECE_BYTES))):
                length -= len(data)
                if inflate is None:
                    file.write(data)
                    continue
                while data:
                    file.write(inflate.decompress(data, PIECE_BYTES))
                    data = inflate.unconsumed_tail
        if length:
            raise OSError(f"{self._archive} is cut off")
        os.replace(partial, target)


def late_entries(archive: str) -> dict[str, list[tuple[str, int, int, bool]]]:
    """What the executable holds for later, by the module whose import unpacks it."""
    with open(archive, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail, at = b"", -1
        while at < 0 and end:  # a signature or section table may follow the archive
            start = max(0, end - TAIL_BYTES)
            file.seek(start)
            tail = file.read(end - start) + tail[: COOKIE.size]
            at = tail.rfind(COOKIE_MAGIC)
            end = start
        if at < 0:
            return {}
        _, size, toc_offset, toc_size, _, _ = COOKIE.unpack_from(tail, at)
        begin = end + at + COOKIE.size - size
        file.seek(begin + toc_offset)
        toc = file.read(toc_size)
    found: dict[str, list[tuple[str, int, int, bool]]] = {}
    position = 0
    while position < len(toc):
        entry_size, offset, length, _, deflated, code = ENTRY.unpack_from(toc, position)
        if code == LATE:
            name = toc[position + ENTRY.size : position + entry_size].rstrip(b"\0").decode()
            keys, _, place = name.partition(KEYS_END)
            for key in keys.split(KEY_END):
                found.setdefault(key, []).append((place, begin + offset, length, bool(deflated)))
        position += entry_size
    return found


def install() -> None:
    """Put the finder first, when this executable has anything late."""
    folder: str = sys._MEIPASS  # type: ignore[attr-defined]
    if entries := late_entries(sys.executable):
        sys.meta_path.insert(0, LateUnpack(sys.executable, folder, entries))  # type: ignore[arg-type]


if hasattr(sys, "_MEIPASS"):
    install()
