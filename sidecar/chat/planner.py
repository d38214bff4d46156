"""From a request and the chat's rows to a plan: which model, with what prompt (app contract 7.8, 7.9, 13.1).

What a prompt is made of comes from ``sources``; this module decides where the call goes and whether it fits.
``chat:count-tokens`` takes the same way as a real turn, so what it counts is what would be sent.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from protocol.chat import ChatCountTokensParams, ChatStreamParams, MessageRow, ModelRef, TokenCounts
from sidecar.catalog.catalog import LISTING_WAIT_MS, Catalog, CustomRows, read_custom_rows
from sidecar.chat.context import Codebase, VirtualFiles
from sidecar.chat.outcome import ContextWork
from sidecar.chat.parts import Accepted, AtHand, ChatSettings, HeadStart, Plan, PreparedPrompt, TurnStart
from sidecar.chat.prompt import (
    PromptInputs,
    build_messages,
    count_tokens,
    with_codebase,
)
from sidecar.chat.sources import Draft, Gathered, PromptSources
from sidecar.chat.text.tags import delete_tags, rename_tags, write_tags
from sidecar.chat.turn import chat_not_found, head_of
from sidecar.engines.base import DEFAULT_CONTEXT_WINDOW, Target
from sidecar.errors import InvalidParams, MissingApiKey, SidecarError, StoreError
from sidecar.routing.catalog_view import CallStart, CatalogSnapshot, catalog_snapshot
from sidecar.routing.from_settings import routing_settings, selected_choice
from sidecar.routing.inputs import AUTO, ContextFile, Environment, ModelChoice
from sidecar.routing.resolve import Route, engine_enabled, find_route
from sidecar.routing.window import fitting
from sidecar.settings.store import SettingsStore
from sidecar.settings.values import AppSettings
from sidecar.store.chats import AppRow, ChatHead, load_chat, load_head, message_ids
from sidecar.store.database import Database


class TurnPlanner:
    """Plans turns over one installation."""

    def __init__(
        self,
        *,
        database: Database,
        settings: SettingsStore,
        catalog: Catalog,
        environment: Environment,
        sources: PromptSources,
        late_keys: Callable[[], Awaitable[None]],
        in_order: Callable[[Sequence[Target]], Sequence[Target]] = tuple,
    ) -> None:
        """``in_order`` puts the candidates of ``auto`` into the order of what was measured."""
        self._database = database
        self._settings = settings
        self._catalog = catalog
        self._environment = environment
        self._sources = sources
        self._late_keys = late_keys
        self._in_order = in_order

    async def start(self, params: ChatStreamParams) -> TurnStart:
        """The settings, the chat's app and the models. Raises ``FeatureDisabled``, ``NotFound``, ``StoreError``."""

        def read(connection: sqlite3.Connection) -> tuple[ChatHead | None, CustomRows]:
            message_ids(connection, params.chat_id)  # so that the transaction finds them: the first look reads them all
            return load_head(connection, params.chat_id), _custom_rows(connection)

        reading = self._database.begin_read(read)
        settings = await self._settings.load_enabled()
        head, custom = await reading.value()
        if head is None:
            raise chat_not_found(params.chat_id)
        return TurnStart(settings, CatalogSnapshot(custom), head.app)

    def at_hand(self, params: ChatStreamParams) -> AtHand | None:
        """What a turn can be accepted with in a single trip to the database; None for one that needs more.

        Never raises: ``start`` and ``prepare`` say what is wrong with it.
        """
        known = self._settings.at_hand()
        if known is None:
            return None
        try:
            prepared = self._sources.prepare_at_once(params)
        except InvalidParams:
            return None
        if prepared is None:
            return None

        def read_start(connection: sqlite3.Connection) -> TurnStart | None:
            if not known.still_hold(connection):
                return None
            head = head_of(connection, params.chat_id)
            return TurnStart(known.settings, CatalogSnapshot(_custom_rows(connection)), head.app)

        return AtHand(prepared, read_start)

    async def start_call(self) -> CallStart:
        """What a single call, outside any chat, starts from. Raises ``FeatureDisabled``."""
        known = self._settings.at_hand()
        if known is not None:
            try:
                custom = await self._database.read(
                    lambda connection: _custom_rows(connection) if known.still_hold(connection) else None,
                    patience_ms=LISTING_WAIT_MS,
                )
            except StoreError:
                custom = None
            if custom is not None:
                return CallStart(known.settings, CatalogSnapshot(custom))
        return CallStart(await self._settings.load_enabled(), await catalog_snapshot(self._catalog))

    async def route(self, choice: ModelChoice, start: CallStart) -> Route:
        """The candidates for a single call. Raises what ``find_route`` raises."""
        return await self._patient_route(choice, start.settings, start.catalog)

    async def prepare(self, params: ChatStreamParams, app: AppRow) -> PreparedPrompt:
        """Check the inputs of a turn and make the message that is stored. Raises ``InvalidParams``."""
        return await self._sources.prepare(params, app)

    # --- the call ------------------------------------------------------------------------------------------------

    def begin(self, params: ChatStreamParams, prepared: PreparedPrompt, start: TurnStart) -> HeadStart:
        """Begin to read the app's folder, and find the candidates. Never raises."""
        choice, settings = _choice(params.model, start.settings), start.settings
        codebase = None
        if params.files is None:
            engine = self._engine(choice, settings, start.catalog)
            codebase = self._sources.begin_codebase(params.prompt, prepared, start.app, settings, engine=engine)
        try:
            route = self._route(choice, settings, start.catalog)
        except SidecarError:
            return HeadStart(ModelRef(choice.provider, choice.name), None, codebase)
        return HeadStart(ModelRef(route.targets[0].provider, route.targets[0].model), route, codebase)

    async def plan(self, params: ChatStreamParams, accepted: Accepted) -> Plan:
        """Assemble the call. Raises ``SidecarError`` when it cannot be made, before anything is sent."""
        chat, ahead = accepted.turn.chat, accepted.ahead
        settings, catalog = accepted.start.settings, accepted.start.catalog
        choice = _choice(params.model, settings)
        draft = Draft(
            chat=chat,
            rows=chat.messages,
            raw_prompt=params.prompt,
            prepared=accepted.prepared,
            host_prompt=params.system_prompt,
            files=None if params.files is None else tuple(map(_provided, params.files)),
            codebase=ahead.codebase,
        )
        gathered = await self._gather(draft, choice, settings, catalog)
        inputs = gathered.inputs
        route = None if inputs.engine else ahead.route
        if route is None:
            files = gathered.codebase.files if inputs.engine else ()
            route = await self._patient_route(choice, settings, catalog, files)
        # Before the messages are built: a prompt that is too long is never even joined.
        candidates = _fitting(route.targets, inputs, _window(choice, catalog))
        call = _Call(draft, choice, settings, catalog, inputs)
        return Plan(
            candidates=candidates,
            allow_fallback=route.allow_fallback,
            messages=build_messages(inputs),
            settings=ChatSettings.of(settings),
            request_id=str(uuid.uuid4()),
            engine=inputs.engine,
            substitutions={**gathered.substitutions, **(params.substitutions or {})},
            warnings=(*settings.warnings, *route.warnings, *gathered.warnings),
            thinking=settings.thinking_budget,
            context=_work(gathered.codebase),
            replan=lambda plan, answer: self._replan(plan, answer, call),
        )

    async def _replan(self, plan: Plan, answer: str, call: _Call) -> Plan:
        """The same call over the files as ``answer`` would leave them (app contract 7.12)."""
        virtual = VirtualFiles.of(deletes=delete_tags(answer), renames=rename_tags(answer), writes=write_tags(answer))
        codebase = await self._sources.codebase(call.draft, call.settings, engine=call.inputs.engine, virtual=virtual)
        if not call.inputs.engine:
            messages = with_codebase(plan.messages, call.inputs.codebase_index, codebase.text)
            return msgspec.structs.replace(plan, messages=messages)
        route = self._route(call.choice, call.settings, call.catalog, codebase.files)
        candidates = _fitting(route.targets, call.inputs, _window(call.choice, call.catalog))
        return msgspec.structs.replace(plan, candidates=candidates)

    async def count_tokens(self, params: ChatCountTokensParams) -> TokenCounts:
        """``chat:count-tokens``: the parts of the prompt that this input would send. Raises ``NotFound``.

        A count is wanted even where no model can be called yet (no key), so nothing here asks where the call goes.
        """
        settings = await self._settings.load()
        chat = await self._database.read(lambda connection: load_chat(connection, params.chat_id))
        if chat is None:
            raise chat_not_found(params.chat_id)
        asked = MessageRow(0, chat.id, "user", await self._sources.with_prompts(params.input), None, None, "")
        answer = msgspec.structs.replace(asked, role="assistant", content="")  # how far back a turn looks depends on it
        draft = Draft(chat=chat, rows=[*chat.messages, asked, answer], raw_prompt=params.input)
        choice = _choice(None, settings)
        catalog = await catalog_snapshot(self._catalog)
        tokens = count_tokens((await self._gather(draft, choice, settings, catalog)).inputs)
        return TokenCounts(
            total_tokens=tokens.total,
            message_history_tokens=tokens.history,
            codebase_tokens=tokens.codebase,
            mentioned_apps_tokens=tokens.mentioned_apps,
            input_tokens=tokens.input,
            system_prompt_tokens=tokens.system,
            context_window=_window(choice, catalog) or DEFAULT_CONTEXT_WINDOW,
        )

    async def _gather(
        self, draft: Draft, choice: ModelChoice, settings: AppSettings, catalog: CatalogSnapshot
    ) -> Gathered:
        return await self._sources.gather(draft, settings, engine=self._engine(choice, settings, catalog))

    # --- where it goes -------------------------------------------------------------------------------------------

    def _engine(self, choice: ModelChoice, settings: AppSettings, catalog: CatalogSnapshot) -> bool:
        wanted = routing_settings(settings, ask_mode=settings.selected_chat_mode == "ask")
        return engine_enabled(choice, wanted, catalog, self._environment)

    async def _patient_route(
        self, choice: ModelChoice, settings: AppSettings, catalog: CatalogSnapshot, files: Sequence[ContextFile] = ()
    ) -> Route:
        """``_route``, with a second look when a key is missing: the login shell may still be telling its own."""
        try:
            return self._route(choice, settings, catalog, files)
        except MissingApiKey:
            await self._late_keys()
            return self._route(choice, settings, catalog, files)

    def _route(
        self,
        choice: ModelChoice,
        settings: AppSettings,
        catalog: CatalogSnapshot,
        files: Sequence[ContextFile] = (),
    ) -> Route:
        wanted = routing_settings(settings, ask_mode=settings.selected_chat_mode == "ask")
        route = find_route(choice, wanted, catalog, self._environment, files=files)
        if choice.provider != AUTO:
            return route
        return msgspec.structs.replace(route, targets=tuple(self._in_order(route.targets)))


class _Call(msgspec.Struct, frozen=True):
    """What a planned call was made of, for planning it again."""

    draft: Draft
    choice: ModelChoice
    settings: AppSettings
    catalog: CatalogSnapshot
    inputs: PromptInputs


def _window(choice: ModelChoice, catalog: CatalogSnapshot) -> int | None:
    """The chosen model's context window in tokens; None for a model the catalogue does not know."""
    model = catalog.model(choice.provider, choice.name, choice.custom_model_id)
    return None if model is None else model.context_window


def _fitting(targets: Sequence[Target], inputs: PromptInputs, window: int | None) -> tuple[Target, ...]:
    """The candidates that can read this prompt; see ``routing.window.fitting``."""
    tokens = count_tokens(inputs)
    return fitting(targets, tokens.total - (tokens.codebase if inputs.engine else 0), window)


def _custom_rows(connection: sqlite3.Connection) -> CustomRows:
    try:
        return read_custom_rows(connection)
    except sqlite3.Error as error:  # the app's schema is older than they are
        return CustomRows([], [], error)


def _work(codebase: Codebase) -> ContextWork:
    return ContextWork(len(codebase.files), codebase.token_estimate, round(codebase.elapsed_ms, 1))


def _provided(file: Any) -> ContextFile:
    return ContextFile(file.path, file.content, file.force)


def _choice(model: ModelRef | None, settings: AppSettings) -> ModelChoice:
    if model is None:
        return selected_choice(settings)
    return ModelChoice(model.provider, model.name, model.custom_model_id)
