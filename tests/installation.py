"""One installation of the app for a test: database, user data, a scripted provider behind a custom provider row."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.app_database import create_app_database, insert_app, insert_chat, insert_model, insert_provider, rows
from tests.providers.server import Answer, ScriptedProvider, Step
from tests.providers.streams import openai_chat_stream

CHAT = "/v1/chat/completions"
MODEL = {"provider": "custom::testing", "name": "test-model"}


class Installation:
    """Paths, chats and the provider of one test."""

    def __init__(self, folder: Path, provider: ScriptedProvider) -> None:
        self.folder = folder
        self.database = folder / "sqlite.db"
        self.provider = provider
        self.app_folder = folder / "scalix-apps" / "app"
        self.app_folder.mkdir(parents=True)
        create_app_database(self.database)
        self.app = insert_app(self.database, name="app", path=str(self.app_folder))
        insert_provider(self.database, api_base_url=f"{provider.base_url}/v1")
        insert_model(self.database)

    def chat(self, title: str | None = None) -> int:
        """A new chat."""
        return insert_chat(self.database, self.app, title)

    def settings(self, values: dict[str, Any], *, days_old: float = 1) -> None:
        """Write ``user-settings.json``, last changed so long ago."""
        path = self.folder / "user-settings.json"
        path.write_text(json.dumps({"telemetryUserId": "somebody", **values}), "utf-8")
        changed_at = time.time() - days_old * 86_400
        os.utime(path, (changed_at, changed_at))

    def answers(self, *pieces: str, **options: Any) -> None:
        """The provider streams these pieces to every request."""
        self.provider.answer(CHAT, Answer.stream(openai_chat_stream(pieces, **options)))

    def script(self, *answers: Sequence[Step] | Answer) -> None:
        """One answer per request, in order."""
        self.provider.answer(
            CHAT, *(answer if isinstance(answer, Answer) else Answer.stream(answer) for answer in answers)
        )

    def messages(self, chat: int) -> list[tuple[str, str]]:
        """(role, content) of a chat's rows."""
        found = rows(self.database, "SELECT role, content FROM messages WHERE chat_id = ? ORDER BY id", chat)
        return [(row["role"], row["content"]) for row in found]

    def stream_params(self, chat: int, prompt: str = "hi", **more: Any) -> dict[str, Any]:
        """Params of ``chat:stream`` for the scripted model."""
        return {"chatId": chat, "prompt": prompt, "model": MODEL, **more}


@asynccontextmanager
async def installation(folder: Path) -> AsyncIterator[Installation]:
    """The installation with its provider running."""
    async with ScriptedProvider() as provider:
        yield Installation(folder, provider)
