"""Code without its docstrings: more than a megabyte of the modules that every sidecar imports.

Assertions stay, unlike with ``optimize=2``. So do the docstrings of data classes: ``dataclass`` makes one for a class
that has none, and needs longer for it than the memory is worth.
"""

from __future__ import annotations

import ast
from types import CodeType


def without_docstrings(source: bytes, filename: str) -> CodeType:
    """The compiled module; line numbers are those of ``source``."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() if any("dataclass" in ast.unparse(each) for each in node.decorator_list):
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if _has_one(node.body):
                node.body[0] = ast.copy_location(ast.Pass(), node.body[0])
    if _has_one(tree.body) and not _has_one(tree.body[1:]):  # what follows may have to come first: __future__
        del tree.body[0]
    return compile(tree, filename, "exec", dont_inherit=True, optimize=0)


def _has_one(body: list[ast.stmt]) -> bool:
    match body:
        case [ast.Expr(ast.Constant(str())), *_]:
            return True
    return False
