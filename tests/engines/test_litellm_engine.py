"""litellm as a route of its own, and as the oracle of the requests that are built without it.

Imports litellm into the test process (some seconds, once).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import anyio
import pytest

from protocol.errors import ErrorCode
from sidecar.engines.base import Finish, Message, ModelCall, Target, Tool, ToolCall, Usage
from sidecar.engines.dialects import anthropic, cohere, google
from sidecar.engines.litellm_engine import LitellmEngine, LitellmLoader
from sidecar.engines.litellm_errors import provider_error
from sidecar.engines.timeouts import Timeouts
from sidecar.errors import ProviderError, SidecarError
from sidecar.secret import SecretText
from tests.engines.calls import KEY, call, collect, reasoning_of, text_of
from tests.providers import (
    Answer,
    Drop,
    Pause,
    ScriptedProvider,
    TrickleUntilGone,
    anthropic_stream,
    cohere_stream,
    gemini_stream,
    openai_chat_stream,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning"),
]

PATH = "/v1/chat/completions"
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}


@pytest.fixture
async def engine() -> AsyncIterator[LitellmEngine]:
    made = LitellmEngine(Timeouts(first_token_s=20, idle_s=20))
    yield made
    await made.aclose()


def to(provider: ScriptedProvider, name: str = "openai", model: str = "gpt-4.1", **overrides: Any) -> Target:
    values: dict[str, Any] = {
        "provider": name,
        "model": model,
        "wire_model": model,
        "dialect": "litellm",
        "base_url": provider.base_url + "/v1",
        "api_key": SecretText(KEY),
    }
    return Target(**{**values, **overrides})


# --- loading -----------------------------------------------------------------------------------------------------


def test_importing_the_engine_does_not_import_litellm() -> None:
    code = (
        "import sys, sidecar.engines.select; print([m for m in ('litellm', 'aiohttp', 'pydantic') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_no_vocabulary_is_read_while_it_loads_and_json_is_as_it_was() -> None:
    """Anthropic's, of which nothing is counted: reading and writing it held every thread for 40 ms."""
    code = (
        "import anyio, json; from sidecar.engines.litellm_engine import LitellmLoader; load = json.load;"
        "litellm = anyio.run(LitellmLoader().ready);"
        "print(len(litellm.utils.claude_json_str), len(litellm.model_cost) > 1000, json.load is load)"
    )
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["2", "True", "True"]


async def test_calls_that_come_while_it_loads_share_one_import() -> None:
    loader = LitellmLoader()
    modules = []

    async def wait() -> None:
        modules.append(await loader.ready())

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait)
    assert [module.__name__ for module in modules] == ["litellm"] * 3
    assert modules[0].suppress_debug_info
    assert modules[0].disable_hf_tokenizer_download


async def test_a_build_without_litellm_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(ProviderError, match="no litellm"):
        await LitellmLoader().ready()


# --- a call ------------------------------------------------------------------------------------------------------

VENDORS: list[tuple[str, str, str, list[bytes], str]] = [
    ("openai", "gpt-4.1", PATH, openai_chat_stream(["Hel", "lo"], usage=USAGE), ""),
    ("mistral", "mistral-large-latest", PATH, openai_chat_stream(["Hel", "lo"], usage=USAGE), ""),
    ("anthropic", "claude-sonnet-4-20250514", "/v1/messages", anthropic_stream(["Hel", "lo"], thinking=["hm"]), "hm"),
    (
        "google",
        "gemini-2.5-flash",
        "/v1/models/gemini-2.5-flash:streamGenerateContent",
        gemini_stream(["Hel", "lo"], thoughts=["hm"]),
        "hm",
    ),
]


every_vendor = pytest.mark.parametrize("vendor", VENDORS, ids=[v[0] for v in VENDORS])


@every_vendor
async def test_an_answer_comes_as_events(engine: LitellmEngine, provider: ScriptedProvider, vendor: Any) -> None:
    name, model, path, stream, reasoning = vendor
    provider.answer(path, Answer.stream(stream))
    events = await collect(engine, call(to(provider, name, model)))
    assert (text_of(events), reasoning_of(events)) == ("Hello", reasoning)
    assert [event.reason for event in events if isinstance(event, Finish)] == ["stop"]
    assert any(isinstance(event, Usage) and event.output_tokens for event in events)
    assert KEY not in str(provider.last().query)


async def test_usage_that_the_vendor_did_not_give_is_not_invented(
    engine: LitellmEngine, provider: ScriptedProvider
) -> None:
    provider.answer(PATH, Answer.stream(openai_chat_stream(["Hel", "lo"], usage=None)))
    events = await collect(engine, call(to(provider)))
    assert text_of(events) == "Hello"
    assert not [event for event in events if isinstance(event, Usage)]


async def test_tool_calls_come_as_events(engine: LitellmEngine, provider: ScriptedProvider) -> None:
    stream = openai_chat_stream([], tool_calls=[("c1", "weather", ['{"a"', ":1}"])], finish="tool_calls")
    provider.answer(PATH, Answer.stream(stream))
    events = await collect(engine, call(to(provider), tools=(Tool("weather", None, {"type": "object"}),)))
    assert [(e.id, e.name, e.arguments) for e in events if isinstance(e, ToolCall)] == [("c1", "weather", '{"a":1}')]


REFUSALS = [
    (401, ErrorCode.AUTHENTICATION_FAILED, False),
    (404, ErrorCode.MODEL_UNAVAILABLE, False),
    (429, ErrorCode.RATE_LIMIT_EXCEEDED, True),
    (500, ErrorCode.MODEL_UNAVAILABLE, True),
]


@every_vendor
@pytest.mark.parametrize("refusal", REFUSALS, ids=[str(r[0]) for r in REFUSALS])
async def test_a_refusal_is_the_vendors_sentence_asked_once(
    engine: LitellmEngine, provider: ScriptedProvider, vendor: Any, refusal: tuple[int, ErrorCode, bool]
) -> None:
    name, model, path, *_ = vendor
    status, code, retryable = refusal
    body = {"error": {"message": "The vendor's own sentence.", "type": "x", "code": None}}
    provider.answer(path, Answer.json(body, status=status, headers={"Retry-After": "90"}))
    with anyio.fail_after(10), pytest.raises(ProviderError) as caught:
        await collect(engine, call(to(provider, name, model)))
    error = caught.value
    assert (error.message, error.code, error.retryable) == ("The vendor's own sentence.", code, retryable)
    assert (error.provider, error.request_id) == (name, "req-1")
    assert (error.extra.get("scope") == "provider") == (status == 429)
    assert KEY not in str(error.data()) + str(error.details)
    assert len(provider.requests) == 1


async def test_a_server_that_is_not_there_is_a_network_error(engine: LitellmEngine, provider: ScriptedProvider) -> None:
    with pytest.raises(ProviderError) as caught:
        await collect(engine, call(to(provider, base_url="http://127.0.0.1:9/v1")))
    assert caught.value.retryable
    assert caught.value.code in {ErrorCode.NETWORK, ErrorCode.MODEL_UNAVAILABLE}
    assert caught.value.message.strip()


async def test_keep_alives_do_not_hide_a_stall(provider: ScriptedProvider) -> None:
    engine = LitellmEngine(Timeouts(first_token_s=20, idle_s=0.2))
    provider.answer(PATH, Answer.stream([*openai_chat_stream(["Hel", "lo"])[:3], TrickleUntilGone()]))
    seen = []
    with anyio.fail_after(10), pytest.raises(ProviderError, match="stopped sending") as caught:
        async with engine.stream(call(to(provider))) as batches:
            async for batch in batches:
                seen += batch
    assert caught.value.code is ErrorCode.TIMEOUT
    assert text_of(seen) == "Hello"
    with anyio.fail_after(1):
        await provider.last().gone.wait()
    await engine.aclose()


async def test_a_cut_stream_is_a_failure(engine: LitellmEngine, provider: ScriptedProvider) -> None:
    provider.answer(PATH, Answer.stream([*openai_chat_stream(["Hel", "lo"])[:3], Drop()]))
    with pytest.raises(ProviderError) as caught:
        await collect(engine, call(to(provider)))
    assert caught.value.code is ErrorCode.STREAM_INTERRUPTED


async def test_cancelling_closes_the_connection_within_50_ms(engine: LitellmEngine, provider: ScriptedProvider) -> None:
    pause = Pause()
    provider.answer(PATH, Answer.stream([*openai_chat_stream(["a"])[:2], pause]))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, engine, call(to(provider)))
            await pause.reached.wait()
            start = anyio.current_time()
            tasks.cancel_scope.cancel()
        await provider.last().gone.wait()
    assert (provider.last().gone_at or start + 1) - start < 0.05


def test_every_exception_becomes_an_error_with_a_sentence() -> None:
    for error in (Exception(), ValueError("x"), RuntimeError("b'not closed"), TypeError("{")):
        found = provider_error(error)
        assert isinstance(found, SidecarError)
        assert found.message.strip()


# --- the oracle --------------------------------------------------------------------------------------------------

PROMPT = (
    Message.of("system", "Be brief."),
    Message.of("user", "Hi"),
    Message.of("assistant", "Hello"),
    Message.of("user", "And?"),
)


def asked(dialect: str, model: str) -> ModelCall:
    target = Target(provider="p", model=model, wire_model=model, dialect=dialect, base_url="http://h")  # type: ignore[arg-type]
    return call(target, messages=PROMPT, max_output_tokens=100, temperature=0.5, top_p=0.9, stop=("END",))


async def by_litellm(name: str, model: str) -> Any:
    """The body litellm would send for the same call."""
    litellm = await LitellmLoader().ready()
    config = import_module("litellm.utils").ProviderConfigManager.get_provider_chat_config(
        model, litellm.LlmProviders(name)
    )
    given = {"max_tokens": 100, "temperature": 0.5, "top_p": 0.9, "stop": ["END"], "stream": True}
    options = config.map_openai_params(given, {}, model, True)
    prompt = [{"role": m.role, "content": m.parts[0].text} for m in PROMPT]  # type: ignore[union-attr]
    if name == "gemini":
        gemini = import_module("litellm.llms.vertex_ai.gemini.transformation")
        made = gemini._transform_request_body(prompt, model, options, "gemini", {}, None)
    else:
        made = config.transform_request(model, prompt, options, {}, {})
    return json.loads(json.dumps(made))


def camel(value: Any) -> Any:
    """litellm writes Google's members in snake case, which the API takes too."""
    if isinstance(value, dict):
        return {n.split("_")[0] + "".join(w.title() for w in n.split("_")[1:]): camel(v) for n, v in value.items()}
    return [camel(item) for item in value] if isinstance(value, list) else value


async def test_anthropics_request_is_litellms() -> None:
    model = "claude-sonnet-4-20250514"
    assert anthropic.body(asked("anthropic", model)) == await by_litellm("anthropic", model)


async def test_geminis_request_is_litellms() -> None:
    """But for ``stream``, which is in the address."""
    model = "gemini-2.5-flash"
    assert google.body(asked("google", model)) == camel(await by_litellm("gemini", model))


async def test_coheres_request_is_litellms() -> None:
    model = "command-a-03-2025"
    assert cohere.body(asked("cohere", model)) == await by_litellm("cohere_chat", model)


async def test_litellm_still_loses_cohere_and_so_is_not_asked(
    engine: LitellmEngine, provider: ScriptedProvider
) -> None:
    """The reason for a decoder of our own; when this fails, litellm has mended it."""
    provider.answer("/v1/chat", Answer.stream(cohere_stream(["Hel", "lo"])))
    provider.answer("/v1", Answer.stream(cohere_stream(["Hel", "lo"])))
    with pytest.raises(ProviderError):
        await collect(
            engine, call(to(provider, "cohere_chat", "command-a-03-2025", base_url=provider.base_url + "/v1/chat"))
        )
