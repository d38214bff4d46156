"""Engine for the vendors' own dialects: Anthropic, Google, OpenAI's Responses API, Cohere. Needs no litellm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from sidecar.engines.base import Decoder, Event, ModelCall
from sidecar.engines.exchange import Exchange


class VendorEngine:
    """``Engine`` for every dialect that ``engines.dialects`` can ask in and ``engines.wire`` can read."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def stream(self, call: ModelCall) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """See ``Engine.stream``."""
        from sidecar.engines.dialects import PREPARE
        from sidecar.engines.wire import decoder_for

        dialect = call.target.dialect

        def decoder() -> Decoder:
            return decoder_for(dialect)

        return self._exchange.stream(call, PREPARE[dialect], decoder)
