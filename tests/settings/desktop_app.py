"""The app's own old path, as far as the settings file knows it (app contract 14), quirks and all.

It reads the file for every change, takes defaults for everything when one thing is wrong, drops what it does not
know, seals every secret anew, and overwrites in place: whoever kills it then leaves the beginning of a file.
"""

from __future__ import annotations

import base64
import itertools
import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from sidecar.settings.schema import APP_MEMBERS, KEYS, PROVIDER_MEMBERS, defaults, in_schema_order

Json = dict[str, Any]

SEALED = "electron-safe-storage"


class SafeStorage(Protocol):
    """What the app seals secrets with."""

    def seal(self, plaintext: str) -> dict[str, str]:
        """An envelope."""
        ...

    def open(self, ciphertext: str) -> str:
        """Its plain text. Raises ``ValueError`` for one that is lost."""
        ...


class Keychain:
    """Safe storage whose ciphertext differs each time, as on Windows. ``lost`` are ciphertexts it cannot open."""

    def __init__(self) -> None:
        self.lost: set[str] = set()
        self._salt = itertools.count()

    def seal(self, plaintext: str) -> dict[str, str]:
        salted = f"{next(self._salt)}:{plaintext}"
        return {"value": base64.b64encode(salted[::-1].encode()).decode(), "encryptionType": SEALED}

    def open(self, ciphertext: str) -> str:
        """Raises ``ValueError`` for one that is lost."""
        if ciphertext in self.lost:
            raise ValueError("wrong key")
        return reading(ciphertext)

    async def decrypt(self, secrets: list[Json]) -> list[Json]:
        """``host:decrypt-secrets``."""
        return [
            {"id": secret["id"], "error": "wrong key"}
            if secret["value"] in self.lost
            else {"id": secret["id"], "plaintext": self.open(secret["value"])}
            for secret in secrets
        ]

    async def encrypt(self, secrets: list[Json]) -> list[Json]:
        """``host:encrypt-secrets``."""
        return [{"id": secret["id"], **self.seal(secret["plaintext"])} for secret in secrets]


def reading(ciphertext: str) -> str:
    """The plain text of what a ``Keychain`` sealed, lost or not."""
    return base64.b64decode(ciphertext).decode()[::-1].partition(":")[2]


class DesktopApp:
    """One run of the app without a sidecar."""

    def __init__(self, file: Path, keychain: SafeStorage) -> None:
        self.file = file
        self._keychain = keychain
        self._user = str(uuid.uuid4())

    def read(self) -> Json:
        """The settings it works with: everything at its default when anything cannot be used."""
        fresh = {**defaults(), "telemetryUserId": self._user}
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
            settings = {**fresh, **found}
            if settings["releaseChannel"] not in {"stable", "beta"}:
                raise ValueError("releaseChannel")
            for envelope in _envelopes(settings):
                if envelope.get("encryptionType") == SEALED:
                    envelope["value"] = self._keychain.open(envelope["value"])
        except (OSError, ValueError, KeyError, TypeError):
            return fresh
        return _known(settings)

    def text_after(self, partial: Mapping[str, Any]) -> str:
        """What it would write; a member given as None is taken out."""
        settings = _known({**self.read(), **partial})
        for envelope in _envelopes(settings):
            envelope.update(self._keychain.seal(envelope["value"]))
        return json.dumps(in_schema_order(settings), indent=2, ensure_ascii=False)

    def write(self, partial: Mapping[str, Any], *, dies_at: float = 1.0) -> bool:
        """Overwrite the file; ``dies_at`` is the share of the text that is written. Whether it all was."""
        text = self.text_after(partial)
        written = text[: int(len(text) * dies_at)]
        self.file.write_text(written, encoding="utf-8")
        return written == text


def _known(settings: Json) -> Json:
    """A copy without what the app does not know, and without what is undefined."""
    result: Json = {}
    for key in KEYS:
        value = settings.get(key)
        if value is None:
            continue
        if key == "providerSettings":
            value = {name: _members(entry, PROVIDER_MEMBERS) for name, entry in value.items()}
        elif key in APP_MEMBERS:
            value = _members(value, APP_MEMBERS[key])
        result[key] = json.loads(json.dumps(value))
    return result


def _members(value: Json, known: Collection[str]) -> Json:
    return {name: item for name, item in value.items() if name in known and item is not None}


def _envelopes(settings: Json) -> Iterator[Json]:
    """The secrets the app seals (app contract 14), where they are well-formed."""
    for key in ("githubAccessToken", "vercelAccessToken"):
        yield from _one(settings.get(key))
    for key in ("supabase", "neon"):
        for name in ("accessToken", "refreshToken"):
            yield from _one(settings.get(key, {}).get(name))
    for entry in settings["providerSettings"].values():
        yield from _one(entry.get("apiKey"))


def _one(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
