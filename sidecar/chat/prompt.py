"""From the turn's parts to the text that is stored and the messages that are sent (app contract 7.5, 7.8, 13.1).

Pure: whoever calls has read files, rows and settings. Counting and building take the same value, so that what is
counted is what is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from sidecar.chat.attachment_prompt import HeldElements, attachment_text
from sidecar.chat.attachments import StoredAttachment
from sidecar.chat.context import (
    Codebase,
    SelectedComponent,
    component_text,
    referenced_app_section,
)
from sidecar.chat.history import HistoryRow, Row
from sidecar.engines.base import FilePart, Message, Part, TextPart
from sidecar.errors import InvalidParams
from sidecar.lengths import estimate_tokens, tokens_of, utf16_length

MAX_PROMPT_CHARS: Final = 1 << 20
"""UTF-16 code units, as the app's own code measures text."""

CODEBASE_PREFIX: Final = "This is my codebase. "
"""The heading of the code base's text."""
CODEBASE_REPLY: Final = "OK, got it. I'm ready to help"
REFERENCED_HEADING: Final = "# Referenced Apps"
REFERENCED_REPLY: Final = "OK."
SUMMARISE_INTENT: Final = "Summarize from chat-id="

_PROMPT_REFERENCE = re.compile(r"@prompt:([0-9]+)")
_LARGEST_ID_DIGITS: Final = 18


# --- the stored prompt -----------------------------------------------------------------------------------------------


def check_prompt(prompt: str, *, field: str = "prompt") -> None:
    """Raises ``InvalidParams`` for a prompt of more than 1 MiB characters."""
    if len(prompt) > MAX_PROMPT_CHARS or (
        len(prompt) > MAX_PROMPT_CHARS // 2 and utf16_length(prompt) > MAX_PROMPT_CHARS
    ):
        raise InvalidParams(
            f"The message may have at most {MAX_PROMPT_CHARS:,} characters; attach longer texts as files.", path=field
        )


def prompt_references(prompt: str) -> tuple[int, ...]:
    """The ids in ``@prompt:<id>``, each once: the rows of ``prompts`` to read."""
    ids = (_reference_id(digits) for digits in _PROMPT_REFERENCE.findall(prompt))
    return tuple(dict.fromkeys(id_ for id_ in ids if id_ is not None))


def replace_prompt_references(prompt: str, contents: Mapping[int, str]) -> str:
    """Each ``@prompt:<id>`` replaced by that prompt's content, in one pass; an unknown id stays as it is."""

    def replace(found: re.Match[str]) -> str:
        id_ = _reference_id(found[1])
        return found[0] if id_ is None else contents.get(id_, found[0])

    return _PROMPT_REFERENCE.sub(replace, prompt)


def _reference_id(digits: str) -> int | None:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _LARGEST_ID_DIGITS else None


def stored_prompt(
    prompt: str,
    *,
    prompts: Mapping[int, str] | None = None,
    attachments: Sequence[StoredAttachment] = (),
    components: Iterable[tuple[SelectedComponent, str]] = (),
) -> str:
    """The user's message as it is stored: references replaced, then what is said of the attachments, then each selected
    component with its snippet. References in file names are not replaced."""
    text = replace_prompt_references(prompt, prompts or {}) + attachment_text(attachments)
    return text + "".join(component_text(component, snippet) for component, snippet in components)


def is_summarise(prompt: str) -> bool:
    """Whether the raw ``prompt`` asks for the summary of another chat."""
    return prompt.startswith(SUMMARISE_INTENT)


def summarise_chat_id(prompt: str) -> int | None:
    """The id after the first ``=``; None when there is none, which is an unknown chat."""
    found = re.match(r"\s*([0-9]{1,18})", prompt.partition("=")[2])
    return int(found[1]) if found else None


# --- the model's messages --------------------------------------------------------------------------------------------


class PromptInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one model call is made of.

    ``history`` is limited, stripped and filled (``filled_history``), the new user message last. ``engine`` says that
    the code base travels as data beside the messages. ``images`` belong to the new message.
    """

    system: str
    history: Sequence[HistoryRow]
    codebase: Codebase | None = None
    engine: bool = False
    referenced_apps: str | None = None
    images: Sequence[FilePart] = ()

    @property
    def codebase_index(self) -> int | None:
        """Where in the messages the code base is; None when it is not there."""
        return int(bool(self.system)) if self.codebase is not None and not self.engine else None


class PromptTokens(msgspec.Struct, frozen=True):
    """Estimated tokens of the parts of a prompt (app contract 13.1)."""

    history: int
    codebase: int
    mentioned_apps: int
    input: int
    system: int

    @property
    def total(self) -> int:
        """The sum of the five parts."""
        return self.history + self.codebase + self.mentioned_apps + self.input + self.system


def held_history(rows: Iterable[Row], held: HeldElements) -> list[HistoryRow]:
    """``rows`` with the users' text attachments taken out, ready for the tag strippers."""
    return [HistoryRow(row.role, held.hold(row.content) if row.role == "user" else row.content) for row in rows]


def filled_history(
    rows: Iterable[HistoryRow], held: HeldElements, texts: Mapping[str, str | None]
) -> tuple[HistoryRow, ...]:
    """Stripped rows with the text attachments in their places, or a note for each that is gone."""
    return tuple(
        HistoryRow(row.role, held.fill(row.content, texts) if row.role == "user" else row.content) for row in rows
    )


def referenced_apps_text(apps: Iterable[tuple[str, str]]) -> str | None:
    """The message about the mentioned apps, from their names and formatted files; None when there are none."""
    sections = "".join(referenced_app_section(name, text) for name, text in apps)
    if not sections:
        return None
    return (
        f"{REFERENCED_HEADING}\n\nThe user mentioned these other apps. Their files are here for reading only:"
        f" never change them.{sections}"
    )


def count_tokens(inputs: PromptInputs) -> PromptTokens:
    """What ``build_messages`` would send, in estimated tokens, the code base included when it travels as data.

    The last message counts as the input when it is the user's. Images are not counted.
    """
    rows = list(inputs.history)
    last = rows.pop() if rows and rows[-1].role == "user" else None
    return PromptTokens(
        history=tokens_of(sum(utf16_length(row.content) for row in rows)),
        codebase=inputs.codebase.token_estimate if inputs.codebase is not None else 0,
        mentioned_apps=estimate_tokens(inputs.referenced_apps or ""),
        input=estimate_tokens(last.content) if last is not None else 0,
        system=estimate_tokens(inputs.system),
    )


def build_messages(inputs: PromptInputs) -> tuple[Message, ...]:
    """System prompt, code base, referenced apps, history, in this order; the images join the new user message."""
    messages = [Message.of("system", inputs.system)] if inputs.system else []
    if inputs.codebase is not None and not inputs.engine:
        messages += [
            Message.of("user", inputs.codebase.text),
            Message.of("assistant", CODEBASE_REPLY),
        ]
    if inputs.referenced_apps:
        messages += [Message.of("user", inputs.referenced_apps), Message.of("assistant", REFERENCED_REPLY)]
    for row in inputs.history:
        if row.content:
            messages.append(Message.of("user" if row.role == "user" else "assistant", row.content))
    return tuple(_with_images(messages, inputs.images))


def _with_images(messages: list[Message], images: Sequence[FilePart]) -> list[Message]:
    if not images:
        return messages
    asked = messages[-1].parts if messages and messages[-1].role == "user" else ()
    parts: tuple[Part, ...] = (*asked, *images)
    return [*(messages[:-1] if asked else messages), Message("user", parts)]


def with_codebase(messages: Sequence[Message], index: int | None, text: str) -> tuple[Message, ...]:
    """``messages`` with another code base in the place of the one at ``index`` (auto-fix, app contract 7.12)."""
    if index is None:
        return tuple(messages)
    replaced = Message("user", (TextPart(text),))
    return (*messages[:index], replaced, *messages[index + 1 :])
