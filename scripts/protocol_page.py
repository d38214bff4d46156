"""The generated parts of ``docs/protocol.md``: every method, every error code. What stands around them is written.

A part is what stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from typing import Any, Final

from protocol.errors import KIND_OF, RETRYABLE, ErrorCode, RpcCode
from protocol.methods import Direction, Method, methods

Json = dict[str, Any]

PART: Final = re.compile(r"(<!-- generated: (?P<name>[\w -]+) -->\n).*?(<!-- end -->)", re.DOTALL)

_LAYER: Final = {
    RpcCode.PARSE: "not UTF-8, not JSON, nested too deep",
    RpcCode.INVALID_REQUEST: "JSON, but no request; a line too long; an id that is still in flight",
    RpcCode.METHOD_NOT_FOUND: "no such method",
    RpcCode.INVALID_PARAMS: "a field is missing or of the wrong type; `data.path` names it",
    RpcCode.INTERNAL: "a bug; the log has it",
    RpcCode.NOT_INITIALIZED: "`initialize` comes first",
    RpcCode.OVERLOADED: "too much at once; try again in a moment",
    RpcCode.APPLICATION: "everything that has a code below",
    RpcCode.CANCELLED: "the host cancelled it, and there was no result yet",
}


class ProtocolPage:
    """Fills the page. ``type_of`` renders a JSON Schema as a TypeScript type, ``schemas_of`` gives a method's."""

    def __init__(self, type_of: Any, schemas_of: Any) -> None:
        self._type_of = type_of
        self._schemas_of = schemas_of

    def filled(self, text: str) -> str:
        """``text`` with every generated part as the contract has it. Raises ``KeyError`` for a part nobody makes."""
        return PART.sub(lambda part: part[1] + self._part(part["name"]) + part[3], text)

    def _part(self, name: str) -> str:
        if name == "error codes":
            return _error_codes()
        if name == "rpc codes":
            return _rpc_codes()
        return "".join(map(self._entry, methods(_DIRECTION_OF[name])))

    def _entry(self, method: Method) -> str:
        """One method as a list item: what it is called with, what it answers, what it is for."""
        params, result = self._schemas_of(method)
        shape = " or ".join(f"`{self._shape(*schema)}`" for schema in params)
        answer = f" → `{self._shape(*result)}`" if "request" in method.direction else ""
        return f"- **`{method.name}`**: {method.summary}\n  {shape}{answer}\n"

    def _shape(self, schema: Json, parts: dict[str, Json]) -> str:
        """An object with its members, one level deep; below that, types by name."""
        named = parts.get(schema.get("$ref", "").rsplit("/", 1)[-1], schema)
        if named.get("type") != "object" or "properties" not in named:
            return str(self._type_of(schema)).replace("readonly ", "")
        required = named.get("required", [])
        members = [
            f"{name}: {self._type_of(member)}"
            if name in required
            else f"{name}?: {self._type_of(_without_null(member))}"
            for name, member in named["properties"].items()
        ]
        return ("{ " + ", ".join(members) + " }" if members else "{}").replace("readonly ", "")


_DIRECTION_OF: Final = {
    "requests to the sidecar": Direction.REQUEST_TO_SIDECAR,
    "requests to the host": Direction.REQUEST_TO_HOST,
    "notifications to the host": Direction.NOTIFICATION_TO_HOST,
    "notifications to the sidecar": Direction.NOTIFICATION_TO_SIDECAR,
}


def _error_codes() -> str:
    rows = [
        f"| `{code.value}` | `{KIND_OF[code].value}` | {'yes' if code in RETRYABLE else ''} |\n" for code in ErrorCode
    ]
    return "| `data.code` | `data.kind` | may succeed later |\n|---|---|---|\n" + "".join(rows)


def _rpc_codes() -> str:
    rows = [f"| `{int(code)}` | {_LAYER[code]} |\n" for code in RpcCode]
    return "| `code` | |\n|---|---|\n" + "".join(rows)


def _without_null(schema: Json) -> Json:
    """An optional member without its null: absent says the same."""
    left = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    return schema if not left else left[0] if len(left) == 1 else {**schema, "anyOf": left}
