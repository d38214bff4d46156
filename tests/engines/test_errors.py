"""Every vendor's way to say no, and the one taxonomy it becomes (protocol page 3)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode as Code
from sidecar.engines.base import StreamError
from sidecar.engines.errors import DETAILS_LIMIT, MESSAGE_LIMIT, from_response, from_stream_error
from sidecar.errors import ProviderError


def refused(status: int, body: Any, headers: dict[str, str] | None = None) -> ProviderError:
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return from_response(status, headers or {}, raw)


OPENAI = {"message": "The server had an error.", "type": "server_error", "param": None, "code": None}


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, Code.BAD_REQUEST, False),
        (401, Code.AUTHENTICATION_FAILED, False),
        (402, Code.INSUFFICIENT_CREDITS, False),
        (403, Code.PERMISSION_DENIED, False),
        (404, Code.MODEL_UNAVAILABLE, False),
        (408, Code.TIMEOUT, True),
        (409, Code.MODEL_UNAVAILABLE, True),
        (413, Code.CONTEXT_LENGTH_EXCEEDED, False),
        (422, Code.BAD_REQUEST, False),
        (429, Code.RATE_LIMIT_EXCEEDED, True),
        (500, Code.MODEL_UNAVAILABLE, True),
        (501, Code.MODEL_UNAVAILABLE, False),
        (502, Code.MODEL_UNAVAILABLE, True),
        (503, Code.MODEL_UNAVAILABLE, True),
        (504, Code.TIMEOUT, True),
        (529, Code.MODEL_UNAVAILABLE, True),
    ],
)
@pytest.mark.parametrize("body", ["", "{}", '{"error": {"code": null}}', "no", "<html></html>"])
def test_a_status_decides_where_the_words_do_not(status: int, code: Code, retryable: bool, body: str) -> None:
    error = refused(status, body)
    assert (error.code, error.retryable, error.status) == (code, retryable, status)
    assert error.message.strip()
    assert (error.extra.get("scope") == "provider") == (code is Code.RATE_LIMIT_EXCEEDED)


VENDORS: list[tuple[str, int, Any, str, Code]] = [
    ("OpenAI", 500, {"error": OPENAI}, "The server had an error.", Code.MODEL_UNAVAILABLE),
    (
        "OpenAI quota",
        429,
        {
            "error": {
                "message": "You exceeded your current quota.",
                "type": "insufficient_quota",
                "code": "insufficient_quota",
            }
        },
        "You exceeded your current quota.",
        Code.INSUFFICIENT_CREDITS,
    ),
    (
        "OpenAI context",
        400,
        {
            "error": {
                "message": "This model's maximum context length is 128000 tokens.",
                "code": "context_length_exceeded",
            }
        },
        "This model's maximum context length is 128000 tokens.",
        Code.CONTEXT_LENGTH_EXCEEDED,
    ),
    (
        "OpenAI model",
        404,
        {
            "error": {
                "message": "The model `x` does not exist or you do not have access to it.",
                "code": "model_not_found",
            }
        },
        "The model `x` does not exist or you do not have access to it.",
        Code.MODEL_UNAVAILABLE,
    ),
    (
        "Azure filter",
        400,
        {
            "error": {
                "message": "The response was filtered.",
                "code": "content_filter",
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
        "The response was filtered.",
        Code.CONTENT_FILTERED,
    ),
    (
        "Anthropic",
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        "Overloaded",
        Code.MODEL_UNAVAILABLE,
    ),
    (
        "Anthropic balance",
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "Your credit balance is too low to access the Anthropic API.",
            },
        },
        "Your credit balance is too low to access the Anthropic API.",
        Code.INSUFFICIENT_CREDITS,
    ),
    (
        "Anthropic context",
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
        },
        "prompt is too long: 210000 tokens > 200000 maximum",
        Code.CONTEXT_LENGTH_EXCEEDED,
    ),
    (
        "Google",
        429,
        {
            "error": {
                "code": 429,
                "message": "Resource has been exhausted (e.g. check quota).",
                "status": "RESOURCE_EXHAUSTED",
            }
        },
        "Resource has been exhausted (e.g. check quota).",
        Code.RATE_LIMIT_EXCEEDED,
    ),
    (
        "Google array",
        503,
        [{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}],
        "The model is overloaded.",
        Code.MODEL_UNAVAILABLE,
    ),
    (
        "Google key",
        400,
        {
            "error": {
                "code": 400,
                "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT",
            }
        },
        "API key not valid. Please pass a valid API key.",
        Code.AUTHENTICATION_FAILED,
    ),
    (
        "Google context",
        400,
        {
            "error": {
                "code": 400,
                "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            }
        },
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        Code.CONTEXT_LENGTH_EXCEEDED,
    ),
    ("Cohere", 401, {"message": "invalid api token"}, "invalid api token", Code.AUTHENTICATION_FAILED),
    ("Mistral", 401, {"message": "Invalid API key"}, "Invalid API key", Code.AUTHENTICATION_FAILED),
    (
        "Mistral field",
        422,
        {
            "object": "error",
            "message": {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]},
        },
        "body.messages: Field required",
        Code.BAD_REQUEST,
    ),
    (
        "OpenRouter",
        429,
        {
            "error": {
                "message": "Provider returned error",
                "code": 429,
                "metadata": {"raw": '{"error":{"message":"Too many requests."}}', "provider_name": "Chutes"},
            }
        },
        "Chutes: Too many requests.",
        Code.RATE_LIMIT_EXCEEDED,
    ),
    (
        "OpenRouter credits",
        402,
        {"error": {"message": "This request requires more credits.", "code": 402}},
        "This request requires more credits.",
        Code.INSUFFICIENT_CREDITS,
    ),
    ("Ollama", 404, {"error": "model 'x' not found"}, "model 'x' not found", Code.MODEL_UNAVAILABLE),
    (
        "xAI",
        400,
        {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xx***yy."},
        "Incorrect API key provided: xx***yy.",
        Code.AUTHENTICATION_FAILED,
    ),
    (
        "FastAPI server",
        401,
        {"statusCode": 401, "error": "Unauthorized", "message": "Token is invalid"},
        "Token is invalid",
        Code.AUTHENTICATION_FAILED,
    ),
    ("plain text", 503, "upstream connect error", "upstream connect error", Code.MODEL_UNAVAILABLE),
    (
        "event stream",
        400,
        'event: error\ndata: {"error":{"message":"bad"}}\n\n',
        "bad",
        Code.BAD_REQUEST,
    ),
    (
        "JSON inside the message",
        500,
        {"error": {"message": '{"type":"error","error":{"type":"api_error","message":"inner"}}'}},
        "inner",
        Code.MODEL_UNAVAILABLE,
    ),
    (
        "Anthropic, an answer that does not fit",
        400,
        {
            "error": {
                "type": "invalid_request_error",
                "message": "input length and `max_tokens` exceed context limit: 9",
            }
        },
        "input length and `max_tokens` exceed context limit: 9",
        Code.CONTEXT_LENGTH_EXCEEDED,
    ),
    (
        "Anthropic, the user's own limit",
        400,
        {"error": {"type": "invalid_request_error", "message": "You have reached your specified API usage limits."}},
        "You have reached your specified API usage limits.",
        Code.INSUFFICIENT_CREDITS,
    ),
    (
        "xAI, no money",
        403,
        {"code": "forbidden", "error": "Your team has either used all available credits or reached its limit."},
        "Your team has either used all available credits or reached its limit.",
        Code.INSUFFICIENT_CREDITS,
    ),
    (
        "Mistral, no such model",
        400,
        {"object": "error", "message": "Invalid model: nope", "type": "invalid_model", "code": "1500"},
        "Invalid model: nope",
        Code.MODEL_UNAVAILABLE,
    ),
    (
        "Cohere, filtered",
        498,
        {"message": "blocked output: this generation may be unsafe"},
        "blocked output: this generation may be unsafe",
        Code.CONTENT_FILTERED,
    ),
    ("UTF-16", 400, '{"error":{"message":"wide"}}'.encode("utf-16"), "wide", Code.BAD_REQUEST),
    (
        "null",
        400,
        "null",
        "The provider answered with HTTP status 400 (Bad Request) and no explanation.",
        Code.BAD_REQUEST,
    ),
    (
        "no text at all",
        500,
        b"\x28\xb5\x2f\xfd\x00\x58",
        "The provider answered with HTTP status 500 (Internal Server Error) and no explanation.",
        Code.MODEL_UNAVAILABLE,
    ),
]


@pytest.mark.parametrize(("status", "body", "message", "code"), [v[1:] for v in VENDORS], ids=[v[0] for v in VENDORS])
def test_the_message_is_the_vendors_own_sentence(status: int, body: Any, message: str, code: Code) -> None:
    error = refused(status, body)
    assert (error.message, error.code) == (message, code)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "ExceededBudget: Crossed budget for provider", Code.INSUFFICIENT_CREDITS),
        (422, "Budget has been exceeded! Key=team Current cost: 2.0, Max budget: 1.0", Code.INSUFFICIENT_CREDITS),
        (
            429,
            "No deployments available - crossed budget: Exceeded budget for deployment model_name: gpt-4.1",
            Code.INSUFFICIENT_CREDITS,
        ),
        (401, "Authentication Error, LiteLLM Virtual Key expected. Received=abc", Code.AUTHENTICATION_FAILED),
        (
            429,
            "litellm.RateLimitError: RateLimitError: slow down. Received Model Group=x\nAvailable Model Group "
            "Fallbacks=['y']",
            Code.RATE_LIMIT_EXCEEDED,
        ),
        (
            429,
            "Gemini 2.5 Pro doesn't have a free quota tier. For more information: "
            "https://ai.google.dev/gemini-api/docs/rate-limits",
            Code.RATE_LIMIT_EXCEEDED,
        ),
    ],
)
def test_the_texts_the_apps_ui_looks_for_survive(status: int, message: str, code: Code) -> None:
    """App contract 7.18, in a LiteLLM proxy's envelope."""
    error = refused(status, {"error": {"message": message, "type": "None", "param": "None", "code": str(status)}})
    assert (error.message, error.code) == (message, code)


PROXY_KEY_HINT = "Check LITE_LLM_MASTER_KEY, or the key of this provider in the settings."


@pytest.mark.parametrize(
    ("status", "kind", "told", "message", "code"),
    [
        (
            401,
            "token_not_found_in_db",
            "Authentication Error, Invalid proxy server token passed.",
            f"The LiteLLM proxy does not know this key. {PROXY_KEY_HINT}",
            Code.AUTHENTICATION_FAILED,
        ),
        (
            401,
            "expired_key",
            "Authentication Error - Expired Key. Key Expiry time 1 and current time 2",
            f"Authentication Error - Expired Key. Key Expiry time 1 and current time 2. {PROXY_KEY_HINT}",
            Code.AUTHENTICATION_FAILED,
        ),
        (
            400,
            "no_db_connection",
            "No connected db.",
            f"The LiteLLM proxy does not know this key, and has no database to look it up in. {PROXY_KEY_HINT}",
            Code.AUTHENTICATION_FAILED,
        ),
        (
            503,
            "no_db_connection",
            "Service Unavailable, the authentication database is temporarily unreachable. Please retry shortly.",
            "Service Unavailable, the authentication database is temporarily unreachable. Please retry shortly.",
            Code.MODEL_UNAVAILABLE,
        ),
    ],
)
def test_what_a_proxy_says_of_keys_is_told_with_what_to_do(
    status: int, kind: str, told: str, message: str, code: Code
) -> None:
    error = refused(status, {"error": {"message": told, "type": kind, "param": "key", "code": str(status)}})
    assert (error.message, error.code, error.retryable) == (message, code, status == 503)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": {"code": 429, "message": "Gemini 2.5 Pro Preview doesn't have a free quota tier."}}),
        (
            429,
            {
                "error": {
                    "message": "Request too large for gpt-5 in organization o on tokens per min (TPM): "
                    "Limit 30000, Requested 45000.",
                    "code": "rate_limit_exceeded",
                }
            },
        ),
        (
            429,
            {
                "error": {
                    "code": 429,
                    "message": "You exceeded your current quota.",
                    "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}],
                }
            },
        ),
        (429, {"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}),
        (429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}),
        (500, {"error": {"message": "model requires more system memory (8 GiB) than is available (5 GiB)"}}),
    ],
)
def test_what_a_minute_does_not_change_is_not_asked_again(status: int, body: Any) -> None:
    error = refused(status, body)
    assert not error.retryable
    assert error.code is (Code.RATE_LIMIT_EXCEEDED if status == 429 else Code.MODEL_UNAVAILABLE)


@pytest.mark.parametrize(
    "sentence",
    [
        "User location is not supported for the API use.",
        "Gemini API free tier is not available in your country. Please enable billing on your project.",
        "This organization has been disabled.",
    ],
)
def test_whoever_a_vendor_does_not_serve_is_told_so_whatever_the_status(sentence: str) -> None:
    """Not BAD_REQUEST, after which ``auto`` would ask nobody else: another vendor may answer the same request."""
    error = refused(400, {"error": {"message": sentence, "status": "FAILED_PRECONDITION"}})
    assert (error.code, error.retryable, error.message) == (Code.PERMISSION_DENIED, False, sentence)


@pytest.mark.parametrize(
    ("status", "sentence", "code"),
    [
        (403, "Your newly created team doesn't have any credits yet.", Code.INSUFFICIENT_CREDITS),
        (
            400,
            "This model's maximum prompt length is 131072 but the request contains 150000 tokens.",
            Code.CONTEXT_LENGTH_EXCEEDED,
        ),
        (400, "The provided model identifier is invalid.", Code.MODEL_UNAVAILABLE),
    ],
)
def test_the_words_of_xai_and_bedrock(status: int, sentence: str, code: Code) -> None:
    assert refused(status, {"code": "some words", "error": sentence}).code is code


@pytest.mark.parametrize("said", ["Unauthorized", "User not found."])
def test_a_refusal_that_does_not_speak_of_the_key_says_what_to_do(said: str) -> None:
    """Mistral's and OpenRouter's."""
    assert refused(401, {"message": said}).message == f"{said.rstrip('.')}. Check the API key in the settings."
    assert refused(401, {"message": "invalid api token"}).message == "invalid api token"


@pytest.mark.parametrize("page", ["<html><title>401 Authorization Required</title></html>", ""])
def test_a_key_refused_without_a_word_is_told_as_that(page: str) -> None:
    """Perplexity's gateway answers with a web page."""
    error = refused(401, page)
    assert error.code is Code.AUTHENTICATION_FAILED
    assert "401" in error.message and error.message.endswith(" Check the API key in the settings.")


def test_an_html_page_is_named_by_its_title() -> None:
    page = "<!DOCTYPE html><html><head><title>\n 502 Bad Gateway &amp; more</title></head><body>nginx</body></html>"
    error = refused(502, page, {"content-type": "text/html; charset=utf-8"})
    assert "502 Bad Gateway & more" in error.message
    assert error.details == page


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({}, {"error": {"message": "Rate limit reached for x. Please try again in 20s. Visit y."}}, 20_000),
        ({}, {"error": {"message": "Rate limit reached. Please try again in 350ms."}}, 350),
        ({}, {"error": {"message": "Rate limit reached. Please try again in 1m2.5s."}}, 62_500),
        ({}, {"error": {"message": "Quota exceeded. Please retry in 41.2s."}}, 41_200),
        ({"retry-after": "7"}, {"error": {"message": "Please try again in 20s."}}, 7_000),
        ({}, {"error": {"message": "Please try again in 2 days."}}, None),
        ({"retry-after": "7"}, {}, 7_000),
        ({"retry-after": "0.5"}, {}, 500),
        ({"retry-after-ms": "250", "retry-after": "7"}, {}, 250),
        ({"retry-after": "Tue, 24 Nov 2026 10:00:30 GMT"}, {}, 30_000),
        ({"retry-after": "Tue, 24 Nov 2026 09:00:00 GMT"}, {}, None),
        ({"retry-after": "Tue, 24 Nov 2026 10:05:30 GMT", "date": "Tue, 24 Nov 2026 10:05:00 GMT"}, {}, 30_000),
        ({"llm_provider-retry-after": "7"}, {}, 7_000),
        ({"llm_provider-retry-after-ms": "250"}, {}, 250),
        ({"retry-after": "soon"}, {}, None),
        ({"retry-after": "-3"}, {}, None),
        ({"retry-after": "0"}, {}, 0),
        ({"retry-after": "nan"}, {}, None),
        ({"retry-after": "9" * 400}, {}, 86_400_000),
        (
            {},
            {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}},
            34_500,
        ),
        ({}, {}, None),
    ],
)
def test_how_long_to_wait_is_read_from_header_or_body(headers: dict[str, str], body: Any, expected: int | None) -> None:
    now = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
    assert from_response(429, headers, json.dumps(body).encode(), now=now).retry_after_ms == expected


def test_the_vendors_own_verdict_on_repeating_counts() -> None:
    assert not refused(500, {}, {"x-should-retry": "false"}).retryable
    assert refused(400, {}, {"x-should-retry": "true"}).retryable


def test_a_redirect_names_the_address_without_its_query() -> None:
    error = refused(308, "", {"location": "https://new.example/v1?key=abc"})
    assert "https://new.example/v1" in error.message
    assert "abc" not in error.message
    assert (error.code, error.retryable) == (Code.BAD_REQUEST, False)


def test_a_redirect_to_a_path_is_told_as_an_address() -> None:
    error = from_response(307, {"location": "/v2/chat"}, b"", url="https://old.example/v1/chat?key=abc")
    assert "https://old.example/v2/chat" in error.message
    assert "abc" not in error.message


def test_a_body_is_read_in_the_encoding_it_names() -> None:
    body = '{"error": {"message": "Schlüssel"}}'.encode("latin-1")
    assert refused(400, body, {"content-type": "application/json; charset=ISO-8859-1"}).message == "Schlüssel"
    assert refused(400, body, {"content-type": "application/json; charset=rot13"}).message == "Schl\ufffdssel"


def test_a_page_found_by_the_decoder_is_told_by_its_title() -> None:
    error = from_stream_error(StreamError("A page.", type="html", body="<html><title>Sign in</title></html>"))
    assert error.message == "A page. The page says: Sign in"


def test_neither_message_nor_details_hold_a_key_and_both_are_bounded() -> None:
    key = "sk-proj-" + "a1" * 20
    error = refused(
        401, {"error": {"message": f"Incorrect API key provided: {key}. " + "x" * 9_000}, "echo": f"Bearer {key}"}
    )
    assert key not in error.message + str(error.details)
    assert error.message.startswith("Incorrect API key provided: ")
    assert len(error.message) <= MESSAGE_LIMIT
    assert error.details is not None
    assert len(error.details) <= DETAILS_LIMIT


# --- inside a stream ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "code", "status"),
    [
        (StreamError("Overloaded", type="overloaded_error"), Code.MODEL_UNAVAILABLE, 529),
        (StreamError("Slow", code="rate_limit_exceeded"), Code.RATE_LIMIT_EXCEEDED, 429),
        (StreamError("Busy", status=503), Code.MODEL_UNAVAILABLE, 503),
        (StreamError("litellm.RateLimitError: no"), Code.RATE_LIMIT_EXCEEDED, 429),
        (StreamError("Something broke"), Code.MODEL_UNAVAILABLE, None),
        (StreamError("You exceeded", code="insufficient_quota", status=429), Code.INSUFFICIENT_CREDITS, 429),
        (StreamError("A page", type="html", body="<html>"), Code.MODEL_UNAVAILABLE, None),
        (StreamError("Bad JSON", type="invalid_json", body="{"), Code.STREAM_INTERRUPTED, None),
    ],
)
def test_an_error_event_is_classified_like_a_status(event: StreamError, code: Code, status: int | None) -> None:
    error = from_stream_error(event)
    assert (error.message, error.code, error.status) == (event.message, code, status)


def test_a_vendor_behind_a_proxy_that_refuses_it_is_not_the_users_key() -> None:
    error = from_stream_error(StreamError("litellm.AuthenticationError: AnthropicException - invalid x-api-key"))
    assert (error.code, error.status, error.retryable) == (Code.AUTHENTICATION_FAILED, 401, False)
    assert error.message.endswith(". That is between the proxy and its provider: tell whoever runs the proxy.")


def test_how_a_proxys_fallbacks_are_configured_is_for_its_operator() -> None:
    told = "litellm.InternalServerError: OpenAIException - The server had an error"
    note = "\n\nLiteLLM: model group 'x' failed with the error above and no fallback model group was found for it."
    error = refused(500, {"error": {"message": told + note, "type": "internal_server_error"}})
    assert error.message == told
    assert "no fallback model group" in (error.details or "")


# --- any body ----------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "type", "detail", "details", "metadata", "raw", "errors", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(st.sampled_from([300, 400, 401, 404, 429, 500, 529, 999]), json_values.map(json.dumps) | st.text() | st.binary())
def test_any_body_becomes_an_error_with_a_sentence(status: int, body: Any) -> None:
    error = refused(status, body)
    assert error.message.strip()
    assert isinstance(error.code, Code)


def test_json_nested_without_end_is_plain_text() -> None:
    assert refused(500, "[" * 100_000).message
