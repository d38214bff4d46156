"""What the resolver needs to know, free of the settings file's shape, the database and ``os.environ``.

The composition root builds these values from the settings store, the catalogue and the environment. Everything here
is a plain value or a small protocol, so that resolving a model is a pure function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from sidecar.engines.base import ThinkingLevel
from sidecar.secret import SecretText

AUTO = "auto"
"""The provider (and model) id that means "you choose"; its settings key is the Pro key (app contract 9)."""


class ModelChoice(msgspec.Struct, frozen=True):
    """The model the user selected, as the settings store it (``selectedModel``, app contract 14)."""

    provider: str
    name: str
    custom_model_id: int | None = None


class ContextFile(msgspec.Struct, frozen=True, gc=False):
    """One file of the user's app, sent to the engine instead of a codebase prefix (app contract 9.1).

    ``force``: the user wants it in, whatever is chosen.
    """

    path: str
    content: str
    force: bool = False


class ProviderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What routing must know about a provider. ``gateway_prefix`` None: Pro does not serve it; ``""`` counts."""

    id: str
    name: str
    type: Literal["cloud", "local", "custom"] = "cloud"
    env_var: str | None = None
    gateway_prefix: str | None = None
    api_base_url: str | None = None


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What routing must know about a model; the defaults are those of a model nobody described (app contract 6).

    A temperature or token limit which the catalogue does not give is not sent (app contract 16, quirk 18).
    """

    max_output_tokens: int | None = None
    context_window: int | None = None
    temperature: float | None = None
    reasoning: Literal["none", "effort", "budget"] = "none"
    accepts_temperature: bool = True


class CatalogView(Protocol):
    """The catalogue as of now: built-in and custom providers and models. No I/O behind it."""

    def provider(self, provider_id: str) -> ProviderInfo | None:
        """The provider, or None when no such id is listed."""
        ...

    def model(self, provider_id: str, name: str, custom_model_id: int | None) -> ModelInfo | None:
        """The model's facts: the custom row with that id first, else the first of that name; None when unknown."""
        ...

    def provider_ids(self) -> Sequence[str]:
        """Every provider id, in catalogue order."""
        ...

    def model_names(self, provider_id: str) -> Sequence[str]:
        """The api names of a provider's models, in catalogue order."""
        ...


class RoutingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the user's settings that decides where a call goes. ``keys`` holds decrypted secrets only."""

    keys: Mapping[str, SecretText] = msgspec.field(default_factory=dict)
    """``providerSettings.<id>.apiKey``, by provider id; ``auto`` is the Pro key."""
    locked: frozenset[str] = frozenset()
    """Provider ids whose stored key the host could not decrypt."""
    base_urls: Mapping[str, str] = msgspec.field(default_factory=dict)
    """``providerSettings.<id>.baseUrl`` (protocol page 9)."""
    azure_resource_name: str | None = None
    pro_enabled: bool = False
    """``enableScalixPro``; Pro is on only with a key as well."""
    lazy_edits: bool = True
    smart_context: bool = True
    smart_context_mode: str | None = None
    thinking: ThinkingLevel | None = None
    auto_fallback: bool = False
    """The user allows another model to answer when the chosen one fails."""
    telemetry_user_id: str | None = None
    ask_mode: bool = False


class Environment:
    """Environment variables: the process's first, then the login shell's (protocol page 9; quirk 20).

    An empty value counts as unset. ``login_shell`` is asked at every look-up, so values that arrive later are seen.
    """

    def __init__(self, process: Mapping[str, str], login_shell: Callable[[], Mapping[str, str]] | None = None) -> None:
        self._process = process
        self._login_shell = login_shell

    def get(self, name: str) -> str | None:
        """The value, trimmed, or None when it is unset or blank in both."""
        if value := self._process.get(name, "").strip():
            return value
        if self._login_shell is None:
            return None
        return self._login_shell().get(name, "").strip() or None
