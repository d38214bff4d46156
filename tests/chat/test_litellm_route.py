"""The way through litellm's own client (``SCALIX_LITELLM_ROUTE``): slower, and the same to the host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.host import process_host
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer, Pause
from tests.providers.streams import anthropic_stream, gemini_stream, openai_chat_stream

pytestmark = [pytest.mark.anyio, pytest.mark.process]

KEY = planted()
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


async def test_every_vendor_can_be_reached_through_litellm(place: Installation) -> None:
    base = place.provider.base_url
    answers = {
        "/openai/chat/completions": openai_chat_stream(["Hel", "lo"], model="gpt-4.1", usage=USAGE),
        "/anthropic/v1/messages": anthropic_stream(["Hel", "lo"], thinking=["hm"]),
        "/google/models/gemini-2.5-flash:streamGenerateContent": gemini_stream(["Hel", "lo"], thoughts=["hm"]),
    }
    for path, steps in answers.items():
        place.provider.answer(path, Answer.stream(steps))
    environment = {
        "SCALIX_LITELLM_ROUTE": "openai, anthropic, google",
        "OPENAI_API_KEY": KEY,
        "ANTHROPIC_API_KEY": KEY,
        "GEMINI_API_KEY": KEY,
        "SCALIX_OPENAI_BASE_URL": f"{base}/openai",
        "SCALIX_ANTHROPIC_BASE_URL": f"{base}/anthropic/v1",
        "SCALIX_GOOGLE_BASE_URL": f"{base}/google",
    }
    models = {
        "openai": ("gpt-4.1", "Hello"),
        "anthropic": ("claude-sonnet-4-20250514", "<think>hm</think>Hello"),
        "google": ("gemini-2.5-flash", "<think>hm</think>Hello"),
    }
    async with process_host(place.folder, environment, capabilities={"chunks": "patch"}) as host:
        for provider, (name, text) in models.items():
            chat = place.chat()
            model = {"provider": provider, "name": name}
            result = await host.request("chat:stream", place.stream_params(chat, model=model, files=[]))
            assert result == chat, host.terminals(chat)
            assert host.text(chat) == text
            assert host.terminals(chat)[0]["finishReason"] == "stop"
            assert host.terminals(chat)[0]["usage"]["outputTokens"] > 0

        place.provider.answer(
            "/openai/chat/completions", Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401)
        )
        chat = place.chat()
        model = {"provider": "openai", "name": "gpt-4.1"}
        params = place.stream_params(chat, model=model, files=[])
        assert await host.request("chat:stream", params) == "error"
        (error,) = host.terminals(chat)
        assert (error["code"], KEY in str(error)) == ("AUTHENTICATION_FAILED", False)
        assert "Incorrect API key provided" in error["error"]

        place.provider.answer("/openai/chat/completions", Answer.stream([*openai_chat_stream(["Hello"])[:2], Pause()]))
        chat = place.chat()
        stream = await host.start("chat:stream", place.stream_params(chat, model=model, files=[]))
        await host.until(lambda: host.text(chat) == "Hello")
        await host.request("chat:cancel", {"chatId": chat})
        assert await host.answer(stream) == chat
        await place.provider.last().gone.wait()
    assert all(frame["jsonrpc"] == "2.0" for frame in host.frames), "litellm's banners stay off stdout"
