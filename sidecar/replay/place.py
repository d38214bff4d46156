"""The installation a session happens in: database, app folder, settings file, provider running.

The script's ``installation``, everything optional::

    {
      "database": {"schemaVersion": 1752625491756},           of an older or newer app; {"text": "..."}: no database
      "files": {"src/App.tsx": "..."},                        of the first app's folder
      "apps": [{"name": "app", "files": {...}, ...columns}],  default: one app
      "chats": [{"title": null, "messages": [["user", "hi"], {"role": ..., "content": ..., ...columns}], ...columns}],
      "providers": [{"id": "custom::testing", "base": "/v1", "models": ["test-model", {"api_name": ..., ...}]}],
      "prompts": [["title", "content"]],
      "settings": {...},                                      user-settings.json; a string is the whole file
      "environment": {"NAME": "value"}
    }

A file is its text, ``{"base64": "..."}`` or ``{"link": "target"}``; files of one app get ascending times, in their
order.
``${provider}`` and ``${folder}`` are filled in. Without ``providers`` there is ``custom::testing`` with ``test-model``
at ``${provider}/v1``; without ``chats`` one empty chat. Settings are not migrated at the start, unless the environment
sets ``SCALIX_NO_MIGRATION`` to the empty string: that happens when nothing else is due, so its place is not fixed.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from sidecar.replay.app_database import (
    NEWEST_SCHEMA,
    create_app_database,
    insert_app,
    insert_chat,
    insert_message,
    insert_model,
    insert_prompt,
    insert_provider,
)
from sidecar.replay.format import SessionInvalid
from sidecar.replay.match import Bindings
from sidecar.replay.provider import ScriptedProvider
from sidecar.replay.script import Pauses, ScriptedAnswers

Json = dict[str, Any]

_PROVIDERS: Final = [{"id": "custom::testing", "name": "test-provider", "base": "/v1", "models": ["test-model"]}]
_OLDEST_FILE_S: Final = 1_700_000_000
"""The first file's time, seconds since 1970: the code base is ordered by age, and a session must know its order."""


class Place:
    """Where a session is played."""

    def __init__(self, folder: Path, provider: ScriptedProvider, pauses: Pauses) -> None:
        self.folder = folder
        self.database = folder / "sqlite.db"
        self.provider = provider
        self.pauses = pauses
        self.environment: dict[str, str] = {}


@asynccontextmanager
async def place_of(script: Json, folder: Path) -> AsyncIterator[Place]:
    """The installation in ``folder`` (which must exist) with its provider running. Raises ``SessionInvalid``."""
    pauses = Pauses()
    async with ScriptedProvider() as provider:
        for path, answers in script.get("answers", {}).items():
            provider.handle(path, ScriptedAnswers(answers, pauses))
        place = Place(folder, provider, pauses)
        known = Bindings({"provider": provider.base_url, "folder": str(folder)})
        installation = known.fill(script.get("installation", {}))
        place.environment = {"SCALIX_NO_MIGRATION": "1", **installation.get("environment", {})}
        await anyio.to_thread.run_sync(_install, installation, place)
        yield place


def _install(installation: Json, place: Place) -> None:
    database = installation.get("database", {})
    if "text" in database:
        place.database.write_text(database["text"], "utf-8")
    else:
        create_app_database(place.database, schema_version=database.get("schemaVersion", NEWEST_SCHEMA))
        _install_rows(installation, place)
    for app in _apps(installation):
        _install_files(app.get("files", {}), _app_folder(place, app))
    if "settings" in installation:
        settings = installation["settings"]
        text = settings if isinstance(settings, str) else json.dumps(settings, indent=2, ensure_ascii=False)
        (place.folder / "user-settings.json").write_text(text, "utf-8")


def _apps(installation: Json) -> list[Json]:
    """The apps, the installation's ``files`` with the first one."""
    first, *others = installation.get("apps", [{"name": "app"}])
    return [{**first, "files": {**installation.get("files", {}), **first.get("files", {})}}, *others]


def _app_folder(place: Place, app: Json) -> Path:
    return place.folder / "scalix-apps" / str(app["name"])


def _install_rows(installation: Json, place: Place) -> None:
    app = _install_apps(installation, place)
    for chat in installation.get("chats", [{}]):
        columns = {key: value for key, value in chat.items() if key != "messages"}
        identifier = insert_chat(place.database, columns.pop("app_id", app), **columns)
        for message in chat.get("messages", []):
            columns = message if isinstance(message, dict) else {"role": message[0], "content": message[1]}
            insert_message(place.database, identifier, **columns)
    for provider in installation.get("providers", _PROVIDERS):
        _install_provider(provider, place)
    for title, content in installation.get("prompts", []):
        insert_prompt(place.database, title, content)


def _install_apps(installation: Json, place: Place) -> int:
    """Returns the first one's id."""
    first = 0
    for app in _apps(installation):
        columns = {key: value for key, value in app.items() if key != "files"}
        identifier = insert_app(place.database, **{"path": str(_app_folder(place, app)), **columns})
        first = first or identifier
    return first


def _install_files(files: Json, folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, (name, content) in enumerate(files.items()):
        write_file(folder / name, content)
        when = _OLDEST_FILE_S + number
        os.utime(folder / name, (when, when), follow_symlinks=False)


def write_file(path: Path, content: Any) -> None:
    """A file as a session describes it, its folders with it. Raises ``SessionInvalid``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match content:
        case str():
            path.write_bytes(content.encode("utf-8", "surrogatepass"))
        case {"base64": str(encoded)}:
            path.write_bytes(base64.b64decode(encoded))
        case {"link": str(target)}:
            path.symlink_to(target)
        case _:
            raise SessionInvalid(f'The content of {path.name} is none of a text, "base64", "link": {content}.')


def file_content(path: Path) -> bytes | None:
    """What a file holds; None when there is none."""
    return path.read_bytes() if path.exists() else None


def _install_provider(provider: Json, place: Place) -> None:
    base = f"{place.provider.base_url}{provider.get('base', '/v1')}"
    insert_provider(
        place.database,
        provider["id"],
        name=str(provider.get("name", provider["id"])),
        api_base_url=provider.get("api_base_url", base),
        env_var_name=provider.get("env_var_name"),
    )
    for model in provider.get("models", []):
        columns = dict(model) if isinstance(model, dict) else {"api_name": model}
        insert_model(place.database, provider["id"], **columns)
