"""Asking an endpoint for its list of models: the cheapest request that shows whether it answers and takes the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sidecar.engines.base import Message, ModelCall, Target, TextPart
from sidecar.engines.dialects import PREPARE
from sidecar.engines.exchange import endpoint
from sidecar.engines.openai_compatible import prepare

_PATHS: Final = {"openrouter": "/key"}
"""OpenRouter lists its models to everybody; what it says about the key shows whether the key is good."""


def models_request(target: Target) -> tuple[str, Mapping[str, str]]:
    """URL and headers of a GET that spends no tokens, with the credentials a call to ``target`` would have.

    Raises ``ProviderError`` when the target's address is no URL.
    """
    base = target.base_url
    if target.provider == "cohere":
        base = base.removesuffix("/v2") + "/v1" if base.endswith("/v2") else base  # its second version lists nothing
    return endpoint(base, _PATHS.get(target.provider, "/models"), target.query), _credentials(target)


def takes_key(target: Target) -> bool:
    """Whether ``models_request`` carries the key: litellm's own way of sending one is not known here."""
    return target.dialect != "litellm"


def _credentials(target: Target) -> Mapping[str, str]:
    if not takes_key(target):
        return {}
    call = ModelCall(target=target, messages=(Message(role="user", parts=(TextPart(text="?"),)),), request_id="health")
    headers = PREPARE.get(target.dialect, prepare)(call).headers
    return {name: value for name, value in headers.items() if name.lower() != "content-type"}
