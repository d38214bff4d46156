"""``scalix-sidecar doctor``: could a chat work here, and if not, what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Any, Final

import msgspec

from protocol.errors import ErrorCode
from protocol.usage import ProviderProbe
from sidecar import __version__
from sidecar.build_info import build_id
from sidecar.catalog.builtin import CLOUD_PROVIDERS
from sidecar.catalog.catalog import Catalog
from sidecar.catalog.prices import data_path
from sidecar.engines.http import ProviderHttp
from sidecar.paths import app_paths
from sidecar.routing.failures import KEY_ERRORS
from sidecar.routing.inputs import Environment
from sidecar.routing.probe import probe_all
from sidecar.settings.store import SettingsStore
from sidecar.store.database import Database

_REFUSED: Final = frozenset(code.value for code in KEY_ERRORS)


class Diagnosis(msgspec.Struct, rename="camel"):
    """Everything ``doctor`` found. Keys are named, never shown."""

    version: str
    build: str
    user_data: str
    database: dict[str, Any]
    settings_warnings: list[str]
    keys: dict[str, str]
    """Provider id -> where its key comes from (``settings``, ``environment``, ``locked``)."""
    providers: list[ProviderProbe]
    tls: str
    litellm: dict[str, Any]
    advice: list[str]

    @property
    def chat_could_work(self) -> bool:
        """No advice is needed before a first chat."""
        return not self.advice


async def diagnose(user_data: Path | None) -> Diagnosis:
    """Look at everything a chat needs. Never raises for what is wrong with it: that is the answer."""
    paths = app_paths(os.environ, user_data=user_data)
    database = Database(paths.database)
    http = ProviderHttp()
    try:
        settings = SettingsStore(database, paths.settings_file, environ=os.environ)
        status = await database.status()
        loaded = await settings.load()
        keys = {
            name: "locked" if entry.locked else "settings"
            for name, entry in loaded.provider_settings.items()
            if entry.api_key or entry.locked
        }
        for provider in CLOUD_PROVIDERS:
            variable = provider.env_var_name
            if isinstance(variable, str) and os.environ.get(variable, "").strip():
                keys.setdefault(provider.id, "environment")
        reached = await probe_all(settings, Catalog(database), Environment(os.environ), http.get)
    finally:
        await http.aclose()
        await database.aclose()
    schema = {"path": str(status.path), "exists": status.exists, "schemaVersion": status.schema_version}
    return Diagnosis(
        version=__version__,
        build=build_id(),
        user_data=str(paths.user_data),
        database={**schema, "writable": status.writable},
        settings_warnings=list(loaded.warnings),
        keys=keys,
        providers=reached,
        tls=os.environ.get("SSL_CERT_FILE") or "the operating system's trust store",
        litellm=_litellm(),
        advice=_advice(status.exists, status.writable, keys, reached),
    )


def _advice(exists: bool, writable: bool, keys: dict[str, str], reached: list[ProviderProbe]) -> list[str]:
    advice: list[str] = []
    if not exists:
        advice.append("The app's database is missing: start Scalix once, or name its folder with --user-data.")
    elif not writable:
        advice.append("The app's database cannot be written: check its permissions, or update Scalix.")
    if any(each.reachable and each.code not in _REFUSED for each in reached):
        return advice
    locked = [each.provider for each in reached if each.code == ErrorCode.SECRET_LOCKED.value]
    if refused := [each for each in reached if each.code in _REFUSED]:
        advice += [f"The key of {each.provider} is refused: {each.message}" for each in refused]
    elif locked:
        advice.append(f"The saved keys of {', '.join(locked)} can only be opened by the app: look there.")
    elif keys:
        advice.append("There are keys, but no provider can be reached: check the network, the proxy, the keys.")
    else:
        advice.append("There is no API key and no local server: add a key in Settings, or start Ollama.")
    return advice


def _litellm() -> dict[str, Any]:
    """Version and price data; litellm itself is not imported for this."""
    try:
        version: str | None = importlib.metadata.version("litellm")
    except importlib.metadata.PackageNotFoundError:
        version = None
    path = data_path()
    return {"version": version, "priceData": path is not None and path.exists()}
