"""The installation a session happens in: database, app folder, settings file, provider running.

The script's ``installation``, everything optional::

    {
      "files": {"src/App.tsx": "..."},                        of the first app's folder
      "apps": [{"name": "app", ...columns}],                  default: one app
      "chats": [{"title": null, "messages": [["user", "hi"], {"role": ..., "content": ..., ...columns}], ...columns}],
      "providers": [{"id": "custom::testing", "base": "/v1", "models": ["test-model", {"api_name": ..., ...}]}],
      "prompts": [["title", "content"]],
      "settings": {...},                                      user-settings.json
      "environment": {"NAME": "value"}
    }

``${provider}`` and ``${folder}`` are filled in. Without ``providers`` there is ``custom::testing`` with ``test-model``
at ``${provider}/v1``; without ``chats`` one empty chat. Settings are not migrated at the start, unless the environment
sets ``SCALIX_NO_MIGRATION`` to the empty string: that happens when nothing else is due, so its place is not fixed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from sidecar.replay.app_database import (
    create_app_database,
    insert_app,
    insert_chat,
    insert_message,
    insert_model,
    insert_prompt,
    insert_provider,
)
from sidecar.replay.match import Bindings
from sidecar.replay.provider import ScriptedProvider
from sidecar.replay.script import Pauses, ScriptedAnswers

Json = dict[str, Any]

_PROVIDERS: Final = [{"id": "custom::testing", "name": "test-provider", "base": "/v1", "models": ["test-model"]}]


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
    create_app_database(place.database)
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
    if "settings" in installation:
        text = json.dumps(installation["settings"], indent=2, ensure_ascii=False)
        (place.folder / "user-settings.json").write_text(text, "utf-8")


def _install_apps(installation: Json, place: Place) -> int:
    """The apps and the first one's files; returns the first one's id."""
    first = 0
    for app in installation.get("apps", [{"name": "app"}]):
        folder = place.folder / "scalix-apps" / app["name"]
        folder.mkdir(parents=True)
        first = first or insert_app(place.database, **{"path": str(folder), **app})
    for name, content in installation.get("files", {}).items():
        file = place.folder / "scalix-apps" / installation.get("apps", [{"name": "app"}])[0]["name"] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
    return first


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
