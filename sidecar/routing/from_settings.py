"""The user's settings as the resolver wants them."""

from __future__ import annotations

from sidecar.routing.inputs import ModelChoice, RoutingSettings
from sidecar.settings.values import AppSettings


def routing_settings(settings: AppSettings, *, ask_mode: bool) -> RoutingSettings:
    """The part of the settings that decides where a call goes."""
    providers = settings.provider_settings
    azure = providers.get("azure")
    return RoutingSettings(
        keys={name: entry.api_key for name, entry in providers.items() if entry.api_key},
        locked=frozenset(name for name, entry in providers.items() if entry.locked),
        base_urls={name: entry.base_url for name, entry in providers.items() if entry.base_url},
        azure_resource_name=azure.resource_name if azure else None,
        pro_enabled=settings.enable_scalix_pro,
        lazy_edits=settings.enable_pro_lazy_edits_mode,
        smart_context=settings.enable_pro_smart_files_context_mode,
        smart_context_mode=settings.pro_smart_context_option,
        thinking=settings.thinking_budget,
        auto_fallback=bool(settings.auto_fallback),
        telemetry_user_id=settings.telemetry_user_id,
        ask_mode=ask_mode,
    )


def selected_choice(settings: AppSettings) -> ModelChoice:
    """The model picked in the app."""
    model = settings.selected_model
    return ModelChoice(model.provider, model.name, model.custom_model_id)
