"""``scalix-sidecar doctor``: could a chat work here, and if not, what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec

from protocol.errors import ErrorCode
from protocol.usage import ProviderProbe
from sidecar import __version__
from sidecar.build_info import build_id
from sidecar.catalog.builtin import CLOUD_PROVIDERS
from sidecar.catalog.catalog import Catalog
from sidecar.catalog.prices import data_path
from sidecar.certificates import tls_context
from sidecar.engines.http import ProviderHttp
from sidecar.engines.litellm_engine import LitellmLoader
from sidecar.engines.network import place_of
from sidecar.engines.timeouts import unusable_timeouts
from sidecar.errors import FeatureDisabled, ProviderError, SidecarError, StoreError
from sidecar.paths import AppPaths, app_paths
from sidecar.routing.catalog_view import catalog_snapshot
from sidecar.routing.failures import KEY_ERRORS
from sidecar.routing.from_settings import routing_settings, selected_choice
from sidecar.routing.inputs import AUTO, Environment
from sidecar.routing.limits import unusable_limits
from sidecar.routing.probe import probe_all
from sidecar.routing.resolve import find_route
from sidecar.settings.store import SettingsStore
from sidecar.settings.values import AppSettings
from sidecar.store.database import Database

LOCKED_MS: Final = 2_000
"""How long it waits for a database that is locked."""

_REFUSED: Final = frozenset(code.value for code in KEY_ERRORS)


class Diagnosis(msgspec.Struct, rename="camel"):
    """Everything ``doctor`` found. Keys are named, never shown."""

    version: str
    build: str
    paths: dict[str, str]
    """``userData``, ``database``, ``settingsFile``, ``appsRoot``, ``attachments``."""
    database: dict[str, Any]
    """``path``, ``exists``, ``schemaVersion``, ``writable``."""
    settings: dict[str, Any]
    """``fileExists``, ``model`` (the selected one), ``warnings``."""
    keys: dict[str, str]
    """Provider id -> where its key comes from (``settings``, ``environment``, ``locked``)."""
    variables: list[str]
    """Sentences on environment variables whose value cannot be used."""
    providers: list[ProviderProbe]
    tls: str
    litellm: dict[str, Any]
    """``version``, ``priceData``, ``loadMs`` (null with a ``problem`` when it cannot be loaded)."""
    advice: list[str]

    @property
    def chat_could_work(self) -> bool:
        """No advice is needed before a first chat."""
        return not self.advice


async def doctor(user_data: Path | None, as_json: bool) -> int:
    """Print what was found. Returns 0, or 1 when a chat could not work."""
    found = await diagnose(user_data)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        _print(found)
    return 0 if found.chat_could_work else 1


def _print(found: Diagnosis) -> None:
    from rich.markup import escape

    from sidecar.commands.terminal import terminal

    console = terminal()
    console.soft_wrap = True  # paths and addresses are copied from here

    def line(title: str, text: str) -> None:
        console.print(f"{title:11} {escape(text)}")

    database, settings, litellm = found.database, found.settings, found.litellm
    console.print(f"scalix-sidecar {found.version} ({found.build})")
    for title, name in (("user data", "userData"), ("apps", "appsRoot"), ("attachments", "attachments")):
        line(title, found.paths[name])
    state = f"schema {database['schemaVersion']}" if database["exists"] else "missing"
    line("database", f"{database['path']}: {state}, {'writable' if database['writable'] else 'not writable'}")
    there = "" if settings["fileExists"] else ", no file yet"
    line("settings", f"{found.paths['settingsFile']}{there}: model {settings['model']}")
    line("keys", ", ".join(f"{name} ({source})" for name, source in found.keys.items()) or "none")
    line("TLS", found.tls)
    took = "cannot be loaded" if litellm["loadMs"] is None else f"loads in {litellm['loadMs']} ms"
    line("litellm", f"{litellm['version'] or 'not installed'}, {took}")
    for each in found.providers:
        line(each.provider, _reached(each))
    for warning in settings["warnings"]:
        line("settings", warning)
    for sentence in found.variables:
        line("variables", sentence)
    for advice in found.advice:
        console.print(f"[bold]→ {escape(advice)}[/bold]")


def _reached(probe: ProviderProbe) -> str:
    mark = "reachable" if probe.reachable else "not reachable"
    took = "" if probe.ms is None else f", {probe.ms:.0f} ms"
    why = f" ({probe.message})" if probe.message else ""
    return f"{probe.address or 'not asked'}: {mark}{took}{why}"


async def diagnose(user_data: Path | None) -> Diagnosis:
    """Look at everything a chat needs. Never raises for what is wrong with it: that is the answer."""
    paths = app_paths(os.environ, user_data=user_data)
    database = Database(paths.database)
    http = ProviderHttp()
    try:
        settings = SettingsStore(database, paths.settings_file, environ=os.environ)
        status = await database.status()
        file_exists = await anyio.Path(paths.settings_file).exists()
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
        catalog = Catalog(database)
        reached = await probe_all(settings, catalog, Environment(os.environ), http.get)
        advice = [
            *await _advice_on_database(database, status.exists),
            *(_advice_on_providers(keys, reached) or await _advice_on_model(loaded, catalog, reached)),
            *await _advice_on_switches(settings),
        ]
    finally:
        await http.aclose()
        await database.aclose()
    authorities = await anyio.to_thread.run_sync(_authorities)
    schema = {"path": str(status.path), "exists": status.exists, "schemaVersion": status.schema_version}
    selected = loaded.selected_model
    return Diagnosis(
        version=__version__,
        build=build_id(),
        paths=_named(paths),
        database={**schema, "writable": status.writable},
        settings={
            "fileExists": file_exists,
            "model": f"{selected.provider}/{selected.name}",
            "warnings": list(loaded.warnings),
        },
        keys=keys,
        variables=[*unusable_timeouts(os.environ), *unusable_limits(Environment(os.environ))],
        providers=reached,
        tls=_trusted(authorities),
        litellm=await _litellm(),
        advice=[*advice, *_advice_on_trust(authorities)],
    )


def _named(paths: AppPaths) -> dict[str, str]:
    return {
        "userData": str(paths.user_data),
        "database": str(paths.database),
        "settingsFile": str(paths.settings_file),
        "appsRoot": str(paths.apps_root),
        "attachments": str(paths.attachments),
    }


async def _advice_on_database(database: Database, exists: bool) -> list[str]:
    if not exists:
        return ["The app's database is missing: start Scalix once, or name its folder with --user-data."]
    try:
        await database.write(
            lambda connection: connection.execute("SELECT 1 FROM messages LIMIT 1").fetchone(), patience_ms=LOCKED_MS
        )
    except StoreError as error:
        return [error.message]
    return []


def _advice_on_providers(keys: dict[str, str], reached: list[ProviderProbe]) -> list[str]:
    """For whoever could ask no model at all."""
    advice: list[str] = []
    if any(each.reachable and each.code not in _REFUSED for each in reached):
        return advice
    locked = [each.provider for each in reached if each.code == ErrorCode.SECRET_LOCKED.value]
    refused = [each for each in reached if each.code in _REFUSED]
    unusable = [each.message for each in reached if each.code == ErrorCode.VALIDATION.value and each.message]
    if refused or unusable:
        advice += [f"The key of {each.provider} is refused: {each.message}" for each in refused]
        advice += unusable
    elif locked:
        advice.append(f"The saved keys of {', '.join(locked)} can only be opened by the app: look there.")
    elif keys:
        advice.append("There are keys, but no provider can be reached: check the network, the proxy, the keys.")
    else:
        advice.append("There is no API key and no local server: add a key in Settings, or start Ollama.")
    return advice


async def _advice_on_model(loaded: AppSettings, catalog: Catalog, reached: list[ProviderProbe]) -> list[str]:
    """For whoever could ask some model, and has selected another (``auto`` is what nobody has selected)."""
    selected = selected_choice(loaded)
    if selected.provider == AUTO:
        return []
    settings = routing_settings(loaded, ask_mode=False)
    try:
        route = find_route(selected, settings, await catalog_snapshot(catalog), Environment(os.environ))
    except SidecarError as error:
        reason: str | None = error.message
    else:
        failing = {each.address: each.message for each in reached if not each.reachable or each.code in _REFUSED}
        places = [place_of(target.base_url) for target in route.targets]
        reason = failing[places[0]] if all(place in failing for place in places) else None
    if reason is None:
        return []
    return [
        f"The selected model {selected.provider}/{selected.name} cannot be asked: {reason} Or select another model."
    ]


async def _advice_on_switches(settings: SettingsStore) -> list[str]:
    try:
        await settings.load_enabled()
    except FeatureDisabled as error:
        return [f"{error.message} Until that is changed, the app answers chats itself."]
    return []


def _advice_on_trust(authorities: int | None) -> list[str]:
    if authorities != 0:
        return []
    return [
        "No certificate authority is trusted, so no https address can be reached: install ca-certificates, or set "
        "SSL_CERT_FILE."
    ]


def _authorities() -> int | None:
    """How many certificate authorities are trusted; None where only the system knows."""
    return tls_context().cert_store_stats()["x509_ca"] if sys.platform.startswith("linux") else None


def _trusted(authorities: int | None) -> str:
    system = "the operating system's trust store" + ("" if authorities is None else f", {authorities} authorities")
    extra = os.environ.get("SSL_CERT_FILE")
    return f"{extra} and {system}" if extra else system


async def _litellm() -> dict[str, Any]:
    """Version, price data, and how long it takes to load: that is tried, because its import is what may break."""
    try:
        version: str | None = importlib.metadata.version("litellm")
    except importlib.metadata.PackageNotFoundError:
        version = None
    path = data_path()
    found: dict[str, Any] = {"version": version, "priceData": path is not None and path.exists()}
    started = time.perf_counter()
    try:
        await LitellmLoader().ready()
    except ProviderError as error:
        return {**found, "loadMs": None, "problem": error.message}
    return {**found, "loadMs": round((time.perf_counter() - started) * 1000)}
