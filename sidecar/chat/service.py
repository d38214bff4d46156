"""``chat:stream`` and ``chat:cancel`` over all chats."""

from __future__ import annotations

from protocol.chat import ChatIdleEnd, ChatStreamParams
from sidecar.chat.farewell import END
from sidecar.chat.parts import ChatParts
from sidecar.chat.registry import StreamRegistry
from sidecar.chat.session import ChatSession
from sidecar.chat.turn import check_intent, conflicting_intent, intent_of
from sidecar.routing.slots import StreamSlots


class ChatService:
    """The streams of this process, each in one of ``slots``."""

    def __init__(self, parts: ChatParts, slots: StreamSlots) -> None:
        self._parts = parts
        self._registry = StreamRegistry(slots)

    async def stream(self, params: ChatStreamParams) -> int | str:
        """Answer one prompt. Returns the chat id, or ``"error"`` when the terminal notification said why.

        Raises ``InvalidParams``, ``NotFound``, ``Conflict``, ``Overloaded``, ``FeatureDisabled``, ``StoreError``: then
        nothing was written and no notification sent.
        """
        check_intent(params)
        running = self._registry.find(params.chat_id)
        if running is not None and params.intent_id is not None:
            theirs, ours = await running.intent(), await intent_of(params)
            if theirs is not None and theirs == ours:
                return params.chat_id
            if theirs is not None and theirs[0] == params.intent_id:
                raise conflicting_intent(params)
        # Before anything is waited for: a cancel that is sent right behind must find the stream.
        with self._registry.claim(params.chat_id) as active:
            active.identify(await intent_of(params))
            return await ChatSession(self._parts, params, active).run()

    async def cancel(self, chat_id: int) -> bool:
        """Stop the chat's stream and wait for its last word; an idle chat gets an ``end`` of its own. Always True."""
        running = self._registry.find(chat_id)
        if running is not None:
            running.cancel()
            await running.wait()
        if running is None or not running.began:
            self._parts.notify(END, ChatIdleEnd(chat_id))
        return True

    async def cancel_all(self) -> None:
        """Stop every stream and wait for their last words."""
        await self._registry.cancel_all()
