"""``local-models:*``: what Ollama and LM Studio have (app contract 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocol.language_models import LocalModels
from sidecar.catalog.local import list_lmstudio, list_ollama, lmstudio_base, ollama_base
from sidecar.rpc.router import Handler


class LocalModelHandlers:
    """The handlers; ``environ`` is looked at in each call, as the app does."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def methods(self) -> dict[str, Handler]:
        """By method name."""
        return {
            "local-models:list-ollama": self.list_ollama,
            "local-models:list-lmstudio": self.list_lmstudio,
        }

    async def list_ollama(self, _params: dict[str, Any]) -> LocalModels:
        """App contract 5.1."""
        return await list_ollama(ollama_base(self._environ))

    async def list_lmstudio(self, _params: dict[str, Any]) -> LocalModels:
        """App contract 5.2."""
        return await list_lmstudio(lmstudio_base(self._environ))
