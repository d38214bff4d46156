"""Which values are valid, and how little falls back when one is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.settings.schema import defaults, fitting, in_schema_order, problems_of, secret_places
from sidecar.settings.store import settled


def test_defaults_are_valid_and_in_the_order_of_the_app() -> None:
    assert list(defaults()) == list(in_schema_order(defaults()))
    assert [problem for key, value in defaults().items() for problem in problems_of(key, value)] == []


@pytest.mark.parametrize(
    ("key", "value", "rest", "paths"),
    [
        ("hasRunBefore", 1, None, ["hasRunBefore"]),
        ("maxChatTurnsInContext", True, None, ["maxChatTurnsInContext"]),
        ("selectedChatMode", "plan", None, ["selectedChatMode"]),
        ("selectedModel", {"name": "a"}, None, ["selectedModel"]),
        ("providerSettings", [], None, ["providerSettings"]),
        (
            "providerSettings",
            {"a": {"apiKey": {"value": "k"}}, "b": 3},
            {"a": {"apiKey": {"value": "k"}}},
            ["providerSettings.b"],
        ),
        (
            "supabase",
            {"accessToken": {"value": "t"}, "expiresIn": "soon"},
            {"accessToken": {"value": "t"}},
            ["supabase.expiresIn"],
        ),
        ("aws", {"accessKeyId": {"value": 1}, "region": "eu"}, {"region": "eu"}, ["aws.accessKeyId"]),
        ("aws", {"accessKeyId": [], "region": None}, {}, ["aws.accessKeyId", "aws.region"]),
        ("githubAccessToken", {"encryptionType": "plaintext"}, None, ["githubAccessToken"]),
        ("stripe", {"accessToken": "plain", "refreshToken": 1}, {"accessToken": "plain"}, ["stripe.refreshToken"]),
        ("supabase", {"accessToken": "plain"}, {}, ["supabase.accessToken"]),
        ("sidecarFeatures", {"liteLLM": True, "rateLimiting": 0}, {"liteLLM": True}, ["sidecarFeatures.rateLimiting"]),
        ("sidecarRolloutPercent", 101, None, ["sidecarRolloutPercent"]),
        ("telemetryUserId", 7, None, ["telemetryUserId"]),
        ("scalixProBudget", {"maxBudget": float("inf")}, {}, ["scalixProBudget.maxBudget"]),
    ],
)
def test_only_the_part_that_is_wrong_falls_back(key: str, value: Any, rest: Any, paths: list[str]) -> None:
    kept, problems = fitting(key, value)
    assert kept == rest
    assert [str(problem) for problem in problems] == paths


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("selectedModel", {"name": "m", "provider": "p", "customModelId": 3, "new": 1}),
        ("maxChatTurnsInContext", 3),
        ("providerSettings", {"custom::x": {"apiKey": {"value": "", "encryptionType": "odd"}, "later": [1]}}),
        ("aws", {"accessKeyId": "plain"}),
        ("sidecarRolloutPercent", 12.5),
        ("telemetryConsent", "opted_out"),
        ("aKeyOfTomorrow", object()),
    ],
)
def test_what_the_app_accepts_passes_whole(key: str, value: Any) -> None:
    assert fitting(key, value) == (value, [])


def test_a_warning_names_the_setting_and_not_its_value() -> None:
    values, warnings = settled({"providerSettings": '{"a": {"apiKey": "sk-secret"}}', "releaseChannel": '"nightly"'})
    assert values["providerSettings"] == {"a": {}}
    assert values["releaseChannel"] == "stable"
    assert [name in text for name, text in zip(("providerSettings.a.apiKey", "releaseChannel"), warnings, strict=True)]
    assert "secret" not in json.dumps(warnings) and "nightly" not in json.dumps(warnings)


def test_every_secret_of_the_schema_is_found() -> None:
    envelope = {"value": "x"}
    both = {"accessToken": envelope, "refreshToken": envelope}
    keys = {"accessKeyId": envelope, "secretAccessKey": envelope}
    settings = {
        "githubAccessToken": envelope,
        "vercelAccessToken": envelope,
        **dict.fromkeys(("supabase", "neon", "stripe", "razorpay"), both),
        **dict.fromkeys(("aws", "cloudflare"), keys),
        **{key: {"apiKey": envelope} for key in ("sendgrid", "resend")},
        "mixpanel": {"projectToken": envelope},
        "sentry": {"dsn": envelope},
        "providerSettings": {"openai": {"apiKey": envelope}, "custom::x": {"apiKey": envelope}},
        "tomorrow": envelope,
    }
    assert len(list(secret_places(settings))) == 2 + 8 + 4 + 2 + 1 + 1 + 2
