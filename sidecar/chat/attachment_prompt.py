"""What a prompt says of the files the user added (app contract 7.4, 7.5).

A text file travels through history as an empty ``<scalix-text-attachment>`` element that names the stored file: it is
filled in for every model call while the file exists, not only for the first (contract 16, quirk 11).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from sidecar.chat.attachments import StoredAttachment, one_line

_INDENT: Final = " " * 16
_ELEMENT = re.compile(
    r'<scalix-text-attachment filename="([^"]*+)" type="([^"]*+)" path="([^"]*+)">\s*+</scalix-text-attachment>'
)


def attachment_text(attachments: Sequence[StoredAttachment]) -> str:
    """What the stored prompt says of the attachments; empty when there are none."""
    if not attachments:
        return ""
    return "\n\nAttachments:\n" + "".join(map(_mention, attachments))


def attachment_notes(attachments: Sequence[StoredAttachment]) -> tuple[str, ...]:
    """What the user should know of them."""
    return tuple(
        f"The attached file {item.name} is not valid UTF-8; what could not be read was replaced. Save it as UTF-8."
        for item in attachments
        if item.is_text and not item.valid_text
    )


def _mention(attachment: StoredAttachment) -> str:
    if attachment.kind == "upload-to-codebase":
        return f"\n\nFile to upload to codebase: {attachment.name} (file id: {attachment.file_id})\n"
    line = f"- {attachment.name} ({attachment.type})\n"
    if not attachment.is_text:
        return line
    import html  # half a megabyte of entities, which most turns do without

    name, media_type, path = (html.escape(value) for value in (attachment.name, attachment.type, str(attachment.path)))
    return (
        f'{line}<scalix-text-attachment filename="{name}" type="{media_type}" path="{path}">\n'
        f"{_INDENT}</scalix-text-attachment>\n{_INDENT}\n\n"
    )


class HeldElements:
    """The text attachments of a history, taken out so that tag strippers leave them alone.

    ``hold`` puts a token in an element's place; ``fill`` puts the content in the token's. Ask mode strips every
    scalix tag from history, and with them went the attachments.
    """

    def __init__(self) -> None:
        self._nonce = uuid.uuid4().hex
        self._held: list[tuple[str, str]] = []

    @property
    def paths(self) -> tuple[str, ...]:
        """The stored files to read (``AttachmentStore.read_texts``)."""
        return tuple(path for _, path in self._held)

    def hold(self, content: str) -> str:
        """A user's message with tokens instead of elements. Other roles' messages are not to be passed: an answer
        must not choose which files are read."""

        def replace(found: re.Match[str]) -> str:
            import html

            self._held.append((html.unescape(found[1]), html.unescape(found[3])))
            return f"[[attachment {self._nonce} {len(self._held) - 1}]]"

        return _ELEMENT.sub(replace, content)

    def fill(self, content: str, texts: Mapping[str, str | None]) -> str:
        """``content`` with each token replaced by its file's text, or a note that the file is gone."""

        def replace(found: re.Match[str]) -> str:
            name, path = self._held[int(found[1])]
            return _full_content(one_line(name), texts.get(path))

        if not self._held:
            return content
        return re.sub(rf"\[\[attachment {self._nonce} (\d+)\]\]", replace, content)


def _full_content(name: str, text: str | None) -> str:
    if text is None:
        return f"[The attached file {name} is no longer available.]"
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"Full content of {name}:\n{fence}\n{text}\n{fence}"
