"""The settings, served: read from the file and the table together, written to both.

Before the first migration the file alone counts. From then on the table holds every key, and the file mirrors it for
the app's old path and for a downgrade. Whatever either side changed since they last agreed is merged, at the next
read. One immediate transaction covers a change: both sides read, merged, the file replaced, the rows written,
commit - so a process that is killed anywhere leaves two sides that merge to the old or to the new settings.

A database that cannot be used (missing, locked, corrupt, newer) is no reason to lose a change: the file alone takes
it, and the table learns of it when it can be written again.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec
import structlog

from sidecar.errors import DatabaseBusy, FeatureDisabled, SettingsUnreadable, StoreError
from sidecar.settings.change import SettingsPatch, apply_change, checked_change
from sidecar.settings.document import Document, text_of, value_of
from sidecar.settings.file import Step, no_step
from sidecar.settings.migrate import MigrationReport
from sidecar.settings.not_written import SettingsNotWritten
from sidecar.settings.rollout import (
    FEATURES_KEY,
    PERCENT_KEY,
    Features,
    check_enabled,
    effective,
    features_in,
    settings_change,
)
from sidecar.settings.schema import defaults, fitting, in_schema_order, secret_places
from sidecar.settings.secrets import SecretsBridge, Vault
from sidecar.settings.sides import Edit, Sides, Snapshot
from sidecar.settings.table import ABSENT
from sidecar.settings.values import AppSettings, app_settings
from sidecar.store.database import Database

START_PATIENCE_S: Final = 0.5
"""How long the answer to ``initialize`` waits for a locked database before the file alone decides."""

LOCKED_PATIENCE_MS: Final = 1_000
"""How long a change waits for a database that has just not taken another one."""

RETRY_AFTER_S: Final = 30.0
"""How long a database that did not take a change is left alone before the table is brought up to date again."""

log = structlog.get_logger("sidecar.settings")


class KnownSettings(msgspec.Struct, frozen=True):
    """The settings as they were last seen."""

    settings: AppSettings
    still_hold: Callable[[sqlite3.Connection], bool]
    """Asked on a worker's thread, within its transaction: whether they are what the file and the table say now."""


class SettingsStore:
    """The user's settings. One per process; safe to use from many tasks.

    ``environ`` is the process environment (``LITE_LLM_ENABLED``, ``SCALIX_PRO_API_KEY``). ``secrets`` is None when the
    host has not announced that capability. ``step`` and ``clock`` (seconds) are for tests.
    """

    def __init__(
        self,
        database: Database,
        settings_file: Path,
        *,
        environ: Mapping[str, str],
        secrets: SecretsBridge | None = None,
        step: Step = no_step,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._sides = Sides(settings_file, step=step)
        self._environ = environ
        self._vault = Vault(secrets)
        self._lock = anyio.Lock()
        self._snapshot: Snapshot | None = None
        self._identity = str(uuid.uuid4())
        self._clock = clock
        self._retry_at = clock()

    # --- reading ---------------------------------------------------------------------------------------------------

    async def load(self) -> AppSettings:
        """The settings, typed; cached until the file or the table changes. Never raises for bad settings.

        A bad value is at its default, and ``warnings`` names it; a file that cannot be parsed is all defaults and a
        warning, so that environment keys still work.
        """
        snapshot, values = await self._unlocked()
        if snapshot.typed is None or snapshot.typed.locked_secrets:
            features = features_in(_switch_values(snapshot.document))
            snapshot.typed = app_settings(values, self._vault, self._environ, features, snapshot.warnings)
        return snapshot.typed

    async def load_enabled(self) -> AppSettings:
        """``load``, for a user whom the sidecar serves. Raises ``FeatureDisabled`` for one whom the old path does."""
        settings = await self.load()
        check_enabled(settings.features, settings.telemetry_user_id, self._environ)
        return settings

    def at_hand(self) -> KnownSettings | None:
        """What ``load_enabled`` would return while neither side has changed; None where there is something to do
        first, or something to raise."""
        known = self._snapshot
        if known is None or known.typed is None or known.typed.locked_secrets or not _agreed(known):
            return None
        try:
            check_enabled(known.typed.features, known.typed.telemetry_user_id, self._environ)
        except FeatureDisabled:
            return None
        return KnownSettings(known.typed, lambda connection: self._sides.are_still(connection, known))

    async def get_for_host(self) -> dict[str, Any]:
        """The result of ``get-user-settings``: defaults filled in, secrets opened, those that are locked left out.

        Send it, do not change it: what holds no secret is shared with the cache. Raises ``SettingsUnreadable`` when
        there is nothing but defaults to show in place of a file that cannot be parsed.
        """
        snapshot, values = await self._unlocked()
        if snapshot.lost:
            raise SettingsUnreadable(snapshot.problem or "", path=str(self._sides.file.path))
        return _opened(values, self._vault)

    async def warnings(self) -> tuple[str, ...]:
        """Sentences on what could not be used, naming keys and paths, never values."""
        async with self._lock:
            snapshot = await self._refreshed()
            await self._valid(snapshot)
            return snapshot.warnings

    async def _unlocked(self) -> tuple[Snapshot, dict[str, Any]]:
        async with self._lock:
            snapshot = await self._refreshed()
            values = await self._valid(snapshot)
        await self._vault.unlock(values)
        return snapshot, values

    async def _refreshed(self, *, patience_ms: float | None = None) -> Snapshot:
        """What is true now, both sides brought together. Call with the lock held.

        ``patience_ms`` is how long a locked database is waited for; None is as long as anybody does.
        """
        snapshot, locked = await self._look(patience_ms)
        if snapshot is self._snapshot and (_agreed(snapshot) or self._clock() < self._retry_at):
            return snapshot
        self._snapshot = snapshot
        if not snapshot.lost:
            nobody = not locked and "telemetryUserId" not in snapshot.document and _may_write_unasked(snapshot)
            if nobody or not _agreed(snapshot):
                snapshot = await self._agree(new_identity=nobody)
        self._snapshot = snapshot
        return snapshot

    async def _look(self, patience_ms: float | None) -> tuple[Snapshot, bool]:
        """What is there, and whether the table is not in it because somebody holds a lock on it."""
        try:
            snapshot = await self._database.read(
                lambda connection: self._sides.look_at_both(connection, self._snapshot), patience_ms=patience_ms
            )
        except StoreError as error:
            locked = isinstance(error, DatabaseBusy)
            look = partial(self._sides.look_at_file, self._snapshot, database=self._database.path)
            return await anyio.to_thread.run_sync(look), locked
        return snapshot, False

    async def _agree(self, *, new_identity: bool) -> Snapshot:
        """Bring file and table together after somebody changed one of them, and give the user an id that stays.

        Where nothing can be written the merge is good for this process, and is tried again with the next change.
        """

        def edit(document: Document) -> Document:
            if new_identity:
                document.setdefault("telemetryUserId", text_of(self._identity))
            return document

        try:
            return await self._written(edit, file_required=False)
        except (StoreError, SettingsNotWritten, SettingsUnreadable) as error:
            self._retry_at = self._clock() + RETRY_AFTER_S
            log.warning("settings not brought together", code=error.code.value)
        snapshot = self._snapshot
        assert snapshot is not None  # noqa: S101 - set by the only caller
        return replace(snapshot, document=edit(dict(snapshot.document)))

    async def _valid(self, snapshot: Snapshot) -> dict[str, Any]:
        """The valid values over the defaults; validated once per snapshot, off the event loop."""
        if snapshot.values is None:
            values, warnings = await anyio.to_thread.run_sync(settled, snapshot.document)
            values.setdefault("telemetryUserId", self._identity)
            if snapshot.problem is not None:
                warnings = (snapshot.problem, *warnings)
            snapshot.values, snapshot.warnings = in_schema_order(values), warnings
        return snapshot.values

    # --- writing ---------------------------------------------------------------------------------------------------

    async def set(self, partial: dict[str, Any]) -> dict[str, Any]:
        """``set-user-settings``: merge ``partial`` at the top level, write it, return the full settings.

        A key given as null is removed. A secret that is locked survives being left out of its container, which the
        host sends whole without having seen it; an explicit null removes it too.
        Raises ``InvalidParams`` (a value of the schema is wrong), ``SecretLocked`` (the host could not encrypt),
        ``SettingsUnreadable`` (nothing to merge with) and ``SettingsNotWritten``; then nothing has changed.
        """
        change = await anyio.to_thread.run_sync(checked_change, partial)
        async with self._lock:
            snapshot = await self._refreshed()
            values = await self._valid(snapshot)
        touched = {key: values[key] for key in change.values if key in values}
        await self._vault.unlock(touched)
        sealed = replace(change, values=await self._vault.seal(change.values, touched))
        async with self._lock:
            self._snapshot = await self._written(lambda document: self._changed(document, sealed))
        return await self.get_for_host()

    def _changed(self, document: Document, change: SettingsPatch) -> Document:
        result = apply_change(document, change, self._vault)
        result.setdefault("telemetryUserId", text_of(self._identity))
        return result

    async def _written(self, edit: Edit, *, file_required: bool = True) -> Snapshot:
        """Merge, edit and write; to the file alone where the database does not take it. Call with the lock held."""
        table = ABSENT if self._snapshot is None else self._snapshot.table
        if not table.adopted or table.too_new:
            return await anyio.to_thread.run_sync(self._sides.replace_file, table, edit, True)
        patience_ms = LOCKED_PATIENCE_MS if self._clock() < self._retry_at else None
        try:
            snapshot = await self._database.write(
                lambda connection: self._sides.commit(connection, edit, file_required=file_required),
                patience_ms=patience_ms,
            )
            self._retry_at = self._clock()
            self._sides.brought_together()
            return snapshot
        except StoreError as error:
            self._retry_at = self._clock() + RETRY_AFTER_S
            log.warning("settings written to the file alone", code=error.code.value)
            busy = error if isinstance(error, DatabaseBusy) else None
        return await anyio.to_thread.run_sync(self._sides.replace_file_alone, table, edit, busy)

    # --- migration -------------------------------------------------------------------------------------------------

    async def migrate(self, dry_run: bool = False) -> MigrationReport:
        """``settings:migrate``: take the file into the table and translate what is old; again is ``up-to-date``.

        A backup of the file is made first. ``dry_run`` writes nothing at all. Raises ``StoreError`` when the database
        cannot be used, ``SettingsUnreadable`` when there is nothing but a damaged file, ``SettingsNotWritten`` when
        no backup can be made.
        """
        async with self._lock:
            if dry_run:
                report, document = await self._database.read(self._sides.plan)
            else:
                report, snapshot = await self._database.write(self._sides.migrate)
                document = snapshot.document
                self._sides.brought_together()
                if report.status != "up-to-date":
                    self._snapshot = None
        values = {key: value_of(text) for key, text in document.items()}
        await self._vault.unlock(values)
        return msgspec.structs.replace(report, locked_secrets=self._vault.locked(values))

    # --- rollout ---------------------------------------------------------------------------------------------------

    async def switches(self) -> Features:
        """The switches and the rollout percentage, for the rest of the sidecar."""
        return (await self.rollout())[0]

    async def features(self) -> dict[str, Any]:
        """``features:get``."""
        return (await self.switches()).to_wire()

    async def set_features(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """``features:set``: change some of them. Raises ``InvalidParams``, and what ``set`` raises."""
        change = settings_change(params, _switch_values(await self._document()))
        if change:
            await self.set(change)
        return await self.features()

    async def rollout(self) -> tuple[Features, FeatureDisabled | None]:
        """The switches that count, and why the app's old path serves this user; None for one whom the sidecar serves.

        Fit for the answer to ``initialize``: no validation, no secrets, and a locked database is not waited for.
        """
        document = await self._document()
        features = features_in(_switch_values(document))
        user_id = value_of(document.get("telemetryUserId", "null"))
        try:
            check_enabled(features, user_id if isinstance(user_id, str) else self._identity, self._environ)
        except FeatureDisabled as error:
            return effective(features, self._environ), error
        return effective(features, self._environ), None

    async def _document(self) -> Document:
        """The settings unvalidated; the file's alone when the database is locked for longer than the host waits."""
        with anyio.move_on_after(START_PATIENCE_S):
            async with self._lock:
                return (await self._refreshed(patience_ms=START_PATIENCE_S * 1000)).document
        return (await anyio.to_thread.run_sync(self._sides.file.read)).document or {}


def settled(document: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The valid values of a document over the defaults, in schema order, and a sentence per value that is not used."""
    values, warnings = defaults(), list[str]()
    for key, text in document.items():
        value, problems = fitting(key, value_of(text))
        warnings.extend(
            f"The setting {problem} holds a value this version cannot use ({problem.reason}); "
            "it is kept, and not used until it is changed."
            for problem in problems
        )
        if not problems or value is not None:
            values[key] = value
    return in_schema_order(values), tuple(warnings)


def _may_write_unasked(snapshot: Snapshot) -> bool:
    """Whether reading may write: the app too writes a new file at its first read, but a file that is there and not
    migrated yet stays as it is until somebody asks for a change."""
    return snapshot.table.adopted or not snapshot.file.exists


def _agreed(snapshot: Snapshot) -> bool:
    """Whether file and table need no bringing together (a file that cannot be parsed waits for the next change)."""
    table = snapshot.table
    if not table.adopted or table.too_new or snapshot.file.unreadable:
        return True
    return snapshot.file.digest == table.file_hash and not snapshot.owed


def _opened(values: Mapping[str, Any], vault: Vault) -> dict[str, Any]:
    """``values`` with plain text in every envelope; a locked one is left out. Containers with secrets are copied."""
    result = dict(values)
    for place, envelope in secret_places(values):
        parent = result
        for depth, name in enumerate(place.names[:-1]):
            source = _at(values, place.names[: depth + 1])
            if parent[name] is source:
                parent[name] = dict(source)
            parent = parent[name]
        plain = vault.plain(envelope)
        if plain is None:
            del parent[place.names[-1]]
        else:
            parent[place.names[-1]] = {**envelope, "value": plain.reveal()}
    return result


def _at(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    found: Any = values
    for name in names:
        found = found[name]
    return found


def _switch_values(document: Mapping[str, str]) -> dict[str, Any]:
    return {key: value_of(document[key]) for key in (FEATURES_KEY, PERCENT_KEY) if key in document}
