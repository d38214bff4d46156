"""What the settings hold: keys in the app's order, defaults, which fields are secrets, and what is a valid value.

App contract 14. Validation is strict, as the app's is: nothing is coerced. A value that does not fit falls back
alone - the smallest part of it that is wrong - and the caller is told its path, never its content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sidecar.settings.kinds import NUMBER, PERCENT, TEXT, TRUTH, Each, Either, Kind, Record, faults, one_of

KEYS: Final = (
    "selectedModel",
    "providerSettings",
    "githubUser",
    "githubAccessToken",
    "vercelAccessToken",
    "supabase",
    "neon",
    "stripe",
    "razorpay",
    "aws",
    "cloudflare",
    "sendgrid",
    "resend",
    "mixpanel",
    "sentry",
    "autoApproveChanges",
    "telemetryConsent",
    "telemetryUserId",
    "hasRunBefore",
    "enableScalixPro",
    "experiments",
    "lastShownReleaseNotesVersion",
    "maxChatTurnsInContext",
    "thinkingBudget",
    "enableProLazyEditsMode",
    "enableProSmartFilesContextMode",
    "proSmartContextOption",
    "selectedTemplateId",
    "enableSupabaseWriteSqlMigration",
    "selectedChatMode",
    "acceptedCommunityCode",
    "enableAutoFixProblems",
    "enableNativeGit",
    "enableAutoUpdate",
    "releaseChannel",
    "runtimeMode2",
    "isTestMode",
    "enableProSaverMode",
    "scalixProBudget",
    "runtimeMode",
)
"""The app's keys, in the order it writes them."""

APP_KEYS: Final = frozenset(KEYS)

OWN_KEYS: Final = ("autoFallback", "continueInterrupted", "sidecarFeatures", "sidecarRolloutPercent")
"""Keys of ours. The app does not know them and drops them from the file at every write; our table keeps them."""

TOKEN_OWNERS: Final = ("supabase", "neon", "stripe", "razorpay")

SECRET_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(TOKEN_OWNERS, ("accessToken", "refreshToken")),
    "aws": ("accessKeyId", "secretAccessKey"),
    "cloudflare": ("accessKeyId", "secretAccessKey"),
    "sendgrid": ("apiKey",),
    "resend": ("apiKey",),
    "mixpanel": ("projectToken",),
    "sentry": ("dsn",),
}
"""Secret members of the containers, beside ``providerSettings.*.apiKey`` and the two tokens at the top."""

TOP_SECRETS: Final = ("githubAccessToken", "vercelAccessToken")

APP_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "selectedModel": ("name", "provider", "customModelId"),
    "githubUser": ("email",),
    **dict.fromkeys(TOKEN_OWNERS, ("accessToken", "refreshToken", "expiresIn", "tokenTimestamp")),
    "aws": ("accessKeyId", "secretAccessKey", "region"),
    "cloudflare": ("accessKeyId", "secretAccessKey", "accountId"),
    "sendgrid": ("apiKey",),
    "resend": ("apiKey",),
    "mixpanel": ("projectToken",),
    "sentry": ("dsn", "projectId"),
    "experiments": ("enableSupabaseIntegration", "enableFileEditing"),
    "scalixProBudget": ("budgetResetAt", "maxBudget"),
}
"""The members the app knows inside its containers, in the order it writes them. It drops all others."""

PROVIDER_MEMBERS: Final = ("apiKey",)
"""The members the app knows inside ``providerSettings.<id>``."""


def defaults() -> dict[str, Any]:
    """The values the app writes into a new file; ``telemetryUserId`` is the caller's to add."""
    return {
        "selectedModel": {"name": "auto", "provider": "auto"},
        "providerSettings": {},
        "telemetryConsent": "unset",
        "hasRunBefore": False,
        "experiments": {},
        "enableProLazyEditsMode": True,
        "enableProSmartFilesContextMode": True,
        "selectedTemplateId": "react",
        "selectedChatMode": "build",
        "enableAutoFixProblems": False,
        "enableAutoUpdate": True,
        "releaseChannel": "stable",
    }


def in_schema_order(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The app's keys first, in its order; then all others, in theirs."""
    known = {key: mapping[key] for key in KEYS if key in mapping}
    known.update((key, value) for key, value in mapping.items() if key not in known)
    return known


def in_member_order(key: str, value: Any) -> Any:
    """The value of ``key`` with the members the app knows first, in its order; then all others, in theirs."""
    if not isinstance(value, dict) or key not in APP_MEMBERS:
        return value
    known = {name: value[name] for name in APP_MEMBERS[key] if name in value}
    return known | value


class Located(NamedTuple):
    """A secret's place: the member names that lead to it from the top. ``str()`` gives the path the wire shows."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


def secret_places(values: Mapping[str, Any]) -> Iterator[tuple[Located, dict[str, Any]]]:
    """Every secret envelope (``{value, encryptionType?}``) in the settings, with its place."""
    for key in TOP_SECRETS:
        yield from _envelope(values.get(key), (key,))
    for key, fields in SECRET_FIELDS.items():
        container = values.get(key)
        if isinstance(container, dict):
            for field in fields:
                yield from _envelope(container.get(field), (key, field))
    providers = values.get("providerSettings")
    if isinstance(providers, dict):
        for provider, entry in providers.items():
            if isinstance(entry, dict):
                yield from _envelope(entry.get("apiKey"), ("providerSettings", provider, "apiKey"))


def _envelope(value: Any, names: tuple[str, ...]) -> Iterator[tuple[Located, dict[str, Any]]]:
    if isinstance(value, dict) and isinstance(value.get("value"), str):
        yield Located(names), value


# --- validation ----------------------------------------------------------------------------------------------------


_SECRET: Final = Record({"value": TEXT, "encryptionType": TEXT}, required=("value",))
_SECRET_OR_TEXT: Final = Either((_SECRET, TEXT))


def _tokens(token: Kind) -> Record:
    return Record({"accessToken": token, "refreshToken": token, "expiresIn": NUMBER, "tokenTimestamp": NUMBER})


_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys((*KEYS, *OWN_KEYS), TRUTH),
    "selectedModel": Record({"name": TEXT, "provider": TEXT, "customModelId": NUMBER}, required=("name", "provider")),
    "providerSettings": Each(Record({"apiKey": _SECRET, "baseUrl": TEXT, "resourceName": TEXT})),
    "githubUser": Record({"email": TEXT}, required=("email",)),
    **dict.fromkeys(TOP_SECRETS, _SECRET),
    **dict.fromkeys(("supabase", "neon"), _tokens(_SECRET)),
    # The app never encrypted these, so text where an envelope should be is let pass.
    **dict.fromkeys(("stripe", "razorpay"), _tokens(_SECRET_OR_TEXT)),
    "aws": Record({"accessKeyId": _SECRET_OR_TEXT, "secretAccessKey": _SECRET_OR_TEXT, "region": TEXT}),
    "cloudflare": Record({"accessKeyId": _SECRET_OR_TEXT, "secretAccessKey": _SECRET_OR_TEXT, "accountId": TEXT}),
    **dict.fromkeys(("sendgrid", "resend"), Record({"apiKey": _SECRET_OR_TEXT})),
    "mixpanel": Record({"projectToken": _SECRET_OR_TEXT}),
    "sentry": Record({"dsn": _SECRET_OR_TEXT, "projectId": TEXT}),
    "telemetryConsent": one_of("opted_in", "opted_out", "unset"),
    "experiments": Record({"enableSupabaseIntegration": TRUTH, "enableFileEditing": TRUTH}),
    "maxChatTurnsInContext": NUMBER,
    "thinkingBudget": one_of("low", "medium", "high"),
    "proSmartContextOption": one_of("balanced"),
    "selectedChatMode": one_of("build", "ask"),
    "releaseChannel": one_of("stable", "beta"),
    "runtimeMode2": one_of("host", "docker"),
    "scalixProBudget": Record({"budgetResetAt": TEXT, "maxBudget": NUMBER}),
    "runtimeMode": one_of("web-sandbox", "local-node", "unset"),
    "sidecarFeatures": Each(TRUTH),
    "sidecarRolloutPercent": PERCENT,
    **dict.fromkeys(("telemetryUserId", "lastShownReleaseNotesVersion", "selectedTemplateId"), TEXT),
}
"""What each known key may be; what is not named below is true or false."""


class Problem(NamedTuple):
    """A part of a value that does not fit: where, and why. The reason never repeats the value."""

    path: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return ".".join(self.path)


def problems_of(key: str, value: Any) -> list[Problem]:
    """What is wrong with the value of ``key``; nothing for keys this build does not know.

    A path leads to the smallest part that can be left out, and is ``(key,)`` when nothing of the value can be used.
    """
    kind = _KINDS.get(key)
    return [] if kind is None else [Problem((key, *fault.path), fault.reason) for fault in faults(kind, value)]


def fitting(key: str, value: Any) -> tuple[Any, list[Problem]]:
    """``value`` without the parts that do not fit, and what they were. ``None`` when nothing of it can be used."""
    problems: dict[tuple[str, ...], Problem] = {}
    while found := problems_of(key, value):
        for problem in found:
            problems.setdefault(problem.path, problem)
            value = _without(value, problem.path[1:])
            if value is None:
                return None, list(problems.values())
    return value, list(problems.values())


def _without(value: Any, path: tuple[str, ...]) -> Any:
    if not path:
        return None
    if not (isinstance(value, dict) and path[0] in value):
        return value
    name, rest = path[0], path[1:]
    inner = _without(value[name], rest)
    if inner is None:
        return {key: item for key, item in value.items() if key != name}
    return {**value, name: inner}
