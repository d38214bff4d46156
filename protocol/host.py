"""``host:*``: what the sidecar asks the host for, when the host announced that it can (protocol page 7)."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

EncryptionType = Literal["electron-safe-storage", "plaintext"]
"""How a secret is kept in the settings file (app contract 14)."""


class LockedSecret(msgspec.Struct, frozen=True, rename="camel"):
    """A secret as the settings hold it. ``value`` is base64 unless the type is ``plaintext``."""

    id: str
    """Names the secret in the answer; chosen by the sidecar."""
    value: str
    encryption_type: EncryptionType


class OpenedSecret(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer for one secret: ``plaintext``, or ``error`` when it could not be opened."""

    id: str
    plaintext: str | None = None
    error: str | None = None


class PlainSecret(msgspec.Struct, frozen=True):
    """A secret to be locked."""

    id: str
    plaintext: str


class DecryptSecretsParams(msgspec.Struct, frozen=True):
    """Params of ``host:decrypt-secrets``: one call for all."""

    secrets: list[LockedSecret]


class DecryptSecretsResult(msgspec.Struct, frozen=True):
    """Result of ``host:decrypt-secrets``."""

    secrets: list[OpenedSecret]


class EncryptSecretsParams(msgspec.Struct, frozen=True):
    """Params of ``host:encrypt-secrets``."""

    secrets: list[PlainSecret]


class EncryptSecretsResult(msgspec.Struct, frozen=True):
    """Result of ``host:encrypt-secrets``."""

    secrets: list[LockedSecret]


class MentionedApp(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An app the prompt refers to with ``@app:``."""

    name: str
    id: int | None = None
    path: str | None = None


class AttachmentSummary(msgspec.Struct, frozen=True, rename="camel"):
    """An attachment without its bytes; ``type`` is its MIME type."""

    name: str
    type: str
    attachment_type: Literal["upload-to-codebase", "chat-context"]


class SystemPromptParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``host:system-prompt``."""

    chat_id: int
    app_id: int
    app_path: str
    chat_mode: str
    mentioned_apps: list[MentionedApp]
    attachments: list[AttachmentSummary]
    intent: Literal["chat", "summarize"]


class SystemPromptResult(msgspec.Struct, frozen=True, rename="camel"):
    """Result of ``host:system-prompt``. ``substitutions`` are applied to the answer: text to replacement."""

    system_prompt: str
    substitutions: dict[str, str] | UnsetType = UNSET


class UploadedFile(msgspec.Struct, frozen=True):
    """A file the user added for the app's folder: a write whose content is ``id`` gets the bytes at ``path``."""

    id: str
    path: str
    name: str


class ApplyResponseParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``host:apply-response``: carry the complete answer out (app contract 8)."""

    chat_id: int
    message_id: int
    response: str
    chat_summary: str | None
    attachments: list[UploadedFile] | UnsetType = UNSET


class ApplyResponseResult(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Result of ``host:apply-response``; ``error`` when it failed."""

    updated_files: bool | None = None
    extra_files: list[str] | None = None
    extra_files_error: str | None = None
    error: str | None = None


class CheckProblemsParams(msgspec.Struct, frozen=True, rename="camel"):
    """Params of ``host:check-problems``: type-check the app with the answer applied virtually (app contract 7.12)."""

    chat_id: int
    response: str


class HostProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One compile-time error; ``line`` and ``column`` count from 1, ``code`` is TypeScript's number."""

    file: str
    line: int
    column: int
    code: int
    message: str
    snippet: str | None = None


class CheckProblemsResult(msgspec.Struct, frozen=True):
    """Result of ``host:check-problems``."""

    problems: list[HostProblem]
