"""Runtime hook: the index of the frozen modules holds only those that a sidecar without litellm may ask for.

PyInstaller keeps the archive's whole index in memory: 5,200 entries, of which most are litellm's and what comes with
it. They are read again when the first of these is looked for.

Runs before the program: as little as possible, no output.
"""

import sys
from typing import Any

RARE = frozenset(
    [
        *("litellm", "openai", "pydantic", "pydantic_settings", "httpx", "httpcore", "requests", "urllib3", "jinja2"),
        *("yaml", "jsonschema", "dateutil", "multiprocessing", "rich", "pygments", "markdown_it", "typer", "click"),
    ]
)
"""Packages with many modules that come with litellm, or are for the commands that people use."""


class CompactIndex(dict[str, Any]):
    """The index without the modules of ``RARE``, until one of them, or everything, is asked for."""

    def __init__(self, archive: Any) -> None:
        self._archive = archive
        self._whole = False
        super().__init__((name, entry) for name, entry in archive.toc.items() if not _is_rare(name))

    def get(self, name: str, default: Any = None) -> Any:
        """The entry of a module."""
        if _is_rare(name):
            self._complete()
        return super().get(name, default)

    def items(self) -> Any:
        """All entries."""
        self._complete()
        return super().items()

    def _complete(self) -> None:
        if not self._whole:
            self._whole = True
            place = (self._archive._filename, self._archive._start_offset)
            self.update(type(self._archive)(*place).toc)


def _is_rare(name: str) -> bool:
    """Whether it lies inside one of the packages: where a package itself lies is asked by who reads its data only."""
    package, dot, _ = name.partition(".")
    return bool(dot) and package in RARE


def install() -> None:
    """Put the small index in the place of the whole one."""
    from pyimod02_importers import pyz_archive  # type: ignore[import-not-found] # PyInstaller's, loaded by now

    pyz_archive.toc = CompactIndex(pyz_archive)


if hasattr(sys, "_MEIPASS"):
    install()
