"""``chat:stream``, ``chat:cancel``, ``chat:count-tokens``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from protocol.chat import ChatCancelParams, ChatCountTokensParams, ChatStreamParams, TokenCounts
from sidecar.chat.service import ChatService
from sidecar.handlers.params import convert
from sidecar.rpc.router import Handler

SCALARS: Final = {"chat:cancel": "chatId"}


class ChatHandlers:
    """The chat channels."""

    def __init__(
        self, service: ChatService, count_tokens: Callable[[ChatCountTokensParams], Awaitable[TokenCounts]]
    ) -> None:
        self._service = service
        self._count_tokens = count_tokens

    def methods(self) -> dict[str, Handler]:
        """By method name."""
        return {"chat:stream": self._stream, "chat:cancel": self._cancel, "chat:count-tokens": self._count}

    async def _stream(self, params: dict[str, Any]) -> int | str:
        return await self._service.stream(convert(params, ChatStreamParams))

    async def _cancel(self, params: dict[str, Any]) -> bool:
        return await self._service.cancel(convert(params, ChatCancelParams).chat_id)

    async def _count(self, params: dict[str, Any]) -> TokenCounts:
        return await self._count_tokens(convert(params, ChatCountTokensParams))
