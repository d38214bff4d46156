"""``local-models:*``: what Ollama and LM Studio have (app contract 5)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from protocol.language_models import LocalModels
from sidecar.catalog.local import list_lmstudio, list_ollama, lmstudio_base, ollama_base
from sidecar.rpc.router import Handler


class LocalModelHandlers:
    """The handlers; ``environment`` is asked at each call, as the app does."""

    def __init__(self, environment: Callable[[], Mapping[str, str]] = lambda: os.environ) -> None:
        self._environment = environment

    def methods(self) -> dict[str, Handler]:
        """By method name."""
        return {
            "local-models:list-ollama": self.list_ollama,
            "local-models:list-lmstudio": self.list_lmstudio,
        }

    async def list_ollama(self, _params: dict[str, Any]) -> LocalModels:
        """App contract 5.1."""
        return await list_ollama(ollama_base(self._environment()))

    async def list_lmstudio(self, _params: dict[str, Any]) -> LocalModels:
        """App contract 5.2."""
        return await list_lmstudio(lmstudio_base(self._environment()))
