"""What chat streams are made with: the interfaces the composition root fills in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec

from protocol.chat import ChatStreamParams, LimitsReport, ModelRef
from sidecar.chat.events import Notify, OpenLane
from sidecar.engines.base import Message, ModelCall, Target, Usage
from sidecar.store.chats import ChatRecord, Turn
from sidecar.store.database import Database


class ChatSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that steer a turn, read afresh for each."""

    ask_mode: bool = False
    auto_approve: bool = False
    auto_fix: bool = False
    continue_interrupted: bool = False
    max_turns: int = 3


class PreparedPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """The user's message as it is stored, and notes about what could not be used."""

    stored: str
    warnings: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send and where, for one turn."""

    candidates: Sequence[Target]
    allow_fallback: bool
    messages: tuple[Message, ...]
    settings: ChatSettings
    request_id: str
    engine: bool = False
    """The Pro engine serves it: error texts carry the request id, the code base travels as data."""
    codebase_index: int | None = None
    """Index in ``messages`` of the code base prefix, so that auto-fix can swap it."""
    substitutions: dict[str, str] = msgspec.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    thinking: Any = None
    context_ms: float = 0.0


class Caller(Protocol):
    """Makes routed model calls (``routing.runner``)."""

    def run(
        self,
        candidates: Sequence[Target],
        make_call: Callable[[Target, int], ModelCall],
        *,
        allow_fallback: bool,
        on_fallback: Callable[[Target, Target, str], None],
    ) -> AbstractAsyncContextManager[Any]: ...


class Planner(Protocol):
    """Turns a request and the chat's rows into a plan: settings, context, system prompt, candidates."""

    async def effective_model(self, params: ChatStreamParams) -> ModelRef:
        """The model the first chunk names. Never raises: what is wrong with it shows when it is called."""
        ...

    async def prepare(self, params: ChatStreamParams, chat: ChatRecord, stream_id: str) -> PreparedPrompt:
        """Check and store the inputs of a turn. Raises ``ValidationFailed``."""
        ...

    async def plan(self, params: ChatStreamParams, turn: Turn, stream_id: str) -> Plan:
        """Assemble the call. Raises ``SidecarError``."""
        ...

    async def chat_settings(self) -> ChatSettings:
        """The settings as they are now (re-read at the end of a turn, app contract 7.15)."""
        ...

    async def replan(self, plan: Plan, turn: Turn, answer: str) -> Plan:
        """The same call over the files as ``answer`` would leave them (auto-fix)."""
        ...


class Host(Protocol):
    """The host's side of a turn; each is None-safe: ``offers`` says what it announced."""

    def offers(self, capability: str) -> bool: ...
    async def request(self, method: str, params: dict[str, Any]) -> Any: ...


class ChatParts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a stream needs, put together once."""

    database: Database
    planner: Planner
    caller: Caller
    host: Host
    open_lane: OpenLane
    notify: Notify
    limits: Callable[[], Awaitable[tuple[LimitsReport, bool]]]
    """Today's counters and whether to show the upgrade prompt."""
    chunk_mode: Callable[[], str]
    """``messages`` or ``patch``, as the host asked for at ``initialize``."""
    check_enabled: Callable[[], Awaitable[None]]
    """Raises ``FeatureDisabled``."""
    price: Callable[[Target, Usage], float | None]
    """USD of one call, or None when unknown."""
