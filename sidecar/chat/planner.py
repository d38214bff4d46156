"""From a request and the chat's rows to a plan: which model, with what prompt (app contract 7.3 to 7.9).

Reads settings, rows and files and puts them together; what the parts look like is decided in ``prompt``,
``system_prompt``, ``context`` and ``routing.resolve``. ``chat:count-tokens`` takes the same way as a real turn, so
what it counts is what would be sent.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from protocol.chat import ChatCountTokensParams, ChatStreamParams, MessageRow, ModelRef, TokenCounts
from sidecar.catalog.catalog import Catalog
from sidecar.chat.attachments import AttachmentStore, HeldElements
from sidecar.chat.context import (
    Codebase,
    ContextFile,
    ContextRule,
    FileCache,
    VirtualFiles,
    app_directory,
    check_components,
    extract_codebase,
    fits,
    mentioned_apps,
    parse_context_rule,
    provided_codebase,
    read_ai_rules,
    read_snippets,
)
from sidecar.chat.history import limit_history, model_messages
from sidecar.chat.parts import ChatSettings, Host, Plan, PreparedPrompt
from sidecar.chat.prompt import (
    PromptInputs,
    build_messages,
    check_prompt,
    count_tokens,
    filled_history,
    held_history,
    is_summarise,
    prompt_references,
    referenced_apps_text,
    stored_prompt,
    summarise_chat_id,
    summarise_messages,
    with_codebase,
)
from sidecar.chat.system_prompt import TEST_SUPABASE_CONTEXT, SupabaseState, system_prompt
from sidecar.chat.text.tags import delete_tags, rename_tags, write_tags
from sidecar.chat.turn import chat_not_found
from sidecar.engines.base import Message, Target
from sidecar.errors import MissingApiKey, SidecarError
from sidecar.paths import AppPaths
from sidecar.routing import inputs as routing_inputs
from sidecar.routing.catalog_view import CatalogSnapshot, catalog_snapshot
from sidecar.routing.from_settings import routing_settings, selected_choice
from sidecar.routing.inputs import AUTO, Environment, ModelChoice
from sidecar.routing.resolve import Route, engine_enabled, find_route
from sidecar.settings.store import SettingsStore
from sidecar.settings.values import AppSettings
from sidecar.store.chats import AppRow, ChatRecord, Turn, load_apps, load_chat, load_messages, load_prompts
from sidecar.store.database import Database

log = structlog.get_logger("sidecar.chat")


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
        test_build: bool,
        late_keys: Callable[[], Awaitable[None]],
        in_order: Callable[[Sequence[Target]], Sequence[Target]] = tuple,
    ) -> None:
        """``in_order`` puts the candidates of ``auto`` into the order of what was measured."""
        self._database = database
        self._settings = settings
        self._catalog = catalog
        self._environment = environment
        self._host = host
        self._paths = paths
        self._test_build = test_build
        self._late_keys = late_keys
        self._in_order = in_order
        self._files = FileCache()
        self._attachments = AttachmentStore(paths.attachments)

    async def chat_settings(self) -> ChatSettings:
        """The settings that steer a turn, as they are now."""
        return _chat_settings(await self._settings.load())

    async def effective_model(self, params: ChatStreamParams) -> ModelRef:
        """The first candidate; the user's choice when it cannot be resolved."""
        settings = await self._settings.load()
        choice = _choice(params.model, settings)
        try:
            target = self._route(choice, settings, await catalog_snapshot(self._catalog)).targets[0]
        except SidecarError:
            return ModelRef(choice.provider, choice.name)
        return ModelRef(target.provider, target.model)

    async def route(self, choice: ModelChoice) -> Route:
        """The candidates for a single call, outside any chat. Raises what ``find_route`` raises."""
        return await self._patient_route(choice, await self._settings.load(), await catalog_snapshot(self._catalog))

    async def clean_up(self) -> None:
        """Delete attachments of long ago."""
        await self._attachments.remove_old()

    # --- the user's message --------------------------------------------------------------------------------------

    async def prepare(self, params: ChatStreamParams, chat: ChatRecord) -> PreparedPrompt:
        """Check the inputs of a turn and make the message that is stored. Raises ``InvalidParams``."""
        check_prompt(params.prompt)
        components = _components(params)
        field = "selectedComponents" if params.selected_components else "selectedComponent"
        component_paths = check_components(components, field=field)
        attachments = await self._attachments.store(params.attachments or [])
        references = list(prompt_references(params.prompt))
        prompts = await self._database.read(lambda c: load_prompts(c, references)) if references else {}
        snippets: Sequence[str] = ()
        if components:
            folder = app_directory(chat.app.path, apps_root=self._paths.apps_root)
            snippets = await read_snippets(folder, components, cache=self._files)
        stored = stored_prompt(
            params.prompt,
            prompts=prompts,
            attachments=attachments,
            components=zip(components, snippets, strict=True) if components else (),
        )
        return PreparedPrompt(stored=stored, attachments=attachments, component_paths=component_paths)

    # --- the call ------------------------------------------------------------------------------------------------

    async def plan(self, params: ChatStreamParams, prepared: PreparedPrompt, turn: Turn) -> Plan:
        """Assemble the call. Raises ``SidecarError`` when it cannot be made, before anything is sent."""
        settings = await self._settings.load()
        draft = _Draft(
            chat=turn.chat,
            rows=turn.chat.messages,
            raw_prompt=params.prompt,
            choice=_choice(params.model, settings),
            prepared=prepared,
            host_prompt=params.system_prompt,
            files=None if params.files is None else tuple(map(_provided, params.files)),
        )
        assembled = await self._assemble(draft, settings)
        route = assembled.route
        # Before the messages are built: a prompt that is too long is never even joined.
        targets = _fitting(assembled)
        return Plan(
            candidates=targets,
            allow_fallback=route.allow_fallback,
            messages=await self._messages(draft, assembled.inputs),
            settings=_chat_settings(settings),
            request_id=str(uuid.uuid4()),
            engine=assembled.inputs.engine,
            substitutions={**assembled.substitutions, **(params.substitutions or {})},
            warnings=(*settings.warnings, *route.warnings, *assembled.warnings),
            thinking=settings.thinking_budget,
            context_ms=assembled.context_ms,
            replan=lambda plan, answer: self._replan(plan, answer, draft, assembled, settings),
        )

    async def _replan(
        self, plan: Plan, answer: str, draft: _Draft, assembled: _Assembled, settings: AppSettings
    ) -> Plan:
        """The same call over the files as ``answer`` would leave them (app contract 7.12)."""
        virtual = VirtualFiles.of(deletes=delete_tags(answer), renames=rename_tags(answer), writes=write_tags(answer))
        codebase = await self._codebase(draft, settings, engine=assembled.inputs.engine, virtual=virtual)
        if not assembled.inputs.engine:
            messages = with_codebase(plan.messages, assembled.inputs.codebase_index, codebase.text)
            return msgspec.structs.replace(plan, messages=messages)
        route = self._route(draft.choice, settings, assembled.catalog, codebase.files)
        return msgspec.structs.replace(plan, candidates=route.targets)

    async def count_tokens(self, params: ChatCountTokensParams) -> TokenCounts:
        """``chat:count-tokens``: the parts of the prompt that this input would send. Raises ``NotFound``."""
        settings = await self._settings.load()
        chat = await self._database.read(lambda connection: load_chat(connection, params.chat_id))
        if chat is None:
            raise chat_not_found(params.chat_id)
        references = list(prompt_references(params.input))
        prompts = await self._database.read(lambda c: load_prompts(c, references)) if references else {}
        row = MessageRow(0, chat.id, "user", stored_prompt(params.input, prompts=prompts), None, None, "")
        draft = _Draft(
            chat=chat,
            rows=[*chat.messages, row],
            raw_prompt=params.input,
            choice=_choice(None, settings),
            counting=True,
        )
        assembled = await self._assemble(draft, settings)
        tokens = count_tokens(assembled.inputs)
        return TokenCounts(
            total_tokens=tokens.total,
            message_history_tokens=tokens.history,
            codebase_tokens=tokens.codebase,
            mentioned_apps_tokens=tokens.mentioned_apps,
            input_tokens=tokens.input,
            system_prompt_tokens=tokens.system,
            context_window=assembled.context_window,
        )

    # --- assembling ----------------------------------------------------------------------------------------------

    async def _assemble(self, draft: _Draft, settings: AppSettings) -> _Assembled:
        catalog = await catalog_snapshot(self._catalog)
        chat_settings = _chat_settings(settings)
        wanted = routing_settings(settings, ask_mode=chat_settings.ask_mode)
        engine = engine_enabled(draft.choice, wanted, catalog, self._environment)
        apps = await self._mentioned(draft)
        codebase = await self._codebase(draft, settings, engine=engine)
        others = [(app.name, await self._other(app, settings)) for app in apps]
        system, substitutions, warnings = await self._system(draft, settings, [app.name for app in apps])
        inputs = PromptInputs(
            system=system,
            history=await self._history(draft.rows, chat_settings),
            codebase=codebase,
            engine=engine,
            referenced_apps=referenced_apps_text(others),
            images=[a.image for a in draft.prepared.attachments if a.image is not None],
        )
        if is_summarise(draft.raw_prompt):
            inputs = msgspec.structs.replace(inputs, codebase=None, referenced_apps=None)
        window = self._window(draft.choice, catalog)
        # A count is wanted even where no model can be called yet (no key): the route comes last, and only for a turn.
        files = codebase.files if engine else ()
        route = None if draft.counting else await self._patient_route(draft.choice, settings, catalog, files)
        return _Assembled(
            inputs=inputs,
            catalog=catalog,
            substitutions=substitutions,
            warnings=(*codebase.warnings, *warnings),
            context_ms=codebase.elapsed_ms,
            maybe_route=route,
            known_window=window,
        )

    async def _codebase(
        self, draft: _Draft, settings: AppSettings, *, engine: bool, virtual: VirtualFiles | None = None
    ) -> Codebase:
        smart = settings.pro_enabled and settings.enable_pro_smart_files_context_mode
        if draft.files is not None:
            return provided_codebase(draft.files, smart_context=smart)
        paths = draft.prepared.component_paths
        rule = ContextRule.only(paths) if paths else parse_context_rule(draft.chat.app.chat_context)
        return await extract_codebase(
            app_directory(draft.chat.app.path, apps_root=self._paths.apps_root),
            rule,
            virtual=virtual,
            smart_context=smart,
            engine_files=engine,
            cache=self._files,
            test_build=self._test_build,
        )

    async def _mentioned(self, draft: _Draft) -> list[AppRow]:
        if "@app:" not in draft.raw_prompt:
            return []
        apps = await self._database.read(load_apps)
        return mentioned_apps(draft.raw_prompt, apps, current_app_id=draft.chat.app.id)

    async def _other(self, app: AppRow, settings: AppSettings) -> str:
        """Another app's files, for reading."""
        codebase = await extract_codebase(
            app_directory(app.path, apps_root=self._paths.apps_root),
            parse_context_rule(app.chat_context),
            smart_context=settings.pro_enabled and settings.enable_pro_smart_files_context_mode,
            engine_files=False,
            cache=self._files,
            test_build=self._test_build,
        )
        return codebase.text

    async def _history(self, rows: Sequence[MessageRow], settings: ChatSettings) -> Sequence[Any]:
        held = HeldElements()
        limited = held_history(limit_history(rows, settings.max_turns), held)
        stripped = model_messages(limited, ask_mode=settings.ask_mode)
        return filled_history(stripped, held, await self._attachments.read_texts(held.paths))

    async def _messages(self, draft: _Draft, inputs: PromptInputs) -> tuple[Message, ...]:
        if is_summarise(draft.raw_prompt):
            return summarise_messages(inputs.system, await self._summarised(draft.raw_prompt))
        return build_messages(inputs)

    async def _summarised(self, raw_prompt: str) -> Sequence[MessageRow]:
        chat_id = summarise_chat_id(raw_prompt)
        if chat_id is None:
            return []
        return await self._database.read(lambda connection: load_messages(connection, chat_id))

    async def _system(
        self, draft: _Draft, settings: AppSettings, app_names: Sequence[str]
    ) -> tuple[str, dict[str, str], list[str]]:
        """The system prompt, the host's substitutions, and notes."""
        folder = app_directory(draft.chat.app.path, apps_root=self._paths.apps_root)
        rules = await read_ai_rules(folder, cache=self._files)
        answer, warnings = await self._host_prompt(draft, settings, app_names, str(folder))
        host_prompt = draft.host_prompt if draft.host_prompt is not None else answer.get("systemPrompt")
        text = system_prompt(
            ask_mode=settings.selected_chat_mode == "ask",
            host_prompt=host_prompt,
            complete=draft.host_prompt is None and host_prompt is not None,
            ai_rules=rules.text,
            referenced_apps=app_names,
            supabase=None if host_prompt is not None else self._supabase(draft.chat.app, settings),
            summarise=is_summarise(draft.raw_prompt),
            attachments=draft.prepared.attachments,
        )
        return text, dict(answer.get("substitutions") or {}), [*rules.warnings, *warnings]

    async def _host_prompt(
        self, draft: _Draft, settings: AppSettings, app_names: Sequence[str], folder: str
    ) -> tuple[Mapping[str, Any], list[str]]:
        """What ``host:system-prompt`` says; a host that fails to answer leaves the sidecar's own prompt in place."""
        if draft.host_prompt is not None or not self._host.offers("systemPrompt"):
            return {}, []
        question = {
            "chatId": draft.chat.id,
            "appId": draft.chat.app.id,
            "appPath": folder,
            "chatMode": settings.selected_chat_mode,
            "mentionedApps": [{"name": name} for name in app_names],
            "attachments": [
                {"name": a.name, "type": a.type, "attachmentType": a.kind} for a in draft.prepared.attachments
            ],
            "intent": "summarize" if is_summarise(draft.raw_prompt) else "chat",
        }
        try:
            answer = await self._host.request("host:system-prompt", question)
        except SidecarError as error:
            log.warning("the host gave no system prompt", reason=error.message)
            return {}, ["The app's own system prompt was not available; the built-in one was used."]
        if isinstance(answer, dict) and isinstance(answer.get("systemPrompt"), str):
            return answer, []
        return {}, ["The app's own system prompt was not understood; the built-in one was used."]

    def _supabase(self, app: AppRow, settings: AppSettings) -> SupabaseState:
        connected = app.supabase_project_id is not None and bool(settings.supabase_access_token)
        return SupabaseState(
            connected=connected,
            has_neon=app.neon_project_id is not None,
            context=TEST_SUPABASE_CONTEXT if connected and self._test_build else None,
        )

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
        sent = [routing_inputs.ContextFile(file.path, file.content, file.force) for file in files]
        route = find_route(choice, wanted, catalog, self._environment, files=sent)
        if choice.provider != AUTO:
            return route
        return msgspec.structs.replace(route, targets=tuple(self._in_order(route.targets)))

    def _window(self, choice: ModelChoice, catalog: CatalogSnapshot) -> int | None:
        model = catalog.model(choice.provider, choice.name, choice.custom_model_id)
        return None if model is None else model.context_window


class _Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What one prompt is about."""

    chat: ChatRecord
    rows: Sequence[MessageRow]
    raw_prompt: str
    choice: ModelChoice
    prepared: PreparedPrompt = msgspec.field(default_factory=lambda: PreparedPrompt(stored=""))
    host_prompt: str | None = None
    files: tuple[ContextFile, ...] | None = None
    counting: bool = False


class _Assembled(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt and where it may go."""

    inputs: PromptInputs
    catalog: CatalogSnapshot
    substitutions: dict[str, str]
    warnings: tuple[str, ...]
    context_ms: float
    maybe_route: Route | None
    known_window: int | None
    """The catalogue's context window of the chosen model, in tokens; None for a model it does not know."""

    @property
    def route(self) -> Route:
        """Where a turn goes; a count has none."""
        if self.maybe_route is None:
            raise ValueError("a count has no route")
        return self.maybe_route

    @property
    def context_window(self) -> int:
        """For the token counter; the app's default when nobody knows."""
        return self.known_window or 128_000


def _fitting(assembled: _Assembled) -> tuple[Target, ...]:
    """The candidates with room for the answer; one that is too small for this prompt is left out.

    Raises the first candidate's CONTEXT_LENGTH_EXCEEDED when the chosen model's window is known and too small. A
    window nobody knows is the provider's to judge.
    """
    tokens = count_tokens(assembled.inputs)
    sent = tokens.total - (tokens.codebase if assembled.inputs.engine else 0)
    first, *others = assembled.route.targets
    fitting = [first if assembled.known_window is None else _with_room(first, sent)]
    for target in others:
        try:
            fitting.append(_with_room(target, sent))
        except SidecarError:
            continue
    return tuple(fitting)


def _with_room(target: Target, tokens: int) -> Target:
    allowed = fits(tokens, target.max_output_tokens, target.context_window)
    return target if allowed == target.max_output_tokens else msgspec.structs.replace(target, max_output_tokens=allowed)


def _components(params: ChatStreamParams) -> list[Any]:
    """One selected component or a list of them."""
    chosen = list(params.selected_components or [])
    if params.selected_component is not None and not chosen:
        chosen = [params.selected_component]
    return chosen


def _provided(file: Any) -> ContextFile:
    return ContextFile(file.path, file.content, file.force)


def _choice(model: ModelRef | None, settings: AppSettings) -> ModelChoice:
    if model is None:
        return selected_choice(settings)
    return ModelChoice(model.provider, model.name, model.custom_model_id)


def _chat_settings(settings: AppSettings) -> ChatSettings:
    turns = settings.max_chat_turns_in_context
    return ChatSettings(
        ask_mode=settings.selected_chat_mode == "ask",
        auto_approve=settings.auto_approve_changes,
        auto_fix=settings.enable_auto_fix_problems,
        continue_interrupted=settings.continue_interrupted,
        max_turns=3 if turns is None else int(turns),
    )
