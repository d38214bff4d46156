"""The composition root: the only place that knows every part."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.abc
import msgspec
import structlog

from protocol.chat import ChatCountTokensParams
from protocol.envelope import Notification
from protocol.language_models import LocalModel, LocalModels
from protocol.lifecycle import (
    PROTOCOL_VERSION,
    DatabaseReport,
    HostCapabilities,
    InitializeParams,
    InitializeResult,
    Paths,
    ServerCapabilities,
    ServerInfo,
)
from sidecar import __version__
from sidecar.build_info import SERVER_NAME, build_id
from sidecar.catalog.catalog import Catalog
from sidecar.catalog.local import list_lmstudio, list_ollama, lmstudio_base, ollama_base
from sidecar.catalog.prices import PriceList
from sidecar.chat.autosave import Autosave
from sidecar.chat.parts import ChatParts
from sidecar.chat.planner import TurnPlanner
from sidecar.chat.service import ChatService
from sidecar.chat.sources import PromptSources
from sidecar.engines.select import Engines
from sidecar.engines.timeouts import unusable_timeouts
from sidecar.errors import InvalidParams, SidecarError, StoreError
from sidecar.handlers import chat as chat_channels
from sidecar.handlers import language_models as model_channels
from sidecar.handlers.local_models import LocalModelHandlers
from sidecar.handlers.params import convert
from sidecar.handlers.settings import SettingsHandlers
from sidecar.host_side import HostSide
from sidecar.lanes import Render, StreamLane
from sidecar.lifecycle import process_alive
from sidecar.paths import AppPaths, app_paths
from sidecar.routing.advisor import ModelAdvisor
from sidecar.routing.inputs import Environment
from sidecar.routing.limits import TierLimiter, TierLimits, unusable_limits
from sidecar.routing.login_shell import LoginShellEnvironment
from sidecar.routing.meter import Meter
from sidecar.routing.runner import Router
from sidecar.routing.slots import StreamSlots
from sidecar.rpc import router as rpc_router
from sidecar.rpc.dispatcher import Dispatcher
from sidecar.rpc.host import HostLink
from sidecar.rpc.outbox import Outbox
from sidecar.seldom import SeldomUsed
from sidecar.settings.selection import SelectionKeeper
from sidecar.settings.store import SettingsStore
from sidecar.store.chats import message_ids
from sidecar.store.database import Database
from sidecar.store.ledger import Ledger
from sidecar.store.turns import has_unfinished, mark_interrupted
from sidecar.transport.base import Transport

FIRST_WORD_S: Final = 0.2
"""After what a first chat needs is there: such a chat, asked for at once, has its first word by then."""

_STARTED_AT: Final = int(time.time())
"""Seconds since 1970: tells this process's turns from those of an earlier one with its pid."""

log = structlog.get_logger("sidecar.app")

LIFECYCLE: Final = ["initialize", "ping", "shutdown"]
NOTIFICATIONS: Final = [
    "chat:response:chunk",
    "chat:response:end",
    "chat:response:error",
    "help:chat:response:chunk",
    "help:chat:response:end",
    "help:chat:response:error",
    "llm:part",
    "model:fallback",
    "settings:migrated",
]


class Application:
    """One sidecar: built around a transport, filled in at ``initialize`` when the paths are known."""

    def __init__(
        self,
        transport: Transport,
        environ: Mapping[str, str],
        *,
        user_data: str | os.PathLike[str] | None = None,
        on_loaded: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_loaded`` is called once, when all that a first chat needs has been imported and read."""
        self._environ = environ
        self.on_loaded = on_loaded
        self._user_data = user_data
        self.outbox = Outbox(transport)
        self.host = HostLink(self.outbox)
        self.host_side = HostSide(self.host)
        self.host_process_id: int | None = None
        self._router = rpc_router.Router()
        self.dispatcher = Dispatcher(
            self.outbox,
            self.host,
            self._router,
            initialize=self._initialize,
            shutdown=self._shutdown,
            on_answered_initialize=self._start_background,
        )
        self._tasks: anyio.abc.TaskGroup | None = None
        self._services: Services | None = None

    def take_tasks(self, tasks: anyio.abc.TaskGroup) -> None:
        """Take the task group that background work runs in."""
        self._tasks = tasks

    def hurry(self) -> None:
        """The host is gone: a locked database is waited for no longer than a moment."""
        if self._services is not None:
            self._services.database.hurry()

    async def aclose(self) -> None:
        """Close connections and the database."""
        if self._services is not None:
            await self._services.aclose()

    # --- life cycle ----------------------------------------------------------------------------------------------

    async def _initialize(self, raw: dict[str, Any]) -> InitializeResult:
        params = convert(raw, InitializeParams)
        if params.protocol_version != PROTOCOL_VERSION:
            raise InvalidParams(
                f"Protocol version {params.protocol_version} is not supported; this sidecar speaks {PROTOCOL_VERSION}.",
                path="protocolVersion",
            )
        self.host_process_id = params.process_id
        self.host_side.capabilities = params.capabilities or HostCapabilities()
        given = params.paths or Paths()
        _check_paths(given)
        paths = app_paths(
            self._environ,
            user_data=given.user_data or self._user_data,
            database=given.database,
            settings_file=given.settings_file,
            apps_root=given.apps_root,
        )
        services = self._services = Services(self, self._environ, paths)
        services.register(self._router)
        status = await services.database.status()
        return InitializeResult(
            protocol_version=PROTOCOL_VERSION,
            server_info=ServerInfo(SERVER_NAME, __version__, build_id()),
            features=await services.features(),
            capabilities=ServerCapabilities(
                methods=[*LIFECYCLE, *self._router.names()], notifications=NOTIFICATIONS, chunks=["messages", "patch"]
            ),
            database=DatabaseReport(str(status.path), status.exists, status.schema_version, status.writable),
        )

    def _start_background(self) -> None:
        if self._tasks is not None and self._services is not None:
            self._tasks.start_soon(self._services.run_background)

    async def _shutdown(self) -> None:
        if self._services is not None:
            await self._services.cancel_all()

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run in the background, as long as the host is there."""
        if self._tasks is not None:
            self._tasks.start_soon(work)

    # --- the way out ---------------------------------------------------------------------------------------------

    def open_lane(self, method: str, render: Render, min_interval_s: float) -> StreamLane:
        """A stream's way to the host."""
        return self.outbox.lane(method, render, min_interval_s=min_interval_s)

    def notify(self, method: str, params: Any) -> None:
        """A notification outside streams."""
        self.outbox.message(Notification(method=method, params=params))


class Services:
    """Everything that works on one installation's files."""

    def __init__(self, application: Application, environ: Mapping[str, str], paths: AppPaths) -> None:
        self.environ = environ
        self._on_loaded = application.on_loaded
        self.test_build = environ.get("E2E_TEST_BUILD") == "true"
        host = application.host_side
        self.database = Database(paths.database)
        self.settings = SettingsStore(
            self.database, paths.settings_file, environ=environ, secrets=host.secrets_bridge()
        )
        self.settings_handlers = SettingsHandlers(self.settings, application.notify)
        selection = SelectionKeeper(self.settings)
        self.catalog = Catalog(self.database, on_removed=selection.removed, on_renamed=selection.renamed)
        self.shell = LoginShellEnvironment(environ)
        self.environment = Environment(environ, self.shell.values)
        for sentence in (*unusable_timeouts(environ), *unusable_limits(self.environment)):
            log.warning(sentence)
        self.prices = PriceList()
        self.ledger = Ledger(self.database)
        limiter = TierLimiter(self.database, TierLimits.from_environment(self.environment))
        self.meter = Meter(limiter, self.environment, ledger=self.ledger, prices=self.prices)
        self.engines = Engines(environ)
        self.caller = Router(self.engines)
        self.advisor = self._advisor()
        self.sources = PromptSources(database=self.database, host=host, paths=paths, test_build=self.test_build)
        self.planner = self._planner()
        self.autosave = Autosave(self.database)
        slots = StreamSlots()
        self.chat = self._chat(application, slots)
        self.seldom = SeldomUsed(application, self, slots)

    def _advisor(self) -> ModelAdvisor:
        return ModelAdvisor(
            ledger=self.ledger,
            settings=self.settings,
            environment=self.environment,
            catalog=self.catalog,
            prices=self.prices,
            breaker=self.caller.breaker,
            local_models=self._local_models,
            prompt_tokens=self._prompt_tokens,
        )

    def _planner(self) -> TurnPlanner:
        return TurnPlanner(
            database=self.database,
            settings=self.settings,
            catalog=self.catalog,
            environment=self.environment,
            sources=self.sources,
            late_keys=self.shell.wait,
            in_order=self.advisor.in_order,
        )

    def _chat(self, application: Application, slots: StreamSlots) -> ChatService:
        host = application.host_side
        return ChatService(
            ChatParts(
                database=self.database,
                planner=self.planner,
                caller=self.caller,
                host=host,
                open_lane=application.open_lane,
                notify=application.notify,
                meter=self.meter,
                autosave=self.autosave,
                chunk_mode=lambda: host.capabilities.chunks,
                settings_now=self.settings.load,
                test_build=self.test_build,
            ),
            slots,
        )

    def register(self, router: rpc_router.Router) -> None:
        """Announce every channel."""
        router.add(model_channels.LanguageModelHandlers(self.catalog).methods(), model_channels.SCALARS)
        router.add(LocalModelHandlers(self.environ).methods())
        router.add(chat_channels.ChatHandlers(self.chat, self.planner.count_tokens).methods(), chat_channels.SCALARS)
        router.add(self.settings_handlers.methods())
        self.seldom.register(router)

    async def features(self) -> dict[str, Any]:
        """The rollout switches as ``initialize`` reports them; ``disabled`` says who serves this user instead."""
        features, disabled = await self.settings.rollout()
        if disabled is None:
            return features.to_wire()
        return {**features.to_wire(), "disabled": {"message": disabled.message, **disabled.data()}}

    async def run_background(self) -> None:
        """What may happen once the host has its answer. Nothing here may fail a chat."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.autosave.run)
            tasks.start_soon(self.shell.load)
            # First what a first chat needs; what nobody waits for must not compete with it for the interpreter.
            async with anyio.create_task_group() as first:
                first.start_soon(self.settings.load)
                first.start_soon(self.engines.warm)
                first.start_soon(self._look_for_messages)
            tasks.start_soon(self.ledger.run)
            await self.prices.load()
            await self.advisor.load()
            self._on_loaded()
            await anyio.sleep(FIRST_WORD_S)
            tasks.start_soon(self._tidy)

    async def _look_for_messages(self) -> None:
        """Which chat each belongs to is found by reading them all, once: not while the first turn holds the lock."""
        with suppress(StoreError, sqlite3.Error):
            await self.database.read(lambda connection: message_ids(connection, 0))

    async def cancel_all(self) -> None:
        """Stop every stream; each has said its last word when this returns."""
        await self.chat.cancel_all()
        await self.seldom.cancel_all()

    async def aclose(self) -> None:
        """Close connections, write down what was counted, then close the database."""
        await self.engines.aclose()
        await self.ledger.flush()
        await self.database.aclose()

    async def _tidy(self) -> None:
        if not self.environ.get("SCALIX_NO_MIGRATION"):
            await self.settings_handlers.migrate_at_start()
        try:
            await self._close_interrupted_turns()
            await self.sources.clean_up()
        except (StoreError, sqlite3.Error) as error:
            log.warning("unfinished turns were not looked at", reason=str(error))
        log.info("the start is over")

    async def _close_interrupted_turns(self) -> None:
        if not await self.database.read(has_unfinished):
            return
        chats = await self.database.write(
            lambda connection: mark_interrupted(
                connection, alive=process_alive, own=os.getpid(), own_start=_STARTED_AT, now=int(time.time())
            )
        )
        if chats:
            log.warning("turns of a process that died are marked interrupted", chats=chats)

    async def _local_models(self) -> list[LocalModel]:
        """What Ollama and LM Studio have; nothing of one that does not run."""
        found: list[LocalModel] = []

        async def ask(models: Callable[[], Coroutine[Any, Any, LocalModels]]) -> None:
            try:
                found.extend((await models()).models)
            except SidecarError:
                return

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, lambda: list_ollama(ollama_base(self.environ)))
            tasks.start_soon(ask, lambda: list_lmstudio(lmstudio_base(self.environ)))
        return sorted(found, key=lambda model: (model.provider, model.model_name))

    async def _prompt_tokens(self, chat_id: int, prompt: str) -> int:
        return (await self.planner.count_tokens(ChatCountTokensParams(chat_id, prompt))).total_tokens


def _check_paths(given: Paths) -> None:
    """Raises ``InvalidParams`` for what cannot be a path on any system, naming it."""
    for name, path in msgspec.to_builtins(given).items():
        try:
            usable = path is None or "\0" not in os.fspath(Path(path).expanduser())
        except RuntimeError:  # the home folder of a user whom nobody knows
            usable = False
        if not usable:
            raise InvalidParams(f"Invalid params (paths.{name}): this cannot be a path.", path=f"paths.{name}")
