"""The language-model channels over the app's real database: results, sentences, and what the database holds after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from sidecar.catalog.catalog import Catalog
from sidecar.errors import Conflict, InvalidParams, NotFound, SecretLocked, SidecarError, ValidationFailed
from sidecar.handlers.language_models import SCALARS, LanguageModelHandlers
from sidecar.store.database import Database
from tests import app_database

pytestmark = pytest.mark.anyio

ACME = {"id": "acme", "name": "Acme", "apiBaseUrl": "https://acme.example/v1", "envVarName": "ACME_KEY"}
MODEL = {"apiName": "big", "displayName": "Big", "providerId": "custom::acme"}


class Channels:
    """Calls channels as the router does, and sees results as the host does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = Database(path, busy_timeout_ms=100)
        self.removed: list[tuple[str, str | None]] = []
        self.renamed: list[tuple[str, str, str]] = []
        self.catalog = Catalog(self.database, on_removed=self._on_removed, on_renamed=self._on_renamed)
        self.methods = LanguageModelHandlers(self.catalog).methods()

    async def call(self, method: str, **params: Any) -> Any:
        return msgspec.json.decode(msgspec.json.encode(await self.methods[method](params)))

    async def refused(self, method: str, **params: Any) -> SidecarError:
        with pytest.raises(SidecarError) as caught:
            await self.methods[method](params)
        return caught.value

    def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        return app_database.rows(self.path, sql, *arguments)

    async def _on_removed(self, provider_id: str, api_name: str | None) -> None:
        self.removed.append((provider_id, api_name))

    async def _on_renamed(self, provider_id: str, before: str, after: str) -> None:
        self.renamed.append((provider_id, before, after))


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Channels]:
    path = tmp_path / "sqlite.db"
    app_database.create_app_database(path)
    channels = Channels(path)
    yield channels
    await channels.database.aclose()


# --- lists -------------------------------------------------------------------------------------------------------


async def test_custom_providers_come_last_and_without_null_members(app: Channels) -> None:
    app_database.insert_provider(app.path)
    app_database.insert_provider(app.path, "custom::b", "B", "https://b.example", "B_KEY")
    listed = await app.call("get-language-model-providers")
    assert [provider["id"] for provider in listed[10:]] == [
        "perplexity",
        "ollama",
        "lmstudio",
        "custom::testing",
        "custom::b",
    ]
    assert listed[-2:] == [
        {"id": "custom::testing", "name": "test-provider", "apiBaseUrl": "http://localhost:3500/v1", "type": "custom"},
        {"id": "custom::b", "name": "B", "apiBaseUrl": "https://b.example", "envVarName": "B_KEY", "type": "custom"},
    ]


async def test_custom_models_follow_the_built_in_ones(app: Channels) -> None:
    row_id = app_database.insert_model(app.path, "google", "gemma", display_name="Gemma", max_output_tokens=10)
    listed = await app.call("get-language-models", providerId="google")
    assert [model["apiName"] for model in listed] == ["gemini-2.5-pro", "gemini-2.5-flash", "gemma"]
    assert listed[0]["type"] == "cloud"
    assert listed[-1] == {
        "id": row_id,
        "apiName": "gemma",
        "displayName": "Gemma",
        "description": "",
        "maxOutputTokens": 10,
        "type": "custom",
    }


async def test_models_by_providers_has_every_provider_but_the_local_ones(app: Channels) -> None:
    app_database.insert_provider(app.path, "custom::empty")
    app_database.insert_provider(app.path)
    app_database.insert_model(app.path)
    app_database.insert_model(app.path, "openai", "mine")
    app_database.insert(app.path, "language_models", display_name="orphan", api_name="orphan")
    found = await app.call("get-language-models-by-providers")
    assert "ollama" not in found
    assert "lmstudio" not in found
    assert list(found)[-2:] == ["custom::empty", "custom::testing"]
    assert found["custom::empty"] == []
    assert [model["apiName"] for model in found["custom::testing"]] == ["test-model"]
    assert found["openai"][-1]["apiName"] == "mine"
    assert found["openai"] == await app.call("get-language-models", providerId="openai")


@pytest.mark.parametrize("params", [{}, {"providerId": 5}, {"providerId": None}])
async def test_models_of_nothing_in_particular_are_invalid_params(app: Channels, params: dict[str, Any]) -> None:
    error = await app.refused("get-language-models", **params)
    assert isinstance(error, InvalidParams)
    assert error.message == "Invalid parameters: providerId (string) is required."
    assert error.path == "providerId"


async def test_models_of_unknown_and_local_providers_are_refused(app: Channels) -> None:
    unknown = await app.refused("get-language-models", providerId="custom::nobody")
    assert isinstance(unknown, NotFound)
    assert unknown.message == 'Provider with ID "custom::nobody" not found'
    local = await app.refused("get-language-models", providerId="ollama")
    assert isinstance(local, ValidationFailed)
    assert local.message == "Local models cannot be fetched"


# --- custom providers --------------------------------------------------------------------------------------------


async def test_a_created_provider_is_answered_with_the_id_it_is_stored_under(app: Channels) -> None:
    assert await app.call("create-custom-language-model-provider", **ACME) == {
        "id": "custom::acme",
        "bareId": "acme",
        "name": "Acme",
        "apiBaseUrl": "https://acme.example/v1",
        "envVarName": "ACME_KEY",
        "type": "custom",
    }
    (row,) = app.rows("SELECT id, name, api_base_url, env_var_name FROM language_model_providers")
    assert tuple(row.values()) == ("custom::acme", "Acme", "https://acme.example/v1", "ACME_KEY")


@pytest.mark.parametrize("given", ["acme", "custom::acme", "  acme ", "custom:: acme"])
async def test_an_id_is_trimmed_and_prefixed_once(app: Channels, given: str) -> None:
    created = await app.call("create-custom-language-model-provider", **{**ACME, "id": given})
    assert created["id"] == "custom::acme"


async def test_all_texts_of_a_provider_are_trimmed_and_no_variable_is_null(app: Channels) -> None:
    given = {"id": "acme", "name": " Acme ", "apiBaseUrl": " https://acme.example ", "envVarName": " "}
    created = await app.call("create-custom-language-model-provider", **given)
    assert "envVarName" not in created
    (row,) = app.rows("SELECT name, api_base_url, env_var_name FROM language_model_providers")
    assert tuple(row.values()) == ("Acme", "https://acme.example", None)


@pytest.mark.parametrize("again", ["acme", "custom::acme"])
async def test_an_id_that_is_taken_is_a_conflict(app: Channels, again: str) -> None:
    await app.call("create-custom-language-model-provider", **ACME)
    error = await app.refused("create-custom-language-model-provider", **{**ACME, "id": again, "name": "Other"})
    assert isinstance(error, Conflict)
    assert error.message == f'A provider with ID "{again}" already exists'
    assert [row["name"] for row in app.rows("SELECT name FROM language_model_providers")] == ["Acme"]


async def test_of_two_at_once_one_creates_and_the_other_is_a_conflict(app: Channels) -> None:
    refused: list[SidecarError] = []

    async def create() -> None:
        try:
            await app.call("create-custom-language-model-provider", **ACME)
        except SidecarError as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(create)
        tasks.start_soon(create)
    assert [type(error) for error in refused] == [Conflict]


PROVIDER_SENTENCES = [
    ("id", "Provider ID is required"),
    ("name", "Provider name is required"),
    ("apiBaseUrl", "API base URL is required"),
]


@pytest.mark.parametrize("method", ["create-custom-language-model-provider", "edit-custom-language-model-provider"])
@pytest.mark.parametrize(("field", "sentence"), PROVIDER_SENTENCES)
async def test_a_provider_needs_id_name_and_address(app: Channels, method: str, field: str, sentence: str) -> None:
    absent = await app.refused(method, **{key: value for key, value in ACME.items() if key != field})
    typed = await app.refused(method, **{**ACME, field: 7})
    empty = await app.refused(method, **{**ACME, field: ""})
    blank = await app.refused(method, **{**ACME, field: "  "})
    assert {(error.message, error.path) for error in (absent, typed, empty, blank)} == {(sentence, field)}
    assert isinstance(absent, InvalidParams)
    assert isinstance(typed, InvalidParams)
    assert type(empty) is ValidationFailed
    assert type(blank) is ValidationFailed


async def test_the_first_complaint_is_about_the_first_field(app: Channels) -> None:
    error = await app.refused("create-custom-language-model-provider", id="")
    assert error.message == "Provider ID is required"


async def test_a_prefix_alone_is_no_id(app: Channels) -> None:
    error = await app.refused("create-custom-language-model-provider", **{**ACME, "id": "custom::"})
    assert error.message == "Provider ID is required"


async def test_a_variable_name_of_another_type_is_invalid(app: Channels) -> None:
    error = await app.refused("create-custom-language-model-provider", **{**ACME, "envVarName": 1})
    assert isinstance(error, InvalidParams)
    assert error.path == "envVarName"


@pytest.mark.parametrize(
    "url",
    [
        "acme.example/v1",
        "localhost:3500/v1",
        "ftp://acme.example",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "https:///v1",
        "http://:8080/v1",
        "http://acme.example:99999",
        "http://acme.example:0",
        "http://[::1",
        "http://acme .example",
        "http://acme.example/\nx",
        "https://acme.example/v1?key=sk-secret",
        "https://acme.example/v1#part",
    ],
)
async def test_an_address_that_cannot_work_is_refused(app: Channels, url: str) -> None:
    error = await app.refused("create-custom-language-model-provider", **{**ACME, "apiBaseUrl": url})
    assert type(error) is ValidationFailed
    assert error.message.startswith("API base URL ")
    assert error.path == "apiBaseUrl"
    assert "sk-secret" not in error.message
    assert app.rows("SELECT * FROM language_model_providers") == []


@pytest.mark.parametrize(
    "url", ["http://localhost:3500/v1", "HTTPS://Acme.example", "http://[::1]:8080/v1/", "http://127.0.0.1"]
)
async def test_an_address_that_can_work_is_kept_as_given(app: Channels, url: str) -> None:
    created = await app.call("create-custom-language-model-provider", **{**ACME, "apiBaseUrl": url})
    assert created["apiBaseUrl"] == url


@pytest.mark.parametrize("given", ["acme", "custom::acme"])
async def test_a_provider_is_edited_in_place_and_keeps_its_models(app: Channels, given: str) -> None:
    await app.call("create-custom-language-model-provider", **ACME)
    await app.call("create-custom-language-model", **MODEL)
    edited = await app.call(
        "edit-custom-language-model-provider", id=given, name="Acme 2", apiBaseUrl="https://2.acme.example"
    )
    assert edited == {
        "id": "custom::acme",
        "bareId": "acme",
        "name": "Acme 2",
        "apiBaseUrl": "https://2.acme.example",
        "type": "custom",
    }
    assert (await app.call("get-language-model-providers"))[-1]["name"] == "Acme 2"
    assert len(await app.call("get-language-models", providerId="custom::acme")) == 1


async def test_a_provider_that_is_not_there_cannot_be_edited(app: Channels) -> None:
    error = await app.refused("edit-custom-language-model-provider", **ACME)
    assert isinstance(error, NotFound)
    assert error.message == 'Provider with ID "acme" not found'


async def test_deleting_a_provider_deletes_its_models_and_tells_the_settings(app: Channels) -> None:
    await app.call("create-custom-language-model-provider", **ACME)
    await app.call("create-custom-language-model", **MODEL)
    app_database.insert_model(app.path, "openai", "kept")
    assert await app.call("delete-custom-language-model-provider", providerId="custom::acme") is None
    assert app.rows("SELECT * FROM language_model_providers") == []
    assert [row["api_name"] for row in app.rows("SELECT api_name FROM language_models")] == ["kept"]
    assert app.removed == [("custom::acme", None)]


async def test_deleting_a_provider_twice_is_no_error(app: Channels) -> None:
    await app.call("delete-custom-language-model-provider", providerId="custom::acme")
    await app.call("delete-custom-language-model-provider", providerId="openai")
    assert app.removed == []


async def test_a_delete_that_fails_half_way_changes_nothing(app: Channels) -> None:
    await app.call("create-custom-language-model-provider", **ACME)
    await app.call("create-custom-language-model", **MODEL)
    app_database.execute(
        app.path,
        "CREATE TRIGGER keep BEFORE DELETE ON language_model_providers BEGIN SELECT RAISE(IGNORE); END",
    )
    error = await app.refused("delete-custom-language-model-provider", providerId="custom::acme")
    assert error.message == 'Failed to delete provider with ID "custom::acme" which should have existed.'
    assert len(app.rows("SELECT * FROM language_models")) == 1
    assert app.removed == []


async def test_a_selection_that_cannot_be_repaired_does_not_undo_the_deletion(app: Channels) -> None:
    async def broken(_provider: str, _model: str | None) -> None:
        raise SecretLocked("The settings are locked.")

    await app.call("create-custom-language-model-provider", **ACME)
    await Catalog(app.database, on_removed=broken).delete_provider("custom::acme")
    assert app.rows("SELECT * FROM language_model_providers") == []


# --- custom models -----------------------------------------------------------------------------------------------


async def test_a_model_of_a_custom_provider_is_stored_and_listed(app: Channels) -> None:
    await app.call("create-custom-language-model-provider", **ACME)
    given = {**MODEL, "apiName": " big ", "description": "Large", "maxOutputTokens": 4096.0, "contextWindow": 128000}
    assert await app.call("create-custom-language-model", **given) is None
    (model,) = await app.call("get-language-models", providerId="custom::acme")
    assert model.pop("id") > 0
    assert model == {
        "apiName": "big",
        "displayName": "Big",
        "description": "Large",
        "maxOutputTokens": 4096,
        "contextWindow": 128000,
        "type": "custom",
    }


async def test_falsy_optionals_are_stored_as_null(app: Channels) -> None:
    given = {**MODEL, "providerId": "openai", "description": "", "maxOutputTokens": 0, "contextWindow": None}
    await app.call("create-custom-language-model", **given)
    (row,) = app.rows(
        "SELECT description, max_output_tokens, context_window, builtin_provider_id, custom_provider_id"
        " FROM language_models"
    )
    assert tuple(row.values()) == (None, None, None, "openai", None)


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("apiName", "Model API name is required"),
        ("displayName", "Model display name is required"),
        ("providerId", "Provider ID is required"),
    ],
)
async def test_a_model_needs_names_and_a_provider(app: Channels, field: str, sentence: str) -> None:
    absent = await app.refused("create-custom-language-model", **{k: v for k, v in MODEL.items() if k != field})
    empty = await app.refused("create-custom-language-model", **{**MODEL, field: ""})
    assert isinstance(absent, InvalidParams)
    assert type(empty) is ValidationFailed
    assert (absent.message, absent.path) == (empty.message, empty.path) == (sentence, field)


@pytest.mark.parametrize("field", ["maxOutputTokens", "contextWindow"])
@pytest.mark.parametrize("value", [-1, 1.5, "4096", True, 2**70, [1]])
async def test_a_number_of_tokens_that_is_none_is_refused(app: Channels, field: str, value: object) -> None:
    error = await app.refused("create-custom-language-model", **{**MODEL, "providerId": "openai", field: value})
    assert isinstance(error, ValidationFailed)
    assert error.path == field


async def test_a_model_cannot_be_added_to_an_unknown_or_local_provider(app: Channels) -> None:
    unknown = await app.refused("create-custom-language-model", **MODEL)
    local = await app.refused("create-custom-language-model", **{**MODEL, "providerId": "ollama"})
    assert isinstance(unknown, NotFound)
    assert unknown.message == 'Provider with ID "custom::acme" not found'
    assert isinstance(local, ValidationFailed)
    assert "Ollama" in local.message
    assert app.rows("SELECT * FROM language_models") == []


async def test_a_provider_has_one_custom_model_per_api_name(app: Channels) -> None:
    await app.call("create-custom-language-model-provider", **ACME)
    await app.call("create-custom-language-model", **MODEL)
    error = await app.refused("create-custom-language-model", **{**MODEL, "displayName": "Again"})
    assert isinstance(error, Conflict)
    await app.call("create-custom-language-model", **{**MODEL, "providerId": "openai"})
    assert len(app.rows("SELECT * FROM language_models")) == 2


async def test_a_built_in_model_may_be_given_other_limits(app: Channels) -> None:
    await app.call("create-custom-language-model", providerId="openai", apiName="gpt-4.1", displayName="Mine")
    listed = await app.call("get-language-models", providerId="openai")
    assert [model["type"] for model in listed if model["apiName"] == "gpt-4.1"] == ["cloud", "custom"]


async def test_an_edited_model_keeps_its_row_and_a_rename_is_told(app: Channels) -> None:
    row_id = app_database.insert_model(app.path, "openai", "old", context_window=5)
    await app.call("edit-custom-language-model", id=row_id, providerId="openai", apiName="old", displayName="Old 2")
    assert app.renamed == []
    await app.call("edit-custom-language-model", id=row_id, providerId="openai", apiName="new", displayName="New")
    assert app.renamed == [("openai", "old", "new")]
    (row,) = app.rows("SELECT id, api_name, display_name, context_window FROM language_models")
    assert tuple(row.values()) == (row_id, "new", "New", None)


async def test_an_edit_cannot_take_another_model_s_name_or_another_provider_s_row(app: Channels) -> None:
    row_id = app_database.insert_model(app.path, "openai", "one")
    app_database.insert_model(app.path, "openai", "two")
    edit = {"id": row_id, "providerId": "openai", "apiName": "two", "displayName": "Two"}
    assert isinstance(await app.refused("edit-custom-language-model", **edit), Conflict)
    assert isinstance(await app.refused("edit-custom-language-model", **{**edit, "providerId": "google"}), NotFound)
    assert isinstance(await app.refused("edit-custom-language-model", **{**edit, "id": 999}), NotFound)
    assert isinstance(await app.refused("edit-custom-language-model", **{**edit, "id": "x"}), InvalidParams)


async def test_editing_by_delete_and_create_as_the_app_does_works(app: Channels) -> None:
    await app.call("create-custom-language-model-provider", **ACME)
    for name in ("first", "second", "third"):
        await app.call("delete-custom-model", providerId="custom::acme", modelApiName="big")
        await app.call("create-custom-language-model", **{**MODEL, "displayName": name})
    (model,) = await app.call("get-language-models", providerId="custom::acme")
    assert model["displayName"] == "third"


async def test_a_model_is_deleted_by_its_api_name_alone(app: Channels) -> None:
    app_database.insert_model(app.path, "openai", "mine")
    assert await app.call("delete-custom-language-model", modelId="mine") is None
    assert app.rows("SELECT * FROM language_models") == []
    assert app.removed == [("openai", "mine")]


async def test_a_model_is_deleted_by_its_row_id(app: Channels) -> None:
    row_id = app_database.insert_model(app.path, "openai", "same")
    app_database.insert_model(app.path, "google", "same")
    await app.call("delete-custom-language-model", modelId=row_id)
    assert [row["builtin_provider_id"] for row in app.rows("SELECT * FROM language_models")] == ["google"]


async def test_an_api_name_that_two_providers_have_deletes_nothing(app: Channels) -> None:
    app_database.insert_model(app.path, "openai", "same")
    app_database.insert_model(app.path, "google", "same")
    error = await app.refused("delete-custom-language-model", modelId="same")
    assert isinstance(error, Conflict)
    assert "delete-custom-model" in error.message
    assert "google, openai" in error.message
    assert len(app.rows("SELECT * FROM language_models")) == 2


async def test_duplicates_and_orphans_of_older_apps_can_be_deleted(app: Channels) -> None:
    app_database.insert_model(app.path, "openai", "twice")
    app_database.insert_model(app.path, "openai", "twice")
    app_database.insert(app.path, "language_models", display_name="Orphan", api_name="orphan")
    await app.call("delete-custom-language-model", modelId="twice")
    await app.call("delete-custom-language-model", modelId="orphan")
    assert app.rows("SELECT * FROM language_models") == []
    assert app.removed == [("openai", "twice")]


async def test_a_model_that_is_not_there_cannot_be_deleted_by_name(app: Channels) -> None:
    error = await app.refused("delete-custom-language-model", modelId="gpt-5")
    assert isinstance(error, NotFound)
    assert error.message == 'A model with API name (modelId) "gpt-5" was not found'


@pytest.mark.parametrize(
    ("params", "invalid"), [({}, True), ({"modelId": None}, True), ({"modelId": ""}, False), ({"modelId": 0}, False)]
)
async def test_deleting_by_name_needs_a_name(app: Channels, params: dict[str, Any], invalid: bool) -> None:
    error = await app.refused("delete-custom-language-model", **params)
    assert error.message == "Model API name (modelId) is required"
    assert isinstance(error, InvalidParams) is invalid


async def test_a_provider_s_model_is_deleted_and_only_its(app: Channels) -> None:
    app_database.insert_provider(app.path)
    app_database.insert_model(app.path)
    app_database.insert_model(app.path, "openai", "test-model")
    await app.call("delete-custom-model", providerId="custom::testing", modelApiName="test-model")
    assert [row["builtin_provider_id"] for row in app.rows("SELECT * FROM language_models")] == ["openai"]
    assert app.removed == [("custom::testing", "test-model")]


async def test_deleting_a_provider_s_unknown_model_succeeds(app: Channels) -> None:
    assert await app.call("delete-custom-model", providerId="openai", modelApiName="gpt-5") is None
    assert app.removed == []


async def test_what_delete_custom_model_refuses(app: Channels) -> None:
    sentence = "Provider ID and Model API Name are required."
    assert (await app.refused("delete-custom-model", modelApiName="x")).message == sentence
    assert (await app.refused("delete-custom-model", providerId="x")).path == "modelApiName"
    assert (await app.refused("delete-custom-model", providerId="openai", modelApiName="")).message == sentence
    unknown = await app.refused("delete-custom-model", providerId="custom::x", modelApiName="y")
    assert unknown.message == 'Provider with ID "custom::x" not found'
    local = await app.refused("delete-custom-model", providerId="lmstudio", modelApiName="y")
    assert local.message == "Local models cannot be deleted"


async def test_text_that_looks_like_sql_is_only_text(app: Channels) -> None:
    name = "x'); DROP TABLE language_models; --"
    await app.call("create-custom-language-model", providerId="openai", apiName=name, displayName='"')
    await app.call("delete-custom-model", providerId="openai", modelApiName=name)
    assert app.rows("SELECT * FROM language_models") == []


def test_bare_arguments_name_members_of_methods_there_are() -> None:
    methods = LanguageModelHandlers(Catalog(Database(Path("unused.db")))).methods()
    assert SCALARS["delete-custom-language-model"] == "modelId"
    assert set(SCALARS) <= set(methods)
