"""Secrets of the settings: opened by the host on demand, held in memory only, sealed by the host again.

At rest a secret is an envelope ``{value, encryptionType?}`` (app contract 14). ``electron-safe-storage`` can be opened
by the host alone (``host:decrypt-secrets``, protocol page 7); ``plaintext``, or no type at all, is the text itself.
An envelope that cannot be opened is *locked*: it is reported, its ciphertext stays, everything else works.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import anyio

from sidecar.errors import SecretLocked, SidecarError
from sidecar.secret import SecretText
from sidecar.settings.schema import SECRET_FIELDS, Located, secret_places

PLAINTEXT: Final = "plaintext"
RETRY_AFTER_S: Final = 5.0
"""A secret the host could not open is not asked for again within this time: each question may take ten seconds."""

Ask: TypeAlias = Callable[[list[dict[str, Any]]], Awaitable[list[dict[str, Any]]]]
"""One question to the host, in the shapes of ``host:decrypt-secrets`` and ``host:encrypt-secrets``."""

_Sealed: TypeAlias = tuple[str, str]
"""(encryptionType, ciphertext): what a plain text is remembered under."""


@dataclass(frozen=True, slots=True)
class SecretsBridge:
    """The host's two questions. They raise ``SidecarError`` (refused, too late) or ``TimeoutError``."""

    decrypt: Ask
    encrypt: Ask


class Vault:
    """What has been opened so far. ``bridge`` is None when the host has not announced ``secrets``."""

    def __init__(self, bridge: SecretsBridge | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bridge = bridge
        self._clock = clock
        self._opened: dict[_Sealed, SecretText] = {}
        self._failed: dict[_Sealed, float] = {}
        self._asking = anyio.Lock()

    def __repr__(self) -> str:
        return f"Vault({len(self._opened)} opened)"

    def plain(self, envelope: Mapping[str, Any]) -> SecretText | None:
        """The secret, trimmed; None when it is locked."""
        sealed = _sealed(envelope)
        if sealed is None:
            return SecretText(str(envelope["value"]).strip())
        return self._opened.get(sealed)

    def locked(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The paths of the secrets that cannot be opened now."""
        return tuple(str(place) for place, envelope in secret_places(values) if self.plain(envelope) is None)

    def due(self, values: Mapping[str, Any]) -> bool:
        """Whether ``unlock`` would ask the host."""
        return bool(self._wanted(values))

    async def unlock(self, values: Mapping[str, Any]) -> None:
        """Open every secret in ``values`` that is not open yet: one question for all. Failures leave them locked."""
        if not self.due(values):
            return
        async with self._asking:
            wanted = self._wanted(values)  # again: who held the lock may have asked for the same
            if not wanted or self._bridge is None:
                return
            question = [
                {"id": str(place), "value": ciphertext, "encryptionType": kind}
                for (kind, ciphertext), place in wanted.items()
            ]
            answers = await self._answers(self._bridge.decrypt, question)
            for sealed, place in wanted.items():
                plaintext = answers.get(str(place), {}).get("plaintext")
                if isinstance(plaintext, str):
                    self._remember(sealed, plaintext)
                else:
                    self._failed[sealed] = self._clock()

    async def seal(self, partial: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
        """``partial`` with every secret as it is to be stored.

        One that did not change keeps its envelope of ``current``; a new one is sealed by the host, in one question for
        all, and stored as plain text only when there is no host that could. Raises ``SecretLocked`` when the host
        fails to: then nothing is to be written.
        """
        result = copy.deepcopy(dict(partial))
        if self._bridge is not None:
            _put_in_envelopes(result, current)
        now = dict(secret_places(current))
        fresh: list[tuple[Located, dict[str, Any]]] = []
        for place, envelope in secret_places(result):
            text, old = envelope["value"].strip(), now.get(place)
            if old is not None and self._unchanged(envelope, text, old):
                envelope.clear()
                envelope.update(old)
            else:
                envelope.update(value=text, encryptionType=PLAINTEXT)
                if text:
                    fresh.append((place, envelope))
        if fresh and self._bridge is not None:
            await self._encrypt(self._bridge, fresh)
        return result

    def _unchanged(self, envelope: Mapping[str, Any], text: str, old: Mapping[str, Any]) -> bool:
        """The same secret, or the stored ciphertext handed back as it was."""
        if _sealed(envelope) is not None and _sealed(envelope) == _sealed(old):
            return True
        return self.plain(old) == SecretText(text)

    async def _encrypt(self, bridge: SecretsBridge, fresh: list[tuple[Located, dict[str, Any]]]) -> None:
        question = [{"id": str(place), "plaintext": envelope["value"]} for place, envelope in fresh]
        answers = await self._answers(bridge.encrypt, question)
        for place, envelope in fresh:
            answer = answers.get(str(place), {})
            value, kind = answer.get("value"), answer.get("encryptionType")
            if not isinstance(value, str) or not isinstance(kind, str):
                raise SecretLocked(
                    f"Failed to write settings: the app could not encrypt {place}. Nothing was changed; try again.",
                    path=str(place),
                    retryable=True,
                )
            plaintext = envelope["value"]
            envelope.update(value=value, encryptionType=kind)
            sealed = _sealed(envelope)
            if sealed is not None:
                self._remember(sealed, plaintext)

    async def _answers(self, ask: Ask, question: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """The host's answers by id; none when it refused, did not answer in time, or answered nonsense."""
        try:
            answers: object = await ask(question)
        except (SidecarError, TimeoutError):
            return {}
        if not isinstance(answers, list):
            return {}
        return {str(answer["id"]): answer for answer in answers if isinstance(answer, dict) and "id" in answer}

    def _wanted(self, values: Mapping[str, Any]) -> dict[_Sealed, Located]:
        if self._bridge is None:
            return {}
        now = self._clock()
        wanted: dict[_Sealed, Located] = {}
        for place, envelope in secret_places(values):
            sealed = _sealed(envelope)
            if sealed is None or sealed in self._opened:
                continue
            failed_at = self._failed.get(sealed)
            if failed_at is None or now - failed_at >= RETRY_AFTER_S:
                wanted.setdefault(sealed, place)
        return wanted

    def _remember(self, sealed: _Sealed, plaintext: str) -> None:
        self._opened[sealed] = SecretText(plaintext.strip())
        self._failed.pop(sealed, None)


def _put_in_envelopes(partial: dict[str, Any], current: Mapping[str, Any]) -> None:
    """A new secret given as bare text, where the schema lets that pass, gets an envelope: it is to be sealed too."""
    for key, fields in SECRET_FIELDS.items():
        container, before = partial.get(key), current.get(key)
        if not isinstance(container, dict):
            continue
        for field in fields:
            text = container.get(field)
            if isinstance(text, str) and text != (before.get(field) if isinstance(before, dict) else None):
                container[field] = {"value": text}


def _sealed(envelope: Mapping[str, Any]) -> _Sealed | None:
    """What the host has to open; None for plain text."""
    kind = envelope.get("encryptionType")
    if kind is None or kind == PLAINTEXT or not envelope["value"]:
        return None
    return (str(kind), envelope["value"])
