"""OpenAI's Responses API, and chat completions at a base that has nothing else.

A company's gateway or a server of one's own, put in OpenAI's place by its base URL, often speaks the older API only.
The first answer that says so costs one more request; after that the base is asked in its own way, for the life of the
process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final

import msgspec

from sidecar.engines.base import Engine, Event, ModelCall
from sidecar.errors import ProviderError

_OPTIONS: Final = frozenset({"reasoningEffort", "parallelToolCalls", "serviceTier", "user", "metadata"})
"""Options of a call that both APIs have."""


class ResponsesOrChat:
    """``Engine`` for the dialect ``openai-responses``."""

    def __init__(self, responses: Engine, chat: Engine) -> None:
        self._responses = responses
        self._chat = chat
        self._chat_only: set[str] = set()
        """Base URLs."""

    def stream(self, call: ModelCall) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """See ``Engine.stream``."""
        if call.target.base_url in self._chat_only:
            return self.by_chat(call)
        return _Either(self, call)

    def by_responses(self, call: ModelCall) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """The call as it is."""
        return self._responses.stream(call)

    def by_chat(self, call: ModelCall) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """The same call in the older API's terms."""
        options = {name: value for name, value in call.provider_options.items() if name in _OPTIONS}
        target = msgspec.structs.replace(call.target, dialect="openai-chat")
        return self._chat.stream(msgspec.structs.replace(call, target=target, provider_options=options))

    def learn(self, call: ModelCall) -> None:
        """There is no Responses API at the call's base."""
        self._chat_only.add(call.target.base_url)


class _Either:
    """The context of one call; entering it finds out which API answers."""

    def __init__(self, engine: ResponsesOrChat, call: ModelCall) -> None:
        self._engine = engine
        self._call = call
        self._context = engine.by_responses(call)

    async def __aenter__(self) -> AsyncIterator[list[Event]]:
        try:
            return await self._context.__aenter__()
        except ProviderError as error:
            if not error.nothing_there:
                raise
            refused = error
        self._context = self._engine.by_chat(self._call)
        try:
            batches = await self._context.__aenter__()
        except ProviderError as error:
            # With nothing there either, the first address is the one to tell of.
            raise (refused if error.nothing_there else error) from error.__cause__
        self._engine.learn(self._call)
        return batches

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._context.__aexit__(kind, error, trace)
