"""One installation for tests: a folder with the app's database and its settings file, and a host that has a key."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sidecar.errors import SidecarError
from sidecar.settings.file import Step, no_step
from sidecar.settings.secrets import SecretsBridge
from sidecar.settings.store import SettingsStore
from sidecar.store.database import Database
from tests import planted
from tests.app_database import create_app_database, rows


class Host:
    """Safe storage of a kind: base64 of the reversed text. ``questions`` are the calls made."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, list[str]]] = []
        self.refusing = False
        self.lost: set[str] = set()

    def bridge(self) -> SecretsBridge:
        return SecretsBridge(decrypt=self._decrypt, encrypt=self._encrypt)

    @staticmethod
    def seal(text: str) -> dict[str, str]:
        return {
            "value": base64.b64encode(text[::-1].encode()).decode(),
            "encryptionType": "electron-safe-storage",
        }

    def open(self, ciphertext: str) -> str:
        """Raises ``ValueError`` for one that is lost."""
        if ciphertext in self.lost:
            raise ValueError("wrong key")
        return base64.b64decode(ciphertext).decode()[::-1]

    async def _decrypt(self, secrets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.questions.append(("decrypt", [secret["id"] for secret in secrets]))
        if self.refusing:
            raise SidecarError("no")
        return [
            {"id": secret["id"], "error": "wrong key"}
            if secret["value"] in self.lost
            else {"id": secret["id"], "plaintext": self.open(secret["value"])}
            for secret in secrets
        ]

    async def _encrypt(self, secrets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.questions.append(("encrypt", [secret["id"] for secret in secrets]))
        if self.refusing:
            raise SidecarError("no")
        return [{"id": secret["id"], **self.seal(secret["plaintext"])} for secret in secrets]


class Installation:
    """A ``userData`` folder. Stores opened on it see each other's changes only through the disk."""

    def __init__(self, folder: Path, *, database: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = folder / "sqlite.db"
        self.file = folder / "user-settings.json"
        self.host = Host()
        planted.in_use()
        if database:
            create_app_database(self.path)

    @asynccontextmanager
    async def store(
        self,
        *,
        secrets: bool = True,
        environ: dict[str, str] | None = None,
        step: Step = no_step,
        busy_timeout_ms: int = 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> AsyncIterator[SettingsStore]:
        """A sidecar's store; closed at the end."""
        database = Database(self.path, busy_timeout_ms=busy_timeout_ms)
        bridge = self.host.bridge() if secrets else None
        try:
            yield SettingsStore(database, self.file, environ=environ or {}, secrets=bridge, step=step, clock=clock)
        finally:
            await database.aclose()

    def write_file(self, settings: dict[str, Any] | str) -> None:
        """What the app does: overwrite in place."""
        text = settings if isinstance(settings, str) else json.dumps(settings, indent=2, ensure_ascii=False)
        self.file.write_text(text, encoding="utf-8")

    def in_file(self) -> dict[str, Any]:
        """What the app would read."""
        found = json.loads(self.file.read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return found

    def in_table(self) -> dict[str, Any]:
        """The rows of ours, by key."""
        return {row["key"]: json.loads(row["value"]) for row in rows(self.path, "SELECT * FROM sidecar_settings")}

    def beside(self, part: str) -> list[Path]:
        """Files of the folder with ``part`` in their name."""
        return sorted(path for path in self.folder.iterdir() if part in path.name)


def ciphertexts(value: Any) -> Iterator[str]:
    """Every sealed value anywhere in the settings."""
    if isinstance(value, dict):
        if value.get("encryptionType") == "electron-safe-storage":
            yield value["value"]
        else:
            for item in value.values():
                yield from ciphertexts(item)
    elif isinstance(value, list):
        for item in value:
            yield from ciphertexts(item)
