"""Settings, their migration and the rollout switches (protocol pages 4 and 5, app contract 14)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

UserSettings = dict[str, Any]
"""The settings as the app writes them, secrets in plain text (app contract 14). Unknown keys are kept."""


class MigrateParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``settings:migrate``; ``dry_run`` says what would change and writes nothing."""

    dry_run: bool = False


class SettingsChange(msgspec.Struct, frozen=True):
    """One change of one key."""

    key: str
    action: str
    note: str


class Improvement(msgspec.Struct, frozen=True):
    """Something to tell the user about."""

    id: str
    title: str


class MigrateResult(msgspec.Struct, frozen=True, rename="camel"):
    """Result of ``settings:migrate``. ``locked_secrets`` are paths of secrets that could not be opened."""

    status: Literal["migrated", "up-to-date", "nothing-to-migrate"]
    from_version: int | None
    to_version: int
    changes: list[SettingsChange]
    improvements: list[Improvement]
    backup: str | None
    locked_secrets: list[str]


class SettingsMigrated(msgspec.Struct, frozen=True):
    """``settings:migrated``: once, after a migration changed anything."""

    improvements: list[Improvement]


class FeatureSwitches(msgspec.Struct, frozen=True, kw_only=True):
    """Result of ``features:get`` and ``features:set``, and ``features`` of ``initialize``.

    ``rollout_percent`` is 0 to 100: the share of users for whom ``lite_llm`` counts.
    """

    lite_llm: bool = msgspec.field(name="liteLLM")
    legacy_ai_sdk: bool = msgspec.field(name="legacyAISDK")
    enhanced_analytics: bool = msgspec.field(name="enhancedAnalytics")
    rate_limiting: bool = msgspec.field(name="rateLimiting")
    rollout_percent: float = msgspec.field(name="rolloutPercent")


class SetFeaturesParams(msgspec.Struct, frozen=True, kw_only=True):
    """Params of ``features:set``: what is left out stays as it is."""

    lite_llm: bool | UnsetType = msgspec.field(name="liteLLM", default=UNSET)
    legacy_ai_sdk: bool | UnsetType = msgspec.field(name="legacyAISDK", default=UNSET)
    enhanced_analytics: bool | UnsetType = msgspec.field(name="enhancedAnalytics", default=UNSET)
    rate_limiting: bool | UnsetType = msgspec.field(name="rateLimiting", default=UNSET)
    rollout_percent: float | UnsetType = msgspec.field(name="rolloutPercent", default=UNSET)
