"""From a request and the chat's rows to a plan: which model, with what prompt (app contract 7.3 to 7.9)."""

from __future__ import annotations

import uuid

from protocol.chat import ChatCountTokensParams, ChatStreamParams, ModelRef, TokenCounts
from sidecar.catalog.catalog import Catalog
from sidecar.chat.history import limit_history, model_messages
from sidecar.chat.parts import ChatSettings, Host, Plan, PreparedPrompt
from sidecar.engines.base import Message
from sidecar.errors import SidecarError
from sidecar.paths import AppPaths
from sidecar.routing.catalog_view import catalog_snapshot
from sidecar.routing.from_settings import routing_settings, selected_choice
from sidecar.routing.inputs import Environment, ModelChoice
from sidecar.routing.resolve import Route, find_route
from sidecar.settings.store import SettingsStore
from sidecar.settings.values import AppSettings
from sidecar.store.chats import ChatRecord, Turn
from sidecar.store.database import Database

SYSTEM_PROMPT = "You are Scalix, an assistant that writes web applications."


class TurnPlanner:
    """Plans turns over one installation."""

    def __init__(
        self,
        *,
        database: Database,
        settings: SettingsStore,
        catalog: Catalog,
        environment: Environment,
        host: Host,
        paths: AppPaths,
    ) -> None:
        self._database = database
        self._settings = settings
        self._catalog = catalog
        self._environment = environment
        self._host = host
        self._paths = paths

    async def chat_settings(self) -> ChatSettings:
        """The settings that steer a turn, as they are now."""
        return _chat_settings(await self._settings.load())

    async def effective_model(self, params: ChatStreamParams) -> ModelRef:
        """The first candidate; the user's choice when it cannot be resolved."""
        settings = await self._settings.load()
        choice = _choice(params, settings)
        try:
            target = (await self._route(choice, settings)).targets[0]
        except SidecarError:
            return ModelRef(choice.provider, choice.name)
        return ModelRef(target.provider, target.model)

    async def prepare(self, params: ChatStreamParams, chat: ChatRecord, stream_id: str) -> PreparedPrompt:
        """The user's message as it is stored."""
        return PreparedPrompt(stored=params.prompt)

    async def plan(self, params: ChatStreamParams, turn: Turn, stream_id: str) -> Plan:
        """Assemble the call."""
        settings = await self._settings.load()
        chat_settings = _chat_settings(settings)
        route = await self._route(_choice(params, settings), settings)
        rows = limit_history(turn.chat.messages, chat_settings.max_turns)
        history = [
            Message.of("user" if row.role == "user" else "assistant", row.content)
            for row in model_messages(rows, ask_mode=chat_settings.ask_mode)
        ]
        system = Message.of("system", params.system_prompt or SYSTEM_PROMPT)
        return Plan(
            candidates=route.targets,
            allow_fallback=route.allow_fallback,
            messages=(system, *history),
            settings=chat_settings,
            request_id=str(uuid.uuid4()),
            substitutions=params.substitutions or {},
            warnings=route.warnings,
            thinking=settings.thinking_budget,
        )

    async def replan(self, plan: Plan, turn: Turn, answer: str) -> Plan:
        """The same call over the files as ``answer`` would leave them."""
        return plan

    async def count_tokens(self, params: ChatCountTokensParams) -> TokenCounts:
        """``chat:count-tokens``."""
        raise SidecarError("not yet")

    async def _route(self, choice: ModelChoice, settings: AppSettings) -> Route:
        chat_settings = _chat_settings(settings)
        catalog = await catalog_snapshot(self._catalog)
        return find_route(
            choice, routing_settings(settings, ask_mode=chat_settings.ask_mode), catalog, self._environment
        )


def _choice(params: ChatStreamParams, settings: AppSettings) -> ModelChoice:
    if params.model is None:
        return selected_choice(settings)
    return ModelChoice(params.model.provider, params.model.name, params.model.custom_model_id)


def _chat_settings(settings: AppSettings) -> ChatSettings:
    turns = settings.max_chat_turns_in_context
    return ChatSettings(
        ask_mode=settings.selected_chat_mode == "ask",
        auto_approve=settings.auto_approve_changes,
        auto_fix=settings.enable_auto_fix_problems,
        continue_interrupted=settings.continue_interrupted,
        max_turns=3 if turns is None else int(turns),
    )
