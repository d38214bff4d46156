"""Gemini's streamed function arguments (``streamFunctionCallArguments``).

They do not come as pieces of JSON text but as values under JSON paths, such as ``$.recipe.steps[0].title``, long
strings in several pieces. Only the whole can be given as JSON text.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from sidecar.engines.wire.lenient import items, member

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|"([^"]*)")\]""")
_MAX_ITEMS = 10_000
"""The highest list position accepted: a path is the vendor's, the memory is ours."""


class PartialArguments:
    """The arguments of one call, grown value by value."""

    def __init__(self) -> None:
        self._root: dict[str | int, Any] = {}

    def add(self, partial_args: Any) -> None:
        """Take the ``partialArgs`` of one chunk; pieces of one string are joined."""
        for part in items(partial_args):
            fields = member(part)
            path = fields.get("jsonPath")
            steps = _steps(path) if isinstance(path, str) else []
            if steps:
                self._put(steps, _value(fields))

    def json(self) -> str:
        """The arguments so far as JSON text."""
        return msgspec.json.encode(_settled(self._root)).decode()

    def _put(self, steps: list[str | int], value: Any) -> None:
        node = self._root
        for step in steps[:-1]:
            child = node.get(step)
            if not isinstance(child, dict):
                child = node[step] = {}
            node = child
        last = steps[-1]
        known = node.get(last)
        node[last] = known + value if isinstance(known, str) and isinstance(value, str) else value


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    for name, index, quoted, double_quoted in _STEP.findall(path.removeprefix("$")):
        if index:
            if int(index) >= _MAX_ITEMS:
                return []
            steps.append(int(index))
        else:
            steps.append(name or quoted or double_quoted)
    return steps


def _value(fields: dict[str, Any]) -> Any:
    for name in ("stringValue", "numberValue", "boolValue"):
        if name in fields:
            return fields[name]
    return None


def _settled(node: Any) -> Any:
    """Nodes whose keys are all positions become lists; positions never sent are null."""
    if not isinstance(node, dict):
        return node
    if node and all(isinstance(key, int) for key in node):
        return [_settled(node.get(position)) for position in range(max(node) + 1)]
    return {str(key): _settled(value) for key, value in node.items()}
