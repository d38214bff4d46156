"""What a server refuses is left out and not asked with again: the sentences are the vendors' own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from protocol.errors import ErrorCode
from sidecar.engines.base import Message, Target
from sidecar.engines.select import Engines
from sidecar.errors import ProviderError
from tests.engines import vendors
from tests.engines.calls import call, collect, text_of
from tests.engines.vendors import PATHS, STREAMS
from tests.providers import Answer, ScriptedProvider

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    made = Engines({})
    yield made
    await made.aclose()


def to(provider: ScriptedProvider, dialect: str = "openai-chat", **overrides: Any) -> Target:
    """With everything that may be refused."""
    reasoning = "effort" if dialect.startswith("openai") else "budget"
    wanted: dict[str, Any] = {"max_output_tokens": 100, "temperature": 0.0, "reasoning": reasoning}
    return vendors.to(provider, dialect, **{**wanted, **overrides})


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


REFUSALS: list[tuple[str, str, int, Any, str]] = [
    (
        "temperature, OpenAI", "openai-chat", 400,
        openai(
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is "
            "supported.", param="temperature", code="unsupported_value",
        ),
        "temperature",
    ),
    (
        "max_tokens, OpenAI", "openai-chat", 400,
        openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
            "instead.", param="max_tokens", code="unsupported_parameter",
        ),
        "max_tokens",
    ),
    (
        "stream_options, FastAPI", "openai-chat", 422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"],
                     "msg": "Extra inputs are not permitted"}]},
        "stream_options",
    ),
    (
        "thinking, LiteLLM", "openai-chat", 400,
        openai("litellm.UnsupportedParamsError: openai does not support parameters: ['thinking'], for model=m. To drop "
               "these, set `litellm.drop_params=True`"),
        "thinking",
    ),
    (
        "reasoning_effort", "openai-chat", 400,
        openai("Unrecognized request argument supplied: reasoning_effort"),
        "reasoning_effort",
    ),
    (
        "reasoningEffort, xAI", "openai-chat", 400,
        {"code": "Client specified an invalid argument",
         "error": "Model m does not support parameter reasoningEffort."},
        "reasoning_effort",
    ),
    (
        "summaries of an unverified organisation", "openai-responses", 400,
        openai("Your organization must be verified to generate reasoning summaries.", param="reasoning.summary",
               code="unsupported_value"),
        "reasoning.summary",
    ),
    (
        "max_output_tokens", "openai-responses", 400,
        openai("Unsupported parameter: 'max_output_tokens' is not supported with this model."),
        "max_output_tokens",
    ),
    (
        "thinking, Anthropic", "anthropic", 400,
        {"type": "error", "error": {"type": "invalid_request_error",
                                    "message": "thinking: this model does not support extended thinking"}},
        "thinking",
    ),
    (
        "thinking, Gemini", "google", 400,
        [{"error": {"code": 400, "message": "Unable to submit request because thinking_budget is not supported by this "
                    "model.", "status": "INVALID_ARGUMENT"}}],
        "generationConfig.thinkingConfig",
    ),
    (
        "temperature, Cohere", "cohere", 422,
        {"message": "temperature is not supported by this model"},
        "temperature",
    ),
]  # fmt: skip


def has(body: dict[str, Any], path: str) -> bool:
    *way, last = path.split(".")
    for name in way:
        body = body.get(name, {})
    return last in body


@pytest.mark.parametrize(
    ("dialect", "refusal", "path"),
    [(dialect, Answer.json(body, status=status), path) for _, dialect, status, body, path in REFUSALS],
    ids=[case[0] for case in REFUSALS],
)
async def test_what_is_refused_is_left_out_at_once_and_from_then_on(
    engines: Engines, provider: ScriptedProvider, dialect: str, refusal: Answer, path: str
) -> None:
    provider.answer(PATHS[dialect], refusal, Answer.stream(STREAMS[dialect]))
    extras = {"thinking": {"type": "enabled"}} if (dialect, path) == ("openai-chat", "thinking") else {}
    asked = call(to(provider, dialect, body=extras), thinking="low")
    for _ in range(2):
        assert text_of(await collect(engines, asked)) == "Hello"
    first, second, third = [request.json for request in provider.requests]
    assert has(first, path)
    assert not has(second, path)
    assert third == second, "what was learned is kept"


@pytest.mark.parametrize(
    ("sentence", "member"),
    [
        ("Argument not supported on this model: presencePenalty", "presence_penalty"),
        ("Argument not supported on this model: frequencyPenalty", "frequency_penalty"),
        ("Unsupported parameter: 'seed' is not supported with this model.", "seed"),
    ],
)
async def test_sampling_that_a_model_refuses_is_left_out(
    engines: Engines, provider: ScriptedProvider, sentence: str, member: str
) -> None:
    """xAI's reasoning models, and OpenAI's."""
    refusal = Answer.json(openai(sentence), status=400)
    provider.answer(PATHS["openai-chat"], refusal, Answer.stream(STREAMS["openai-chat"]))
    asked = call(to(provider), presence_penalty=0.1, frequency_penalty=0.2, seed=7)
    assert text_of(await collect(engines, asked)) == "Hello"
    assert [member in request.json for request in provider.requests] == [True, False]


async def test_an_organisation_that_may_not_stream_gets_the_answer_in_one_piece(
    engines: Engines, provider: ScriptedProvider
) -> None:
    def refusal(what: str, param: str) -> Answer:
        words = f"Your organization must be verified to {what}. Please go to: https://platform.openai.com/settings"
        return Answer.json(openai(words, param=param, code="unsupported_value"), status=400)

    whole = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "output": [{"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hello"}]}],
    }
    provider.answer(
        PATHS["openai-responses"],
        refusal("stream this model", "stream"),
        refusal("generate reasoning summaries", "reasoning.summary"),
        Answer.json(whole),
    )
    for _ in range(2):
        assert text_of(await collect(engines, call(to(provider, "openai-responses")))) == "Hello"
    told = [("stream" in request.json, "reasoning" in request.json) for request in provider.requests]
    assert told == [(True, True), (False, True), (False, False), (False, False)]


async def test_what_belongs_to_streaming_goes_with_it(engines: Engines, provider: ScriptedProvider) -> None:
    words = (
        "Your organization must be verified to stream this model. Please go to: https://platform.openai.com/settings"
    )
    message = {"role": "assistant", "content": "Hello"}
    provider.answer(
        PATHS["openai-chat"],
        Answer.json(openai(words, param="stream", code="unsupported_value"), status=400),
        Answer.json({"object": "chat.completion", "choices": [{"message": message, "finish_reason": "stop"}]}),
    )
    assert text_of(await collect(engines, call(to(provider, "openai-chat")))) == "Hello"
    told = [{"stream", "stream_options"} & request.json.keys() for request in provider.requests]
    assert told == [{"stream", "stream_options"}, set()]


async def test_a_limit_anthropic_finds_too_large_becomes_one_that_every_model_takes(
    engines: Engines, provider: ScriptedProvider
) -> None:
    words = "max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens for this model"
    refusal = Answer.json({"type": "error", "error": {"type": "invalid_request_error", "message": words}}, status=400)
    provider.answer(PATHS["anthropic"], refusal, Answer.stream(STREAMS["anthropic"]))
    asked = call(to(provider, "anthropic", max_output_tokens=64_000, reasoning="none"))
    assert text_of(await collect(engines, asked)) == "Hello"
    assert [request.json["max_tokens"] for request in provider.requests] == [64_000, 4096]


async def test_an_imitation_of_anthropics_that_takes_no_effort(engines: Engines, provider: ScriptedProvider) -> None:
    words = "output_config: Extra inputs are not permitted"
    refusal = Answer.json({"type": "error", "error": {"type": "invalid_request_error", "message": words}}, status=400)
    provider.answer(PATHS["anthropic"], refusal, Answer.stream(STREAMS["anthropic"]))
    name = {"model": "claude-opus-4-6", "wire_model": "claude-opus-4-6"}
    assert text_of(await collect(engines, call(to(provider, "anthropic", **name), thinking="low"))) == "Hello"
    assert ["output_config" in request.json for request in provider.requests] == [True, False]
    assert ["thinking" in request.json for request in provider.requests] == [True, True]


async def test_a_limit_goes_under_its_other_name_and_then_not_at_all(
    engines: Engines, provider: ScriptedProvider
) -> None:
    refusals = [Answer.json(openai(f"Unsupported parameter: '{name}'"), status=400)
                for name in ("max_tokens", "max_completion_tokens")]  # fmt: skip
    provider.answer(PATHS["openai-chat"], *refusals, Answer.stream(STREAMS["openai-chat"]))
    assert text_of(await collect(engines, call(to(provider)))) == "Hello"
    limits = [
        {name: value for name, value in request.json.items() if name.startswith("max")} for request in provider.requests
    ]
    assert limits == [{"max_tokens": 100}, {"max_completion_tokens": 100}, {}]


async def test_a_limit_that_is_too_large_is_left_to_the_server(engines: Engines, provider: ScriptedProvider) -> None:
    refusal = openai("max_tokens is too large: 100. This model supports at most 50 completion tokens.")
    provider.answer(PATHS["openai-chat"], Answer.json(refusal, status=400), Answer.stream(STREAMS["openai-chat"]))
    assert text_of(await collect(engines, call(to(provider)))) == "Hello"
    assert not {"max_tokens", "max_completion_tokens"} & provider.last().json.keys()


@pytest.mark.parametrize(
    ("dialect", "sentence"),
    [
        ("openai-chat", "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
        ("openai-chat", "System role not supported"),
        ("google", "Developer instruction is not enabled for models/gemma-3-27b-it"),
    ],
)
async def test_a_model_without_a_system_role_is_told_by_the_user(
    engines: Engines, provider: ScriptedProvider, dialect: str, sentence: str
) -> None:
    refusal = Answer.json(openai(sentence), status=400)
    provider.answer(PATHS[dialect], refusal, Answer.stream(STREAMS[dialect]))
    assert text_of(await collect(engines, call(to(provider, dialect)))) == "Hello"
    body = provider.last().json
    if dialect == "google":
        assert "systemInstruction" not in body
        assert body["contents"] == [{"role": "user", "parts": [{"text": "Be brief."}, {"text": "Hi"}]}]
    else:
        assert body["messages"] == [{"role": "user", "content": "Be brief.\nHi"}]


async def test_a_limit_that_groq_finds_too_large(engines: Engines, provider: ScriptedProvider) -> None:
    words = (
        "`max_tokens` must be less than or equal to `50`, the maximum value for `max_tokens` is less than the "
        "`context_window` for this model"
    )
    provider.answer(PATHS["openai-chat"], Answer.json(openai(words), status=400), Answer.stream(STREAMS["openai-chat"]))
    assert text_of(await collect(engines, call(to(provider)))) == "Hello"
    assert not {"max_tokens", "max_completion_tokens"} & provider.last().json.keys()


TOO_LONG_AN_ANSWER = [
    (
        "anthropic",
        "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or "
        "`max_tokens` and try again",
    ),
    (
        "openai-chat",
        "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 32768 "
        "tokens and your request has 20000 input tokens (32000 > 32768 - 20000).",
    ),
    (
        "openai-chat",
        "This model's maximum context length is 128000 tokens. However, you requested 130000 tokens (100000 in the "
        "messages, 30000 in the completion). Please reduce the length of the messages or completion.",
    ),
    (
        "openai-chat",
        "This endpoint's maximum context length is 128000 tokens. However, you requested about 150000 tokens (118000 "
        "of text input, 32000 in the output). Please reduce the length of either one.",
    ),
    (
        "openai-chat",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 131073. Given: 110000 `inputs` tokens "
        "and 32000 `max_new_tokens`",
    ),
]


@pytest.mark.parametrize(("dialect", "sentence"), TOO_LONG_AN_ANSWER)
async def test_a_prompt_that_fits_without_so_long_an_answer_is_answered(
    engines: Engines, provider: ScriptedProvider, dialect: str, sentence: str
) -> None:
    """True of this prompt: the next one is asked with the whole limit again."""
    refusal = Answer.json(openai(sentence), status=400)
    provider.answer(PATHS[dialect], refusal, Answer.stream(STREAMS[dialect]))
    asked = call(to(provider, dialect, max_output_tokens=32_000, reasoning="none"))
    for _ in range(2):
        assert text_of(await collect(engines, asked)) == "Hello"
    least = 4096 if dialect == "anthropic" else None
    assert [request.json.get("max_tokens") for request in provider.requests] == [32_000, least, 32_000]


async def test_a_prompt_that_does_not_fit_alone_is_told_at_once(engines: Engines, provider: ScriptedProvider) -> None:
    sentence = TOO_LONG_AN_ANSWER[2][1].replace("100000", "128001")
    provider.answer(PATHS["openai-chat"], Answer.json(openai(sentence), status=400))
    with pytest.raises(ProviderError) as caught:
        await collect(engines, call(to(provider)))
    assert caught.value.code is ErrorCode.CONTEXT_LENGTH_EXCEEDED
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "sentence",
    [
        "After the (optional) system message(s), user or tool message(s) should alternate with assistant message(s).",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ],
)
async def test_two_questions_in_a_row_are_one_where_turns_must_alternate(
    engines: Engines, provider: ScriptedProvider, sentence: str
) -> None:
    """As a chat has them after an answer that failed."""
    provider.answer(
        PATHS["openai-chat"], Answer.json(openai(sentence), status=400), Answer.stream(STREAMS["openai-chat"])
    )
    prompt = (Message.of("system", "Be brief."), Message.of("user", "One?"), Message.of("user", "Two?"))
    asked = call(to(provider), messages=prompt)
    for _ in range(2):
        assert text_of(await collect(engines, asked)) == "Hello"
    told = [
        [(message["role"], message["content"]) for message in request.json["messages"]] for request in provider.requests
    ]
    one = [("system", "Be brief."), ("user", "One?\nTwo?")]
    assert told == [[("system", "Be brief."), ("user", "One?"), ("user", "Two?")], one, one]


async def test_every_refusal_of_one_model_is_its_own(engines: Engines, provider: ScriptedProvider) -> None:
    refusal = Answer.json(openai("Unsupported parameter: 'temperature'"), status=400)
    provider.answer(PATHS["openai-chat"], refusal, Answer.stream(STREAMS["openai-chat"]))
    await collect(engines, call(to(provider)))
    await collect(engines, call(to(provider, wire_model="another-model")))
    assert ["temperature" in request.json for request in provider.requests] == [True, False, True]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (400, "Unsupported parameter: 'messages'"),
        (400, "The image is too large."),
        (403, "You may not set a temperature."),
        (500, "temperature sensor broke"),
    ],
)
async def test_other_errors_are_errors(
    engines: Engines, provider: ScriptedProvider, status: int, sentence: str
) -> None:
    provider.answer(PATHS["openai-chat"], Answer.json(openai(sentence), status=status))
    with pytest.raises(ProviderError):
        await collect(engines, call(to(provider)))
    assert len(provider.requests) == 1


async def test_a_server_that_refuses_what_is_not_there_is_asked_once_more_at_most(
    engines: Engines, provider: ScriptedProvider
) -> None:
    provider.answer(PATHS["openai-chat"], Answer.json(openai("Unsupported parameter: 'temperature'"), status=400))
    with pytest.raises(ProviderError, match="temperature"):
        await collect(engines, call(to(provider)))
    assert len(provider.requests) == 2
    with pytest.raises(ProviderError, match="temperature"):
        await collect(engines, call(to(provider, temperature=None)))
    assert len(provider.requests) == 3


async def test_a_refusal_of_what_was_not_sent_is_not_answered_by_the_same_request(
    engines: Engines, provider: ScriptedProvider
) -> None:
    refused = openai("Unsupported parameter: 'max_completion_tokens'")
    provider.answer(PATHS["openai-chat"], Answer.json(refused, status=400))
    with pytest.raises(ProviderError, match="max_completion_tokens"):
        await collect(engines, call(to(provider, max_output_tokens=None)))
    assert len(provider.requests) == 1
