"""The settings as the rest of the sidecar sees them: typed, valid, secrets opened where they could be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from sidecar.secret import SecretText
from sidecar.settings.rollout import Features
from sidecar.settings.secrets import Vault


class SelectedModel(msgspec.Struct, frozen=True):
    """The picked model. ``custom_model_id`` is a row id that may no longer exist (app contract 6)."""

    provider: str
    name: str
    custom_model_id: int | None = None


class ProviderSettings(msgspec.Struct, frozen=True):
    """One entry of ``providerSettings``. ``locked``: there is a key, and the host could not open it.

    ``base_url`` replaces the vendor's base; ``resource_name`` is Azure's.
    """

    api_key: SecretText | None = None
    locked: bool = False
    base_url: str | None = None
    resource_name: str | None = None


class AppSettings(msgspec.Struct, frozen=True):
    """What routing and chat need. Absent optionals are None or the app's own default.

    ``features`` are the switches and the share of the rollout. ``warnings`` are sentences naming settings that fell
    back, ``locked_secrets`` the paths of secrets that could not be opened. ``pro_key_of_environment`` is
    ``SCALIX_PRO_API_KEY``.
    """

    selected_model: SelectedModel
    provider_settings: dict[str, ProviderSettings]
    telemetry_user_id: str
    enable_scalix_pro: bool = False
    enable_pro_lazy_edits_mode: bool = True
    enable_pro_smart_files_context_mode: bool = True
    pro_smart_context_option: Literal["balanced"] | None = None
    thinking_budget: Literal["low", "medium", "high"] | None = None
    max_chat_turns_in_context: int | None = None
    selected_chat_mode: Literal["build", "ask"] = "build"
    auto_approve_changes: bool = False
    enable_auto_fix_problems: bool = False
    supabase_access_token: SecretText | None = None
    auto_fallback: bool | None = None
    continue_interrupted: bool = False
    pro_key_of_environment: SecretText | None = None
    features: Features = Features()
    warnings: tuple[str, ...] = ()
    locked_secrets: tuple[str, ...] = ()

    @property
    def pro_api_key(self) -> SecretText | None:
        """The Pro key: of the settings, else of the environment."""
        entry = self.provider_settings.get("auto")
        return (entry and entry.api_key) or self.pro_key_of_environment

    @property
    def pro_enabled(self) -> bool:
        """Pro is on: switched on and a key is there (app contract 14)."""
        return self.enable_scalix_pro and bool(self.pro_api_key)


def app_settings(
    values: Mapping[str, Any], vault: Vault, environ: Mapping[str, str], features: Features, warnings: tuple[str, ...]
) -> AppSettings:
    """``values`` are valid settings over the defaults; secrets must have been unlocked before."""
    model = values["selectedModel"]
    custom_id = model.get("customModelId")
    pro_key = environ.get("SCALIX_PRO_API_KEY", "").strip()
    supabase = values.get("supabase", {}).get("accessToken")
    turns = values.get("maxChatTurnsInContext")
    return AppSettings(
        selected_model=SelectedModel(model["provider"], model["name"], None if custom_id is None else int(custom_id)),
        provider_settings={name: _provider(entry, vault) for name, entry in values["providerSettings"].items()},
        telemetry_user_id=values["telemetryUserId"],
        enable_scalix_pro=values.get("enableScalixPro", False),
        enable_pro_lazy_edits_mode=values["enableProLazyEditsMode"],
        enable_pro_smart_files_context_mode=values["enableProSmartFilesContextMode"],
        pro_smart_context_option=values.get("proSmartContextOption"),
        thinking_budget=values.get("thinkingBudget"),
        max_chat_turns_in_context=None if turns is None else int(turns),
        selected_chat_mode=values["selectedChatMode"],
        auto_approve_changes=values.get("autoApproveChanges", False),
        enable_auto_fix_problems=values["enableAutoFixProblems"],
        supabase_access_token=_opened(supabase, vault),
        auto_fallback=values.get("autoFallback"),
        continue_interrupted=values.get("continueInterrupted", False),
        pro_key_of_environment=SecretText(pro_key) if pro_key else None,
        features=features,
        warnings=warnings,
        locked_secrets=vault.locked(values),
    )


def _provider(entry: Mapping[str, Any], vault: Vault) -> ProviderSettings:
    envelope = entry.get("apiKey")
    return ProviderSettings(
        api_key=_opened(envelope, vault),
        locked=envelope is not None and vault.plain(envelope) is None,
        base_url=(entry.get("baseUrl") or "").strip() or None,
        resource_name=(entry.get("resourceName") or "").strip() or None,
    )


def _opened(envelope: Mapping[str, Any] | None, vault: Vault) -> SecretText | None:
    """The secret, or None when there is none, it is empty, or it is locked."""
    return (vault.plain(envelope) or None) if envelope is not None else None
