"""What the settings hold: keys in the app's order, defaults, which fields are secrets, and what is a valid value.

App contract 14. Validation is strict, as the app's is: nothing is coerced. A value that does not fit falls back
alone - the smallest part of it that is wrong - and the caller is told its path, never its content.
pydantic is imported at the first validation, not with this module.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pydantic import TypeAdapter

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

APP_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "selectedModel": frozenset({"name", "provider", "customModelId"}),
    "githubUser": frozenset({"email"}),
    **dict.fromkeys(TOKEN_OWNERS, frozenset({"accessToken", "refreshToken", "expiresIn", "tokenTimestamp"})),
    "aws": frozenset({"accessKeyId", "secretAccessKey", "region"}),
    "cloudflare": frozenset({"accessKeyId", "secretAccessKey", "accountId"}),
    "sendgrid": frozenset({"apiKey"}),
    "resend": frozenset({"apiKey"}),
    "mixpanel": frozenset({"projectToken"}),
    "sentry": frozenset({"dsn", "projectId"}),
    "experiments": frozenset({"enableSupabaseIntegration", "enableFileEditing"}),
    "scalixProBudget": frozenset({"budgetResetAt", "maxBudget"}),
}
"""The members the app knows inside its containers. It drops all others when it writes."""

PROVIDER_MEMBERS: Final = frozenset({"apiKey"})
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


@functools.cache
def _adapter(key: str) -> TypeAdapter[Any] | None:
    """The strict validator of a key, made when it is first met: building them all takes a tenth of a second, and a
    settings file holds but a few. None for keys this build does not know."""
    from pydantic import TypeAdapter

    kind = _kinds().get(key)
    return None if kind is None else TypeAdapter(kind())


@functools.cache
def _kinds() -> Mapping[str, Callable[[], Any]]:
    """What makes the type of each known key. Members nobody knows are let through at every level."""
    from typing import Annotated, Literal

    from pydantic import ConfigDict, Field, create_model

    config = ConfigDict(extra="allow", protected_namespaces=())

    def record(name: str, *, required: Mapping[str, Any] | None = None, **optional: Any) -> Any:
        fields: dict[str, Any] = {field: (kind, ...) for field, kind in (required or {}).items()}
        fields.update((field, (kind, None)) for field, kind in optional.items())
        return create_model(name, __config__=config, **fields)

    number = Annotated[float, Field(allow_inf_nan=False)]

    @functools.cache
    def secret() -> Any:
        return record("Secret", required={"value": str}, encryptionType=str)

    def secret_or_text() -> Any:
        return secret() | str

    def tokens(name: str, token: Callable[[], Any]) -> Any:
        return record(name, accessToken=token(), refreshToken=token(), expiresIn=number, tokenTimestamp=number)

    def provider() -> Any:
        return record("provider", apiKey=secret(), baseUrl=str, resourceName=str)

    kinds: dict[str, Callable[[], Any]] = {
        "selectedModel": lambda: record("selectedModel", required={"name": str, "provider": str}, customModelId=number),
        "providerSettings": lambda: dict[str, provider()],  # type: ignore[misc]
        "githubUser": lambda: record("githubUser", required={"email": str}),
        "githubAccessToken": secret,
        "vercelAccessToken": secret,
        **{name: functools.partial(tokens, name, secret) for name in ("supabase", "neon")},
        # The app never encrypted these, so text where an envelope should be is let pass.
        **{name: functools.partial(tokens, name, secret_or_text) for name in ("stripe", "razorpay")},
        "aws": lambda: record("aws", accessKeyId=secret_or_text(), secretAccessKey=secret_or_text(), region=str),
        "cloudflare": lambda: record(
            "cloudflare", accessKeyId=secret_or_text(), secretAccessKey=secret_or_text(), accountId=str
        ),
        "sendgrid": lambda: record("sendgrid", apiKey=secret_or_text()),
        "resend": lambda: record("resend", apiKey=secret_or_text()),
        "mixpanel": lambda: record("mixpanel", projectToken=secret_or_text()),
        "sentry": lambda: record("sentry", dsn=secret_or_text(), projectId=str),
        "telemetryConsent": lambda: Literal["opted_in", "opted_out", "unset"],
        "experiments": lambda: record("experiments", enableSupabaseIntegration=bool, enableFileEditing=bool),
        "maxChatTurnsInContext": lambda: number,
        "thinkingBudget": lambda: Literal["low", "medium", "high"],
        "proSmartContextOption": lambda: Literal["balanced"],
        "selectedChatMode": lambda: Literal["build", "ask"],
        "releaseChannel": lambda: Literal["stable", "beta"],
        "runtimeMode2": lambda: Literal["host", "docker"],
        "scalixProBudget": lambda: record("scalixProBudget", budgetResetAt=str, maxBudget=number),
        "runtimeMode": lambda: Literal["web-sandbox", "local-node", "unset"],
        "sidecarFeatures": lambda: dict[str, bool],
        "sidecarRolloutPercent": lambda: Annotated[float, Field(ge=0, le=100)],
    }
    for key in ("telemetryUserId", "lastShownReleaseNotesVersion", "selectedTemplateId"):
        kinds[key] = lambda: str
    for key in (*KEYS, *OWN_KEYS):
        kinds.setdefault(key, lambda: bool)
    return kinds


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
    adapter = _adapter(key)
    if adapter is None:
        return []
    from pydantic import ValidationError

    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return [Problem((key, *_existing(value, item["loc"], item["type"])), item["msg"]) for item in found]
    return []


def _existing(value: Any, location: tuple[int | str, ...], kind: str) -> tuple[str, ...]:
    """The part of pydantic's location that exists in the value: union branches and missing members are not places."""
    path: list[str] = []
    for step in location[:-1] if kind == "missing" else location:
        if not (isinstance(value, dict) and step in value):
            break
        path.append(str(step))
        value = value[step]
    return tuple(path)


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
