#!/usr/bin/env python3
"""Writes what follows from ``protocol/``: JSON Schema, an OpenRPC document, the TypeScript types, and the parts of
``docs/protocol.md`` that are marked as generated.

    python3 scripts/dev.py generate            write
    python3 scripts/dev.py generate --check    write nothing; exit code 1 when a file is not what it should be

The same input always gives the same bytes: nothing depends on time, place or hash order.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import msgspec.inspect as mi

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from protocol.errors import KIND_OF, ErrorCode, ErrorData, Kind, RpcCode  # noqa: E402
from protocol.lifecycle import PROTOCOL_VERSION  # noqa: E402
from protocol.methods import METHODS, Direction, Method, methods  # noqa: E402
from scripts.protocol_page import ProtocolPage  # noqa: E402

SCHEMA: Final = ROOT / "protocol" / "schema"
TYPESCRIPT: Final = ROOT / "protocol" / "typescript" / "src" / "generated.ts"
PAGE: Final = ROOT / "docs" / "protocol.md"
COMMAND: Final = "python3 scripts/dev.py generate"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Json = dict[str, Any]

# --- which side writes a type ------------------------------------------------------------------------------------


def written_by_sidecar(method: Method) -> tuple[list[Any], list[Any]]:
    """The method's types: those the sidecar writes, and those the host writes."""
    params = list(method.params)
    match method.direction:
        case Direction.REQUEST_TO_SIDECAR:
            return [method.result], params
        case Direction.REQUEST_TO_HOST:
            return params, [method.result]
        case Direction.NOTIFICATION_TO_HOST:
            return params, []
        case Direction.NOTIFICATION_TO_SIDECAR:
            return [], params


def definitions(types: list[Any], *, by_sidecar: bool) -> tuple[list[Json], dict[str, Json]]:
    """Schemas of ``types`` and of the structs they hold, as one side writes them.

    Reading, a field with a default may be absent. The sidecar writes every field that is not unset, or at a default it
    leaves out: a host may count on those.
    """
    schemas, parts = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    if by_sidecar:
        for struct in structs(types):
            as_written(parts[struct.__name__], struct)
    for struct in structs(types):
        document_fields(parts[struct.__name__], struct)
    return list(schemas), dict(sorted(parts.items()))


def as_written(schema: Json, struct: type[msgspec.Struct]) -> None:
    """Mark what the sidecar always writes as required; drop the null that it never writes."""
    required = [name for name in schema["properties"] if name in schema.get("required", [])]
    omits = struct.__struct_config__.omit_defaults
    for field in msgspec.structs.fields(struct):
        property_schema = schema["properties"][field.encode_name]
        default = property_schema.pop("default", msgspec.NODEFAULT)
        if field.encode_name in required or field.default is msgspec.UNSET:
            continue
        if not omits:
            required.append(field.encode_name)
        elif default is None:
            schema["properties"][field.encode_name] = without_null(property_schema)
    schema["required"] = [name for name in schema["properties"] if name in required]


def without_null(schema: Json) -> Json:
    """The schema of a value that may also be null, without the null."""
    left = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    return left[0] if len(left) == 1 else {**schema, "anyOf": left} if left else schema


def structs(types: list[Any]) -> list[type[msgspec.Struct]]:
    """Every struct reachable from ``types``, by name."""
    found: dict[str, type[msgspec.Struct]] = {}

    def walk(info: object) -> None:
        if isinstance(info, mi.StructType):
            if info.cls.__name__ in found:
                return
            found[info.cls.__name__] = info.cls
        if isinstance(info, mi.Type | mi.Field):
            for name in info.__struct_fields__:
                walk(getattr(info, name))
        elif isinstance(info, tuple):
            for member in info:
                walk(member)

    for info in mi.multi_type_info(types):
        walk(info)
    return [found[name] for name in sorted(found)]


# --- documentation -----------------------------------------------------------------------------------------------


def document_fields(schema: Json, struct: type[msgspec.Struct]) -> None:
    """Field docstrings (the string below a field) become descriptions."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(struct)}
    for base in reversed(struct.__mro__):
        if base.__module__.startswith("protocol."):
            for name, text in field_docs(base.__module__).get(base.__name__, {}).items():
                property_schema = schema["properties"][names[name]]
                schema["properties"][names[name]] = {**property_schema, "description": on_the_wire(text, names)}
    schema["description"] = on_the_wire(plain(inspect.getdoc(struct) or ""), names)


def on_the_wire(text: str, names: dict[str, str]) -> str:
    """Fields that the text names, as they are called on the wire."""
    return re.sub(r"`(\w+)`", lambda match: f"`{names.get(match[1], match[1])}`", text)


@cache
def field_docs(module: str) -> dict[str, dict[str, str]]:
    """Class -> field -> docstring, of one module."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    found: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for field, after in zip(node.body, node.body[1:], strict=False):
                match field, after:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found.setdefault(node.name, {})[name] = plain(inspect.cleandoc(text))
    return found


def plain(text: str) -> str:
    """A docstring as Markdown."""
    return text.replace("``", "`")


# --- JSON Schema and OpenRPC -------------------------------------------------------------------------------------


def schema_files() -> Iterator[tuple[str, Json]]:
    """One file per params, result, notification and error data; ``:`` and ``$/`` cannot be in file names."""
    for method in METHODS:
        name = method.name.replace(":", ".").replace("$/", "")
        by_sidecar = method.direction in {Direction.REQUEST_TO_HOST, Direction.NOTIFICATION_TO_HOST}
        if "notification" in method.direction:
            yield f"{method.direction}/{name}.json", document(method.name, list(method.params), by_sidecar)
        else:
            folder = method.direction
            yield f"{folder}/{name}.params.json", document(f"{method.name} params", list(method.params), by_sidecar)
            yield f"{folder}/{name}.result.json", document(f"{method.name} result", [method.result], not by_sidecar)
    yield "error-data.json", document("error data", [ErrorData], True)


def document(title: str, types: list[Any], by_sidecar: bool) -> Json:
    """A self-contained schema."""
    schemas, parts = definitions(types, by_sidecar=by_sidecar)
    body = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    whole: Json = {"$schema": DIALECT, "title": title, **body}
    if parts:
        whole["$defs"] = parts
    return whole


def openrpc() -> Json:
    """The OpenRPC document of all four directions; ``x-direction`` says who asks whom."""
    written, read = [], []
    for method in METHODS:
        theirs, ours = written_by_sidecar(method)
        written += theirs
        read += ours
    _, parts = definitions(read, by_sidecar=False)
    _, by_sidecar = definitions([*written, ErrorData], by_sidecar=True)
    parts = dict(sorted({**parts, **by_sidecar}.items()))
    whole = {
        "openrpc": "1.3.2",
        "info": {
            "title": "Scalix sidecar",
            "version": f"{PROTOCOL_VERSION}.0.0",
            "description": "JSON-RPC 2.0 over stdin and stdout, one message per line.",
        },
        "methods": [openrpc_method(method, parts) for method in METHODS],
        "components": {"schemas": parts, "errors": openrpc_errors()},
    }
    return json.loads(json.dumps(whole).replace("#/$defs/", "#/components/schemas/"))


def openrpc_method(method: Method, parts: dict[str, Json]) -> Json:
    """One method object."""
    described: Json = {
        "name": method.name,
        "summary": method.summary,
        "x-direction": str(method.direction),
        "paramStructure": "by-name",
        "params": openrpc_params(method, parts),
    }
    if method.scalar:
        described["x-scalar"] = method.scalar
    if "request" in method.direction:
        schema, _ = msgspec.json.schema_components([method.result], ref_template="#/$defs/{name}")
        described["result"] = {"name": "result", "schema": schema[0]}
        described["errors"] = [{"$ref": f"#/components/errors/{code.name}"} for code in RpcCode]
    return described


def openrpc_params(method: Method, parts: dict[str, Json]) -> list[Json]:
    """The members of the params object. Where a message is one of several shapes, ``params`` names them all."""
    schemas, _ = msgspec.json.schema_components(list(method.params), ref_template="#/$defs/{name}")
    if len(schemas) > 1:
        return [{"name": "params", "required": True, "schema": {"anyOf": list(schemas)}}]
    name = schemas[0].get("$ref", "").removeprefix("#/$defs/")
    if not name:
        return [{"name": "params", "required": True, "schema": schemas[0]}]
    struct = parts[name]
    ordered = sorted(struct["properties"].items(), key=lambda item: item[0] not in struct.get("required", []))
    return [
        {"name": field, "required": field in struct.get("required", []), "schema": schema} for field, schema in ordered
    ]


def openrpc_errors() -> Json:
    """The JSON-RPC error numbers; ``data`` is always an ``ErrorData``."""
    return {
        code.name: {
            "code": int(code),
            "message": code.name.replace("_", " ").capitalize(),
            "data": {"$ref": "#/$defs/ErrorData"},
        }
        for code in RpcCode
    }


# --- TypeScript --------------------------------------------------------------------------------------------------


def typescript() -> str:
    """``generated.ts``: an interface per struct, a map per direction, the error codes."""
    written, read = [ErrorData], []
    for method in METHODS:
        theirs, ours = written_by_sidecar(method)
        written += theirs
        read += ours
    _, by_host = definitions(read, by_sidecar=False)
    _, by_sidecar = definitions(written, by_sidecar=True)
    blocks = [
        f"// Written by `{COMMAND}` from protocol/*.py. Change those, not this file.",
        ts_const("PROTOCOL_VERSION", PROTOCOL_VERSION, "The version of the wire contract these types describe."),
        ts_const(
            "RPC_CODES",
            {code.name: int(code) for code in RpcCode},
            "JSON-RPC error numbers: which layer refused.",
        ),
        ts_const("ERROR_CODES", [str(code) for code in ErrorCode], "`data.code` of an error: what happened."),
        "/** `data.code` of an error. */\nexport type ErrorCode = (typeof ERROR_CODES)[number];",
        ts_const("ERROR_KINDS", [str(kind) for kind in Kind], "`data.kind` of an error: its coarse class."),
        "/** `data.kind` of an error. */\nexport type ErrorKind = (typeof ERROR_KINDS)[number];",
        ts_const("KIND_OF", {str(code): str(kind) for code, kind in KIND_OF.items()}, "The kind of each code."),
    ]
    merged = {**by_host, **by_sidecar}
    enums = {"ErrorCode": "ErrorCode", "Kind": "ErrorKind"}
    blocks += [ts_interface(name, merged[name]) for name in sorted(merged) if name not in enums]
    blocks += [ts_map(*entry) for entry in TS_MAPS]
    text = "\n\n".join(blocks) + "\n"
    for name, ours in enums.items():
        text = re.sub(rf"(?<=: ){name}\b", ours, text)
    return text


TS_MAPS: Final = (
    ("SidecarRequests", Direction.REQUEST_TO_SIDECAR, "What the host may ask, by method."),
    ("HostRequests", Direction.REQUEST_TO_HOST, "What the sidecar may ask the host, by method."),
    ("SidecarNotifications", Direction.NOTIFICATION_TO_HOST, "What the sidecar tells: params by method."),
    ("HostNotifications", Direction.NOTIFICATION_TO_SIDECAR, "What the host tells: params by method."),
)


def ts_const(name: str, value: object, doc: str) -> str:
    """A constant with its literal type."""
    return f"{ts_doc(doc)}export const {name} = {json.dumps(value, indent=2)} as const;"


def ts_interface(name: str, schema: Json) -> str:
    """An interface, or an alias for what is no object."""
    if schema.get("type") != "object":
        return f"{ts_doc(schema.get('description', ''))}export type {name} = {ts_type(schema)};"
    lines = [f"{ts_doc(schema.get('description', ''))}export interface {name} {{"]
    for field, property_schema in schema.get("properties", {}).items():
        optional = "" if field in schema.get("required", []) else "?"
        lines.append(
            ts_doc(property_schema.get("description", ""), "  ")
            + f"  readonly {ts_key(field)}{optional}: {ts_type(property_schema)};"
        )
    return "\n".join([*lines, "}"])


def ts_map(name: str, direction: Direction, doc: str) -> str:
    """Method name -> its types."""
    lines = [f"{ts_doc(doc)}export interface {name} {{"]
    for method in methods(direction):
        schemas, _ = msgspec.json.schema_components([*method.params], ref_template="#/$defs/{name}")
        params = " | ".join(ts_type(schema) for schema in schemas)
        entry = params
        if "request" in direction:
            result, _ = msgspec.json.schema_components([method.result], ref_template="#/$defs/{name}")
            entry = f"{{ readonly params: {params}; readonly result: {ts_type(result[0])} }}"
        lines.append(ts_doc(method.summary, "  ") + f"  readonly {ts_key(method.name)}: {entry};")
    return "\n".join([*lines, "}"])


def ts_type(schema: Json) -> str:  # noqa: PLR0911 - one return per kind of schema
    """A JSON Schema as a TypeScript type."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(ts_type(option) for option in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    match schema.get("type"):
        case "array":
            item = ts_type(schema.get("items", {}))
            return f"readonly ({item})[]" if " " in item else f"readonly {item}[]"
        case "object":
            extra = schema.get("additionalProperties")
            value = ts_type(extra) if isinstance(extra, dict) else "unknown"
            return f"{{ readonly [key: string]: {value} }}"
        case "integer" | "number":
            return "number"
        case "string" | "boolean" | "null" as simple:
            return str(simple)
        case None:
            return "unknown"
        case other:
            raise SystemExit(f"no TypeScript for the JSON Schema type {other}")


def ts_key(name: str) -> str:
    """A member name, quoted when it has to be."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else json.dumps(name)


def ts_doc(text: str, indent: str = "") -> str:
    """A doc comment, or nothing."""
    if not text:
        return ""
    lines = text.replace("*/", "* /").split("\n")
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    body = "\n".join(f"{indent} * {line}".rstrip() for line in lines)
    return f"{indent}/**\n{body}\n{indent} */\n"


# --- files -------------------------------------------------------------------------------------------------------


def outputs() -> dict[Path, str]:
    """Every generated file and its content."""
    files = {SCHEMA / name: text_of(content) for name, content in schema_files()}
    files[SCHEMA / "openrpc.json"] = text_of(openrpc())
    files[TYPESCRIPT] = typescript()
    files[PAGE] = ProtocolPage(ts_type, method_schemas).filled(PAGE.read_text(encoding="utf-8"))
    return files


def method_schemas(method: Method) -> tuple[list[tuple[Json, dict[str, Json]]], tuple[Json, dict[str, Json]]]:
    """A method's params, one or several, and its result: each a schema with the definitions it refers to."""
    by_sidecar = method.direction in {Direction.REQUEST_TO_HOST, Direction.NOTIFICATION_TO_HOST}
    schemas, parts = definitions(list(method.params), by_sidecar=by_sidecar)
    answer, answered = definitions([method.result], by_sidecar=not by_sidecar)
    return [(schema, parts) for schema in schemas], (answer[0], answered)


def text_of(content: Json) -> str:
    """JSON as it is kept in the repository."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def drift(files: dict[Path, str]) -> list[str]:
    """Files that are missing, different or left over, each with what is wrong."""
    found = []
    for path, text in files.items():
        name = path.relative_to(ROOT).as_posix()
        if not path.exists():
            found.append(f"{name} is missing")
        elif path.read_text(encoding="utf-8") != text:
            found.append(f"{name} is out of date")
    left_over = set(SCHEMA.rglob("*.json")) - files.keys()
    return sorted(found) + sorted(f"{path.relative_to(ROOT).as_posix()} is left over" for path in left_over)


def write(files: dict[Path, str]) -> None:
    """Bring the files up to date."""
    for path in set(SCHEMA.rglob("*.json")) - files.keys():
        path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> int:
    """Write, or check with ``--check``; returns the exit code."""
    files = outputs()
    if "--check" not in arguments:
        write(files)
        return 0
    problems = drift(files)
    for problem in problems:
        print(problem)
    if problems:
        print(f"Mend it with: {COMMAND}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
