"""Cuts secrets out of foreign text before anybody sees it: error bodies, exception messages, logs, recordings.

Two nets. Values registered with ``register_secret`` are cut wherever they appear, whatever they look like. Shapes
that only credentials have (vendor key prefixes, ``Authorization`` headers, JWTs, credentials inside URLs, private
keys) are cut even when nobody registered them.

Every pattern uses bounded or disjoint repetitions, so the work is linear in the length of the text.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from sidecar.secret import SecretText

MASK: Final = "***"

DEFAULT_LIMIT: Final = 8_000
"""Characters kept of a redacted text."""

_SCAN_LIMIT: Final = 1 << 20
"""Characters looked at; whatever lies beyond is dropped unseen."""

_SHORTEST_SECRET: Final = 8
_LONGEST_WORD: Final = 16
"""Registered values shorter than 8 characters, or than 16 without a digit, are words (``ollama``, ``lm-studio``,
``not-needed``: what people enter for servers without keys); cutting them would mangle sentences."""

_CREDENTIAL_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "x-scalix-key"}
)

_HARMLESS_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "anthropic-beta",
        "anthropic-version",
        "content-type",
        "http-referer",
        "openai-beta",
        "referer",
        "user-agent",
        "x-request-id",
        "x-title",
    }
)
"""What the AI SDK and its providers send with a call (``llm:stream``) that is no secret."""

_SEPARATOR: Final = r"""[\\"']{0,4}\s{0,4}[:=]\s{0,4}(?:b(?=[\\"']))?[\\"']{0,4}"""
"""Between a name and its value in a header line, JSON, JSON inside JSON, a Python repr or a query."""

_NAMES: Final = (
    r"(?:proxy-|x-forwarded-)?authorization|x-api-key|api-key|x-goog-api-key|x-scalix-key|ocp-apim-subscription-key"
    r"|set-cookie|cookie|x-amz-security-token|api_?key|apikey|access_?token|refresh_?token|id_?token|auth_?token"
    r"|client_?secret|master_?key|private_?key|secret_?key|secret_?access_?key|password|passwd|secret"
)

_PATTERNS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----(?:(?!-----)[\s\S]){0,16384}(?:-----END [A-Z ]{0,32}-----)?"
        ),
        MASK,
    ),
    # user:password@ in a URL, and a token in the user's place (https://ghp_x@github.com)
    (re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]{1,15}://)[^/?#\s@\"'<>]{1,512}@"), rf"\1{MASK}@"),
    (
        re.compile(
            r"([?&;](?:[a-z_.-]{0,24}(?:key|token|secret|signature|password|credential)|sig|auth|code)=)"
            r"[^&\s\"'<>\\#]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            rf"(?<![A-Za-z0-9])({_NAMES})({_SEPARATOR})(?:(bearer|basic|token|digest|negotiate|apikey)\s{{1,4}})?"
            r"[^\s\"'\\,;&<>{}()\[\]]+",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    (
        re.compile(
            r"\b(bearer|basic)\s{1,4}(?!(?:token|auth|header|scheme|realm|credential|key|is\b|or\b|and\b|not\b)[a-z]*\b)"
            r"[A-Za-z0-9._~+/=-]{6,}",
            re.IGNORECASE,
        ),
        rf"\1 {MASK}",
    ),
    (
        re.compile(
            r"(?<![A-Za-z0-9])("
            r"(?:sk|rk|pk|csk|xai|pplx|nvapi|dapi|glpat|voyage|jina|fc|tvly)-|(?:gsk|hf|r8|fw|sbp|tgp_v1|esecret|whsec"
            r"|ghp|gho|ghu|ghs|ghr|github_pat|npm|sk_live|sk_test|rk_live)_|AIza|AQ\.Ab|ya29\.|xox[abprs]-"
            r")[A-Za-z0-9_.~+/=-]{8,}"
        ),
        rf"\1{MASK}",
    ),
    # how a LiteLLM proxy names a virtual key: "Key Hash (Token) =", "model_per_key:"
    (re.compile(r"(key(?: hash \(token\) )?\s{0,4}[=:]\s{0,4})[0-9a-f]{64}(?![0-9a-f])", re.IGNORECASE), rf"\1{MASK}"),
    # long enough to spare names such as scalix_options
    (re.compile(r"(?<![A-Za-z0-9])(scalix_)[A-Za-z0-9-][A-Za-z0-9_-]{12,}"), rf"\1{MASK}"),
    (re.compile(r"(?<![A-Za-z0-9])((?:AKIA|ASIA)[0-9A-Z]{2})[0-9A-Z]{12,}"), rf"\1{MASK}"),
    (re.compile(r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]{0,8192})?"), MASK),
)


class _KnownSecrets:
    """The plain values this process holds, in the forms they may appear in."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._forms: list[str] = []
        """Longest first: one secret may begin with another."""

    def add(self, value: str) -> None:
        value = value.strip()
        if value not in self._values and _is_secret(value):
            self._values.add(value)
            self._forms = sorted({*self._forms, *_written_forms(value)}, key=len, reverse=True)

    def cut(self, text: str) -> str:
        for form in self._forms:  # a search each: far quicker than one pattern of them all
            if form in text:
                text = text.replace(form, MASK)
        return text


def _is_secret(value: str) -> bool:
    return len(value) >= _LONGEST_WORD or (len(value) >= _SHORTEST_SECRET and any(map(str.isdecimal, value)))


def _written_forms(value: str) -> set[str]:
    """``value`` as it is, inside JSON, inside a URL, and in base64, wherever it begins there (Basic credentials)."""
    forms = {value, json.dumps(value)[1:-1], quote(value, safe="")}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + value.encode()).decode()
        whole = text[4 * bool(shift) : len(text) - 4]  # the first and last digits depend on what stands beside it
        if len(whole) >= _SHORTEST_SECRET:
            forms |= {whole, whole.translate(_URL_SAFE)}
    return forms


_URL_SAFE: Final = str.maketrans("+/", "-_")

_known = _KnownSecrets()


def register_secret(secret: SecretText) -> None:
    """Remembers ``secret`` for the life of the process, so that ``redact`` cuts exactly this value wherever it appears.

    Values that look like ordinary words are not registered (shorter than 8 characters, or than 16 without a digit).
    """
    _known.add(secret.reveal())


def register_headers(headers: Mapping[str, str]) -> None:
    """Remembers the credentials among a request's headers, without their scheme (``Bearer``)."""
    for name, value in headers.items():
        if name.lower() in _CREDENTIAL_HEADERS:
            _known.add(value.rpartition(" ")[2])


def register_callers_headers(headers: Mapping[str, str]) -> None:
    """The same for headers that the host adds to a call: whatever is not known to be harmless is a credential."""
    for name, value in headers.items():
        if name.lower() not in _HARMLESS_HEADERS:
            _known.add(value)
            _known.add(value.rpartition(" ")[2])


def redact(text: str, *, limit: int | None = DEFAULT_LIMIT) -> str:
    """``text`` without secrets, at most ``limit`` characters long (an ellipsis marks the cut); None keeps all of it.

    Total for any input, linear in its length.
    """
    if limit is not None and len(text) > _SCAN_LIMIT:
        text = _without_torn_end(text[:_SCAN_LIMIT])
    text = _known.cut(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text if limit is None or len(text) <= limit else text[: max(0, limit - 1)] + "…"


def _without_torn_end(text: str) -> str:
    """Drops the last word: the cut may have left the first half of a secret there, which no pattern would know."""
    end = max(text.rfind(" "), text.rfind("\n"), text.rfind('"'), text.rfind(","))
    return text[:end] if end > 0 else ""
