"""The app's ``sqlite.db`` for tests; built by what replayed sessions use as well."""

from __future__ import annotations

from sidecar.replay.app_database import (
    MIGRATIONS,
    NEWEST_SCHEMA,
    Migration,
    Target,
    create_app_database,
    execute,
    insert,
    insert_app,
    insert_chat,
    insert_message,
    insert_model,
    insert_prompt,
    insert_provider,
    rows,
    write_lock,
)

__all__ = [
    "MIGRATIONS",
    "NEWEST_SCHEMA",
    "Migration",
    "Target",
    "create_app_database",
    "execute",
    "insert",
    "insert_app",
    "insert_chat",
    "insert_message",
    "insert_model",
    "insert_prompt",
    "insert_provider",
    "rows",
    "write_lock",
]
