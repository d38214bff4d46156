"""A sidecar that goes through the proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.host import Host, memory_host
from tests.installation import Installation
from tests.litellm_proxy.proxy import MASTER_KEY, LitellmProxy
from tests.providers import Answer, ScriptedProvider, openai_chat_stream

PATCH = {"capabilities": {"chunks": "patch"}}
USAGE = {"prompt_tokens": 21, "completion_tokens": 2, "total_tokens": 23}
HELLO = Answer.stream(openai_chat_stream(["Hel", "lo"], usage=USAGE))


class Talk:
    """An installation whose sidecar goes through the proxy."""

    def __init__(self, place: Installation, host: Host) -> None:
        self._place = place
        self.host = host
        self.chat = place.chat()

    async def start(self, name: str, provider: str = "openai") -> Any:
        """Ask this model; the request's id."""
        params = {"chatId": self.chat, "prompt": "hi", "model": {"provider": provider, "name": name}, "files": []}
        return await self.host.start("chat:stream", params)

    async def ask(self, name: str, provider: str = "openai") -> dict[str, Any]:
        """Ask this model to the end; the terminal notification."""
        await self.host.answer(await self.start(name, provider))
        terminal: dict[str, Any] = self.host.terminals(self.chat)[-1]
        return terminal


@asynccontextmanager
async def talk(proxy: LitellmProxy, folder: Path, key: str | None = MASTER_KEY) -> AsyncIterator[Talk]:
    """A sidecar set up for the proxy, and nothing of earlier tests in its record."""
    proxy.received()
    environ = {"LITE_LLM_BASE_URL": proxy.base_url, **({"LITE_LLM_MASTER_KEY": key} if key else {})}
    place = Installation(folder, ScriptedProvider())
    async with memory_host(folder, environ, **PATCH) as host:
        yield Talk(place, host)
