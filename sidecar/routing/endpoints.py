"""Base URLs: the vendors' own, their replacements, and the local servers' addresses.

A base is kept without a trailing slash; the dialect appends its path. Nothing here opens a connection.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from sidecar.catalog.local import lmstudio_base, ollama_base
from sidecar.errors import ValidationFailed
from sidecar.routing.inputs import Environment, RoutingSettings

VENDOR_BASES: Final[dict[str, str]] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "google": "https://generativelanguage.googleapis.com/v1beta",
    "openrouter": "https://openrouter.ai/api/v1",
    "grok": "https://api.x.ai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "cohere": "https://api.cohere.com/v2",
    "together": "https://api.together.xyz/v1",
    "perplexity": "https://api.perplexity.ai",
}
"""The bases that ``SCALIX_<PROVIDER>_BASE_URL`` replaces (protocol page 9); Azure's depends on the resource name."""

ENGINE_BASE: Final = "https://engine.scalix.world/v1"
GATEWAY_BASE: Final = "https://llm-gateway.scalix.world/v1"

_ENDPOINT_SUFFIXES: Final = ("/chat/completions", "/responses", "/messages")


class Base(NamedTuple):
    """A checked base URL without trailing slash, and the query parameters it carried."""

    url: str
    query: dict[str, str]


def override(provider_id: str, settings: RoutingSettings, environ: Environment) -> str | None:
    """The user's replacement for a provider's base: the settings' first, then ``SCALIX_<PROVIDER>_BASE_URL``."""
    if chosen := settings.base_urls.get(provider_id, "").strip():
        return chosen
    variable = "".join(letter if letter.isalnum() else "_" for letter in provider_id.upper())
    return environ.get(f"SCALIX_{variable}_BASE_URL")


def checked_base(url: str, owner: str) -> Base:
    """``url`` as a base: trailing slashes and a pasted endpoint path removed, its query kept apart.

    ``owner`` names the provider in the sentence. Raises ``ValidationFailed`` for anything that no request can be
    sent to, and for a URL holding credentials: those belong in the key field, and HTTP clients refuse them.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ValidationFailed(f"The base URL of {owner} is not a valid URL. Check its host and port.") from error
    _require_http(parts, owner)
    path = parts.path.rstrip("/")
    for suffix in _ENDPOINT_SUFFIXES:
        path = path.removesuffix(suffix)
    bare = urlunsplit((parts.scheme, parts.netloc, path.rstrip("/"), "", ""))
    return Base(bare, dict(parse_qsl(parts.query, keep_blank_values=True)))


def _require_http(parts: SplitResult, owner: str) -> None:
    if parts.scheme not in {"http", "https"}:
        raise ValidationFailed(f"The base URL of {owner} must start with http:// or https://.")
    if not parts.hostname or any(letter.isspace() for letter in parts.netloc):
        raise ValidationFailed(f"The base URL of {owner} has no valid host name.")
    if parts.username is not None or parts.password is not None:
        raise ValidationFailed(
            f"The base URL of {owner} must not contain a user name or password. Put the key in the API key field."
        )


def versioned(base: Base) -> Base:
    """``base`` ending in ``/v1``, not doubled (local servers, app contract 9)."""
    return base if base.url.endswith("/v1") else base._replace(url=f"{base.url}/v1")


def local_address(provider_id: str, environ: Environment) -> str:
    """The URL of the user's Ollama or LM Studio, the same one its models are listed from (app contract 5)."""
    if provider_id == "ollama":
        return ollama_base(_present(environ, "OLLAMA_HOST"))
    return lmstudio_base(_present(environ, "LM_STUDIO_BASE_URL", "LM_STUDIO_BASE_URL_FOR_TESTING"))


def _present(environ: Environment, *names: str) -> dict[str, str]:
    return {name: value for name in names if (value := environ.get(name)) is not None}
