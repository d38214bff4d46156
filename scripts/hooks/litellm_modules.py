"""Which modules of litellm belong in the bundle: those that could be imported at all.

litellm ships its gateway, agents and integrations in the same wheel, and most of them import packages that the
sidecar does not install (fastapi, prisma, opentelemetry ...). Such a module raises ImportError in a checkout too, so
leaving it out changes nothing. Read from the source text; litellm itself is not imported.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Collection, Iterator
from pathlib import Path

PACKAGE = "litellm"


class Split:
    """``kept`` and ``left_out``: names of litellm's modules."""

    def __init__(self, absent: Collection[str]) -> None:
        """``absent``: top-level packages that are installed here and will not be in the bundle."""
        root = folder()
        self._modules = {_name(path, root): path for path in root.rglob("*.py")}
        self._absent = frozenset(absent)
        needs = {name: self._needs(name, path) for name, path in self._modules.items()}
        gone = {name for name, needed in needs.items() if any(not self._exists(module) for module in needed)}
        while more := {
            name
            for name, needed in needs.items()
            if name not in gone and (name.rpartition(".")[0] in gone or needed & gone)
        }:
            gone |= more
        self.left_out = sorted(gone)
        self.kept = sorted(self._modules.keys() - gone)

    def _exists(self, module: str) -> bool:
        top = module.partition(".")[0]
        return top == PACKAGE or (top not in self._absent and _installed(top))

    def _needs(self, name: str, path: Path) -> set[str]:
        """Modules without which importing this one fails: unconditional imports of its own level."""
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found: set[str] = set()
        for node in _unconditional(ast.parse(path.read_bytes()).body):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
                continue
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            found.add(base)
            found.update(full for alias in node.names if (full := f"{base}.{alias.name}") in self._modules)
        return found


def folder() -> Path:
    """Where litellm is installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit("litellm is not installed")
    return Path(spec.origin).parent


def _name(path: Path, root: Path) -> str:
    parts = [PACKAGE, *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _unconditional(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.ClassDef | ast.With):
            yield from _unconditional(statement.body)


@functools.cache
def _installed(top: str) -> bool:
    return importlib.util.find_spec(top) is not None
