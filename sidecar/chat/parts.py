"""What chat streams are made with: the interfaces the composition root fills in."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from protocol.chat import ChatStreamParams, ModelRef
from sidecar.chat.attachments import StoredAttachment
from sidecar.chat.autosave import Autosave
from sidecar.chat.context import CodebaseReading
from sidecar.chat.history import DEFAULT_MAX_TURNS
from sidecar.chat.outcome import ContextWork
from sidecar.engines.base import Message, Target
from sidecar.lanes import Notify, OpenLane
from sidecar.routing.catalog_view import CatalogSnapshot
from sidecar.routing.meter import Meter
from sidecar.routing.resolve import Route
from sidecar.routing.runner import Router
from sidecar.settings.values import AppSettings
from sidecar.store.chats import AppRow, Turn
from sidecar.store.database import Database, Writing


class ChatSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that steer a turn, read afresh for each."""

    ask_mode: bool = False
    auto_approve: bool = False
    auto_fix: bool = False
    continue_interrupted: bool = False
    max_turns: int = DEFAULT_MAX_TURNS

    @classmethod
    def of(cls, settings: AppSettings) -> ChatSettings:
        """Picked out of all the settings."""
        turns = settings.max_chat_turns_in_context
        return cls(
            ask_mode=settings.selected_chat_mode == "ask",
            auto_approve=settings.auto_approve_changes,
            auto_fix=settings.enable_auto_fix_problems,
            continue_interrupted=settings.continue_interrupted,
            max_turns=DEFAULT_MAX_TURNS if turns is None else int(turns),
        )


class TurnStart(msgspec.Struct, frozen=True):
    """What a turn starts from, read once: everything later in it sees the same settings and models."""

    settings: AppSettings
    catalog: CatalogSnapshot
    app: AppRow


class HeadStart(msgspec.Struct, frozen=True):
    """What is known of a turn's call, or under way, while the turn is being written down. ``give_up`` in the end."""

    model: ModelRef
    """The first candidate; the user's choice when it cannot be resolved: what is wrong with it shows when it is
    called."""
    route: Route | None
    """None when it could not be found: ``plan`` looks again, and says why."""
    codebase: CodebaseReading | None

    def give_up(self) -> None:
        """Stop what is still under way."""
        if self.codebase is not None:
            self.codebase.give_up()


class PreparedPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """The user's message as it is stored, and notes about what could not be used."""

    stored: str
    attachments: tuple[StoredAttachment, ...] = ()
    component_paths: tuple[str, ...] = ()
    """Relative paths of the selected components: only these files are shown to the model."""
    warnings: tuple[str, ...] = ()


class AtHand(msgspec.Struct, frozen=True):
    """All that a turn needs before it can be written down, where nothing has to be fetched for it first."""

    prepared: PreparedPrompt
    read_start: Callable[[sqlite3.Connection], TurnStart | None]
    """Reads what the turn starts from, in the transaction that writes it down; None when the settings have changed.
    Raises ``NotFound``."""


class Accepted(msgspec.Struct, frozen=True):
    """An accepted turn, which the disk may not have yet. Whoever gets it gives up its ``ahead`` in the end."""

    turn: Turn
    prepared: PreparedPrompt
    start: TurnStart
    ahead: HeadStart
    writing: Writing[Any]
    """``committed`` waits for the disk."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send and where, for one turn."""

    candidates: Sequence[Target]
    allow_fallback: bool
    messages: tuple[Message, ...]
    settings: ChatSettings
    request_id: str
    engine: bool = False
    """The Pro engine serves it: error texts carry the request id, the code base travels as data."""
    substitutions: dict[str, str] = msgspec.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    thinking: Any = None
    context: ContextWork
    replan: Callable[[Plan, str], Awaitable[Plan]]
    """The same call over the files as an answer would leave them (auto-fix)."""


class Planner(Protocol):
    """Turns a request and the chat's rows into a plan: settings, context, system prompt, candidates."""

    def at_hand(self, params: ChatStreamParams) -> AtHand | None:
        """None for a turn that has to be accepted step by step: ``start``, ``prepare``, then the transaction.

        Never raises: what is wrong with the request, the steps will say.
        """
        ...

    async def start(self, params: ChatStreamParams) -> TurnStart:
        """Read what the turn starts from. Raises ``FeatureDisabled``, ``NotFound``, ``StoreError``."""
        ...

    async def prepare(self, params: ChatStreamParams, app: AppRow) -> PreparedPrompt:
        """Check and store the inputs of a turn. Raises ``InvalidParams``."""
        ...

    def begin(self, params: ChatStreamParams, prepared: PreparedPrompt, start: TurnStart) -> HeadStart:
        """Begin what ``plan`` will need. Never raises."""
        ...

    async def plan(self, params: ChatStreamParams, accepted: Accepted) -> Plan:
        """Assemble the call. Raises ``SidecarError``."""
        ...


class Host(Protocol):
    """The host's side of a turn; each is None-safe: ``offers`` says what it announced."""

    def offers(self, capability: str) -> bool: ...
    async def request(self, method: str, params: dict[str, Any]) -> Any: ...


class ChatParts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a stream needs, put together once."""

    database: Database
    planner: Planner
    caller: Router
    host: Host
    open_lane: OpenLane
    notify: Notify
    meter: Meter
    autosave: Autosave
    chunk_mode: Callable[[], str]
    """``messages`` or ``patch``, as the host asked for at ``initialize``."""
    settings_now: Callable[[], Awaitable[AppSettings]]
    """The settings as they are now: re-read at the end of a turn (app contract 7.15)."""
    test_build: bool
    """The app runs for its own tests (``E2E_TEST_BUILD``)."""
