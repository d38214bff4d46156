"""The composition root: the only place that knows every part."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anyio.abc
import structlog

from protocol.chat import LimitsReport
from protocol.envelope import Notification
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
from sidecar.chat.events import Render, StreamLane
from sidecar.chat.parts import ChatParts
from sidecar.chat.planner import TurnPlanner
from sidecar.chat.service import ChatService
from sidecar.engines.select import Engines
from sidecar.errors import InvalidParams, SidecarError
from sidecar.handlers import chat as chat_channels
from sidecar.handlers import language_models as model_channels
from sidecar.handlers.local_models import LocalModelHandlers
from sidecar.handlers.params import convert
from sidecar.handlers.settings import SettingsHandlers
from sidecar.paths import AppPaths, app_paths
from sidecar.routing.inputs import Environment
from sidecar.routing.runner import Router
from sidecar.rpc import router as rpc_router
from sidecar.rpc.dispatcher import Dispatcher
from sidecar.rpc.host import HostLink
from sidecar.rpc.outbox import Outbox
from sidecar.settings.secrets import SecretsBridge
from sidecar.settings.store import SettingsStore
from sidecar.store.database import Database
from sidecar.transport.base import Transport

log = structlog.get_logger("sidecar.app")

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


class HostSide:
    """The host as chat sees it: what it announced, and a way to ask."""

    def __init__(self, link: HostLink) -> None:
        self._link = link
        self.capabilities = HostCapabilities()

    def offers(self, capability: str) -> bool:
        """Whether the host announced ``systemPrompt``, ``applyResponse``, ``checkProblems`` or ``secrets``."""
        offered = self.capabilities
        return {
            "systemPrompt": offered.system_prompt,
            "applyResponse": offered.apply_response,
            "checkProblems": offered.check_problems,
            "secrets": offered.secrets,
        }[capability]

    async def request(self, method: str, params: dict[str, Any]) -> Any:
        """Ask the host. Raises ``SidecarError``."""
        return await self._link.request(method, params)

    def secrets_bridge(self) -> SecretsBridge | None:
        """The host's two questions about secrets, when it answers them."""
        if not self.capabilities.secrets:
            return None

        def ask(method: str) -> Any:
            async def question(secrets: list[dict[str, Any]]) -> list[dict[str, Any]]:
                result = await self._link.request(method, {"secrets": secrets})
                answers = result.get("secrets") if isinstance(result, dict) else None
                if not isinstance(answers, list):
                    raise SidecarError(f"The app's answer to {method} was not understood.")
                return answers

            return question

        return SecretsBridge(decrypt=ask("host:decrypt-secrets"), encrypt=ask("host:encrypt-secrets"))


class Application:
    """One sidecar: built around a transport, filled in at ``initialize`` when the paths are known."""

    def __init__(
        self, transport: Transport, environ: Mapping[str, str], *, user_data: str | os.PathLike[str] | None = None
    ) -> None:
        self._environ = environ
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

    async def run_background(self, tasks: anyio.abc.TaskGroup) -> None:
        """Take the task group that background work runs in."""
        self._tasks = tasks

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
                methods=self._router.names(), notifications=NOTIFICATIONS, chunks=["messages", "patch"]
            ),
            database=DatabaseReport(str(status.path), status.exists, status.schema_version, status.writable),
        )

    def _start_background(self) -> None:
        if self._tasks is not None and self._services is not None:
            self._tasks.start_soon(self._services.run_background)

    async def _shutdown(self) -> None:
        if self._services is not None:
            await self._services.chat.cancel_all()

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
        self.database = Database(paths.database)
        host = application.host_side
        self.settings = SettingsStore(
            self.database, paths.settings_file, environ=environ, secrets=host.secrets_bridge()
        )
        self.catalog = Catalog(self.database)
        self._environ = environ
        self.environment = Environment(environ)
        self.planner = TurnPlanner(
            database=self.database,
            settings=self.settings,
            catalog=self.catalog,
            environment=self.environment,
            host=host,
            paths=paths,
            test_build=environ.get("E2E_TEST_BUILD") == "true",
        )
        self._application = application
        self.engines = Engines(environ)
        self.caller = Router(self.engines)
        parts = ChatParts(
            database=self.database,
            planner=self.planner,
            caller=self.caller,
            host=host,
            open_lane=application.open_lane,
            notify=application.notify,
            limits=self._limits,
            chunk_mode=lambda: host.capabilities.chunks,
            check_enabled=self.settings.ensure_enabled,
            price=lambda _target, _usage: None,
        )
        self.chat = ChatService(parts)

    def register(self, router: rpc_router.Router) -> None:
        """Announce every channel."""
        router.add(model_channels.LanguageModelHandlers(self.catalog).methods(), model_channels.SCALAR_PARAM)
        router.add(LocalModelHandlers(lambda: self._environ).methods())
        router.add(chat_channels.ChatHandlers(self.chat, self.planner.count_tokens).methods(), chat_channels.SCALARS)
        router.add(SettingsHandlers(self.settings, self._application.notify).methods())

    async def features(self) -> dict[str, Any]:
        """The rollout switches as ``initialize`` reports them."""
        return await self.settings.features()

    async def run_background(self) -> None:
        """What may happen once the host has its answer."""

    async def aclose(self) -> None:
        """Close connections, then the database."""
        await self.engines.aclose()
        await self.database.aclose()

    async def _limits(self) -> tuple[LimitsReport, bool]:
        return LimitsReport(requests_today=0, tokens_used=0, remaining_requests=None), False


def default_user_data() -> Path:
    """For the commands that people use."""
    return app_paths(os.environ).user_data
