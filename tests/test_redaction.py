"""Attempts to get a secret past ``redact``."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.redaction import DEFAULT_LIMIT, redact, register_headers, register_secret
from sidecar.secret import SecretText

SECRET = "Zq7Kp2Vx9Rb4Tn8M"  # no vendor's shape: only its surroundings can give it away

SURROUNDINGS = [
    "Authorization: Bearer {}",
    "authorization: {}",
    "Authorization: Basic {}",
    "proxy-authorization:Bearer {}",
    '{{"Authorization":"Bearer {}"}}',
    "{{'Authorization': 'Bearer {}'}}",
    '{{"error":"{{\\"x-api-key\\":\\"{}\\"}}"}}',
    "{{b'x-api-key': b'{}'}}",
    "x-goog-api-key: {}",
    "api-key={}",
    "https://host/v1/models?key={}&alt=sse",
    "https://host/v1/models?alt=sse&api_key={}",
    "https://host/?access_token={}#top",
    "https://host/?X-Amz-Signature={}",
    "https://user:{}@host/v1",
    "https://{}@github.com/a/b",
    "postgres://u:{}@db:5432/x",
    "bearer {}",
    "api_key='{}'",
    'apiKey: "{}"',
    "client_secret={}",
    '"password": "{}"',
    "sk-{}",
    "sk-ant-api03-{}",
    "sk-proj-{}",
    "AIza{}",
    "gsk_{}",
    "xai-{}",
    "pplx-{}",
    "hf_{}",
    "ghp_{}",
    "github_pat_{}",
    "scalix_{}",
    "key is scalix_{}.",
    "eyJ{0}.{0}.{0}",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
@pytest.mark.parametrize("around", ["{}", "before {} after", '"{}"', "a,{};b", "\n{}\n"])
def test_a_secret_is_cut_out_of_its_surroundings(surroundings: str, around: str) -> None:
    text = around.format(surroundings.format(SECRET))
    assert SECRET not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "Bearer token is missing",
        "scalix_options must be an object",
        "max_tokens: 4096 is too large",
        "This model's maximum context length is 128000 tokens.",
        "Resource has been exhausted (e.g. check quota).",
        "LiteLLM Virtual Key expected. Received=None",
        "https://ai.google.dev/gemini-api/docs/rate-limits",
        "task-force, risk-averse",
        '{"total_tokens": 12, "token": 5}',
    ],
)
def test_ordinary_sentences_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "name", ["Key Hash (Token) =", "not found, key=", "exceeded for api_key: ", "exceeded for model_per_key: "]
)
def test_a_virtual_keys_hash_is_cut(name: str) -> None:
    """It is how a LiteLLM proxy's own API names the key."""
    digest = "b7f19c54ce84af85fad031bd68e8c80a39d34ee42e7b348c3b79e1436f9499d3"
    assert redact(f"{name}{digest}:gpt. More.").startswith(f"{name}***")
    assert digest not in redact(f"{name}{digest}")


def test_a_registered_value_is_cut_in_every_form_it_is_written_in() -> None:
    value = 'registered/"value"+1234'
    register_secret(SecretText(value))
    text = f"plain {value} json {json.dumps({'k': value})} url https://h/?q={quote(value, safe='')}"
    cut = redact(text)
    assert value not in cut
    assert json.dumps(value)[1:-1] not in cut
    assert quote(value, safe="") not in cut
    assert cut.startswith("plain *** json ")


def test_credentials_of_request_headers_are_cut_when_a_vendor_quotes_them() -> None:
    register_headers(
        {"authorization": "Bearer unlikely-0123-value", "api-key": "azure0123456789abcdef", "accept": "text/html0"}
    )
    assert (
        redact("got unlikely-0123-value and azure0123456789abcdef and text/html0") == "got *** and *** and text/html0"
    )


@pytest.mark.parametrize("word", ["ollama", "lm-studio", "not-needed", "test"])
def test_words_people_enter_instead_of_a_key_do_not_spoil_sentences(word: str) -> None:
    register_secret(SecretText(word))
    assert redact(f"the server {word} is down") == f"the server {word} is down"


def test_the_length_is_bounded_and_a_cut_at_the_scan_limit_leaves_no_half_secret() -> None:
    assert len(redact("x" * 50_000)) == DEFAULT_LIMIT
    text = "y " * 524_280 + f"sk-{SECRET}{SECRET}"
    assert SECRET[:4] not in redact(text, limit=2_000_000)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "sk-",
        "Bearer ",
        "://",
        "a://",
        "eyJ",
        "?key",
        "&a_a.a-",
        "authorization: ",
        'x-api-key\\"',
        " ",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """A quadratic pattern would need minutes for 200,000 characters."""
    redact(unit * (200_000 // len(unit)), limit=200_000)


@given(st.text(), st.sampled_from(SURROUNDINGS), st.text())
def test_no_neighbourhood_lets_a_header_or_key_through(before: str, surroundings: str, after: str) -> None:
    assert SECRET not in redact(f"{before} {surroundings.format(SECRET)} {after}")


def test_what_was_cut_off_a_huge_text_leaves_no_half_of_a_secret() -> None:
    """The first half has no vendor's shape any more, and what stands before it may shrink to a few words."""
    start = "Authorization: Bearer " + "x" * ((1 << 20) - 40)
    assert SECRET[:8] not in redact(f"{start} {'.' * 7} {SECRET}")
