"""Targets with the user's own key: the vendors, local servers and custom endpoints (app contract 9, step 4)."""

from __future__ import annotations

from typing import Any, Final

from protocol.errors import ErrorCode
from sidecar.engines.base import DEFAULT_CONTEXT_WINDOW, Dialect, Target
from sidecar.errors import MissingApiKey, ProviderError, ValidationFailed
from sidecar.routing import endpoints
from sidecar.routing.inputs import Environment, ModelChoice, ModelInfo, ProviderInfo, RoutingSettings
from sidecar.routing.keys import SecretHeaders, checked_key, find_key, require_key

AZURE_API_VERSION: Final = "preview"
AZURE_TEST_KEY: Final = "fake-api-key-for-testing"

_DIALECTS: Final[dict[str, Dialect]] = {
    "openai": "openai-responses",
    "anthropic": "anthropic",
    "google": "google",
    "cohere": "cohere",
}
"""Every other vendor speaks chat completions. The app uses Responses for all direct OpenAI models: only there do
reasoning summaries arrive."""

_HEADERS: Final[dict[str, dict[str, str]]] = {
    "openrouter": {"HTTP-Referer": "https://scalix.world", "X-Title": "Scalix"},
}


def direct_target(
    choice: ModelChoice, provider: ProviderInfo, model: ModelInfo, settings: RoutingSettings, environ: Environment
) -> Target:
    """The one target for ``choice`` without Pro or proxy.

    Raises ``MissingApiKey``, ``SecretLocked``, ``ValidationFailed`` (a bad or missing base URL) or ``ProviderError``.
    """
    if provider.type == "custom":
        return _custom(choice, provider, model, settings, environ)
    if provider.id in {"ollama", "lmstudio"}:
        return _local(choice, provider, model, settings, environ)
    if provider.id == "azure":
        return _azure(choice, provider, model, settings, environ)
    vendor = endpoints.override(provider.id, settings, environ) or endpoints.VENDOR_BASES.get(provider.id)
    if vendor is None:
        raise ProviderError(
            f"Unsupported model provider: {provider.id}", code=ErrorCode.BAD_REQUEST, provider=provider.id
        )
    key = require_key(provider, settings, environ)
    base = endpoints.checked_base(vendor, provider.name)
    return _target(
        choice,
        provider,
        model,
        base,
        dialect=_dialect(provider.id, environ),
        api_key=key,
        headers=_HEADERS.get(provider.id, {}),
        route="direct",
    )


def _target(
    choice: ModelChoice, provider: ProviderInfo, model: ModelInfo, base: endpoints.Base, **members: Any
) -> Target:
    """What all of them have in common; chat completions unless ``members`` say otherwise."""
    return Target(
        provider=provider.id,
        model=choice.name,
        wire_model=choice.name,
        base_url=base.url,
        max_output_tokens=model.max_output_tokens,
        temperature=sendable_temperature(model),
        context_window=model.context_window or DEFAULT_CONTEXT_WINDOW,
        reasoning=model.reasoning,
        **{"dialect": "openai-chat", "query": base.query, **members},
    )


def _dialect(provider_id: str, environ: Environment) -> Dialect:
    """The vendor's own; ``SCALIX_LITELLM_ROUTE`` (ids separated by commas, or ``*``) sends it through litellm's client
    instead, for the day on which a vendor changes its dialect before the sidecar does."""
    diverted = {name.strip() for name in (environ.get("SCALIX_LITELLM_ROUTE") or "").split(",")}
    if diverted & {provider_id, "*"}:
        return "litellm"
    return _DIALECTS.get(provider_id, "openai-chat")


def sendable_temperature(model: ModelInfo) -> float | None:
    """The catalogue's temperature, unless the model refuses one (quirk 18)."""
    return model.temperature if model.accepts_temperature else None


def _custom(
    choice: ModelChoice, provider: ProviderInfo, model: ModelInfo, settings: RoutingSettings, environ: Environment
) -> Target:
    url = endpoints.override(provider.id, settings, environ) or (provider.api_base_url or "").strip()
    if not url:
        raise ValidationFailed(f"Custom provider {provider.id} is missing the API Base URL.")
    base = endpoints.checked_base(url, provider.name)
    key = find_key(provider, settings, environ)
    return _target(choice, provider, model, base, api_key=key, route="custom")


def _local(
    choice: ModelChoice, provider: ProviderInfo, model: ModelInfo, settings: RoutingSettings, environ: Environment
) -> Target:
    url = endpoints.override(provider.id, settings, environ) or endpoints.local_address(provider.id, environ)
    base = endpoints.versioned(endpoints.checked_base(url, provider.name))
    key = find_key(provider, settings, environ)
    return _target(choice, provider, model, base, api_key=key, route="local")


def _azure(
    choice: ModelChoice, provider: ProviderInfo, model: ModelInfo, settings: RoutingSettings, environ: Environment
) -> Target:
    """Azure's OpenAI-compatible API, where the model name is the deployment's."""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    key = None
    if test_base := environ.get("TEST_AZURE_BASE_URL"):
        base = endpoints.checked_base(test_base, provider.name)
        key = checked_key(AZURE_TEST_KEY, provider.name, provider.id)
    else:
        base = endpoints.checked_base(_azure_base(settings, environ), provider.name)
        secret = find_key(provider, settings, environ)
        if secret is None:
            raise MissingApiKey(
                "Azure OpenAI API key is required. "
                "Provide it in Settings or set the AZURE_API_KEY environment variable.",
                provider=provider.id,
            )
        headers = SecretHeaders({"api-key": secret.reveal()})
        query = {"api-version": AZURE_API_VERSION}
    query = {**query, **base.query}
    return _target(choice, provider, model, base, query=query, api_key=key, headers=headers, route="direct")


def _azure_base(settings: RoutingSettings, environ: Environment) -> str:
    if replaced := endpoints.override("azure", settings, environ):
        return replaced
    resource = (settings.azure_resource_name or "").strip() or environ.get("AZURE_RESOURCE_NAME")
    if not resource:
        raise ProviderError(
            "Azure OpenAI resource name is required. "
            "Provide it in Settings or set the AZURE_RESOURCE_NAME environment variable.",
            code=ErrorCode.MISSING_API_KEY,
            provider="azure",
        )
    if not all(letter.isalnum() or letter == "-" for letter in resource):
        raise ValidationFailed(
            "The Azure OpenAI resource name may hold letters, digits and hyphens only: give the name, not its URL."
        )
    return f"https://{resource}.openai.azure.com/openai/v1"
