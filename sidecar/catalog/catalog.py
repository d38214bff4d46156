"""What models there are: the built-in ones, and the custom ones of the app's database (app contract 1 to 4).

Listing never fails because of the database: when it is missing, locked or broken, the built-in part is answered
alone and the reason is logged. Changes do fail, with the store's own errors.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio
import msgspec
import structlog

from protocol.language_models import (
    CreateCustomModelParams,
    EditCustomModelParams,
    LanguageModel,
    LanguageModelProvider,
    SaveCustomProviderParams,
    SavedCustomProvider,
)
from sidecar.catalog import changes
from sidecar.catalog.builtin import CLOUD_PROVIDERS, PROVIDERS, builtin_models, builtin_provider
from sidecar.catalog.custom import model_result, provider_result, saved_result
from sidecar.errors import DatabaseBusy, NotFound, SidecarError, ValidationFailed
from sidecar.store import language_models as store
from sidecar.store.database import Database
from sidecar.store.language_models import CustomModel, CustomProvider

LISTING_WAIT_MS: Final = 1000
"""How long a list waits for a locked database; the user looks at an empty picker meanwhile."""

OnRemoved = Callable[[str, str | None], Awaitable[None]]
"""``(provider_id, api_name)`` after a deletion was committed; ``api_name`` None for a whole provider."""

OnRenamed = Callable[[str, str, str], Awaitable[None]]
"""``(provider_id, api_name_before, api_name_after)`` after a model was renamed."""

log = structlog.get_logger("sidecar.catalog")


class CustomRows(msgspec.Struct, frozen=True):
    """The custom half of the lists; ``failure`` is why it is empty."""

    providers: list[CustomProvider]
    models: list[CustomModel]
    failure: Exception | None = None


class Catalog:
    """Lists and changes providers and models (``routing.catalog_view`` looks them up).

    The hooks let the settings follow: a selection that points at something deleted or renamed is theirs to repair.
    ``listing_wait_ms`` bounds how long a list waits for a locked database.
    """

    def __init__(
        self,
        database: Database,
        *,
        on_removed: OnRemoved | None = None,
        on_renamed: OnRenamed | None = None,
        listing_wait_ms: int = LISTING_WAIT_MS,
    ) -> None:
        self._database = database
        self._on_removed = on_removed
        self._on_renamed = on_renamed
        self._listing_wait_ms = listing_wait_ms

    # --- lists -----------------------------------------------------------------------------------------------------

    async def providers(self) -> list[LanguageModelProvider]:
        """Cloud, local, then custom providers (app contract 1)."""
        custom = await self.custom_rows()
        return [*PROVIDERS, *map(provider_result, custom.providers)]

    async def models(self, provider_id: str) -> list[LanguageModel]:
        """Built-in, then custom models of a cloud or custom provider (app contract 2).

        Raises ``NotFound``, ``ValidationFailed`` for a local provider, and the store's error when the database that
        would know this custom provider cannot be read.
        """
        builtin = builtin_provider(provider_id)
        if builtin is not None and builtin.type == "local":
            raise ValidationFailed("Local models cannot be fetched", path="providerId")
        custom = await self.custom_rows()
        if builtin is None and all(row.id != provider_id for row in custom.providers):
            if custom.failure is not None and self._database.path.exists():
                raise custom.failure
            raise NotFound(f'Provider with ID "{provider_id}" not found', path="providerId")
        rows = (model_result(row) for row in custom.models if row.provider_id == provider_id)
        return [*(model.as_result() for model in builtin_models(provider_id)), *rows]

    async def models_by_providers(self) -> dict[str, list[LanguageModel]]:
        """The models of every cloud and custom provider, also where there are none (app contract 3)."""
        custom = await self.custom_rows()
        found = {cloud.id: [model.as_result() for model in builtin_models(cloud.id)] for cloud in CLOUD_PROVIDERS}
        found.update({row.id: [] for row in custom.providers})
        for row in custom.models:
            models = found.get(row.provider_id or "")
            if models is not None:
                models.append(model_result(row))
        return found

    # --- changes ---------------------------------------------------------------------------------------------------
    # Each raises DatabaseBusy, DatabaseUnreadable or DatabaseTooNew besides what it names.

    async def create_provider(self, params: SaveCustomProviderParams) -> SavedCustomProvider:
        """Add a custom provider (app contract 4.1). Raises ``ValidationFailed``, ``Conflict``."""
        row = changes.provider_row(params)
        given_id = params.id.strip()
        await self._database.write(lambda connection: changes.create_provider(connection, row, given_id))
        return saved_result(row)

    async def edit_provider(self, params: SaveCustomProviderParams) -> SavedCustomProvider:
        """Change a custom provider, found by its bare or stored id. Raises ``ValidationFailed``, ``NotFound``."""
        row = changes.provider_row(params)
        given_id = params.id.strip()
        await self._database.write(lambda connection: changes.edit_provider(connection, row, given_id))
        return saved_result(row)

    async def delete_provider(self, provider_id: str) -> None:
        """Delete a custom provider and its models (app contract 4.5); deleting it again is no error."""
        gone = await self._database.write(lambda connection: changes.delete_provider(connection, provider_id))
        if gone:
            await self._tell_removed(provider_id, None)

    async def create_model(self, params: CreateCustomModelParams) -> None:
        """Add a custom model (app contract 4.2). Raises ``NotFound``, ``ValidationFailed``, ``Conflict``."""
        await self._database.write(lambda connection: changes.create_model(connection, params))

    async def edit_model(self, params: EditCustomModelParams) -> None:
        """Change a custom model in place, so that selections of its row id stay good.

        Raises ``NotFound``, ``Conflict``.
        """
        renamed = await self._database.write(lambda connection: changes.edit_model(connection, params))
        if renamed is not None and self._on_renamed is not None:
            await _notify(self._on_renamed(renamed.provider_id, renamed.before, renamed.after))

    async def delete_model(self, provider_id: str, api_name: str) -> None:
        """Delete a provider's custom model (app contract 4.4); an unknown name is only logged.

        Raises ``NotFound``, ``ValidationFailed`` for the provider.
        """
        removed = await self._database.write(lambda connection: changes.delete_model(connection, provider_id, api_name))
        if removed.rows == 0:
            log.warning("no custom model to delete", provider=provider_id, model=api_name)
            return
        await self._tell_removed(provider_id, api_name)

    async def delete_model_anywhere(self, model_id: str | int) -> None:
        """Delete a custom model by API name alone, or by row id (app contract 4.3).

        Raises ``NotFound``, and ``Conflict`` when several providers have that name.
        """
        removed = await self._database.write(lambda connection: changes.delete_model_anywhere(connection, model_id))
        if removed is not None:
            await self._tell_removed(removed.provider_id, removed.api_name)

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _tell_removed(self, provider_id: str, api_name: str | None) -> None:
        if self._on_removed is not None:
            await _notify(self._on_removed(provider_id, api_name))

    async def custom_rows(self) -> CustomRows:
        """Every custom row, within ``listing_wait_ms``; or none, and why."""
        wait_ms = self._listing_wait_ms

        def read_all(connection: sqlite3.Connection) -> CustomRows:
            with _snapshot(connection):
                return read_custom_rows(connection)

        try:
            with anyio.move_on_after(wait_ms / 1000):
                return await self._database.read(read_all, patience_ms=wait_ms)
            failure: Exception = DatabaseBusy("The app's database is locked by another program. Try again in a moment.")
        except (SidecarError, sqlite3.Error) as error:
            failure = error
        if self._database.path.exists():
            log.warning("custom models are not listed", reason=str(failure))
        return CustomRows([], [], failure)


def read_custom_rows(connection: sqlite3.Connection) -> CustomRows:
    """Every custom row. Raises ``sqlite3.Error``."""
    return CustomRows(store.list_providers(connection), store.list_models(connection))


async def _notify(hook: Awaitable[None]) -> None:
    """Await a hook. The change it follows is committed, so its failure must not be told as a failure of the change."""
    try:
        with anyio.CancelScope(shield=True):
            await hook
    except SidecarError as error:
        log.warning("the selected model could not be repaired", code=error.code.value, reason=error.message)


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Make the reads inside see one state of the database."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.rollback()
