"""Builds the app's real ``sqlite.db`` for sessions and tests.

Its tables are as the app's own migrations leave them (app contract 15.4, 15.5).

The tables grow migration by migration, so that the physical column order is the app's, and an older database is just
a shorter list. Every function takes a path or an open connection and commits before it returns.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

Target: TypeAlias = "sqlite3.Connection | Path | str"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the app's schema. ``created_at`` is the journal time in ms, ``sha256`` the hash of its .sql file."""

    tag: str
    created_at: int
    sha256: str
    statements: tuple[str, ...]


_KEY: Final = "id integer PRIMARY KEY AUTOINCREMENT NOT NULL"
_CREATED: Final = "created_at integer DEFAULT (unixepoch()) NOT NULL"
_UPDATED: Final = "updated_at integer DEFAULT (unixepoch()) NOT NULL"

MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(
        "0000_nebulous_proemial_gods",
        1744692127560,
        "2fd0348e72ac1429b9246311e8db17a34078771470c622a13ab09afdee0a0d31",
        (
            f"CREATE TABLE apps ({_KEY}, name text NOT NULL, path text NOT NULL, {_CREATED}, {_UPDATED},"
            " github_org text, github_repo text)",
            f"CREATE TABLE chats ({_KEY}, app_id integer NOT NULL, title text, {_CREATED},"
            " FOREIGN KEY (app_id) REFERENCES apps(id) ON UPDATE no action ON DELETE cascade)",
            f"CREATE TABLE messages ({_KEY}, chat_id integer NOT NULL, role text NOT NULL, content text NOT NULL,"
            f" {_CREATED}, FOREIGN KEY (chat_id) REFERENCES chats(id) ON UPDATE no action ON DELETE cascade)",
        ),
    ),
    Migration(
        "0001_hesitant_roland_deschain",
        1744999922420,
        "b9b37284db688cf3aaaa2719dda788238fd216933d3756c0482f26b5343d0059",
        ("ALTER TABLE messages ADD approval_state text",),
    ),
    Migration(
        "0002_unique_morlocks",
        1745359640409,
        "be8d3239971b7065af2a5da9ce4b164bf2b4ed6f8cff56847f9127ac83c48b25",
        ("ALTER TABLE apps ADD supabase_project_id text",),
    ),
    Migration(
        "0003_open_bucky",
        1746209201530,
        "df2eac5c579c23d8e332959358182c54316b6b013bbb2158ff93871881b58998",
        ("ALTER TABLE messages ADD commit_hash text",),
    ),
    Migration(
        "0004_flawless_jigsaw",
        1746556241557,
        "8433dd3066c22d076355284235b3efa23fa7eeec69000b4880b795aaabf26b63",
        ("ALTER TABLE chats ADD initial_commit_hash text",),
    ),
    Migration(
        "0005_clumsy_namor",
        1747095436506,
        "bafc550e0b380ac06d3332178b5119fe349d0352d3548f91c53a70ab5b2c94ba",
        (
            "CREATE TABLE language_model_providers (id text PRIMARY KEY NOT NULL, name text NOT NULL,"
            f" api_base_url text NOT NULL, env_var_name text, {_CREATED}, {_UPDATED})",
            f"CREATE TABLE language_models ({_KEY}, display_name text NOT NULL, api_name text NOT NULL,"
            " builtin_provider_id text, custom_provider_id text, description text, max_output_tokens integer,"
            f" context_window integer, {_CREATED}, {_UPDATED}, FOREIGN KEY (custom_provider_id)"
            " REFERENCES language_model_providers(id) ON UPDATE no action ON DELETE cascade)",
        ),
    ),
    Migration(
        "0006_mushy_squirrel_girl",
        1749515724373,
        "ea476336d69f13212af9581f803b6fb60e421f91d4f1b4304c4765cfdf87d616",
        ("ALTER TABLE apps ADD chat_context text",),
    ),
    Migration(
        "0007_dapper_overlord",
        1750186036000,
        "6ec8657833c0776bb2d41646e408ca5cf1f0bcf1a03ffd75c181d28708b503c7",
        ("ALTER TABLE apps ADD github_branch text",),
    ),
    Migration(
        "0008_medical_vulcan",
        1752625491756,
        "01f996b087aad2365b567a2701d5bde943d366e337c9bba503734c496bdcd35b",
        tuple(
            f"ALTER TABLE apps ADD {column} text"
            for column in ("vercel_project_id", "vercel_project_name", "vercel_team_id", "vercel_deployment_url")
        ),
    ),
    Migration(
        "0009_previous_misty_knight",
        1753473275674,
        "b41b2c404e145ec6dbfd06b07c65a140f3ce013f6e644e1a1222d89d2d4cbdfb",
        (
            f"CREATE TABLE versions ({_KEY}, app_id integer NOT NULL, commit_hash text NOT NULL,"
            f" neon_db_timestamp text, {_CREATED}, {_UPDATED},"
            " FOREIGN KEY (app_id) REFERENCES apps(id) ON UPDATE no action ON DELETE cascade)",
            "CREATE UNIQUE INDEX versions_app_commit_unique ON versions (app_id, commit_hash)",
            "ALTER TABLE apps ADD neon_project_id text",
            "ALTER TABLE apps ADD neon_development_branch_id text",
            "ALTER TABLE apps ADD neon_preview_branch_id text",
        ),
    ),
    Migration(
        "0010_nappy_fat_cobra",
        1755110011615,
        "09004cfdaed47395e587ddd9a9544c0e7b148e62c885817dea312c7470d49e42",
        ("ALTER TABLE apps ADD install_command text", "ALTER TABLE apps ADD start_command text"),
    ),
    Migration(
        "0011_light_zeigeist",
        1755545060076,
        "f871ee345a8fde627ae725329500f7b8ed2efd83e2a2e9a26f4f885dfa30f6e0",
        (
            f"CREATE TABLE prompts ({_KEY}, title text NOT NULL, description text, content text NOT NULL,"
            f" {_CREATED}, {_UPDATED})",
        ),
    ),
)

NEWEST_SCHEMA: Final = MIGRATIONS[-1].created_at
"""``MAX(created_at)`` of the app's newest migration."""

_NEWER_STATEMENTS: Final = (
    "ALTER TABLE messages ADD request_id text",
    "ALTER TABLE messages ADD max_tokens_used integer",
    "ALTER TABLE messages ADD model text",
    "ALTER TABLE chats ADD chat_mode text",
    "ALTER TABLE prompts ADD slug text",
    "ALTER TABLE language_model_providers ADD trust_self_signed integer DEFAULT 0 NOT NULL",
    "ALTER TABLE language_models ADD temperature integer",
)


def create_app_database(
    path: Path | str, *, schema_version: int = NEWEST_SCHEMA, more_columns: bool = False, bookkeeping: bool = True
) -> None:
    """Create ``path`` with every migration up to ``schema_version`` (ms) applied and recorded.

    A ``schema_version`` above ``NEWEST_SCHEMA`` records one further, unknown migration: a database written by a newer
    app. ``more_columns`` adds columns this build does not know, without a trace in the bookkeeping.
    ``bookkeeping=False`` leaves ``__drizzle_migrations`` out.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with _connection(path) as connection:
        recorded: list[tuple[str, int]] = []
        for migration in MIGRATIONS:
            if migration.created_at > schema_version:
                break
            for statement in migration.statements:
                connection.execute(statement)
            recorded.append((migration.sha256, migration.created_at))
        if schema_version > NEWEST_SCHEMA:
            recorded.append(("f" * 64, schema_version))
        if more_columns:
            for statement in _NEWER_STATEMENTS:
                connection.execute(statement)
        if bookkeeping:
            connection.execute(
                'CREATE TABLE "__drizzle_migrations" (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)'
            )
            connection.executemany('INSERT INTO "__drizzle_migrations" (hash, created_at) VALUES (?, ?)', recorded)


def insert_app(target: Target, name: str = "app", path: str = "app", **columns: Any) -> int:
    """A row of ``apps``; ``columns`` are further columns by name. Returns its id."""
    return insert(target, "apps", name=name, path=path, **columns)


def insert_chat(target: Target, app_id: int, title: str | None = None, **columns: Any) -> int:
    """A row of ``chats``. Returns its id."""
    return insert(target, "chats", app_id=app_id, title=title, **columns)


def insert_message(
    target: Target, chat_id: int, role: str, content: str, created_at: int | None = None, **columns: Any
) -> int:
    """A row of ``messages``; ``created_at`` in whole seconds, now when None. Returns its id."""
    if created_at is not None:
        columns["created_at"] = created_at
    return insert(target, "messages", chat_id=chat_id, role=role, content=content, **columns)


def insert_provider(
    target: Target,
    provider_id: str = "custom::testing",
    name: str = "test-provider",
    api_base_url: str = "http://localhost:3500/v1",
    env_var_name: str | None = None,
    **columns: Any,
) -> str:
    """A custom provider, its id as stored (with ``custom::``). Returns that id."""
    insert(
        target,
        "language_model_providers",
        id=provider_id,
        name=name,
        api_base_url=api_base_url,
        env_var_name=env_var_name,
        **columns,
    )
    return provider_id


def insert_model(
    target: Target, provider_id: str = "custom::testing", api_name: str = "test-model", **columns: Any
) -> int:
    """A custom model of a custom provider (``custom::x``) or of a built-in one. Returns its id."""
    column = "custom_provider_id" if provider_id.startswith("custom::") else "builtin_provider_id"
    columns.setdefault("display_name", api_name)
    return insert(target, "language_models", api_name=api_name, **{column: provider_id}, **columns)


def insert_prompt(target: Target, title: str, content: str, **columns: Any) -> int:
    """A row of ``prompts``. Returns its id."""
    return insert(target, "prompts", title=title, content=content, **columns)


def insert(target: Target, table: str, **columns: Any) -> int:
    """Any row; ``table`` and the names of ``columns`` are the caller's own, never data. Returns its rowid."""
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    with _connection(target) as connection:
        sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names from code, values bound
        cursor = connection.execute(sql, tuple(columns.values()))
        return int(cursor.lastrowid or 0)


def execute(target: Target, sql: str, *arguments: Any) -> None:
    """Run one statement and commit it."""
    with _connection(target) as connection:
        connection.execute(sql, arguments)


def rows(target: Target, sql: str, *arguments: Any) -> list[dict[str, Any]]:
    """What a query gives, each row as a dict by column name."""
    with _connection(target) as connection:
        cursor = connection.execute(sql, arguments)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def write_lock(path: Path, kind: str = "IMMEDIATE") -> sqlite3.Connection:
    """A connection that holds the write lock until it is closed, on whichever thread that happens.

    ``EXCLUSIVE`` keeps readers out too.
    """
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    connection.execute(f"BEGIN {kind}")
    return connection


@contextlib.contextmanager
def _connection(target: Target) -> Iterator[sqlite3.Connection]:
    if isinstance(target, sqlite3.Connection):
        yield target
        target.commit()
        return
    with contextlib.closing(sqlite3.connect(target)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection
        connection.commit()
