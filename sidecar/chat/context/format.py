"""Whose content is shown, and in which form (app contract 11.1 and 11.2)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from sidecar.chat.context.paths import is_secret

EXCLUDED: Final = "// File contents excluded from context"
UNREADABLE: Final = "// Error reading file"

CONTENT_SUFFIXES: Final = frozenset(
    {
        *(".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".css", ".html", ".md", ".astro", ".vue"),
        *(".svelte", ".scss", ".sass", ".less", ".json", ".yml", ".yaml", ".xml", ".plist", ".entitlements"),
        *(".kt", ".java", ".gradle", ".swift", ".py"),
        # upstream lessons 8
        *(".glsl", ".wgsl", ".vert", ".frag", ".vs", ".fs", ".comp", ".php"),
    }
)

_OMITTED_FOLDER: Final = "/src/components/ui/"
_OMITTED_NAMES: Final = frozenset(
    {"tsconfig.json", "tsconfig.app.json", "tsconfig.node.json", "tsconfig.base.json", "components.json"}
)
_OMITTED_PREFIX: Final = "eslint.config"


@lru_cache(maxsize=32_768)  # asked for every file of every turn
def shows_content(path: str, *, engine: bool) -> bool:
    """Whether the content of the file at the relative ``path`` is given; otherwise only its name is.

    The text leaves out boilerplate, the engine's file list does not. The app searches for these patterns anywhere in
    the path, so ``src/components/uikit`` is hit by ``src/components/ui``; here they mean whole names.
    """
    name = path.rpartition("/")[2]
    suffix = name[name.rfind(".") :].lower() if "." in name[1:] else ""
    if (suffix not in CONTENT_SUFFIXES and name != ".gitignore") or is_secret(path):
        return False
    if engine:
        return True
    return not (name in _OMITTED_NAMES or name.startswith(_OMITTED_PREFIX) or _OMITTED_FOLDER in f"/{path}")


def file_header(path: str) -> str:
    """The opening line of one file in the text output. Path and content are not escaped, as in the app."""
    return f'<scalix-file path="{path}">\n'


FILE_FOOTER: Final = "\n</scalix-file>\n\n"


SMART_OVERHEAD_UNITS: Final = len("<scalix-file=></scalix-file>")
SMART_SEPARATOR_UNITS: Final = 2
"""The form in which smart context is counted: ``<scalix-file=PATH>CONTENT</scalix-file>`` joined by blank lines (app
contract 13.1)."""
