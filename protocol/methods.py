"""One registry of everything that travels: method, direction, params, result.

The JSON Schema files, the OpenRPC document and the TypeScript types are made from it (``scripts/dev.py generate``),
so a method that is not here does not exist for a host.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

from protocol import chat, help, host, language_models, lifecycle, llm, settings, usage  # noqa: A004
from protocol.envelope import RequestId


class Direction(StrEnum):
    """Who says it, and whether it is answered."""

    REQUEST_TO_SIDECAR = "request-to-sidecar"
    REQUEST_TO_HOST = "request-to-host"
    NOTIFICATION_TO_SIDECAR = "notification-to-sidecar"
    NOTIFICATION_TO_HOST = "notification-to-host"


class NoParams(msgspec.Struct, frozen=True):
    """A method without arguments."""


class Empty(msgspec.Struct, frozen=True):
    """An answer without content."""


class CancelRequestParams(msgspec.Struct, frozen=True):
    """Params of ``$/cancelRequest``: the id of a request of the same sender."""

    id: RequestId


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    ``params`` holds one type, or several of which each message is one. ``result`` is any type msgspec can describe;
    ``type(None)`` answers null. ``scalar`` names the member that a bare argument stands for (protocol page 1).
    """

    name: str
    direction: Direction
    summary: str
    params: tuple[Any, ...]
    result: Any = None
    scalar: str | None = None


def _ask(name: str, summary: str, params: Any, result: Any, scalar: str | None = None) -> Method:
    return Method(name, Direction.REQUEST_TO_SIDECAR, summary, (params,), result, scalar)


def _ask_host(name: str, summary: str, params: Any, result: Any) -> Method:
    return Method(name, Direction.REQUEST_TO_HOST, summary, (params,), result)


def _tell(name: str, summary: str, *params: Any) -> Method:
    return Method(name, Direction.NOTIFICATION_TO_HOST, summary, params)


def _tell_sidecar(name: str, summary: str, params: Any) -> Method:
    return Method(name, Direction.NOTIFICATION_TO_SIDECAR, summary, (params,))


_NOTHING: Final = type(None)

METHODS: Final[tuple[Method, ...]] = (
    # life cycle (protocol page 2)
    _ask("initialize", "The handshake; must be first.", lifecycle.InitializeParams, lifecycle.InitializeResult),
    _ask("ping", "Answered at once, at any time.", NoParams, Empty),
    _ask("shutdown", "Stop work, save, flush.", NoParams, _NOTHING),
    _tell_sidecar("exit", "End the process: code 0 after shutdown, else 1.", NoParams),
    _tell_sidecar("$/cancelRequest", "Cancel a request of the host.", CancelRequestParams),
    _tell("$/cancelRequest", "The sidecar no longer waits for a request of its own.", CancelRequestParams),
    # providers and models (app contract 1 to 5)
    _ask(
        "get-language-model-providers",
        "All providers: cloud, local, custom.",
        NoParams,
        list[language_models.LanguageModelProvider],
    ),
    _ask(
        "get-language-models",
        "The models of one provider.",
        language_models.GetLanguageModelsParams,
        list[language_models.LanguageModel],
        "providerId",
    ),
    _ask(
        "get-language-models-by-providers",
        "The models of every cloud and custom provider, by provider id.",
        NoParams,
        dict[str, list[language_models.LanguageModel]],
    ),
    _ask(
        "create-custom-language-model-provider",
        "Add a custom provider.",
        language_models.SaveCustomProviderParams,
        language_models.SavedCustomProvider,
    ),
    _ask(
        "edit-custom-language-model-provider",
        "Change a custom provider.",
        language_models.SaveCustomProviderParams,
        language_models.SavedCustomProvider,
    ),
    _ask(
        "delete-custom-language-model-provider",
        "Remove a custom provider and its models.",
        language_models.DeleteCustomProviderParams,
        _NOTHING,
        "providerId",
    ),
    _ask("create-custom-language-model", "Add a model.", language_models.CreateCustomModelParams, _NOTHING),
    _ask("edit-custom-language-model", "Change a model.", language_models.EditCustomModelParams, _NOTHING),
    _ask(
        "delete-custom-language-model",
        "Remove a model by its API name.",
        language_models.DeleteCustomLanguageModelParams,
        _NOTHING,
        "modelId",
    ),
    _ask("delete-custom-model", "Remove a model of one provider.", language_models.DeleteCustomModelParams, _NOTHING),
    _ask("local-models:list-ollama", "What Ollama has.", NoParams, language_models.LocalModels),
    _ask("local-models:list-lmstudio", "What LM Studio has.", NoParams, language_models.LocalModels),
    # chat (app contract 7, 13.1)
    _ask(
        "chat:stream",
        "One turn of a chat; answered after its terminal notification with the chat id, or 'error'.",
        chat.ChatStreamParams,
        int | Literal["error"],
    ),
    _ask("chat:cancel", "Cancel the chat's stream.", chat.ChatCancelParams, Literal[True], "chatId"),
    _ask("chat:count-tokens", "Estimate a turn's tokens.", chat.ChatCountTokensParams, chat.TokenCounts),
    _tell(
        "chat:response:chunk",
        "All rows first; then patches, or all rows again.",
        chat.ChunkMessages,
        chat.ChunkPatch,
    ),
    _tell(
        "chat:response:end",
        "A stream's end, or the answer to a cancel on an idle chat.",
        chat.ChatEnd,
        chat.ChatIdleEnd,
    ),
    _tell("chat:response:error", "A stream's failure.", chat.ChatError),
    _tell("model:fallback", "Another model took over.", chat.ModelFallback),
    # help (app contract 13.4)
    _ask("help:chat:start", "Ask the help assistant.", help.HelpChatStartParams, help.HelpChatAnswer),
    _ask("help:chat:cancel", "Stop the help assistant.", help.HelpChatCancelParams, help.HelpChatAnswer, "sessionId"),
    _tell("help:chat:response:chunk", "More of a help answer.", help.HelpChunk),
    _tell("help:chat:response:end", "A help answer's end.", help.HelpEnd),
    _tell("help:chat:response:error", "A help answer's failure.", help.HelpError),
    # settings, budget, usage (protocol page 5, app contract 13.2, 14)
    _ask("get-user-settings", "The settings, secrets in plain text.", NoParams, settings.UserSettings),
    _ask(
        "set-user-settings",
        "Merge into the settings; answers all of them.",
        settings.UserSettings,
        settings.UserSettings,
    ),
    _ask("settings:migrate", "Bring the settings to this version.", settings.MigrateParams, settings.MigrateResult),
    _tell("settings:migrated", "A migration changed something.", settings.SettingsMigrated),
    _ask("features:get", "The rollout switches.", NoParams, settings.FeatureSwitches),
    _ask("features:set", "Change rollout switches.", settings.SetFeaturesParams, settings.FeatureSwitches),
    _ask("get-user-budget", "Pro credits; null when nobody knows.", NoParams, usage.UserBudget | None),
    _ask("usage:get", "Today's counters and limits.", NoParams, usage.UsageResult),
    _ask("analytics:clear", "Forget what the ledger holds.", NoParams, Literal[True]),
    _ask("analytics:get", "Costs, times, fallbacks over a period.", usage.AnalyticsParams, usage.AnalyticsResult),
    _ask("models:recommend", "Which model suits.", usage.RecommendParams, usage.RecommendResult),
    _ask("providers:health", "Circuits, success rates, times to first token.", usage.HealthParams, usage.HealthResult),
    # one model call (protocol page 5)
    _ask("llm:stream", "One model call in the AI SDK's terms.", llm.LlmStreamParams, llm.LlmStreamResult),
    _ask("llm:cancel", "Cancel a model call.", llm.LlmCancelParams, Literal[True], "callId"),
    _tell("llm:part", "One part of a model call's stream.", llm.LlmPart),
    # what the host is asked (protocol page 7)
    _ask_host("host:decrypt-secrets", "Open secrets.", host.DecryptSecretsParams, host.DecryptSecretsResult),
    _ask_host("host:encrypt-secrets", "Lock secrets.", host.EncryptSecretsParams, host.EncryptSecretsResult),
    _ask_host("host:system-prompt", "The app's own wording.", host.SystemPromptParams, host.SystemPromptResult),
    _ask_host("host:apply-response", "Carry an answer out.", host.ApplyResponseParams, host.ApplyResponseResult),
    _ask_host("host:check-problems", "Type-check an answer.", host.CheckProblemsParams, host.CheckProblemsResult),
)
"""Every method, in the order of the protocol page."""


def methods(direction: Direction) -> tuple[Method, ...]:
    """The methods of one direction, in order."""
    return tuple(method for method in METHODS if method.direction is direction)
