"""Rules for custom providers and models: ids, addresses, and how their rows are shown (app contract 4)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from msgspec import UNSET

from protocol.language_models import LanguageModel, LanguageModelProvider, SavedCustomProvider
from sidecar.errors import ValidationFailed
from sidecar.store.language_models import CUSTOM_PREFIX, CustomModel, CustomProvider

_EXAMPLE: Final = "for example https://example.com/v1"


def stored_id(provider_id: str) -> str:
    """The id as the database has it: prefixed with ``custom::``, once, without blanks around it.

    Raises ``ValidationFailed`` when nothing is left to name the provider.
    """
    bare = provider_id.strip().removeprefix(CUSTOM_PREFIX).strip()
    if not bare:
        raise ValidationFailed("Provider ID is required", path="id")
    return CUSTOM_PREFIX + bare


def checked_base_url(url: str) -> str:
    """The API base URL without blanks around it.

    Raises ``ValidationFailed`` unless it is http(s), names a host, and a path can be appended to it. The message never
    repeats the address: it may hold a password.
    """
    address = url.strip()
    if any(character.isspace() or not character.isprintable() for character in address):
        raise _bad_url("API base URL must not contain spaces or control characters; remove them.")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _bad_url(f"API base URL is not a valid address; check the host and the port, {_EXAMPLE}.") from None
    if parts.scheme not in {"http", "https"}:
        raise _bad_url(f"API base URL must start with http:// or https://, {_EXAMPLE}.")
    if not host or port == 0:
        raise _bad_url(f"API base URL must name a host (and a port other than 0), {_EXAMPLE}.")
    if "?" in address or "#" in address:
        raise _bad_url("API base URL must end with its path: remove everything from the ? or # on.")
    return address


def _bad_url(message: str) -> ValidationFailed:
    return ValidationFailed(message, path="apiBaseUrl")


def provider_result(row: CustomProvider) -> LanguageModelProvider:
    """A custom provider as the provider list shows it (app contract 1)."""
    return LanguageModelProvider(
        id=row.id,
        name=row.name,
        api_base_url=row.api_base_url,
        env_var_name=row.env_var_name or UNSET,
        type="custom",
    )


def saved_result(row: CustomProvider) -> SavedCustomProvider:
    """What creating or editing answers (app contract 16, row 13)."""
    return SavedCustomProvider(
        id=row.id,
        bare_id=row.id.removeprefix(CUSTOM_PREFIX),
        name=row.name,
        api_base_url=row.api_base_url,
        env_var_name=row.env_var_name or UNSET,
    )


def model_result(row: CustomModel) -> LanguageModel:
    """A custom model as the model lists show it (app contract 2): no temperature, no tag."""
    return LanguageModel(
        id=row.id,
        api_name=row.api_name,
        display_name=row.display_name,
        description=row.description or "",
        max_output_tokens=row.max_output_tokens or UNSET,
        context_window=row.context_window or UNSET,
        type="custom",
    )
