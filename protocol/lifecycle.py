"""``initialize`` and its neighbours (protocol page 2)."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

PROTOCOL_VERSION: Final = 1

ChunkMode = Literal["messages", "patch"]


class ClientInfo(msgspec.Struct, frozen=True):
    """Who is on the other side."""

    name: str = ""
    version: str = ""


class Paths(msgspec.Struct, frozen=True, rename="camel"):
    """Where the app keeps its things; absent ones follow from ``userData`` or the platform's defaults."""

    user_data: str | None = None
    database: str | None = None
    settings_file: str | None = None
    apps_root: str | None = None


class HostCapabilities(msgspec.Struct, frozen=True, rename="camel"):
    """What the host can do for the sidecar."""

    chunks: ChunkMode = "messages"
    secrets: bool = False
    system_prompt: bool = False
    apply_response: bool = False
    check_problems: bool = False


class InitializeParams(msgspec.Struct, frozen=True, rename="camel"):
    """All optional."""

    protocol_version: int = PROTOCOL_VERSION
    client_info: ClientInfo | None = None
    process_id: int | None = None
    paths: Paths | None = None
    capabilities: HostCapabilities | None = None


class ServerInfo(msgspec.Struct, frozen=True):
    """This build."""

    name: str
    version: str
    build: str


class ServerCapabilities(msgspec.Struct, frozen=True):
    """What this build answers and sends."""

    methods: list[str]
    notifications: list[str]
    chunks: list[str]


class DatabaseReport(msgspec.Struct, frozen=True, rename="camel"):
    """The app's database as found; a missing one is not an error."""

    path: str
    exists: bool
    schema_version: int | None
    writable: bool


class InitializeResult(msgspec.Struct, frozen=True, rename="camel"):
    """Result of ``initialize``."""

    protocol_version: int
    server_info: ServerInfo
    features: dict[str, Any]
    capabilities: ServerCapabilities
    database: DatabaseReport
