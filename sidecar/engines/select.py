"""Which engine makes a call: by the dialect of its target."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from sidecar.engines.base import Event, ModelCall
from sidecar.engines.exchange import Exchange
from sidecar.engines.http import ProviderHttp
from sidecar.engines.openai_compatible import OpenAICompatibleEngine
from sidecar.engines.responses_or_chat import ResponsesOrChat
from sidecar.engines.timeouts import Timeouts
from sidecar.engines.vendor import VendorEngine

if TYPE_CHECKING:
    from sidecar.engines.litellm_engine import LitellmEngine


class Engines:
    """Every engine behind one. Only ``litellm``, the route for whatever has no dialect of its own, imports litellm."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.http = ProviderHttp()
        self._timeouts = Timeouts.from_environment(environ)
        exchange = Exchange(self.http, self._timeouts)
        self._compatible = OpenAICompatibleEngine(exchange)
        self._vendor = VendorEngine(exchange)
        self._responses = ResponsesOrChat(self._vendor, self._compatible)
        self._litellm: LitellmEngine | None = None

    def stream(self, call: ModelCall) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """See ``Engine.stream``."""
        if call.target.dialect == "openai-chat":
            return self._compatible.stream(call)
        if call.target.dialect == "openai-responses":
            return self._responses.stream(call)
        if call.target.dialect == "litellm":
            return self._litellm_engine().stream(call)
        return self._vendor.stream(call)

    async def warm(self) -> None:
        """Import the HTTP client ahead of the first call, on a worker thread."""
        await self.http.warm()

    async def aclose(self) -> None:
        """Close every connection."""
        if self._litellm is not None:
            await self._litellm.aclose()
        await self.http.aclose()

    def _litellm_engine(self) -> LitellmEngine:
        if self._litellm is None:
            from sidecar.engines.litellm_engine import LitellmEngine

            self._litellm = LitellmEngine(self._timeouts)
        return self._litellm
