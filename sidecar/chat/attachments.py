"""Files the user adds to a message (app contract 7.4; limits: upstream lessons 1).

``check_attachments`` reads lengths and prefixes only and may run on the loop; ``AttachmentStore`` decodes and writes
on a worker thread. What a prompt says of them is in ``attachment_prompt``.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import re
import stat
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, Protocol

import anyio
import anyio.to_thread
import msgspec

from protocol.errors import ErrorCode
from sidecar.chat.context.files import decode, read_regular
from sidecar.engines.base import FilePart
from sidecar.errors import InvalidParams, SidecarError

MAX_ATTACHMENTS: Final = 10
MAX_ATTACHMENT_BYTES: Final = 10 << 20
MAX_TOTAL_BYTES: Final = 25 << 20
MAX_NAME_CHARS: Final = 4096
KEPT_DAYS: Final = 30

TEXT_SUFFIXES: Final = frozenset({".md", ".txt", ".json", ".csv", ".js", ".ts", ".html", ".css"})
IMAGE_TYPES: Final = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
}

_MARKER: Final = ";base64,"
_PREFIX_CHARS: Final = 1024
_EMPTY_DATA_URL: Final = "data:"
"""What a browser gives for an empty file."""
_DECODE_CHARS: Final = 1 << 18
"""A multiple of four; decoding in pieces lets other threads in."""
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,16}\Z")
_STORED_NAME = re.compile(r"[0-9a-f]{32,64}(?:\.[A-Za-z0-9]{1,16})?")

Kind = Literal["upload-to-codebase", "chat-context"]


class Attachment(Protocol):
    """As the request brings it; ``data`` is a base64 data URL, or the base64 alone."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def data(self) -> str: ...
    @property
    def attachment_type(self) -> Kind: ...


class StoredAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """One file of this turn, on the disk. ``image`` is what a model that sees gets of it."""

    name: str
    """As the user knows it, on one line."""
    type: str
    kind: Kind
    path: Path
    file_id: str | None
    """``SCALIX_ATTACHMENT_<index>``, by which an answer may put an uploaded file into the code base."""
    image: FilePart | None = None
    valid_text: bool = True
    """False for a text file whose bytes are not UTF-8: the model sees replacements."""

    @property
    def is_text(self) -> bool:
        """Whether its content becomes part of the prompt."""
        return self.kind == "chat-context" and suffix_of(self.name) in TEXT_SUFFIXES


def suffix_of(name: str) -> str:
    """The extension in lower case, with its dot; empty when there is none that is letters and digits."""
    found = _SUFFIX.search(name)
    return found[0].lower() if found is not None and found.start() > 0 else ""


# --- checking --------------------------------------------------------------------------------------------------------


def check_attachments(attachments: Sequence[Attachment]) -> None:
    """Raises ``InvalidParams`` for too many files, too large ones, or what is neither a base64 data URL nor base64.

    The count is checked first, then lengths; no payload is walked. Whether the base64 is valid shows when it is
    decoded (``AttachmentStore.store``).
    """
    if len(attachments) > MAX_ATTACHMENTS:
        raise InvalidParams(
            f"A message may have at most {MAX_ATTACHMENTS} attachments; this one has {len(attachments)}.",
            path="attachments",
        )
    total = 0
    for index, attachment in enumerate(attachments):
        if not 0 < len(attachment.name) <= MAX_NAME_CHARS or len(attachment.type) > MAX_NAME_CHARS:
            raise InvalidParams(
                f"An attachment needs a name of 1 to {MAX_NAME_CHARS:,} characters.", path=f"attachments[{index}].name"
            )
        size = _decoded_bytes(attachment.data, index)
        if size > MAX_ATTACHMENT_BYTES:
            raise InvalidParams(
                f"The attachment {one_line(attachment.name)!r} has {_mebibytes(size)}; one file may have at most"
                f" {_mebibytes(MAX_ATTACHMENT_BYTES)}.",
                path=f"attachments[{index}].data",
            )
        total += size
    if total > MAX_TOTAL_BYTES:
        raise InvalidParams(
            f"The attachments have {_mebibytes(total)} together; at most {_mebibytes(MAX_TOTAL_BYTES)} are possible.",
            path="attachments",
        )


def _decoded_bytes(data: str, index: int) -> int:
    length = len(data) - _payload_start(data, index)
    padding = 2 if data.endswith("==") else int(data.endswith("="))
    if length % 4 or not data.isascii():
        raise _bad_data(index)
    return length // 4 * 3 - padding if length else 0


def _payload_start(data: str, index: int) -> int:
    if data == _EMPTY_DATA_URL:
        return len(data)
    if data[:5].lower() != _EMPTY_DATA_URL:
        return 0  # base64 alone, which the app takes too
    marker = data[:_PREFIX_CHARS].lower().find(_MARKER)
    if marker < 0:
        raise _bad_data(index)
    return marker + len(_MARKER)


def _bad_data(index: int) -> InvalidParams:
    return InvalidParams(
        "An attachment's data must be a base64 data URL (data:<type>;base64,<data>).",
        path=f"attachments[{index}].data",
    )


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.4g} MiB"


def one_line(text: str) -> str:
    """``text`` without control characters, so that a file name cannot add lines to a prompt."""
    return "".join(char if char.isprintable() else " " for char in text)


# --- storing ---------------------------------------------------------------------------------------------------------


class AttachmentStore:
    """The folder of stored attachments, by default ``<os tmp>/scalix-attachments`` (app contract 15.3)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._limiter = anyio.CapacityLimiter(2)

    async def store(self, attachments: Sequence[Attachment]) -> tuple[StoredAttachment, ...]:
        """Check, decode and write all of them, or none.

        Raises ``InvalidParams`` as ``check_attachments`` does and for base64 that cannot be decoded, ``SidecarError``
        when the folder cannot be used. Once begun it runs to its end, so that no half of it is left behind.
        """
        check_attachments(attachments)
        if not attachments:
            return ()
        return await anyio.to_thread.run_sync(self._store, attachments, limiter=self._limiter)

    async def read_texts(self, paths: Iterable[str]) -> dict[str, str | None]:
        """The text of each stored file; None for one that is gone or was never ours."""
        wanted = tuple(dict.fromkeys(paths))
        if not wanted:
            return {}

        def read_all() -> dict[str, str | None]:
            return {path: self._read_text(path) for path in wanted}

        return await anyio.to_thread.run_sync(read_all, abandon_on_cancel=True, limiter=self._limiter)

    async def remove_old(self, *, days: float = KEPT_DAYS) -> int:
        """Delete stored files that were written more than ``days`` ago; how many that were. Never raises for a file
        that cannot be deleted."""
        return await anyio.to_thread.run_sync(self._remove_old, days * 86_400, limiter=self._limiter)

    def _store(self, attachments: Sequence[Attachment]) -> tuple[StoredAttachment, ...]:
        contents = [_decoded(attachment.data, index) for index, attachment in enumerate(attachments)]
        written: list[Path] = []
        try:
            self._prepare_folder()
            for attachment, content in zip(attachments, contents, strict=True):
                written.append(self._write(attachment.name, content))
        except OSError as error:
            for path in written:
                path.unlink(missing_ok=True)
            raise SidecarError(
                f"The attachments could not be stored in {self._folder}: {error.strerror}. Make room on the disk or"
                " check that the folder belongs to you, then send the message again.",
                code=ErrorCode.INTERNAL,
            ) from error
        return tuple(
            StoredAttachment(
                name=one_line(attachment.name),
                type=one_line(attachment.type),
                kind=attachment.attachment_type,
                path=path,
                file_id=f"SCALIX_ATTACHMENT_{index}" if attachment.attachment_type == "upload-to-codebase" else None,
                image=_image(attachment, content, index),
                valid_text=suffix_of(attachment.name) not in TEXT_SUFFIXES or decode(content)[1],
            )
            for index, (attachment, content, path) in enumerate(zip(attachments, contents, written, strict=True))
        )

    def _prepare_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = self._folder.lstat()
        if not stat.S_ISDIR(state.st_mode):
            raise NotADirectoryError(20, "it is not a folder", str(self._folder))
        if hasattr(os, "getuid") and state.st_uid != os.getuid():
            raise PermissionError(13, "it belongs to another user", str(self._folder))

    def _write(self, name: str, content: bytes) -> Path:
        """The name is a hash, never a path that comes from outside."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass"))
        digest.update(content)
        digest.update(uuid.uuid4().bytes)
        path = self._folder / (digest.hexdigest()[:32] + suffix_of(name))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def _read_text(self, path: str) -> str | None:
        """Only files of this folder with a name of ours: a message may quote any path."""
        name = re.split(r"[/\\]", path)[-1]
        if _STORED_NAME.fullmatch(name) is None or Path(path) != self._folder / name:
            return None
        try:
            return decode(read_regular(self._folder / name, MAX_ATTACHMENT_BYTES)[0])[0]
        except OSError:
            return None

    def _remove_old(self, seconds: float) -> int:
        oldest = time.time() - seconds
        try:
            with os.scandir(self._folder) as files:  # one by one: thousands at once take a megabyte for good
                old = [file.path for file in files if _STORED_NAME.fullmatch(file.name) and _is_older(file, oldest)]
        except OSError:
            return 0
        removed = 0
        for path in old:
            with suppress(OSError):
                Path(path).unlink()
                removed += 1
        return removed


def _is_older(file: os.DirEntry[str], than_s: float) -> bool:
    try:
        return file.stat(follow_symlinks=False).st_mtime < than_s
    except OSError:  # it is gone
        return False


def _decoded(data: str, index: int) -> bytes:
    start = _payload_start(data, index)
    if data.find("=", start, len(data) - 2) >= 0:
        raise _bad_data(index)
    try:
        return b"".join(
            binascii.a2b_base64(data[at : at + _DECODE_CHARS], strict_mode=True)
            for at in range(start, len(data), _DECODE_CHARS)
        )
    except ValueError as error:  # binascii.Error is one
        raise _bad_data(index) from error


def _image(attachment: Attachment, content: bytes, index: int) -> FilePart | None:
    """What the extension says is an image, as the vendors take it; an empty one is none. Vendors refuse a type that
    contradicts the bytes, so the bytes decide about it."""
    media_type = IMAGE_TYPES.get(suffix_of(attachment.name))
    if media_type is None or not content:
        return None
    payload = attachment.data[_payload_start(attachment.data, index) :]
    return FilePart(media_type=_sniffed(content) or media_type, base64=payload, filename=one_line(attachment.name))


def _sniffed(content: bytes) -> str | None:
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None
