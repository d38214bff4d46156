"""``auto`` through the wire: it learns what happened here, and takes back what it learnt when that was mended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.host import Host, memory_host
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer
from tests.providers.streams import anthropic_stream, gemini_stream, openai_chat_stream

pytestmark = pytest.mark.anyio

GEMINI = "/google/models/gemini-2.5-flash:streamGenerateContent"
AUTO = {"provider": "auto", "name": "auto"}
PATCH = {"capabilities": {"chunks": "patch"}}
BUSY = Answer.json({"error": {"message": "busy"}}, status=503, headers={"retry-after-ms": "1"})


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        made.provider.answer(GEMINI, Answer.stream(gemini_stream(["Flash"])))
        made.provider.answer("/anthropic/messages", Answer.stream(anthropic_stream(["Sonnet"])))
        made.provider.answer("/openrouter/chat/completions", Answer.stream(openai_chat_stream(["Qwen"])))
        yield made


def environment(place: Installation) -> dict[str, str]:
    vendors = {"ANTHROPIC": "anthropic", "GOOGLE": "google", "OPENROUTER": "openrouter"}
    bases = {f"SCALIX_{name}_BASE_URL": f"{place.provider.base_url}/{path}" for name, path in vendors.items()}
    return {f"{name}_API_KEY": planted() for name in ("ANTHROPIC", "GEMINI", "OPENROUTER")} | bases


async def ask(host: Host, place: Installation) -> dict[str, Any]:
    """One message to ``auto`` in a new chat; its last word."""
    chat = place.chat()
    await host.request("chat:stream", place.stream_params(chat, model=AUTO, files=[]))
    (end,) = host.terminals(chat)
    return end


def asked(end: dict[str, Any]) -> list[tuple[str, str]]:
    return [(attempt["provider"], attempt["outcome"]) for attempt in end["attempts"]]


async def test_after_an_outage_the_next_message_goes_straight_to_who_answers_also_after_a_restart(
    place: Installation,
) -> None:
    place.provider.answer(GEMINI, BUSY)
    async with memory_host(place.folder, environment(place), **PATCH) as host:
        first = await ask(host, place)
        second = await ask(host, place)
    assert asked(first) == [("google", "error")] * 3 + [("anthropic", "ok")]
    assert asked(second) == [("anthropic", "ok")]
    async with memory_host(place.folder, environment(place), **PATCH) as host:
        await host.request("models:recommend")  # the history has been read
        assert asked(await ask(host, place)) == [("anthropic", "ok")]


async def test_a_corrected_key_is_used_at_once(place: Installation) -> None:
    refused = Answer.json({"error": {"message": "API key not valid", "status": "UNAUTHENTICATED"}}, status=401)
    async with memory_host(place.folder, environment(place), **PATCH) as host:
        await host.request("models:recommend")  # the history has been read
        assert asked(await ask(host, place)) == [("google", "ok")]
        place.provider.answer(GEMINI, refused)
        for _ in range(3):
            await ask(host, place)
        assert asked(await ask(host, place)) == [("anthropic", "ok")]
        place.provider.answer(GEMINI, Answer.stream(gemini_stream(["Flash"])))
        await host.request("set-user-settings", {"providerSettings": {"google": {"apiKey": {"value": "n" * 30}}}})
        assert asked(await ask(host, place)) == [("google", "ok")]


async def test_a_key_put_in_for_something_else_is_not_chatted_with(place: Installation) -> None:
    async with memory_host(place.folder, environment(place), **PATCH) as host:
        for _ in range(12):
            (only,) = asked(await ask(host, place))
            assert only in {("google", "ok"), ("anthropic", "ok")}
    assert not any(request.path.startswith("/openrouter") for request in place.provider.requests)
