"""Targets that Scalix pays for: the Pro engine and gateway, and a LiteLLM proxy (app contract 9, 9.1; protocol page 9).

All three speak chat completions; they differ in headers and in the members added to the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sidecar.engines.base import DEFAULT_CONTEXT_WINDOW, Target
from sidecar.routing import endpoints
from sidecar.routing.direct import sendable_temperature
from sidecar.routing.inputs import ContextFile, Environment, ModelChoice, ModelInfo, ProviderInfo, RoutingSettings
from sidecar.routing.keys import SecretHeaders, checked_key, checked_pro_key
from sidecar.secret import SecretText

ENGINE_MODEL: Final = "scalix-engine"
"""What a LiteLLM proxy is asked for when Pro's engine modes are on; the picked model is in ``scalix_options``."""

THINKING_BUDGETS: Final = {"low": 1000, "medium": 4000, "high": -1}
"""Tokens; -1 lets the model decide (app contract 10)."""

_DEFAULT_THINKING: Final = "medium"

_PAID_ROUTES: Final = frozenset({"engine", "gateway", "proxy"})


def is_paid(target: Target) -> bool:
    """Whether Scalix, or whoever runs the proxy, pays for calls to this target, so that its key is not the provider's
    own either."""
    return target.route in _PAID_ROUTES


def engine_modes_on(settings: RoutingSettings) -> bool:
    """One of Pro's two modes is on, so requests go to the engine and not to the gateway."""
    return settings.smart_context or settings.lazy_edits


def served_by_pro(provider: ProviderInfo, environ: Environment) -> bool:
    """Whether Pro takes this provider's models: it has a gateway prefix (an empty one counts), or
    ``SCALIX_ENGINE_URL`` is set (app contract 9, step 2)."""
    return provider.gateway_prefix is not None or environ.get("SCALIX_ENGINE_URL") is not None


def takes_files(target: Target) -> bool:
    """The code base travels as ``scalix_options.files``, not as messages (app contract 9.1)."""
    return target.route == "engine" or target.wire_model == ENGINE_MODEL


def pro_target(
    choice: ModelChoice,
    provider: ProviderInfo,
    model: ModelInfo,
    *,
    settings: RoutingSettings,
    environ: Environment,
    key: SecretText,
    files: Sequence[ContextFile],
) -> Target:
    """The engine when one of its modes is on, else the gateway.

    Raises ``ProviderError`` for a malformed key and ``ValidationFailed`` for a bad ``SCALIX_*_URL``.
    """
    engine = engine_modes_on(settings)
    variable, default = (
        ("SCALIX_ENGINE_URL", endpoints.ENGINE_BASE) if engine else ("SCALIX_GATEWAY_URL", endpoints.GATEWAY_BASE)
    )
    base = endpoints.checked_base(environ.get(variable) or default, "Scalix Pro")
    body = thinking_extras(provider.id, model, settings)
    if engine and files:
        body["scalix_options"] = engine_options(settings, files)
    return Target(
        provider=choice.provider,
        model=choice.name,
        wire_model=gateway_name(choice, provider),
        dialect="openai-chat",
        base_url=base.url,
        query=base.query,
        api_key=checked_pro_key(key),
        headers=client_headers(environ) if engine else {},
        body=body,
        route="engine" if engine else "gateway",
        attempt_header="X-Scalix-Request-Id" if engine else None,
        max_output_tokens=model.max_output_tokens,
        temperature=sendable_temperature(model),
        context_window=model.context_window or DEFAULT_CONTEXT_WINDOW,
    )


def proxy_target(
    choice: ModelChoice,
    provider: ProviderInfo,
    model: ModelInfo,
    *,
    settings: RoutingSettings,
    environ: Environment,
    pro_key: SecretText | None,
    files: Sequence[ContextFile],
) -> Target:
    """The LiteLLM proxy of ``LITE_LLM_BASE_URL``; ``pro_key`` None is the free tier.

    The engine's modes are Pro's: without Pro the options say that both are off and carry no files.
    """
    base = endpoints.versioned(endpoints.checked_base(environ.get("LITE_LLM_BASE_URL") or "", "the LiteLLM proxy"))
    master = environ.get("LITE_LLM_MASTER_KEY")
    engine = pro_key is not None and engine_modes_on(settings)
    headers = SecretHeaders({"X-User-Tier": "free" if pro_key is None else "pro"})
    if pro_key is not None:
        headers["X-Scalix-Key"] = checked_pro_key(pro_key).reveal()
    options = engine_options(settings, files) if engine else _modes(settings, allowed=pro_key is not None)
    picked = gateway_name(choice, provider) if pro_key is not None else f"{provider.gateway_prefix or ''}{choice.name}"
    body = {**thinking_extras(provider.id, model, settings)}
    if settings.telemetry_user_id:
        body["user"] = settings.telemetry_user_id
    body["scalix_options"] = {"model": picked, **options} if engine else options
    return Target(
        provider=choice.provider,
        model=choice.name,
        wire_model=ENGINE_MODEL if engine else picked,
        dialect="openai-chat",
        base_url=base.url,
        query=base.query,
        api_key=checked_key(master, "LiteLLM proxy", choice.provider) if master else None,
        headers=headers,
        body=body,
        route="proxy",
        max_output_tokens=model.max_output_tokens,
        temperature=sendable_temperature(model),
        context_window=model.context_window or DEFAULT_CONTEXT_WINDOW,
    )


def gateway_name(choice: ModelChoice, provider: ProviderInfo) -> str:
    """The model id for engine and gateway: prefix + name, with everything from ``:free`` removed."""
    return f"{provider.gateway_prefix or ''}{choice.name}".partition(":free")[0]


def thinking_extras(provider_id: str, model: ModelInfo, settings: RoutingSettings) -> dict[str, Any]:
    """Members that make a model behind engine, gateway or proxy think (app contract 10).

    An effort is sent to OpenAI's reasoning models only, and it is the user's (quirk 17).
    """
    level = settings.thinking or _DEFAULT_THINKING
    if provider_id == "openai" and model.reasoning == "effort":
        return {"reasoning_effort": level}
    if provider_id in {"google", "auto"}:
        budget = THINKING_BUDGETS[level]
        return {"thinking": {"type": "enabled", "include_thoughts": True, "budget_tokens": budget}}
    return {}


def engine_options(settings: RoutingSettings, files: Sequence[ContextFile]) -> dict[str, Any]:
    """``scalix_options`` of an engine request (app contract 9.1)."""
    listed = [{"path": file.path, "content": file.content, "force": file.force} for file in files]
    return {"files": listed, **_modes(settings, allowed=True)}


def _modes(settings: RoutingSettings, *, allowed: bool) -> dict[str, Any]:
    modes: dict[str, Any] = {
        "enable_lazy_edits": allowed and settings.lazy_edits and not settings.ask_mode,
        "enable_smart_files_context": allowed and settings.smart_context,
    }
    if allowed and settings.smart_context_mode:
        modes["smart_context_mode"] = settings.smart_context_mode
    return modes


def client_headers(environ: Environment) -> dict[str, str]:
    """What says who asks, for every service of Scalix's (app contract 9.1, 13.2)."""
    return {"X-Scalix-Client": "desktop-app", "X-Scalix-Version": environ.get("npm_package_version") or "1.0.0"}
