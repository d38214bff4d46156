"""The lines that ``serve --record FILE`` writes: the session format with the time of each frame, and no secrets.

``{"t": ms since the start, "dir": "in" | "out", "frame": {...}}``. Texts that stream are written once, whole, with
their last frame (``"text"``): a secret may be cut in two by two patches, and only the whole text shows it. Their
chunks are kept without content, for their times and sizes. Nothing else is shortened, except that

* what cannot be parsed is only counted (``"bytes"``), because nothing is known about where a secret in it may be;
* an attachment's content is replaced: base64 hides what it holds.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, Literal

from sidecar.redaction import redact
from sidecar.replay.fold import CHUNK, TERMINALS, ContractBroken, RebuiltText

Json = dict[str, Any]

HIDDEN: Final = "***"
HIDDEN_BYTES: Final = "cmVkYWN0ZWQ="
"""Stands for an attachment's content: the word "redacted" in base64."""

_SECRET_NAME: Final = re.compile(
    r"api[-_]?key|token$|secret|passw|passphrase|plaintext|authorization|cookie|credential|private[-_]?key|dsn$"
    r"|access[-_]?key[-_]?id|subscription-key",
    re.IGNORECASE,
)
"""Members whose texts are hidden whatever they look like."""
_ENVELOPE: Final = frozenset({"value", "plaintext"})
_DATA_URL: Final = re.compile(r"(data:[\w.+/-]{0,100}(?:;[\w=.+-]{1,100}){0,4};base64,)[A-Za-z0-9+/=_\s-]*")
_SHORTEST: Final = 8
"""Hidden texts shorter than this are not searched for elsewhere: they may be ordinary words."""

_DELTA_PARTS: Final = frozenset({"text-delta", "reasoning-delta", "tool-input-delta"})
_LAST_PARTS: Final = frozenset({"finish", "error"})


class RecordedLines:
    """The lines of one connection, in order. ``sidecar.transport.recorder`` calls it on its own thread."""

    def __init__(self) -> None:
        self._texts = _StreamingTexts()
        self._hider = _Hider()

    def line(self, at_ms: float, direction: Literal["in", "out"], line: bytes | None) -> str:
        """The recording's line for one of the wire."""
        content: Json = {"t": at_ms, "dir": direction}
        try:
            return _dumped({**content, **self._content(direction, line)})
        except (ValueError, RecursionError):  # not JSON, or nested too deeply to look into
            return _dumped({**content, "bytes": None if line is None else len(line)})

    def _content(self, direction: str, line: bytes | None) -> Json:
        value, text = json.loads(line or b""), None
        if direction == "out" and isinstance(value, dict):
            value, text = self._texts.take(value)
        content: Json = {"frame": self._hider.hide(value)}
        if text is not None:
            content["text"] = self._hider.hide(text)
        return content

    def rest(self, at_ms: float) -> list[str]:
        """The texts of streams that never ended."""
        return [
            _dumped({"t": at_ms, "dir": "out", "unfinished": key, "text": self._hider.hide(text)})
            for key, text in self._texts.left()
        ]


class _StreamingTexts:
    """Takes the text out of frames that carry pieces of one, and gives it back with the last frame."""

    def __init__(self) -> None:
        self._texts: dict[str, RebuiltText] = {}
        self._blocks: dict[str, dict[str, list[str]]] = {}

    def take(self, frame: Json) -> tuple[Json, Any]:
        """The frame without pieces of text, and the whole text when this is the last one."""
        params = frame.get("params")
        if not isinstance(params, dict):
            return frame, None
        method = frame.get("method")
        if method == CHUNK and isinstance(stream := params.get("streamId"), str):
            return self._chunk(frame, params, stream), None
        if method in TERMINALS and (text := self._texts.pop(str(params.get("streamId")), None)) is not None:
            return frame, str(text)
        if method == "llm:part" and isinstance(part := params.get("part"), dict):
            return self._part(frame, params, part)
        if isinstance(method, str) and method.startswith("help:chat:response:"):
            return self._help(frame, params)
        return frame, None

    def left(self) -> list[tuple[str, Any]]:
        """Texts whose last frame has not come."""
        blocks = [(key, _joined(texts)) for key, texts in self._blocks.items()]
        return [*((key, str(text)) for key, text in self._texts.items()), *blocks]

    def _chunk(self, frame: Json, params: Json, stream: str) -> Json:
        text = self._texts.get(stream)
        messages = params.get("messages")
        if text is None:
            text = self._texts[stream] = RebuiltText()
            text.replace(_content(messages))
            return frame
        if isinstance(messages, list):
            text.replace(_content(messages))
            rest = {key: value for key, value in params.items() if key != "messages"}
            return {**frame, "params": {**rest, "rows": len(messages), "units": len(text)}}
        patch = params.get("streamingPatch")
        if not isinstance(patch, dict):
            return frame
        before = len(text)
        try:
            text.patch(patch["offset"], patch["content"], patch.get("prefixHash"))
            units = len(text) - patch["offset"]
        except (ContractBroken, KeyError, TypeError) as broken:
            return {**frame, "params": {**params, "streamingPatch": {"broken": str(broken), "units": before}}}
        return {**frame, "params": {**params, "streamingPatch": {"offset": patch["offset"], "units": units}}}

    def _part(self, frame: Json, params: Json, part: Json) -> tuple[Json, Any]:
        call = str(params.get("callId"))
        kind = part.get("type")
        if kind in _DELTA_PARTS and isinstance(delta := part.get("delta"), str):
            self._blocks.setdefault(call, {}).setdefault(f"{kind} {part.get('id')}", []).append(delta)
            return {**frame, "params": {**params, "part": {**part, "delta": {"characters": len(delta)}}}}, None
        if kind in _LAST_PARTS and (blocks := self._blocks.pop(call, None)) is not None:
            return frame, _joined(blocks)
        return frame, None

    def _help(self, frame: Json, params: Json) -> tuple[Json, Any]:
        session = f"help {params.get('sessionId')}"
        if isinstance(delta := params.get("delta"), str):
            self._blocks.setdefault(session, {}).setdefault("text", []).append(delta)
            return {**frame, "params": {**params, "delta": {"characters": len(delta)}}}, None
        blocks = self._blocks.pop(session, None)
        return frame, None if blocks is None else _joined(blocks)["text"]


class _Hider:
    """The same JSON without secrets. What it hides once by its name, it hides wherever it appears later."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def hide(self, value: Any, name: str = "") -> Any:
        """``value`` of the member ``name``."""
        if isinstance(value, str):
            return self._secret(value) if _SECRET_NAME.search(name) else self._text(value)
        if isinstance(value, list):
            return [self.hide(item, name) for item in value]
        return self._object(value, name) if isinstance(value, dict) else value

    def _object(self, value: Json, name: str) -> Json:
        if name == "headers":
            return {key: self._all(item) for key, item in value.items()}
        if _is_envelope(value, name):
            return {key: self._all(item) if key in _ENVELOPE else self.hide(item) for key, item in value.items()}
        if _SECRET_NAME.search(name) and not name.lower().endswith("s"):  # "secrets" are objects of many kinds
            return {key: self._all(item) for key, item in value.items()}
        return {self._text(key): self.hide(item, key) for key, item in value.items()}

    def _all(self, value: Any) -> Any:
        """Hidden whatever it is."""
        if isinstance(value, dict):
            return {key: self._all(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._all(item) for item in value]
        return value if value is None or isinstance(value, bool) else self._secret(str(value))

    def _secret(self, text: str) -> str:
        if len(text) >= _SHORTEST:
            self._known[text] = None
        return HIDDEN if text else ""

    def _text(self, text: str) -> str:
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        if text.startswith("data:"):
            text = _DATA_URL.sub(rf"\1{HIDDEN_BYTES}", text)
        return redact(text, limit=None)


def _is_envelope(value: Json, name: str) -> bool:
    """A secret of the settings (``{value, encryptionType?}``) or of the host's answers (``{id, plaintext}``)."""
    return "encryptionType" in value or "plaintext" in value or (bool(_SECRET_NAME.search(name)) and "value" in value)


def _content(messages: Any) -> str:
    last = messages[-1] if isinstance(messages, list) and messages else {}
    content = last.get("content") if isinstance(last, dict) else None
    return content if isinstance(content, str) else ""


def _joined(blocks: dict[str, list[str]]) -> dict[str, str]:
    return {name: "".join(pieces) for name, pieces in blocks.items()}


def _dumped(value: Json) -> str:
    # Lone surrogates (half an emoji cut by the user's editor) have no UTF-8 form: they stay escapes.
    text = json.dumps(value, ensure_ascii=False)
    return text if _encodable(text) else json.dumps(value)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
