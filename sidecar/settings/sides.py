"""The two sides of the settings - file and table - read, merged and written in one go.

Blocking: everything here runs on a worker thread, most of it inside a database transaction.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from sidecar.errors import DatabaseBusy, DatabaseTooNew, SettingsUnreadable
from sidecar.settings.document import Document, equal, text_of, value_of
from sidecar.settings.file import ChangedMeanwhile, FileText, SettingsFile, Step, no_step
from sidecar.settings.merge import merged
from sidecar.settings.migrate import (
    FORMAT,
    CustomCatalogue,
    Improvement,
    MigrationReport,
    SettingsChange,
    Translation,
    translated,
)
from sidecar.settings.not_written import kept_busy, not_written
from sidecar.settings.schema import defaults, in_schema_order
from sidecar.settings.table import ABSENT, Table, read_table, token_of, write_table
from sidecar.settings.unshared import NOTHING_UNSHARED
from sidecar.settings.values import AppSettings
from sidecar.store.worker import NEWEST_KNOWN_SCHEMA, schema_version

ATTEMPTS: Final = 5
"""How often a change is tried again when the app writes the file at the same moment."""

Edit: TypeAlias = Callable[[Document], Document]
"""What a writer does to the merged settings."""


@dataclass(slots=True)
class Snapshot:
    """The settings at one moment. ``problem`` is set when the file could not be used: what to tell the user."""

    document: Document
    table: Table
    file: FileText
    problem: str | None = None
    owed: bool = False
    """The table has to be told of something that the file need not say any more."""
    values: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    typed: AppSettings | None = None

    @property
    def lost(self) -> bool:
        """The file cannot be used and the table has nothing either: what follows would be defaults."""
        return self.problem is not None and not self.table.rows


class Sides:
    """File and table of one installation. ``step`` is for fault injection."""

    def __init__(self, path: Path, *, step: Step = no_step) -> None:
        self.file = SettingsFile(path, step=step)
        self._step = step
        self._unshared = NOTHING_UNSHARED

    def look_at_both(self, connection: sqlite3.Connection, known: Snapshot | None) -> Snapshot:
        """``known`` itself while neither side has changed, else both sides read and merged."""
        if known is not None and known.table.token == token_of(connection) and self._unchanged(known):
            return known
        return self.read(self._table(connection))

    def are_still(self, connection: sqlite3.Connection, known: Snapshot) -> bool:
        """Whether both sides certainly are what ``known`` says. Changes nothing, so that any thread may ask."""
        return known.table.token == token_of(connection) and self.file.is_still(known.file)

    def look_at_file(self, known: Snapshot | None, *, database: Path) -> Snapshot:
        """The same without a database that can be read.

        What the table held when it could still be read counts on: it may know keys the app has dropped. Not so when
        the database is there no longer: the app's "reset all" deletes it and the file, and means the keys in them.
        """
        remembered = ABSENT if known is None else known.table
        if remembered.adopted and not database.exists():
            self._unshared = NOTHING_UNSHARED
            return self.read(ABSENT)
        if known is not None and self._unchanged(known):
            return known
        return self.read(remembered)

    def _unchanged(self, known: Snapshot) -> bool:
        file = self.file.unchanged(known.file)
        known.file = file or known.file
        return file is not None

    def read(self, table: Table) -> Snapshot:
        """The file now, merged with ``table``. A file that cannot be used is kept, and the table stands alone."""
        file = self.file.read()
        if file.unreadable:
            document = {key: row.value for key, row in table.rows.items()}
            return Snapshot(document, table, file, problem=self._kept(file))
        document = self._merged(table, file)
        return Snapshot(document, table, file, owed=self._is_owed(document, table))

    def _merged(self, table: Table, file: FileText) -> Document:
        if file.document is None or self._unshared is NOTHING_UNSHARED:
            return merged(table.rows, file.document, file.changed_at)
        rows = self._unshared.rows(table.rows, file.document)
        return merged(rows, self._unshared.file(file.document), file.changed_at)

    def _table(self, connection: sqlite3.Connection) -> Table:
        """The table, and with it whether it is still owed what the file was told."""
        table = read_table(connection)
        unshared = self._unshared
        if unshared is not NOTHING_UNSHARED and not unshared.is_owed_to(table, self.file.read().digest):
            self._unshared = NOTHING_UNSHARED
        return table

    def _is_owed(self, document: Document, table: Table) -> bool:
        rows = {key: row.value for key, row in table.rows.items()}
        return self._unshared is not NOTHING_UNSHARED and table.adopted and document != rows

    def brought_together(self) -> None:
        """The transaction that made the table say what the file says is on the disk."""
        self._unshared = NOTHING_UNSHARED

    def _kept(self, file: FileText) -> str:
        """Keep a file that cannot be used, and say where it is."""
        if file.digest is None:
            return f"The settings file {self.file.path} cannot be read. Check what is at that path."
        try:
            copy = self.file.keep_for_recovery(file.digest, _now_ms())
        except OSError as error:
            return f"The settings file {self.file.path} is damaged, and no copy could be made ({error.strerror})."
        return (
            f"The settings file {self.file.path} is damaged. It was kept as {copy.name}; "
            "repair it, or restore a backup."
        )

    def commit(
        self,
        connection: sqlite3.Connection,
        edit: Edit,
        *,
        file_required: bool = True,
        format_version: int | None = None,
    ) -> Snapshot:
        """Merge, edit, replace the file and write the rows, inside the caller's transaction.

        Raises what ``replace_file`` raises, and ``DatabaseTooNew``; then the caller rolls back.
        """
        table = self._table(connection)
        snapshot = self.replace_file(table, edit, file_required)
        written = write_table(
            connection,
            table,
            snapshot.document,
            in_file=snapshot.file.document or {},
            file_hash=snapshot.file.digest,
            format_version=table.format if format_version is None else format_version,
            now_ms=_now_ms(),
        )
        self._step("table: rows written")
        return replace(snapshot, table=written)

    def replace_file(self, table: Table, edit: Edit, required: bool) -> Snapshot:
        """Merge and edit, and make the file say so. Raises ``SettingsUnreadable`` and ``SettingsNotWritten``.

        Unless ``required``, a file that cannot be written stays behind; the table remembers what it holds.
        """
        with self.file.one_writer():
            return self._replace_file(table, edit, required)

    def _replace_file(self, table: Table, edit: Edit, required: bool) -> Snapshot:
        for _ in range(ATTEMPTS):
            before = self.read(table)
            if before.lost:
                raise SettingsUnreadable(f"Failed to write settings: {before.problem}", path=str(self.file.path))
            document = in_schema_order(edit(before.document or _new_document()))
            if not before.file.unreadable and document == (before.file.document or {}):
                self._unshared = self._unshared.after(before.document, document, table.token)
                return replace(before, document=document)
            try:
                file = self.file.write(document, before.file)
            except ChangedMeanwhile:
                continue
            except OSError as error:
                if not required:
                    return replace(before, document=document)
                raise not_written(self.file.path, error) from error
            self._unshared = self._unshared.after(before.document, document, table.token)
            return Snapshot(document, table, file)
        raise kept_busy(self.file.path)

    def replace_file_alone(self, remembered: Table, edit: Edit, busy: DatabaseBusy | None) -> Snapshot:
        """Edit the file while the table cannot be read; ``remembered`` is what it held when it last could.

        What is remembered goes into the answer but not into the file: another sidecar may have changed it since, and
        the file's word counts for the later one. Only where there is no file to edit, and no table to wait for
        (``busy`` is None), it is all there is. Raises what ``replace_file`` raises, and ``busy``.
        """
        file = self.file.read()
        if file.exists and not file.unreadable:
            before = self._merged(remembered, file)
            written = self.replace_file(ABSENT, edit, True)
            self._unshared = replace(self._unshared, token=remembered.token).without(
                before.keys() - edit(dict(before)).keys()
            )
            document = self._merged(remembered, written.file)
            return replace(written, document=document, table=remembered, owed=self._is_owed(document, remembered))
        if busy is not None:
            raise busy
        return self.replace_file(remembered, edit, True)

    def plan(self, connection: sqlite3.Connection) -> tuple[MigrationReport, Document]:
        """What a migration would do, and the settings it would leave. Writes nothing, not even a recovery copy."""
        table = read_table(connection)
        if table.too_new or (schema_version(connection) or 0) > NEWEST_KNOWN_SCHEMA:
            raise DatabaseTooNew("The settings were written by a newer version of Scalix. Update Scalix to migrate.")
        file = self.file.read()
        if file.unreadable and not table.rows:
            raise SettingsUnreadable(
                f"The settings file {self.file.path} is damaged; nothing was migrated.", path=str(self.file.path)
            )
        rows = {key: row.value for key, row in table.rows.items()}
        document = rows if file.unreadable else self._merged(table, file)
        if table.adopted and table.format >= FORMAT:
            return MigrationReport("up-to-date", table.format, table.format), document
        if _is_untouched(document):
            return MigrationReport("nothing-to-migrate", table.format), document
        work = translated(document, custom_catalogue(connection))
        return _report(work, table, document), work.document

    def migrate(self, connection: sqlite3.Connection) -> tuple[MigrationReport, Snapshot]:
        """Back up, take the file over, translate; inside the caller's transaction."""
        before = self.read(read_table(connection))
        if before.lost:
            raise SettingsUnreadable(before.problem or "", path=str(self.file.path))
        report, document = self.plan(connection)
        if report.status == "up-to-date":
            return report, replace(before, document=document)
        if not document:
            table = write_table(
                connection, before.table, {}, in_file={}, file_hash=None, format_version=FORMAT, now_ms=_now_ms()
            )
            return report, replace(before, table=table)
        backup = self._backup(before.file) if report.status == "migrated" else None
        custom = custom_catalogue(connection)
        snapshot = self.commit(
            connection,
            lambda current: translated(current, custom).document,
            file_required=False,
            format_version=FORMAT,
        )
        return msgspec.structs.replace(report, backup=backup), snapshot

    def _backup(self, file: FileText) -> str | None:
        if not file.exists or file.unreadable:
            return None
        try:
            copy = self.file.keep_before_migration(file.digest, _now_ms())
        except OSError as error:
            raise not_written(self.file.path, error, "no backup could be made, so nothing was migrated") from error
        self._step("migration: backed up")
        return str(copy)


def custom_catalogue(connection: sqlite3.Connection) -> CustomCatalogue | None:
    """The custom providers and models, read by name; None when the app's schema is older than they are."""
    tables = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"language_model_providers", "language_models"} <= tables:
        return None
    providers = frozenset(row["id"] for row in connection.execute("SELECT id FROM language_model_providers"))
    models = {
        row["id"]: (row["custom_provider_id"] or row["builtin_provider_id"] or "", row["api_name"])
        for row in connection.execute(
            "SELECT id, api_name, builtin_provider_id, custom_provider_id FROM language_models"
        )
    }
    return CustomCatalogue(providers, models)


def _new_document() -> Document:
    """What the app writes where there is no file yet."""
    return {key: text_of(value) for key, value in defaults().items()}


def _is_untouched(document: Document) -> bool:
    """Whether these are the settings of a new installation: nothing in them was ever set."""
    standard = defaults()
    return all(key == "telemetryUserId" or equal(value_of(text), standard.get(key)) for key, text in document.items())


def _report(work: Translation, table: Table, before: Document) -> MigrationReport:
    imported = (
        () if table.rows else tuple(SettingsChange(key, "imported", "Taken into the database.") for key in before)
    )
    improvements = [
        Improvement("settings-safe", "Your settings are now kept in two places, so that a damaged file loses nothing.")
    ]
    return MigrationReport(
        "migrated",
        table.format,
        changes=(*imported, *work.changes),
        improvements=(*improvements, *work.improvements),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
