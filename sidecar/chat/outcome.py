"""How a stream ended, and the terminal notification that says so. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from protocol.chat import AttemptReport, ChatEnd, ChatError, LimitsReport, ModelRef, UsageReport
from protocol.errors import ErrorCode
from sidecar.chat.text.tags import has_unclosed_write
from sidecar.engines.base import FinishReason, Usage
from sidecar.errors import ProviderError, SidecarError

CANCELLED_SUFFIX: Final = "[Response cancelled by user]"
AI_ERROR_PREFIX: Final = "Sorry, there was an error from the AI: "
"""The app's UI keys its upgrade button on this text (app contract 7.18)."""
INTERNAL_ERROR_PREFIX: Final = "Sorry, there was an error processing your request: "
_OUR_OWN: Final = frozenset(
    {
        *(ErrorCode.INTERNAL, ErrorCode.VALIDATION, ErrorCode.NOT_FOUND),
        *(ErrorCode.DATABASE_BUSY, ErrorCode.DATABASE_UNREADABLE, ErrorCode.DATABASE_TOO_NEW),
    }
)
"""What no model has a part in (app contract 7.17)."""

SAVED_LATER: Final = (
    "Another program has locked the app's database. The answer is kept and saved as soon as the lock is gone; leave"
    " Scalix running until then."
)
APPLY_STOPPED: Final = (
    "The answer is complete. It was being applied when you stopped it: look at the app's files before you go on, some"
    " of the changes may be there."
)
SHOWN_LATER: Final = (
    "The app's database could not be read after the answer was applied: what was noted in the answer shows when the"
    " chat is opened again."
)
NOT_APPLIED: Final = "Because of that its changes were not applied. Apply them when the database is free again."


class ContextWork(msgspec.Struct, frozen=True):
    """What the code base took, for the log."""

    files: int
    tokens: int
    """Estimated."""
    ms: float
    """On the worker thread."""

    def __str__(self) -> str:
        return f"{self.files} files, {self.tokens} tokens, {self.ms} ms"


class ApplyResult(msgspec.Struct, frozen=True):
    """What ``host:apply-response`` said."""

    updated_files: bool = False
    extra_files: list[str] | None = None
    extra_files_error: str | None = None


class Ending(msgspec.Struct, kw_only=True):
    """Everything a terminal notification is made of, gathered while the stream ran."""

    chat_id: int
    stream_id: str
    message_id: int
    model: ModelRef
    context_window: int
    limits: LimitsReport
    upgrade_prompt: bool = False
    finish_reason: FinishReason = "other"
    """The last call's; ``other`` when it never got that far (a cancel)."""
    usage: UsageReport = msgspec.field(default_factory=UsageReport)
    attempts: list[AttemptReport] = msgspec.field(default_factory=list)
    warnings: list[str] = msgspec.field(default_factory=list)
    context: ContextWork | None = None
    engine: bool = False
    """The Pro engine served it: its request id is part of an error's text (app contract 7.9)."""
    text: str = ""
    """As it is saved."""
    summary: str | None = None
    is_saved: bool = True
    """False while a lock keeps the text from the disk."""
    applied: ApplyResult = msgspec.field(default_factory=ApplyResult)
    passed_on: dict[str, Any] = msgspec.field(default_factory=dict)
    """``analytics``, ``model_selection`` ... of a proxy's answer."""

    def count(self, limits: LimitsReport, *, upgrade_prompt: bool) -> None:
        """Today's figures: our own, but for those that a proxy told (it counts the user's other machines too)."""
        told = self.passed_on.get("usage")
        names = ("requests_today", "tokens_used", "remaining_requests")
        counted = {name: told[name] for name in names if type(told.get(name)) is int} if isinstance(told, dict) else {}
        self.limits = msgspec.structs.replace(limits, **counted)
        self.upgrade_prompt = upgrade_prompt or self.passed_on.get("upgrade_prompt") is True


class ApplyFailed(SidecarError):
    """The answer is complete and saved, but the host could not carry it out (app contract 7.15)."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Sorry, there was an error applying the AI's changes: {reason}")


def cancelled_text(partial: str) -> str:
    """What is saved for a cancelled stream: the text exactly as shown, and the suffix; that alone without text."""
    return f"{partial}\n\n{CANCELLED_SUFFIX}" if partial.strip() else CANCELLED_SUFFIX


def is_complete(text: str, reason: FinishReason) -> bool:
    """Whether an answer may be carried out: it says something, was not cut short by a filter or an error, and its
    last file is whole."""
    return bool(text.strip()) and reason not in {"content-filter", "error"} and not has_unclosed_write(text)


def unfinished_note(text: str, reason: FinishReason) -> str | None:
    """Why an answer that is over is not carried out, for the user; None when nothing stands against it."""
    if reason == "content-filter":
        return "The provider's content filter cut the answer short; nothing of it is applied."
    if reason == "error":
        return "The provider stopped the answer with an error; nothing of it is applied. Try again."
    if has_unclosed_write(text):
        return "The answer stopped inside a file and could not be completed; nothing of it is applied. Ask to go on."
    return None


def empty_answer_note(reason: FinishReason) -> str:
    """Why a finished answer may hold nothing."""
    if reason == "content-filter":
        return "The provider's content filter stopped the answer. Rephrase the prompt and try again."
    if reason == "length":
        return "The model used up its output limit before it wrote any text. Ask for less, or pick another model."
    return "The model returned an empty answer. Try again, or pick another model."


def end_notification(ending: Ending, seq: int, *, was_cancelled: bool) -> ChatEnd:
    """``chat:response:end``."""
    unset = msgspec.UNSET
    applied = ending.applied
    return ChatEnd(
        chat_id=ending.chat_id,
        stream_id=ending.stream_id,
        seq=seq,
        updated_files=applied.updated_files,
        extra_files=applied.extra_files if applied.extra_files is not None else unset,
        extra_files_error=applied.extra_files_error if applied.extra_files_error is not None else unset,
        message_id=ending.message_id,
        was_cancelled=was_cancelled,
        finish_reason=ending.finish_reason,
        chat_summary=ending.summary if ending.summary is not None else unset,
        model=ending.model,
        usage=ending.usage,
        context_window=ending.context_window,
        total_tokens=ending.usage.total_tokens,
        attempts=ending.attempts,
        limits=ending.limits,
        upgrade_prompt=ending.upgrade_prompt,
        warning_messages=ending.warnings or unset,
        analytics=ending.passed_on.get("analytics", unset),
        model_selection=ending.passed_on.get("model_selection", unset),
    )


def error_notification(ending: Ending, seq: int, error: SidecarError) -> ChatError:
    """``chat:response:error``."""
    unset = msgspec.UNSET
    return ChatError(
        chat_id=ending.chat_id,
        stream_id=ending.stream_id,
        seq=seq,
        error=error_sentence(error, engine=ending.engine),
        code=error.code,
        kind=error.kind,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms if error.retry_after_ms is not None else unset,
        message_id=ending.message_id,
        request_id=error.request_id if error.request_id is not None else unset,
        model=ending.model,
        attempts=ending.attempts,
        upgrade_prompt=bool(error.extra.get("upgrade_prompt", ending.upgrade_prompt)),
        scope=error.extra.get("scope", unset),
        warning_messages=ending.warnings or unset,
    )


def error_sentence(error: SidecarError, *, engine: bool = False) -> str:
    """The text the user sees: the app's prefix, the engine's request id, the message, the vendor's details."""
    if isinstance(error, ApplyFailed):
        return error.message
    if error.code in _OUR_OWN:
        return f"{INTERNAL_ERROR_PREFIX}{error.message}"
    request = f"[Request ID: {error.request_id}] " if engine and error.request_id else ""
    details = error.details if isinstance(error, ProviderError) else None
    tail = f"\n\nDetails: {details}" if details and details not in error.message else ""
    return f"{AI_ERROR_PREFIX}{request}{error.message}{tail}"


def add_usage(total: UsageReport, call: Usage) -> UsageReport:
    """Sums of a turn's calls; a count is null only when no call reported it. The cost is not part of it."""

    def plus(left: int | None, right: int | None) -> int | None:
        return right if left is None else left + (right or 0)

    total_of_call = call.total_tokens
    if total_of_call is None and call.input_tokens is not None and call.output_tokens is not None:
        total_of_call = call.input_tokens + call.output_tokens
    return UsageReport(
        input_tokens=plus(total.input_tokens, call.input_tokens),
        output_tokens=plus(total.output_tokens, call.output_tokens),
        reasoning_tokens=plus(total.reasoning_tokens, call.reasoning_tokens),
        cached_input_tokens=plus(total.cached_input_tokens, call.cached_input_tokens),
        total_tokens=plus(total.total_tokens, total_of_call),
    )
