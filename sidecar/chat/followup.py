"""What follows an answer: continuing an unclosed write, fixing type errors, having it applied (app contract 7.11, 7.12,
7.15)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
import structlog

from sidecar.chat.attachments import StoredAttachment
from sidecar.chat.outcome import ApplyFailed, ApplyResult, Ending
from sidecar.chat.parts import ChatParts, ChatSettings, Plan
from sidecar.chat.text.answer import AnswerText
from sidecar.chat.text.continuation import CONTINUE_PROMPT, GO_ON_PROMPT, OverlapTrimmer
from sidecar.chat.text.problems import Problem, fix_prompt, problem_report
from sidecar.chat.text.tags import has_add_dependency, has_unclosed_write, strip_non_essential, strip_thinking
from sidecar.engines.base import Message
from sidecar.errors import ProviderError, SidecarError
from sidecar.redaction import redact
from sidecar.store.chats import Turn

log = structlog.get_logger("sidecar.chat")

MAX_CONTINUATIONS: Final = 2
MAX_FIXES: Final = 2

CallForText = Callable[[tuple[Message, ...], Callable[[str], None]], Awaitable[None]]


async def continue_unclosed_write(plan: Plan, answer: AnswerText, call: CallForText) -> None:
    """Ask the model to go on while its last ``scalix-write`` is open, at most twice.

    Asked by a user message, not by a pre-filled assistant turn: several vendors refuse those. What the model repeats
    of its own text is cut, so the joint does not show.
    """
    for _ in range(MAX_CONTINUATIONS):
        partial = answer.value
        if not has_unclosed_write(partial):
            return
        asked = (Message.of("assistant", strip_thinking(partial)), Message.of("user", CONTINUE_PROMPT))
        await _go_on((*plan.messages, *asked), answer, call)


async def continue_interrupted(plan: Plan, answer: AnswerText, call: CallForText, error: ProviderError) -> None:
    """Go on after a stream that broke off in mid-answer, at most twice, on the first candidate that answers.

    Only where the user switched that on (``continueInterrupted``). What was shown stays, the model is asked by a
    message of its own to go on, and what it repeats is cut; after nothing but reasoning it is asked the same again.
    Raises the last ``ProviderError`` when nothing more could be had.
    """
    last = error
    for _ in range(MAX_CONTINUATIONS):
        partial = answer.value
        said = strip_thinking(partial)
        if not last.retryable:
            break
        asked = (Message.of("assistant", said), Message.of("user", GO_ON_PROMPT)) if said else ()
        try:
            await _go_on((*plan.messages, *asked), answer, call)
        except ProviderError as failure:
            last = failure  # what is held back so far only repeats the answer: the next try will say more
            continue
        return
    raise last


async def _go_on(messages: tuple[Message, ...], answer: AnswerText, call: CallForText) -> None:
    """One more call whose text is joined to the answer without what it repeats of it."""
    trimmer = OverlapTrimmer(answer.value)
    await call(messages, lambda delta: answer.text(trimmer.feed(delta)))
    answer.text(trimmer.finish())


async def auto_fix(
    parts: ChatParts, plan: Plan, turn: Turn, answer: AnswerText, call: Callable[..., Awaitable[None]]
) -> None:
    """Let the host type-check the answer and the model mend what it finds, at most twice.

    A host that cannot check, or a check that fails, ends the loop quietly: the answer itself is complete.
    """
    if not parts.host.offers("checkProblems") or has_add_dependency(answer.value):
        return
    original = Message.of("assistant", strip_non_essential(answer.value))
    attempts: list[Message] = []
    for _ in range(MAX_FIXES):
        problems = await _check(parts, turn, answer.value)
        if not problems:
            return
        answer.append_raw(problem_report(problems))
        fixed_plan = await plan.replan(plan, answer.value)
        prompt = Message.of("user", fix_prompt(problems))
        before = len(answer.value)
        await call(fixed_plan, (*fixed_plan.messages, original, *attempts, prompt), answer.text, answer.reasoning)
        attempts += [prompt, Message.of("assistant", strip_non_essential(answer.value[before:]))]


async def _check(parts: ChatParts, turn: Turn, response: str) -> list[Problem]:
    params = {"chatId": turn.chat.id, "response": response}
    try:
        result = await parts.host.request("host:check-problems", params)
        found = result.get("problems", []) if isinstance(result, dict) else []
        return msgspec.convert(found, list[Problem], strict=False)
    except (msgspec.ValidationError, SidecarError) as error:
        log.warning("the host could not check the answer", error=str(error), chat_id=turn.chat.id)
        return []


async def is_applied(parts: ChatParts) -> bool:
    """Whether an answer is carried out without asking the user: the host can, and they want that now that it is there
    (app contract 7.15)."""
    if not parts.host.offers("applyResponse"):
        return False
    settings = ChatSettings.of(await parts.settings_now())
    return settings.auto_approve and not settings.ask_mode


async def apply_response(
    parts: ChatParts, turn: Turn, ending: Ending, attachments: Sequence[StoredAttachment] = ()
) -> ApplyResult | SidecarError:
    """Have the host carry the answer out; the error when it failed."""
    params: dict[str, Any] = {
        "chatId": turn.chat.id,
        "messageId": turn.assistant_message_id,
        "response": ending.text,
        "chatSummary": ending.summary,
    }
    uploads = [
        {"id": item.file_id, "path": str(item.path), "name": item.name}
        for item in attachments
        if item.file_id is not None
    ]
    if uploads:
        # A write whose content is an upload id is replaced by the uploaded file's bytes (app contract 8).
        params["attachments"] = uploads
    try:
        result = await parts.host.request("host:apply-response", params)
    except SidecarError as error:
        return ApplyFailed(error.message)
    if not isinstance(result, dict):
        return ApplyFailed("the app gave no result")
    if result.get("error"):
        return ApplyFailed(_words(result["error"]) or "the app did not say why")
    extra = result.get("extraFiles")
    return ApplyResult(
        updated_files=bool(result.get("updatedFiles", False)),
        extra_files=[path for path in extra if isinstance(path, str)] if isinstance(extra, list) else None,
        extra_files_error=_words(result.get("extraFilesError")),
    )


def _words(said: object) -> str | None:
    """A sentence of the host, an error of JavaScript's among them; the app's own errors quote commands and URLs."""
    if isinstance(said, dict):
        said = said.get("message")
    return redact(said) if isinstance(said, str) and said else None
