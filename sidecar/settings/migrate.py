"""What older builds wrote, in the terms of this one: keys, values, provider ids and models that are gone.

Pure functions over a settings document. Every translation ends in a value that the app of today accepts too, so that
the settings file stays good for a downgrade. Nothing is dropped: a key of old stays beside its translation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from sidecar.settings.document import Document, NotAnObject, members, patched, render, same, text_of, value_of
from sidecar.settings.schema import in_schema_order

FORMAT: Final = 1
"""Counts the translations below; the table remembers up to which one it has been translated. 0: the file alone."""

OLD_SWITCHES: Final = {"enableDyadPro": "enableScalixPro", "enableCreaPro": "enableScalixPro"}
"""Names from before the product was renamed."""

DEPRECATED: Final = ("experiments", "enableProSaverMode", "scalixProBudget", "runtimeMode")

PROVIDER_IDS: Final = {
    "gemini": "google",
    "claude": "anthropic",
    "xai": "grok",
    "mistralai": "mistral",
    "together_ai": "together",
    "togetherai": "together",
    "azure-openai": "azure",
    "lm-studio": "lmstudio",
}
"""Ids other builds use for providers that this app has under another id (app contract 15.1)."""

_SONNET: Final = "claude-sonnet-4-20250514"
RETIRED_MODELS: Final[Mapping[tuple[str, str], str]] = {
    **{
        ("anthropic", name): _SONNET
        for name in (
            "claude-3-5-sonnet-20240620",
            "claude-3-5-sonnet-20241022",
            "claude-3-5-sonnet-latest",
            "claude-3-7-sonnet-20250219",
            "claude-3-7-sonnet-latest",
            "claude-3-opus-20240229",
        )
    },
    **{
        ("google", name): "gemini-2.5-pro"
        for name in (
            "gemini-1.5-pro",
            "gemini-2.5-pro-exp-03-25",
            "gemini-2.5-pro-preview-03-25",
            "gemini-2.5-pro-preview-05-06",
            "gemini-2.5-pro-preview-06-05",
        )
    },
    **{
        ("google", name): "gemini-2.5-flash"
        for name in (
            "gemini-1.5-flash",
            "gemini-2.0-flash-exp",
            "gemini-2.5-flash-preview-04-17",
            "gemini-2.5-flash-preview-05-20",
        )
    },
    **{("grok", name): "grok-2-1212" for name in ("grok-1", "grok-2-mini", "grok-2-fast", "grok-beta")},
    ("openai", "o1-mini"): "o4-mini",
    ("openai", "o1-preview"): "o4-mini",
    ("openai", "gpt-4.5-preview"): "gpt-4.1",
    ("openrouter", "codestral/codestral-mamba"): "qwen/qwen3-coder",
}
"""Models their vendors no longer serve, or never did, and what the app's catalogue has instead (app contract 15.2)."""

THINKING_WORDS: Final = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "default": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}


class SettingsChange(msgspec.Struct, frozen=True):
    """One line of the report."""

    key: str
    action: Literal["imported", "translated", "renamed", "reset", "kept"]
    note: str


class Improvement(msgspec.Struct, frozen=True):
    """What the UI tells the user."""

    id: str
    title: str


class MigrationReport(msgspec.Struct, frozen=True, rename="camel"):
    """The result of ``settings:migrate``. ``backup`` is the path of the copy of the file, None when none was made."""

    status: Literal["migrated", "up-to-date", "nothing-to-migrate"]
    from_version: int
    to_version: int = FORMAT
    changes: tuple[SettingsChange, ...] = ()
    improvements: tuple[Improvement, ...] = ()
    backup: str | None = None
    locked_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CustomCatalogue:
    """The custom providers and models in the database: ``models`` maps row id to (provider, api name)."""

    providers: frozenset[str]
    models: Mapping[int, tuple[str, str]]


@dataclass(slots=True)
class Translation:
    """A document being translated, and what was done to it."""

    document: Document
    changes: list[SettingsChange] = field(default_factory=list)
    improvements: list[Improvement] = field(default_factory=list)

    def put(self, key: str, value: Any, action: Literal["translated", "renamed", "reset"], note: str) -> None:
        """Set one key and say so."""
        self.document[key] = patched(self.document.get(key), value)
        self.changes.append(SettingsChange(key, action, note))

    def improved(self, identifier: str, title: str) -> None:
        """Tell the user."""
        self.improvements.append(Improvement(identifier, title))


def translated(document: Mapping[str, str], custom: CustomCatalogue | None) -> Translation:
    """The document in today's terms. ``custom`` is None when the app's tables could not be read.

    Translating twice is translating once.
    """
    work = Translation(dict(document))
    _switches(work)
    _providers(work)
    _selected_model(work, custom)
    _thinking_budget(work)
    _modes(work)
    for key in DEPRECATED:
        if key in work.document and not same(work.document[key], "{}"):
            work.changes.append(SettingsChange(key, "kept", "No longer used; kept for older versions of the app."))
    work.document = in_schema_order(work.document)
    return work


def _switches(work: Translation) -> None:
    for old, new in OLD_SWITCHES.items():
        if new not in work.document and work.document.get(old) in {"true", "false"}:
            work.put(new, work.document[old] == "true", "translated", f"Taken from {old}.")
            if work.document[old] == "true":
                work.improved("pro-kept", "Your Pro subscription was taken over from an earlier version.")


def _providers(work: Translation) -> None:
    """Entries under an old id move to the new one as they are; an entry that has a key of its own there stays."""
    entries = _members(work.document.get("providerSettings"))
    moved = []
    for old, new in PROVIDER_IDS.items():
        source, target = _members(entries.get(old)), _members(entries.get(new))
        if not source or ("apiKey" in source and "apiKey" in target):
            continue
        entries[new] = render({**source, **target}, 2)
        del entries[old]
        moved.append((old, new))
    if not moved:
        return
    work.document["providerSettings"] = render(entries, 1)
    for old, new in moved:
        work.changes.append(SettingsChange(f"providerSettings.{old}", "renamed", f"Now providerSettings.{new}."))
    work.improved("providers-renamed", "Your provider settings were moved to the names this version uses.")


def _selected_model(work: Translation, custom: CustomCatalogue | None) -> None:
    model = _object(work.document.get("selectedModel"))
    provider, name = model.get("provider"), model.get("name")
    if not (isinstance(provider, str) and isinstance(name, str)):
        return
    if provider in PROVIDER_IDS:
        provider = model["provider"] = PROVIDER_IDS[provider]
        work.put("selectedModel", model, "translated", f"The provider is now called {provider}.")
    if custom is not None and provider.startswith("custom::") and provider not in custom.providers:
        automatic = {"name": "auto", "provider": "auto"}
        work.put("selectedModel", automatic, "reset", f"The provider {provider} no longer exists.")
        work.improved("model-reset", f"The selected model's provider no longer exists; {name} was replaced by Auto.")
        return
    own = set() if custom is None else set(custom.models.values())
    instead = None if (provider, name) in own else RETIRED_MODELS.get((provider, name))
    if instead is not None:
        model["name"] = instead
        work.put("selectedModel", model, "translated", f"{name} is no longer served; {instead} takes its place.")
        work.improved("model-replaced", f"{name} is no longer available; {instead} is selected instead.")
    row = model.get("customModelId")
    if custom is not None and row is not None and row not in custom.models:
        del model["customModelId"]
        work.put("selectedModel", model, "translated", "The custom model's row no longer exists; it is found by name.")


def _thinking_budget(work: Translation) -> None:
    text = work.document.get("thinkingBudget")
    if text is None:
        return
    old = value_of(text)
    new: str | None = None
    if isinstance(old, str):
        new = THINKING_WORDS.get(old.strip().lower())
    elif isinstance(old, int | float) and not isinstance(old, bool):
        # Tokens, as the engine counts them: low 1000, medium 4000, high -1 (app contract 10).
        new = "high" if old < 0 or old > 4000 else "low" if old <= 1000 else "medium"
    if new is not None and new != old:
        work.put("thinkingBudget", new, "translated", f"Now one of low, medium, high: {new}.")
        work.improved("thinking-budget", f"Your thinking budget was taken over as {new}.")


def _modes(work: Translation) -> None:
    if same(work.document.get("selectedChatMode"), '"agent"'):
        work.put("selectedChatMode", "build", "translated", "Agent mode is called build.")
    if "runtimeMode2" not in work.document and same(work.document.get("runtimeMode"), '"local-node"'):
        work.document["runtimeMode2"] = text_of("host")
        work.changes.append(SettingsChange("runtimeMode2", "translated", "Taken from runtimeMode."))


def _object(text: str | None) -> dict[str, Any]:
    value = None if text is None else value_of(text)
    return value if isinstance(value, dict) else {}


def _members(text: str | None) -> Document:
    try:
        return members(text or "{}")
    except NotAnObject:
        return {}
