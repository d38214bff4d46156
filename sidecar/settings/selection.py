"""Keeps ``selectedModel`` good when the model or provider it names is deleted or renamed (app contract 4.5)."""

from __future__ import annotations

from typing import Any, Final

from sidecar.settings.store import SettingsStore

AUTO: Final = {"name": "auto", "provider": "auto"}


class SelectionKeeper:
    """The catalogue's hooks into the settings. Both raise what ``SettingsStore.set`` raises."""

    def __init__(self, settings: SettingsStore) -> None:
        self._settings = settings

    async def removed(self, provider_id: str, api_name: str | None) -> None:
        """A provider is gone: the selection goes back to auto. A model is gone: only its row id is dropped, because
        the app edits a model by deleting and creating it, and then finds it by name."""
        model = (await self._settings.load()).selected_model
        if model.provider != provider_id:
            return
        if api_name is None:
            await self._select(AUTO)
        elif model.name == api_name and model.custom_model_id is not None:
            await self._select({"provider": model.provider, "name": model.name})

    async def renamed(self, provider_id: str, before: str, after: str) -> None:
        """A model has another name now."""
        model = (await self._settings.load()).selected_model
        if (model.provider, model.name) == (provider_id, before):
            row = {} if model.custom_model_id is None else {"customModelId": model.custom_model_id}
            await self._select({"provider": provider_id, "name": after, **row})

    async def _select(self, model: dict[str, Any]) -> None:
        await self._settings.set({"selectedModel": model})
