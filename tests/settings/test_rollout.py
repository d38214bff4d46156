"""Feature switches and who is in the rollout."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import FeatureDisabled, InvalidParams
from sidecar.settings.rollout import Features, check_enabled, features_in, place_in_rollout, settings_change


def enabled(features: Features, user: str = "u", environ: dict[str, str] | None = None) -> bool:
    try:
        check_enabled(features, user, environ or {})
    except FeatureDisabled as error:
        assert error.data()["delegate"] == "legacyAISDK"
        return False
    return True


@given(st.uuids(), st.floats(0, 100), st.floats(0, 100))
def test_raising_the_percentage_only_ever_adds_users(user: Any, one: float, other: float) -> None:
    low, high = sorted((one, other))
    before, after = (enabled(Features(rollout_percent=percent), str(user)) for percent in (low, high))
    assert after or not before


@given(st.text())
def test_nobody_is_in_at_zero_and_everybody_at_a_hundred(user: str) -> None:
    assert not enabled(Features(rollout_percent=0), user)
    assert enabled(Features(rollout_percent=100), user)


def test_the_place_is_the_same_for_ever_and_evenly_spread() -> None:
    places = [place_in_rollout(f"user-{number}") for number in range(2000)]
    assert round(places[0], 6) == 31.221002
    assert 900 < sum(place < 50 for place in places) < 1100


@pytest.mark.parametrize(
    ("value", "features", "on"),
    [
        ("false", Features(), False),
        (" FALSE ", Features(), False),
        ("true", Features(lite_llm=False, rollout_percent=0), True),
        ("1", Features(lite_llm=False), True),
        ("", Features(lite_llm=False), False),
        ("", Features(rollout_percent=0, legacy_ai_sdk=False), True),
    ],
)
def test_the_environment_overrides(value: str, features: Features, on: bool) -> None:
    assert enabled(features, environ={"LITE_LLM_ENABLED": value}) is on


def test_a_switch_of_the_wrong_type_is_at_its_default() -> None:
    assert features_in({"sidecarFeatures": {"liteLLM": "no", "rateLimiting": False}, "sidecarRolloutPercent": 200}) == (
        Features(rate_limiting=False)
    )


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"liteLLM": 1}, "liteLLM"),
        ({"rolloutPercent": 101}, "rolloutPercent"),
        ({"rolloutPercent": True}, "rolloutPercent"),
    ],
)
def test_wrong_params_name_the_field(params: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        settings_change(params, {})
    assert caught.value.path == path


def test_setting_one_switch_keeps_the_others() -> None:
    before = {"sidecarFeatures": {"rateLimiting": False, "ofTomorrow": True}}
    assert settings_change({"liteLLM": False, "rolloutPercent": 5}, before) == {
        "sidecarFeatures": {"rateLimiting": False, "ofTomorrow": True, "liteLLM": False},
        "sidecarRolloutPercent": 5,
    }
