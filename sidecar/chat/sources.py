"""Everything a prompt is made of, fetched: files, rows, the library's prompts, attachments, the host's own prompt.

Reads and asks, and hands over values; how they are put together is decided in ``prompt`` and ``system_prompt``, where
the call goes in ``planner``. A source that fails leaves its part out and a note for the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from protocol.chat import ChatStreamParams, MessageRow
from sidecar.chat.attachment_prompt import HeldElements, attachment_notes
from sidecar.chat.attachments import AttachmentStore
from sidecar.chat.context import (
    AiRules,
    Codebase,
    CodebaseReading,
    ContextRule,
    FileCache,
    VirtualFiles,
    app_directory,
    begin_codebase,
    check_components,
    mentioned_apps,
    parse_context_rule,
    provided_codebase,
    read_ai_rules,
    read_snippets,
    snippet_notes,
)
from sidecar.chat.history import HistoryRow, limit_history, model_messages, summary_prompt
from sidecar.chat.parts import ChatSettings, Host, PreparedPrompt
from sidecar.chat.prompt import (
    CODEBASE_PREFIX,
    PromptInputs,
    check_prompt,
    filled_history,
    held_history,
    is_summarise,
    prompt_references,
    referenced_apps_text,
    replace_prompt_references,
    stored_prompt,
    summarise_chat_id,
)
from sidecar.chat.system_prompt import TEST_SUPABASE_CONTEXT, SupabaseState, system_prompt
from sidecar.errors import SidecarError, StoreError, ValidationFailed
from sidecar.paths import AppPaths
from sidecar.routing.inputs import ContextFile
from sidecar.settings.values import AppSettings
from sidecar.store.chats import AppRow, ChatRecord, load_apps, load_messages, load_prompts
from sidecar.store.database import Database

log = structlog.get_logger("sidecar.chat")


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What one prompt is about: the chat, its rows with the new message in them, and what came with the request."""

    chat: ChatRecord
    rows: Sequence[MessageRow]
    raw_prompt: str
    """As the user wrote it: mentions and the summarise intent are read from it, not from what is stored."""
    prepared: PreparedPrompt = msgspec.field(default_factory=lambda: PreparedPrompt(stored=""))
    host_prompt: str | None = None
    """``systemPrompt`` of the request."""
    files: tuple[ContextFile, ...] | None = None
    """``files`` of the request: then the app's folder is not read."""
    codebase: CodebaseReading | None = None
    """The app's folder, where it is being read already."""


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What the sources gave for one draft."""

    inputs: PromptInputs
    codebase: Codebase
    """Also when it is not part of ``inputs``: the engine gets its files beside the messages."""
    substitutions: dict[str, str]
    warnings: tuple[str, ...]


class _HostPrompt(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to ``host:system-prompt``; without a text when there was none."""

    system_prompt: str | None = None
    substitutions: dict[str, str] | None = None


class PromptSources:
    """The sources of one installation."""

    def __init__(self, *, database: Database, host: Host, paths: AppPaths, test_build: bool) -> None:
        self._database = database
        self._host = host
        self._apps_root = paths.apps_root
        self._test_build = test_build
        self._files = FileCache()
        self._attachments = AttachmentStore(paths.attachments)

    async def clean_up(self) -> None:
        """Delete attachments of long ago."""
        await self._attachments.remove_old()

    # --- the user's message --------------------------------------------------------------------------------------

    def prepare_at_once(self, params: ChatStreamParams) -> PreparedPrompt | None:
        """``prepare``, where nothing has to be fetched or written for it; else None. Raises ``InvalidParams``."""
        if params.attachments or _components(params) or prompt_references(params.prompt):
            return None
        check_prompt(params.prompt)
        return PreparedPrompt(stored=stored_prompt(params.prompt))

    async def prepare(self, params: ChatStreamParams, app: AppRow) -> PreparedPrompt:
        """Check the inputs of a turn and make the message that is stored. Raises ``InvalidParams``."""
        check_prompt(params.prompt)
        components = _components(params)
        is_list = bool(params.selected_components)
        field = "selectedComponents" if is_list else "selectedComponent"
        component_paths = check_components(components, field=field, is_list=is_list)
        attachments = await self._attachments.store(params.attachments or [])
        prompts, warnings = await self._prompts(params.prompt)
        snippets: Sequence[str] = ()
        if components:
            folder = app_directory(app.path, apps_root=self._apps_root)
            snippets = await read_snippets(folder, components, cache=self._files)
        stored = stored_prompt(
            params.prompt,
            prompts=prompts,
            attachments=attachments,
            components=zip(components, snippets, strict=True) if components else (),
        )
        warnings = (*warnings, *attachment_notes(attachments), *snippet_notes(components, snippets))
        return PreparedPrompt(
            stored=stored, attachments=attachments, component_paths=component_paths, warnings=warnings
        )

    async def with_prompts(self, text: str) -> str:
        """``text`` with the library's prompts in the place of their references."""
        prompts, _ = await self._prompts(text)
        return replace_prompt_references(text, prompts)

    async def _prompts(self, text: str) -> tuple[dict[int, str], tuple[str, ...]]:
        """The prompts that ``text`` refers to, and a note where the library cannot be read (app contract 7.5)."""
        references = list(prompt_references(text))
        if not references:
            return {}, ()
        try:
            return await self._database.read(lambda c: load_prompts(c, references)), ()
        except StoreError as error:
            log.warning("the prompt library could not be read", code=error.code.value)
            return {}, ("The prompt library could not be read; its references were left as they are.",)

    # --- the call ------------------------------------------------------------------------------------------------

    async def gather(self, draft: Draft, settings: AppSettings, *, engine: bool) -> Gathered:
        """Everything for one model call. ``engine``: the code base travels as data beside the messages."""
        summarise = is_summarise(draft.raw_prompt)
        apps = await self._mentioned(draft)
        # A summary is made from the other chat alone; the engine gets the files all the same.
        leave_out = summarise and not engine
        if draft.codebase is not None:
            codebase = await draft.codebase.value()
        elif leave_out:
            codebase = await provided_codebase(())
        else:
            codebase = await self.codebase(draft, settings, engine=engine, with_rules=True)
        notes: list[str] = []
        read = [(app.name, await self._other(app, settings, notes)) for app in apps]
        others = [(name, text) for name, text in read if text is not None]
        folder = app_directory(draft.chat.app.path, apps_root=self._apps_root)
        rules = codebase.rules or await read_ai_rules(folder, cache=self._files)
        names = [name for name, _ in others]
        system, substitutions, warnings = await self._system(draft, settings, names, rules, folder)
        if summarise:
            inputs = PromptInputs(system=system, history=await self._summarised(draft), engine=engine)
        else:
            inputs = PromptInputs(
                system=system,
                history=await self._history(draft.rows, ChatSettings.of(settings)),
                codebase=codebase,
                engine=engine,
                referenced_apps=referenced_apps_text(others),
                images=[a.image for a in draft.prepared.attachments if a.image is not None],
            )
        return Gathered(
            inputs=inputs,
            codebase=codebase,
            substitutions=substitutions,
            warnings=(*codebase.warnings, *notes, *warnings),
        )

    async def codebase(
        self,
        draft: Draft,
        settings: AppSettings,
        *,
        engine: bool,
        virtual: VirtualFiles | None = None,
        with_rules: bool = False,
    ) -> Codebase:
        """The app's files, or those of the request; ``virtual`` lays an unapplied answer over them.

        ``with_rules``: its AI_RULES.md too, where the folder is read at all.
        """
        if draft.files is not None:
            return await provided_codebase(draft.files, heading=CODEBASE_PREFIX, smart_context=_smart_context(settings))
        app, paths = draft.chat.app, draft.prepared.component_paths
        return await self._begin(app, paths, settings, engine=engine, virtual=virtual, with_rules=with_rules).value()

    def begin_codebase(
        self, raw_prompt: str, prepared: PreparedPrompt, app: AppRow, settings: AppSettings, *, engine: bool
    ) -> CodebaseReading | None:
        """What ``gather`` will want of the app's folder, for ``Draft.codebase``; None where it may want something else.

        Never raises: a folder that cannot be meant is ``gather``'s to tell.
        """
        if is_summarise(raw_prompt):
            return None
        try:
            return self._begin(app, prepared.component_paths, settings, engine=engine, with_rules=True)
        except ValidationFailed:
            return None

    def _begin(
        self,
        app: AppRow,
        only: Sequence[str],
        settings: AppSettings,
        *,
        engine: bool,
        virtual: VirtualFiles | None = None,
        with_rules: bool,
    ) -> CodebaseReading:
        return begin_codebase(
            app_directory(app.path, apps_root=self._apps_root),
            ContextRule.only(only) if only else parse_context_rule(app.chat_context),
            heading=CODEBASE_PREFIX,
            virtual=virtual,
            smart_context=_smart_context(settings),
            engine_files=engine,
            cache=self._files,
            with_rules=with_rules,
            test_build=self._test_build,
        )

    async def _summarised(self, draft: Draft) -> tuple[HistoryRow, ...]:
        """The one message that asks for a summary; nothing to sum up for an unknown chat (app contract 7.8, 10)."""
        chat_id = summarise_chat_id(draft.raw_prompt)
        rows: Sequence[MessageRow] = draft.rows if chat_id == draft.chat.id else ()
        if chat_id is not None and chat_id != draft.chat.id:
            rows = await self._database.read(lambda connection: load_messages(connection, chat_id))
        return (HistoryRow("user", summary_prompt(rows)),)

    async def _mentioned(self, draft: Draft) -> list[AppRow]:
        if "@app:" not in draft.raw_prompt:
            return []
        apps = await self._database.read(load_apps)
        return mentioned_apps(draft.raw_prompt, apps, current_app_id=draft.chat.app.id)

    async def _other(self, app: AppRow, settings: AppSettings, notes: list[str]) -> str | None:
        """Another app's files, for reading; None and a note when its folder is not known (app contract 12)."""
        try:
            folder = app_directory(app.path, apps_root=self._apps_root)
        except ValidationFailed as error:
            notes.append(f"{app.name}: {error.message}")
            return None
        codebase = await begin_codebase(
            folder,
            parse_context_rule(app.chat_context),
            smart_context=_smart_context(settings),
            engine_files=False,
            cache=self._files,
            test_build=self._test_build,
        ).value()
        notes.extend(f"{app.name}: {warning}" for warning in codebase.warnings)
        return codebase.text

    async def _history(self, rows: Sequence[MessageRow], settings: ChatSettings) -> Sequence[HistoryRow]:
        held = HeldElements()
        limited = held_history(limit_history(rows, settings.max_turns), held)
        stripped = model_messages(limited, ask_mode=settings.ask_mode)
        return filled_history(stripped, held, await self._attachments.read_texts(held.paths))

    # --- the system prompt ---------------------------------------------------------------------------------------

    async def _system(
        self, draft: Draft, settings: AppSettings, app_names: Sequence[str], rules: AiRules, folder: Path
    ) -> tuple[str, dict[str, str], list[str]]:
        """The system prompt, the host's substitutions, and notes."""
        answer, warnings = await self._host_prompt(draft, settings, app_names, str(folder))
        host_prompt = draft.host_prompt if draft.host_prompt is not None else answer.system_prompt
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
        return text, dict(answer.substitutions or {}), [*rules.warnings, *warnings]

    async def _host_prompt(
        self, draft: Draft, settings: AppSettings, app_names: Sequence[str], folder: str
    ) -> tuple[_HostPrompt, list[str]]:
        """What ``host:system-prompt`` says; a host that fails to answer leaves the sidecar's own prompt in place."""
        if draft.host_prompt is not None or not self._host.offers("systemPrompt"):
            return _HostPrompt(), []
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
            return _HostPrompt(), ["The app's own system prompt was not available; the built-in one was used."]
        try:
            return msgspec.convert(answer, _HostPrompt), []
        except msgspec.ValidationError:
            return _HostPrompt(), ["The app's own system prompt was not understood; the built-in one was used."]

    def _supabase(self, app: AppRow, settings: AppSettings) -> SupabaseState:
        connected = app.supabase_project_id is not None and bool(settings.supabase_access_token)
        return SupabaseState(
            connected=connected,
            has_neon=app.neon_project_id is not None,
            context=TEST_SUPABASE_CONTEXT if connected and self._test_build else None,
        )


def _smart_context(settings: AppSettings) -> bool:
    return settings.pro_enabled and settings.enable_pro_smart_files_context_mode


def _components(params: ChatStreamParams) -> list[Any]:
    """One selected component or a list of them."""
    chosen = list(params.selected_components or [])
    if params.selected_component is not None and not chosen:
        chosen = [params.selected_component]
    return chosen
