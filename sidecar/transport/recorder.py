"""Writes every frame of a session to a file, for replay: NDJSON, one frame per line, secrets redacted.

A line is ``{"t": ms since the start, "dir": "in" | "out", "frame": {...}}``; what was not JSON is kept as ``"raw"``
text. ``in`` is host to sidecar. Writing happens on a thread of its own: a slow disk must not slow a stream down.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from pathlib import Path
from typing import Any, Final, Literal

import anyio.to_thread

from sidecar.redaction import redact
from sidecar.transport.base import Transport
from sidecar.transport.framing import LineFramer, Oversized

HIDDEN: Final = "***"

_SECRET_NAME: Final = re.compile(
    r"(api_?key|(access|refresh|project)_?token|token$|secret|password|plaintext|authorization|dsn$|accesskeyid)",
    re.IGNORECASE,
)
"""Members whose text is hidden whatever it looks like."""


class RecordingTransport:
    """A transport that passes everything on and writes it down."""

    def __init__(self, inner: Transport, path: Path) -> None:
        self._inner = inner
        self._start = time.monotonic()
        self._incoming = LineFramer()
        self._outgoing = LineFramer()
        self._lines: queue.SimpleQueue[tuple[float, str, bytes] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, args=(path,), name="recorder", daemon=True)
        self._writer.start()

    async def receive(self) -> bytes:
        data = await self._inner.receive()
        self._put("in", self._incoming.feed(data))
        return data

    async def send(self, data: bytes) -> None:
        self._put("out", self._outgoing.feed(data))
        await self._inner.send(data)

    async def aclose(self) -> None:
        self._lines.put(None)
        await anyio.to_thread.run_sync(self._writer.join)
        await self._inner.aclose()

    def _put(self, direction: Literal["in", "out"], lines: list[bytes | Oversized]) -> None:
        now = round((time.monotonic() - self._start) * 1000, 3)
        for line in lines:
            self._lines.put((now, direction, b"" if isinstance(line, Oversized) else line))

    def _write(self, path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            while (entry := self._lines.get()) is not None:
                file.write(recorded(*entry) + "\n")
                file.flush()


def recorded(at_ms: float, direction: str, line: bytes) -> str:
    """One line of the recording."""
    try:
        content: dict[str, Any] = {"frame": without_secrets(json.loads(line))}
    except ValueError:
        content = {"raw": redact(line.decode("utf-8", "replace"))}
    return json.dumps({"t": at_ms, "dir": direction, **content}, ensure_ascii=False)


def without_secrets(value: Any, name: str = "") -> Any:
    """The same JSON with secret members hidden and every other text redacted."""
    if isinstance(value, dict):
        if _is_envelope(value, name):
            return {key: HIDDEN if key in {"value", "plaintext"} else item for key, item in value.items()}
        return {key: without_secrets(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item, name) for item in value]
    if isinstance(value, str):
        return HIDDEN if _SECRET_NAME.search(name) else redact(value)
    return value


def _is_envelope(value: dict[str, Any], name: str) -> bool:
    """A secret of the settings (``{value, encryptionType?}``) or of the host's answers (``{id, plaintext}``)."""
    return (
        "encryptionType" in value
        or "plaintext" in value
        or (_SECRET_NAME.search(name) is not None and "value" in value)
    )
