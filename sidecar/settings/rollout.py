"""Who uses the sidecar's own path: feature switches and the share of users it is rolled out to.

A user's place in the rollout follows from ``telemetryUserId`` alone, so it is the same at every start, and raising
the percentage only ever adds users.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from sidecar.errors import FeatureDisabled, InvalidParams

FEATURES_KEY: Final = "sidecarFeatures"
PERCENT_KEY: Final = "sidecarRolloutPercent"


class Features(msgspec.Struct, frozen=True):
    """The switches, and the share of users (0 to 100) for whom ``lite_llm`` counts.

    ``legacy_ai_sdk`` says that the app's old path is still there to take over; without it the share is not asked.
    """

    lite_llm: bool = True
    legacy_ai_sdk: bool = True
    enhanced_analytics: bool = True
    rate_limiting: bool = True
    rollout_percent: float = 100

    def to_wire(self) -> dict[str, Any]:
        """As ``features:get`` answers."""
        switches = {wire: getattr(self, name) for wire, name in WIRE_NAMES.items()}
        return {**switches, "rolloutPercent": self.rollout_percent}


WIRE_NAMES: Final[Mapping[str, str]] = {
    "liteLLM": "lite_llm",
    "legacyAISDK": "legacy_ai_sdk",
    "enhancedAnalytics": "enhanced_analytics",
    "rateLimiting": "rate_limiting",
}


def features_in(values: Mapping[str, Any]) -> Features:
    """The features the settings ask for; what is absent or of the wrong type is at its default."""
    switches = values.get(FEATURES_KEY)
    found: dict[str, Any] = {}
    for wire, name in WIRE_NAMES.items():
        switch = switches.get(wire) if isinstance(switches, dict) else None
        if isinstance(switch, bool):
            found[name] = switch
    percent = values.get(PERCENT_KEY)
    if _is_percent(percent):
        found["rollout_percent"] = percent
    return Features(**found)


def effective(features: Features, environ: Mapping[str, str]) -> Features:
    """``features`` with ``lite_llm`` as the environment wants it, where it wants anything (protocol page 9)."""
    override = _override(environ)
    return features if override is None else msgspec.structs.replace(features, lite_llm=override)


def _override(environ: Mapping[str, str]) -> bool | None:
    """``LITE_LLM_ENABLED``: ``false`` switches off, any other value on; None when it is not set."""
    value = environ.get("LITE_LLM_ENABLED", "").strip().lower()
    return None if not value else value != "false"


def settings_change(params: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """``features:set`` params as a change of the settings in ``values``. Raises ``InvalidParams``."""
    change: dict[str, Any] = {}
    switches = {name: params[name] for name in WIRE_NAMES if params.get(name) is not None}
    for name, switch in switches.items():
        if not isinstance(switch, bool):
            raise InvalidParams(f"{name} must be true or false.", path=name)
    if switches:
        before = values.get(FEATURES_KEY)
        change[FEATURES_KEY] = {**(before if isinstance(before, dict) else {}), **switches}
    percent = params.get("rolloutPercent")
    if percent is not None:
        if not _is_percent(percent):
            raise InvalidParams("rolloutPercent must be a number from 0 to 100.", path="rolloutPercent")
        change[PERCENT_KEY] = percent
    return change


def _is_percent(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100


def place_in_rollout(user_id: str) -> float:
    """Where a user stands between 0 (first to get it) and 100 (excluded)."""
    digest = hashlib.sha256(f"liteLLM:{user_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6]) / 2**48 * 100


def check_enabled(features: Features, user_id: str, environ: Mapping[str, str]) -> None:
    """Raises ``FeatureDisabled`` when this user is to be served by the app's old path.

    ``LITE_LLM_ENABLED`` overrides: ``false`` switches off, any other value on (protocol page 9).
    """
    override = _override(environ)
    if override is False:
        raise FeatureDisabled("The LiteLLM path is switched off by LITE_LLM_ENABLED=false.")
    if override:
        return
    if not features.lite_llm:
        raise FeatureDisabled("The LiteLLM path is switched off in the settings.")
    if features.legacy_ai_sdk and place_in_rollout(user_id) >= features.rollout_percent:
        raise FeatureDisabled("The LiteLLM path is not switched on for this user yet.")
