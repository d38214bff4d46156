"""API keys: where they come from, and what is refused before any request is made."""

from __future__ import annotations

from typing import Final

from protocol.errors import ErrorCode
from sidecar.errors import MissingApiKey, ProviderError, SecretLocked, ValidationFailed
from sidecar.redaction import register_secret
from sidecar.routing.inputs import AUTO, Environment, ProviderInfo, RoutingSettings
from sidecar.secret import SecretText

PRO_KEY_VARIABLE: Final = "SCALIX_PRO_API_KEY"
PRO_KEY_PREFIX: Final = "scalix_"
PRO_KEY_LENGTH: Final = 20


class SecretHeaders(dict[str, str]):
    """Request headers some of which are secrets: sent as they are, but no value shows in a repr."""

    def __repr__(self) -> str:
        return f"SecretHeaders({sorted(self)})"

    __str__ = __repr__


def find_key(provider: ProviderInfo, settings: RoutingSettings, environ: Environment) -> SecretText | None:
    """The key for direct calls: the settings' first, then the provider's environment variable; None without one.

    Raises ``SecretLocked`` when a key is stored but could not be decrypted and the environment has none, and
    ``ValidationFailed`` for a key no header can carry.
    """
    stored = settings.keys.get(provider.id)
    text = stored.reveal().strip() if stored is not None else ""
    if not text and provider.env_var:
        text = environ.get(provider.env_var) or ""
    if text:
        return checked_key(text, provider.name, provider.id)
    if provider.id in settings.locked:
        raise locked(provider)
    return None


def require_key(provider: ProviderInfo, settings: RoutingSettings, environ: Environment) -> SecretText:
    """As ``find_key``; raises ``MissingApiKey`` saying where a key can be put."""
    key = find_key(provider, settings, environ)
    if key is None:
        place = f", or set the {provider.env_var} environment variable" if provider.env_var else ""
        raise MissingApiKey(f"{provider.name} API key is missing. Add it in Settings{place}.", provider=provider.id)
    return key


def checked_key(text: str, owner: str, provider_id: str) -> SecretText:
    """``text`` as a secret, if every character is in U+0021-U+007E (upstream's key hygiene).

    A pasted quote, blank or line break would otherwise surface as an obscure header error.
    """
    for index, letter in enumerate(text):
        if not "!" <= letter <= "~":
            raise ValidationFailed(
                f"{owner} API key contains an invalid character at index {index} (U+{ord(letter):04X}). "
                "Paste only the raw API key, without spaces, line breaks or other text around it.",
                provider=provider_id,
            )
    key = SecretText(text)
    register_secret(key)  # whatever is logged or told from here on has it cut out
    return key


def pro_key(settings: RoutingSettings, environ: Environment) -> SecretText | None:
    """The Pro key, unchecked: the settings' first, then ``SCALIX_PRO_API_KEY``; None when Pro is off or has none."""
    if not settings.pro_enabled:
        return None
    stored = settings.keys.get(AUTO)
    text = (stored.reveal().strip() if stored is not None else "") or environ.get(PRO_KEY_VARIABLE) or ""
    return SecretText(text) if text else None


def checked_pro_key(key: SecretText) -> SecretText:
    """``key`` if it looks like a Scalix key (app contract 9.1), for engine and gateway alike (quirk 29)."""
    text = checked_key(key.reveal(), "Scalix", AUTO).reveal()
    if not text.startswith(PRO_KEY_PREFIX) or len(text) < PRO_KEY_LENGTH:
        raise ProviderError(
            "Invalid Scalix API key format or missing key", code=ErrorCode.AUTHENTICATION_FAILED, provider=AUTO
        )
    return key


def locked(provider: ProviderInfo) -> SecretLocked:
    """The error for a stored key that the host could not decrypt."""
    variable = f" or set the {provider.env_var} environment variable" if provider.env_var else ""
    return SecretLocked(
        f"The saved {provider.name} API key could not be decrypted. Enter it again in Settings{variable}.",
        provider=provider.id,
    )
