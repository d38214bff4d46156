"""``llm:stream`` and ``llm:cancel``."""

from __future__ import annotations

from typing import Any

from protocol.llm import LlmCancelParams, LlmStreamParams, LlmStreamResult
from sidecar.handlers.params import convert
from sidecar.llm.service import LlmService
from sidecar.rpc.router import Handler


class LlmHandlers:
    """The channels for single model calls."""

    def __init__(self, service: LlmService) -> None:
        self._service = service

    def methods(self) -> dict[str, Handler]:
        """By method name."""
        return {"llm:stream": self._stream, "llm:cancel": self._cancel}

    async def _stream(self, params: dict[str, Any]) -> LlmStreamResult:
        return await self._service.stream(convert(params, LlmStreamParams))

    async def _cancel(self, params: dict[str, Any]) -> bool:
        return await self._service.cancel(convert(params, LlmCancelParams).call_id)
