"""Chat completions end to end: the request as the server saw it, the events as the caller got them."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from protocol.errors import ErrorCode
from sidecar.engines.base import (
    FilePart,
    Finish,
    Message,
    ReasoningPart,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from sidecar.engines.exchange import Exchange
from sidecar.engines.http import ProviderHttp
from sidecar.engines.openai_compatible import OpenAICompatibleEngine
from sidecar.engines.timeouts import Timeouts
from sidecar.errors import ProviderError, StreamInterrupted
from tests.engines.calls import KEY, call, collect, reasoning_of, target, text_of
from tests.providers import Answer, Drop, Later, Pause, ScriptedProvider, TrickleUntilGone, openai_chat_stream, sse

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"
USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}


def engine_of(http: ProviderHttp, **timeouts: float) -> OpenAICompatibleEngine:
    return OpenAICompatibleEngine(Exchange(http, Timeouts(**timeouts)))


@pytest.fixture
def engine(http: ProviderHttp) -> OpenAICompatibleEngine:
    return engine_of(http)


# --- the request -------------------------------------------------------------------------------------------------


async def sent(engine: OpenAICompatibleEngine, provider: ScriptedProvider, **overrides: Any) -> dict[str, Any]:
    to = overrides.pop("to", None) or target(provider.base_url + "/v1")
    provider.answer(PATH, Answer.stream(openai_chat_stream(["ok"])))
    await collect(engine, call(to, **overrides))
    body: dict[str, Any] = provider.last().json
    return body


async def test_the_body_is_what_the_app_sends_plus_a_wish_for_usage(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    body = await sent(engine, provider, max_output_tokens=100, temperature=0)
    assert list(body) == ["model", "max_tokens", "temperature", "messages", "stream", "stream_options"]
    assert body == {
        "model": "test-model",
        "max_tokens": 100,
        "temperature": 0,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    request = provider.last()
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"


async def test_what_the_catalogue_does_not_give_is_not_sent(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    body = await sent(engine, provider, to=target(provider.base_url + "/v1/", api_key=None))
    assert not {"max_tokens", "temperature", "top_p", "stop", "tools"} & set(body)
    assert "authorization" not in provider.last().headers


@pytest.mark.parametrize(
    ("provider_id", "model", "name"),
    [
        ("openai", "gpt-5-mini", "max_completion_tokens"),
        ("azure", "o3", "max_completion_tokens"),
        ("openai", "gpt-4.1", "max_tokens"),
        ("openrouter", "openai/gpt-5", "max_tokens"),
    ],
)
async def test_openais_new_models_get_the_limit_under_its_new_name(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider, provider_id: str, model: str, name: str
) -> None:
    to = target(provider.base_url + "/v1", provider=provider_id, wire_model=model, route="direct", max_output_tokens=7)
    body = await sent(engine, provider, to=to)
    assert body[name] == 7
    assert {"max_tokens", "max_completion_tokens"} & set(body) == {name}


@pytest.mark.parametrize(("provider_id", "name"), [("mistral", "random_seed"), ("together", "seed")])
async def test_mistral_has_a_word_of_its_own_for_the_seed(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider, provider_id: str, name: str
) -> None:
    body = await sent(engine, provider, to=target(provider.base_url + "/v1", provider=provider_id), seed=7)
    assert {member: body[member] for member in body if "seed" in member} == {name: 7}


async def test_images_travel_as_data_urls_and_text_alone_as_a_string(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    parts = (
        TextPart("Look"),
        FilePart("image/png", base64="iVBORw0="),
        FilePart("image/jpeg", url="https://example.com/a.jpg"),
        FilePart("application/pdf", base64="JVBERg==", filename="a.pdf"),
    )
    prompt = (Message(role="user", parts=parts), Message(role="user", parts=(TextPart("a"), TextPart("b"))))
    body = await sent(engine, provider, messages=prompt)
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
    ]
    assert body["messages"][1]["content"] == "a\nb"


async def test_a_tool_conversation_keeps_its_order(engine: OpenAICompatibleEngine, provider: ScriptedProvider) -> None:
    prompt = (
        Message.of("user", "weather?"),
        Message(role="assistant", parts=(ReasoningPart("hm"), ToolCallPart("c1", "weather", '{"city":"Rome"}'))),
        Message(role="tool", parts=(ToolResultPart("c1", "weather", "sunny"),)),
    )
    body = await sent(
        engine,
        provider,
        messages=prompt,
        tools=(Tool("weather", "The weather", {"type": "object"}),),
        tool_choice={"toolName": "weather"},
        stop=("END",),
        response_format={"type": "json", "schema": {"type": "object"}},
    )
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "The weather", "parameters": {"type": "object"}},
        }
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert body["stop"] == ["END"]
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": {"type": "object"}},
    }


async def test_the_targets_own_headers_query_and_body_come_last(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    to = target(
        provider.base_url + "/v1",
        headers={"X-Scalix-Client": "desktop-app", "authorization": "Bearer other"},
        query={"api-version": "preview"},
        body={"scalix_options": {"enable_lazy_edits": True}, "temperature": 1},
        attempt_header="X-Scalix-Request-Id",
        reasoning="effort",
    )
    body = await sent(engine, provider, to=to, attempt=2, temperature=0, thinking="high")
    request = provider.last()
    assert body["scalix_options"] == {"enable_lazy_edits": True}
    assert body["temperature"] == 1
    assert body["reasoning_effort"] == "high"
    assert request.query == {"api-version": "preview"}
    assert request.headers["x-scalix-client"] == "desktop-app"
    assert request.headers["authorization"] == "Bearer other"
    assert request.headers["x-scalix-request-id"] == "req-1:attempt-2"


async def test_provider_options_travel_under_the_wires_names(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    options = {"parallelToolCalls": False, "reasoningEffort": None, "logitBias": {"50256": -100}}
    body = await sent(engine, provider, provider_options=options)
    assert body["parallel_tool_calls"] is False
    assert body["logit_bias"] == {"50256": -100}
    assert "reasoning_effort" not in body


async def test_a_server_that_refuses_the_wish_for_usage_is_asked_once_more_and_remembered(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    refusal = Answer.json({"error": {"message": "Unrecognized request argument: stream_options"}}, status=400)
    provider.answer(PATH, refusal, Answer.stream(openai_chat_stream(["ok"])))
    to = target(provider.base_url + "/v1")
    assert text_of(await collect(engine, call(to))) == "ok"
    assert text_of(await collect(engine, call(to))) == "ok"
    assert ["stream_options" in request.json for request in provider.requests] == [True, False, False]


async def test_a_request_of_several_megabytes_arrives_whole(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    body = await sent(engine, provider, messages=(Message.of("user", "x" * 3_000_000),))
    assert len(body["messages"][0]["content"]) == 3_000_000


# --- the answer --------------------------------------------------------------------------------------------------


async def test_an_answer_comes_as_events(engine: OpenAICompatibleEngine, provider: ScriptedProvider) -> None:
    provider.answer(PATH, Answer.stream(openai_chat_stream(["Hel", "lo"], reasoning=["hm", "m"], usage=USAGE)))
    events = await collect(engine, call(target(provider.base_url + "/v1")))
    assert text_of(events) == "Hello"
    assert reasoning_of(events) == "hmm"
    assert [event.reason for event in events if isinstance(event, Finish)] == ["stop"]
    usage = [event for event in events if isinstance(event, Usage)][-1]
    assert (usage.input_tokens, usage.output_tokens) == (11, 2)


async def test_tool_calls_come_as_events(engine: OpenAICompatibleEngine, provider: ScriptedProvider) -> None:
    stream = openai_chat_stream([], tool_calls=[("c1", "weather", ['{"a"', ":1}"])], finish="tool_calls")
    provider.answer(PATH, Answer.stream(stream))
    events = await collect(engine, call(target(provider.base_url + "/v1")))
    assert [(e.id, e.name, e.arguments) for e in events if isinstance(e, ToolCall)] == [("c1", "weather", '{"a":1}')]


async def test_every_piece_is_there_before_the_next_one_is_sent(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    stream = openai_chat_stream(["one", "two"])
    pause = Pause()
    provider.answer(PATH, Answer.stream([*stream[:2], pause, *stream[2:]]))
    with anyio.fail_after(5):
        async with engine.stream(call(target(provider.base_url + "/v1"))) as batches:
            texts = []
            async for batch in batches:
                texts += [event.text for event in batch if isinstance(event, TextDelta)]
                if texts == ["one"]:
                    assert not provider.last().answered.is_set()
                    pause.resume()
    assert texts == ["one", "two"]


@pytest.mark.parametrize("tail", [[], [Drop()], [Pause()]], ids=["end", "reset", "kept open"])
async def test_after_the_finish_marker_nothing_that_happens_is_an_error(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider, tail: list[Any]
) -> None:
    provider.answer(PATH, Answer.stream([*openai_chat_stream(["ok"], usage=USAGE), *tail]))
    with anyio.fail_after(2):
        events = await collect(engine, call(target(provider.base_url + "/v1")))
    assert text_of(events) == "ok"


async def test_finish_does_not_wait_for_the_end_of_the_body(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    provider.answer(PATH, Answer.stream([*openai_chat_stream(["ok"], done=False), Pause()]))
    async with engine.stream(call(target(provider.base_url + "/v1"))) as batches:
        with anyio.fail_after(0.5):
            async for batch in batches:
                if any(isinstance(event, Finish) for event in batch):
                    break
    assert not provider.last().answered.is_set()


@pytest.mark.parametrize("cut", [[Drop()], []], ids=["reset", "orderly end"])
async def test_a_stream_cut_before_its_finish_marker_is_interrupted(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider, cut: list[Any]
) -> None:
    pause = Pause()
    provider.answer(PATH, Answer.stream([*openai_chat_stream(["Hel", "lo"])[:3], pause, *cut]))
    seen = []
    with pytest.raises(StreamInterrupted) as caught:
        async with engine.stream(call(target(provider.base_url + "/v1"))) as batches:
            async for batch in batches:
                seen += batch
                if text_of(seen) == "Hello":
                    pause.resume()
    assert text_of(seen) == "Hello"
    assert caught.value.code is ErrorCode.STREAM_INTERRUPTED
    assert caught.value.retryable
    assert (caught.value.provider, caught.value.model, caught.value.request_id) == ("custom::x", "test-model", "req-1")


async def test_an_empty_answer_with_status_200_is_interrupted(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    provider.answer(PATH, Answer.stream([]))
    with pytest.raises(StreamInterrupted):
        await collect(engine, call(target(provider.base_url + "/v1")))


async def test_an_error_inside_the_stream_follows_the_text_before_it(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    error = sse({"error": {"message": "The server is overloaded.", "type": "server_error", "code": 503}})
    start = b"".join(openai_chat_stream(["Hel"])[:2])
    provider.answer(PATH, Answer.stream([start + error]))
    seen = []
    with pytest.raises(ProviderError, match=r"The server is overloaded\.") as caught:
        async with engine.stream(call(target(provider.base_url + "/v1"))) as batches:
            async for batch in batches:
                seen += batch
    assert text_of(seen) == "Hel"
    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE
    assert caught.value.status == 503
    assert caught.value.provider == "custom::x"


async def test_a_web_page_with_status_200_is_an_error(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    page = "<html><head><title>Welcome to Airport WiFi</title></head></html>"
    provider.answer(PATH, Answer.text(page, content_type="text/html"))
    with pytest.raises(ProviderError, match="web page") as caught:
        await collect(engine, call(target(provider.base_url + "/v1")))
    assert not caught.value.retryable


# --- time-outs and cancellation ----------------------------------------------------------------------------------


async def test_no_head_in_time_is_a_timeout_and_hangs_up(http: ProviderHttp, provider: ScriptedProvider) -> None:
    provider.answer(
        PATH,
        Answer.stream(
            [],
        ),
    )
    provider.answer(PATH, Answer(before=Pause()))
    with pytest.raises(ProviderError, match="did not begin") as caught:
        await collect(engine_of(http, first_token_s=0.05), call(target(provider.base_url + "/v1")))
    assert caught.value.code is ErrorCode.TIMEOUT
    assert caught.value.provider == "custom::x"
    with anyio.fail_after(1):
        await provider.last().gone.wait()


async def test_keep_alive_comments_do_not_put_off_the_first_token_timeout(
    http: ProviderHttp, provider: ScriptedProvider
) -> None:
    provider.answer(PATH, Answer.stream([TrickleUntilGone(b": OPENROUTER PROCESSING\n\n")]))
    with anyio.fail_after(5), pytest.raises(ProviderError, match="did not begin") as caught:
        await collect(engine_of(http, first_token_s=0.1), call(target(provider.base_url + "/v1")))
    assert caught.value.code is ErrorCode.TIMEOUT
    with anyio.fail_after(1):
        await provider.last().gone.wait()


async def test_keep_alive_comments_do_not_put_off_the_idle_timeout(
    http: ProviderHttp, provider: ScriptedProvider
) -> None:
    provider.answer(PATH, Answer.stream([*openai_chat_stream(["Hel"])[:2], TrickleUntilGone()]))
    seen = []
    with anyio.fail_after(5), pytest.raises(ProviderError, match="stopped sending") as caught:
        async with engine_of(http, idle_s=0.1).stream(call(target(provider.base_url + "/v1"))) as batches:
            async for batch in batches:
                seen += batch
    assert text_of(seen) == "Hel"
    assert caught.value.code is ErrorCode.TIMEOUT


async def test_content_puts_off_the_idle_timeout(http: ProviderHttp, provider: ScriptedProvider) -> None:
    """The whole answer takes longer than either time-out, every step of it less."""
    steps = [step for piece in openai_chat_stream(list("abcdefgh")) for step in (piece, Later(0.05))]
    provider.answer(PATH, Answer.stream(steps))
    start = anyio.current_time()
    engine = engine_of(http, first_token_s=0.3, idle_s=0.3)
    assert text_of(await collect(engine, call(target(provider.base_url + "/v1")))) == "abcdefgh"
    assert anyio.current_time() - start > 0.3


async def test_the_consumers_own_time_does_not_count(http: ProviderHttp, provider: ScriptedProvider) -> None:
    stream = openai_chat_stream(["a", "b"])
    pause = Pause()
    provider.answer(PATH, Answer.stream([*stream[:2], pause, *stream[2:]]))
    events = []
    async with engine_of(http, idle_s=0.1).stream(call(target(provider.base_url + "/v1"))) as batches:
        async for batch in batches:
            events += batch
            if text_of(events) == "a":
                await anyio.sleep(0.25)  # a slow consumer
                pause.resume()
    assert text_of(events) == "ab"


async def test_a_timeout_of_the_consumer_is_not_taken_for_the_providers(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    provider.answer(PATH, Answer.stream([*openai_chat_stream(["a"])[:2], Pause()]))
    with pytest.raises(TimeoutError):
        async with engine.stream(call(target(provider.base_url + "/v1"))) as batches:
            with anyio.fail_after(0.05):
                async for _ in batches:
                    pass


@pytest.mark.parametrize("where", ["before the head", "in mid-stream"])
async def test_cancelling_closes_the_connection_within_50_ms(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider, where: str
) -> None:
    pause = Pause()
    if where == "before the head":
        provider.answer(PATH, Answer(before=pause))
    else:
        provider.answer(PATH, Answer.stream([*openai_chat_stream(["a"])[:2], pause]))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, engine, call(target(provider.base_url + "/v1")))
            await pause.reached.wait()
            start = anyio.current_time()
            tasks.cancel_scope.cancel()
        request = provider.last()
        await request.gone.wait()
    assert request.gone_at is not None
    assert request.gone_at - start < 0.05


async def test_leaving_early_closes_the_connection(engine: OpenAICompatibleEngine, provider: ScriptedProvider) -> None:
    provider.answer(PATH, Answer.stream([*openai_chat_stream(["a"])[:2], TrickleUntilGone()]))
    async with engine.stream(call(target(provider.base_url + "/v1"))) as batches:
        async for _ in batches:
            break
    with anyio.fail_after(1):
        await provider.last().gone.wait()


async def test_a_finished_connection_is_used_again_and_a_half_read_one_never(
    engine: OpenAICompatibleEngine, provider: ScriptedProvider
) -> None:
    to = target(provider.base_url + "/v1")
    provider.answer(PATH, Answer.stream(openai_chat_stream(["a"], usage=USAGE)))
    await collect(engine, call(to))
    await collect(engine, call(to))
    first, second = provider.requests
    assert first.peer == second.peer
    whole = openai_chat_stream(["a"], usage=USAGE)
    provider.answer(PATH, Answer.stream([*whole[:2], Pause()]), Answer.stream(whole))
    async with engine.stream(call(to)) as batches:
        async for _ in batches:
            break
    assert text_of(await collect(engine, call(to))) == "a"
    assert provider.requests[3].peer != provider.requests[2].peer
