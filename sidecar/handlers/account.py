"""``help:chat:*`` and ``get-user-budget``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from protocol.help import HelpChatAnswer, HelpChatCancelParams, HelpChatStartParams
from protocol.usage import UserBudget
from sidecar.account.help_chat import HelpChat
from sidecar.errors import InvalidParams
from sidecar.handlers.params import convert
from sidecar.rpc.router import Handler

_MISSING: Final = "Missing sessionId or message"


class AccountHandlers:
    """The channels of Scalix's own services."""

    def __init__(self, help_chat: HelpChat, budget: Callable[[], Awaitable[UserBudget | None]]) -> None:
        self._help = help_chat
        self._budget = budget

    def methods(self) -> dict[str, Handler]:
        """By method name."""
        return {
            "help:chat:start": self._start,
            "help:chat:cancel": self._cancel,
            "get-user-budget": self._user_budget,
        }

    async def _start(self, params: dict[str, Any]) -> HelpChatAnswer:
        try:
            wanted = convert(params, HelpChatStartParams)
        except InvalidParams as error:
            raise InvalidParams(_MISSING, path=error.path) from None
        return await self._help.start(wanted.session_id, wanted.message)

    async def _cancel(self, params: dict[str, Any]) -> HelpChatAnswer:
        return await self._help.cancel(convert(params, HelpChatCancelParams).session_id)

    async def _user_budget(self, _: dict[str, Any]) -> UserBudget | None:
        return await self._budget()
