"""Components the user picked in the preview (app contract 7.5; limits: upstream lessons 1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import anyio.to_thread

from sidecar.chat.context.cache import MAX_FILE_BYTES, FileCache
from sidecar.chat.context.files import decode, read_regular
from sidecar.chat.context.paths import confined, relative_path
from sidecar.errors import InvalidParams, ValidationFailed

MAX_COMPONENTS: Final = 256
MAX_FIELD_CHARS: Final = 4096
NOT_AVAILABLE: Final = "[component snippet not available]"

_LINES_BEFORE: Final = 1
_LINES_AFTER: Final = 3
_EDIT_HERE: Final = " // <-- EDIT HERE"


class SelectedComponent(Protocol):
    """What the preview knows of a component; ``line_number`` counts from 1."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def relative_path(self) -> str: ...
    @property
    def line_number(self) -> int: ...


def check_components(
    components: Sequence[SelectedComponent], *, field: str = "selectedComponents", is_list: bool = True
) -> tuple[str, ...]:
    """Their relative paths, cleaned, for ``ContextRule.only``. ``field`` is where they came from, for errors; without
    ``is_list`` it held the one component itself.

    Raises ``InvalidParams`` for more than 256 of them, a field of more than 4096 characters, or a path that is not
    inside of the app's folder. The count is checked before any of them is looked at.
    """
    if len(components) > MAX_COMPONENTS:
        raise InvalidParams(
            f"At most {MAX_COMPONENTS} components can be selected; these are {len(components)}.", path=field
        )
    paths = []
    for index, component in enumerate(components):
        place = f"{field}[{index}]" if is_list else field
        for wire_name, value in (
            ("id", component.id),
            ("name", component.name),
            ("relativePath", component.relative_path),
        ):
            if len(value) > MAX_FIELD_CHARS:
                raise InvalidParams(
                    f"The {wire_name} of a selected component may have at most {MAX_FIELD_CHARS:,} characters.",
                    path=f"{place}.{wire_name}",
                )
        path = f"{place}.relativePath"
        try:
            paths.append(relative_path(component.relative_path, field=path))
        except ValidationFailed as error:
            raise InvalidParams(error.message, path=path) from error
    return tuple(paths)


async def read_snippets(app_dir: Path, components: Sequence[SelectedComponent], *, cache: FileCache) -> list[str]:
    """The lines around each component, or ``NOT_AVAILABLE``; read on a worker thread, never raises for a bad file."""

    def read_all() -> list[str]:
        return [_snippet(app_dir, component) for component in components]

    return await anyio.to_thread.run_sync(read_all, abandon_on_cancel=True, limiter=cache.limiter)


def _snippet(app_dir: Path, component: SelectedComponent) -> str:
    try:
        data, _ = read_regular(confined(app_dir, component.relative_path), MAX_FILE_BYTES)
    except (OSError, ValidationFailed):
        return NOT_AVAILABLE
    return snippet(decode(data)[0], component.line_number)


def snippet(source: str, line_number: int) -> str:
    """From one line before the selected one to three after it; the selected line is marked unless it is empty."""
    lines = re.split(r"\r?\n", source)
    selected = line_number - 1
    if not 0 <= selected < len(lines):
        return NOT_AVAILABLE
    first = max(0, selected - _LINES_BEFORE)
    window = lines[first : selected + _LINES_AFTER + 1]
    if window[selected - first]:
        window[selected - first] += _EDIT_HERE
    return "\n".join(window)


def snippet_notes(components: Sequence[SelectedComponent], snippets: Sequence[str]) -> tuple[str, ...]:
    """Which components' lines could not be shown."""
    missing = [
        component.relative_path for component, lines in zip(components, snippets, strict=True) if lines == NOT_AVAILABLE
    ]
    return (f"The lines of these selected components could not be read: {', '.join(missing)}",) if missing else ()


def component_text(component: SelectedComponent, lines: str) -> str:
    """What is appended to the prompt for one component and its snippet."""
    return (
        f"\n\nSelected component: {component.name} (file: {component.relative_path})\n\nSnippet:\n```\n{lines}\n```\n"
    )
