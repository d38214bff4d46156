"""``get-user-settings``, ``set-user-settings``, ``settings:migrate`` and ``features:*`` (app contract 13.3 and 14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from protocol.settings import Improvement, MigrateParams, MigrateResult, SettingsChange, SettingsMigrated
from sidecar.errors import SettingsUnreadable, StoreError
from sidecar.handlers.params import convert
from sidecar.rpc.router import Handler
from sidecar.settings.not_written import SettingsNotWritten
from sidecar.settings.store import SettingsStore

MIGRATED: Final = "settings:migrated"

Notify = Callable[[str, Any], None]
"""Sends one notification: method and params."""


class SettingsHandlers:
    """The settings channels of one connection."""

    def __init__(self, store: SettingsStore, notify: Notify) -> None:
        self._store = store
        self._notify = notify

    def methods(self) -> dict[str, Handler]:
        """By method name."""
        return {
            "get-user-settings": self.get,
            "set-user-settings": self.set,
            "settings:migrate": self.migrate,
            "features:get": self.get_features,
            "features:set": self.set_features,
        }

    async def get(self, _params: dict[str, Any]) -> dict[str, Any]:
        """The settings, secrets in plain text."""
        return await self._store.get_for_host()

    async def set(self, params: dict[str, Any]) -> dict[str, Any]:
        """Merge the params at the top level; the full settings after the write."""
        return await self._store.set(params)

    async def migrate(self, params: dict[str, Any]) -> MigrateResult:
        """Migrate, or say what would be done. Tells the host once when something was."""
        given = convert(params, MigrateParams)
        report = await self._store.migrate(given.dry_run)
        result = MigrateResult(
            status=report.status,
            from_version=report.from_version,
            to_version=report.to_version,
            changes=[SettingsChange(change.key, change.action, change.note) for change in report.changes],
            improvements=[Improvement(item.id, item.title) for item in report.improvements],
            backup=report.backup,
            locked_secrets=list(report.locked_secrets),
        )
        if result.status == "migrated" and not given.dry_run:
            self._notify(MIGRATED, SettingsMigrated(improvements=result.improvements))
        return result

    async def migrate_at_start(self) -> MigrateResult | None:
        """The migration that runs by itself once the host has its first answer.

        None when it could not run (no database yet, or none that can be written): nothing is lost by waiting for the
        next start, and whoever asks for ``settings:migrate`` is told why.
        """
        try:
            return await self.migrate({})
        except (StoreError, SettingsUnreadable, SettingsNotWritten):
            return None

    async def get_features(self, _params: dict[str, Any]) -> dict[str, Any]:
        """The switches and ``rolloutPercent``."""
        return await self._store.features()

    async def set_features(self, params: dict[str, Any]) -> dict[str, Any]:
        """Change some switches; all of them after the write."""
        return await self._store.set_features(params)
