"""One installation of the app for a benchmark: database, chats, a custom provider, every vendor behind loopback."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scripts.bench.host import SidecarHost
from scripts.bench.processes import KEY, Provider
from tests.app_database import create_app_database, insert_app, insert_chat, insert_model, insert_provider

MODELS: Final = {
    "openai-chat": {"provider": "custom::bench", "name": "bench-model"},
    "responses": {"provider": "openai", "name": "gpt-4.1"},
    "anthropic": {"provider": "anthropic", "name": "claude-sonnet-4-20250514"},
    "google": {"provider": "google", "name": "gemini-2.5-flash"},
}
"""The model behind each dialect."""


class Place:
    """The folder, its database, and the environment that leads every call to the scripted provider."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        self.folder = folder
        self.provider = provider
        self.database = folder / "sqlite.db"
        app = folder / "app"
        app.mkdir()
        create_app_database(self.database)
        self._app = insert_app(self.database, path=str(app))
        insert_provider(self.database, "custom::bench", name="Bench", api_base_url=f"{provider.base}/v1")
        insert_model(self.database, "custom::bench", "bench-model")
        vendors = {"OPENAI": "OPENAI", "ANTHROPIC": "ANTHROPIC", "GEMINI": "GOOGLE"}
        self.environ = {
            **{f"{key}_API_KEY": KEY for key in vendors},
            **{f"SCALIX_{name}_BASE_URL": f"{provider.base}/v1" for name in vendors.values()},
            "SCALIX_FREE_REQUESTS_PER_DAY": "unlimited",
            "SCALIX_FREE_TOKENS_PER_DAY": "unlimited",
        }

    def chats(self, count: int) -> list[int]:
        """New chats."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as connection:
            return [insert_chat(connection, self._app, "bench") for _ in range(count)]

    def more_models(self, count: int) -> None:
        """Custom models."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            for number in range(count):
                insert_model(connection, "custom::bench", f"bench-model-{number}", display_name=f"Model {number}")

    def settings(self, count: int) -> None:
        """A settings file of so many keys, and as many providers with a secret each."""
        secrets = {f"custom::{number}": {"apiKey": {"value": f"sk-bench-{number:08d}"}} for number in range(count)}
        values = {
            "providerSettings": secrets,
            **{f"key{number}": {"on": True, "value": number} for number in range(count)},
        }
        (self.folder / "user-settings.json").write_text(json.dumps(values))

    @contextlib.contextmanager
    def sidecar(self, *command: str) -> Iterator[SidecarHost]:
        """A sidecar after its handshake, from source or from ``command``."""
        host = SidecarHost(self.folder, self.environ, command) if command else SidecarHost(self.folder, self.environ)
        try:
            host.initialize()
            yield host
        finally:
            host.close()


@contextlib.contextmanager
def place(provider: Provider) -> Iterator[Place]:
    """A fresh installation, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="scalix-bench-", ignore_cleanup_errors=True) as folder:
        yield Place(Path(folder), provider)
