"""``scalix-sidecar doctor``: could a chat work here, and if not, what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from sidecar import __version__
from sidecar.build_info import build_id
from sidecar.catalog.builtin import CLOUD_PROVIDERS
from sidecar.catalog.local import list_lmstudio, list_ollama, lmstudio_base, ollama_base
from sidecar.catalog.prices import data_path
from sidecar.engines.network import place_of
from sidecar.errors import SidecarError
from sidecar.paths import app_paths
from sidecar.routing.endpoints import VENDOR_BASES
from sidecar.settings.store import SettingsStore
from sidecar.store.database import Database

REACH_TIMEOUT_S: Final = 5.0


class Reach(msgspec.Struct, rename="camel"):
    """Whether a provider's server can be connected to; no request is made with a key."""

    provider: str
    address: str
    reachable: bool
    ms: float
    note: str = ""


class Diagnosis(msgspec.Struct, rename="camel"):
    """Everything ``doctor`` found. Keys are named, never shown."""

    version: str
    build: str
    user_data: str
    database: dict[str, Any]
    settings_warnings: list[str]
    keys: dict[str, str]
    """Provider id -> where its key comes from (``settings``, ``environment``, ``locked``)."""
    providers: list[Reach]
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
        reached = [await _reach(name) for name in sorted(keys) if name in VENDOR_BASES]
        reached += [await _local("ollama"), await _local("lmstudio")]
    finally:
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


def _advice(exists: bool, writable: bool, keys: dict[str, str], reached: list[Reach]) -> list[str]:
    advice: list[str] = []
    if not exists:
        advice.append("The app's database is missing: start Scalix once, or name its folder with --user-data.")
    elif not writable:
        advice.append("The app's database cannot be written: check its permissions, or update Scalix.")
    servers = {reach.provider: reach.reachable for reach in reached}
    usable = [name for name, source in keys.items() if source != "locked" and servers.get(name, True)]
    if not usable and not servers.get("ollama") and not servers.get("lmstudio"):
        if keys:
            advice.append("There are keys, but no provider can be reached: check the network, the proxy, the keys.")
        else:
            advice.append("There is no API key and no local server: add a key in Settings, or start Ollama.")
    return advice


async def _reach(provider: str) -> Reach:
    """Open a connection to the provider's host and hang up."""
    from urllib.parse import urlsplit

    import anyio

    base = os.environ.get(f"SCALIX_{provider.upper()}_BASE_URL") or VENDOR_BASES[provider]
    parts = urlsplit(base)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    start = time.perf_counter()
    note, reachable = "", False
    try:
        with anyio.fail_after(REACH_TIMEOUT_S):
            stream = await anyio.connect_tcp(parts.hostname or "", port)
            await stream.aclose()
            reachable = True
    except TimeoutError:
        note = f"no connection within {REACH_TIMEOUT_S:g} s"
    except OSError as error:
        note = str(error.__cause__ or error)
    return Reach(provider, place_of(base), reachable, round((time.perf_counter() - start) * 1000, 1), note)


async def _local(provider: str) -> Reach:
    base = ollama_base(os.environ) if provider == "ollama" else lmstudio_base(os.environ)
    start = time.perf_counter()
    note, reachable = "", True
    try:
        found = await (list_ollama(base) if provider == "ollama" else list_lmstudio(base))
        note = f"{len(found.models)} models"
    except SidecarError as error:
        reachable, note = False, error.message
    return Reach(provider, base, reachable, round((time.perf_counter() - start) * 1000, 1), note)


def _litellm() -> dict[str, Any]:
    """Version and price data; litellm itself is not imported for this."""
    try:
        version: str | None = importlib.metadata.version("litellm")
    except importlib.metadata.PackageNotFoundError:
        version = None
    path = data_path()
    return {"version": version, "priceData": path is not None and path.exists()}
