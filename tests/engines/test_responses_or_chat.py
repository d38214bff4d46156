"""OpenAI's older API where a base has nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from protocol.errors import ErrorCode
from sidecar.engines.select import Engines
from sidecar.errors import ProviderError
from tests.engines import vendors
from tests.engines.calls import call, collect, text_of
from tests.engines.vendors import PATHS, STREAMS
from tests.providers import Answer, ScriptedProvider

pytestmark = pytest.mark.anyio

RESPONSES, CHAT = PATHS["openai-responses"], PATHS["openai-chat"]
NOTHING = Answer.json({"detail": "Not Found"}, status=404)


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    made = Engines({})
    yield made
    await made.aclose()


def paths(provider: ScriptedProvider) -> list[str]:
    return [request.path for request in provider.requests]


async def test_a_gateway_that_speaks_chat_completions_only_is_asked_in_them_from_then_on(
    engines: Engines, provider: ScriptedProvider
) -> None:
    provider.answer(RESPONSES, NOTHING)
    provider.answer(CHAT, Answer.stream(STREAMS["openai-chat"]))
    to = vendors.to(provider, "openai-responses", reasoning="effort")
    options = {"reasoningSummary": "detailed", "parallelToolCalls": False}
    for _ in range(2):
        assert text_of(await collect(engines, call(to, thinking="low", provider_options=options))) == "Hello"
    assert paths(provider) == [RESPONSES, CHAT, CHAT]
    body = provider.last().json
    assert body["reasoning_effort"] == "low"
    assert body["parallel_tool_calls"] is False
    assert not {"input", "reasoning", "reasoning_summary"} & body.keys()


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Answer.json({"error": {"message": "The model 'x' does not exist"}}, status=404), ErrorCode.MODEL_UNAVAILABLE),
        (Answer.json({"error": {"message": "No."}}, status=401), ErrorCode.AUTHENTICATION_FAILED),
        (Answer.json({"error": {"message": "No."}}, status=503), ErrorCode.MODEL_UNAVAILABLE),
    ],
)
async def test_any_other_refusal_is_one(
    engines: Engines, provider: ScriptedProvider, refusal: Answer, code: ErrorCode
) -> None:
    provider.answer(RESPONSES, refusal)
    provider.answer(CHAT, Answer.stream(STREAMS["openai-chat"]))
    with pytest.raises(ProviderError) as caught:
        await collect(engines, call(vendors.to(provider, "openai-responses")))
    assert caught.value.code is code
    assert paths(provider) == [RESPONSES]


async def test_an_address_with_neither_is_told_by_the_first(engines: Engines, provider: ScriptedProvider) -> None:
    provider.answer(RESPONSES, NOTHING)
    provider.answer(CHAT, NOTHING)
    to = vendors.to(provider, "openai-responses")
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            await collect(engines, call(to))
        assert f"{RESPONSES}: check the base URL" in caught.value.message
    assert paths(provider) == [RESPONSES, CHAT] * 2


async def test_what_the_older_api_says_of_the_key_is_the_error(engines: Engines, provider: ScriptedProvider) -> None:
    provider.answer(RESPONSES, NOTHING)
    provider.answer(CHAT, Answer.json({"error": {"message": "Invalid key."}}, status=401))
    with pytest.raises(ProviderError, match=r"^Invalid key\.$"):
        await collect(engines, call(vendors.to(provider, "openai-responses")))
