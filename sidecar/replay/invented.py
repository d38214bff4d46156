"""What a recording does not hold and a replay needs: the rows before, and a provider that says what was said. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from sidecar.chat.text.answer import AnswerText
from sidecar.replay.match import literal

Json = dict[str, Any]

_PIECE_CHARS: Final = 200
_THINK: Final = re.compile(r"<think>([\s\S]*?)(?:</think>|\Z)")
_REPORT: Final = re.compile(r'<scalix-problem-report summary="[^"]*">[\s\S]*?</scalix-problem-report>')
_SENTENCE: Final = re.compile(
    r"(?:Sorry, there was an error from the AI: )?(?:\[Request ID: [^\]]*\] )?"
    r"(?:Failed after \d+ attempts\. Last error: )?"
    r"([\s\S]*?)(?:\n\nDetails: [\s\S]*)?"
)
_FINISH: Final = {"stop": "stop", "length": "length", "content-filter": "content_filter", "tool-calls": "tool_calls"}

_VENDOR_ERRORS: Final[dict[str, tuple[int, str]]] = {
    "AUTHENTICATION_FAILED": (401, "authentication_error"),
    "INSUFFICIENT_CREDITS": (402, "billing_error"),
    "PERMISSION_DENIED": (403, "permission_error"),
    "CONTEXT_LENGTH_EXCEEDED": (413, "request_too_large"),
    "RATE_LIMIT_EXCEEDED": (429, "rate_limit_error"),
    "CONTENT_FILTERED": (400, "content_filter"),
    "BAD_REQUEST": (400, "invalid_request_error"),
    "TIMEOUT": (504, "timeout_error"),
    "MODEL_UNAVAILABLE": (503, "overloaded_error"),
}
"""How a vendor says it: before the stream by status, in mid-stream by type."""
_NO_SUCH_MODEL: Final = (404, "not_found_error")


class RecordedStream(msgspec.Struct, kw_only=True):
    """One stream of a recording. The last five members follow its life while a session is written."""

    number: int
    chat_id: int
    stream_id: str
    rows: list[Json]
    model: Json
    prompt: str
    redo: bool
    text: str = ""
    terminal: Json | None = None
    method: str = ""
    host_methods: list[str] = []
    running: bool = False
    is_held: bool = True

    # --- names -------------------------------------------------------------------------------------------------------

    @property
    def placeholder(self) -> str:
        """For its ``streamId``."""
        return f"${{uuid:stream-{self.number}}}"

    @property
    def provider_id(self) -> str:
        """Of the custom provider that stands for whoever answered."""
        return f"custom::stream-{self.number}"

    @property
    def path(self) -> str:
        """Where that provider is asked."""
        return f"/stream-{self.number}/v1/chat/completions"

    @property
    def end_pause(self) -> str:
        """Holds the answer's end back until the recording has it."""
        return f"end-{self.number}"

    @property
    def stop_pause(self) -> str:
        """Where a stopped answer waits for ever."""
        return f"stop-{self.number}"

    def own_model(self) -> Json:
        """What is asked instead of the recorded model."""
        return {"provider": self.provider_id, "name": literal(str(self.model.get("name", "model")))}

    # --- how it ended ------------------------------------------------------------------------------------------------

    @property
    def was_cancelled(self) -> bool:
        """Whether it was stopped; one that never ended was, too."""
        return self.terminal is None or bool(self.terminal.get("wasCancelled"))

    @property
    def code(self) -> str | None:
        """Of the error it ended with."""
        return None if self.terminal is None else self.terminal.get("code")

    @property
    def failed_to_apply(self) -> bool:
        """Whether the model's answer was complete, and the host could not carry it out."""
        return self.code is not None and "host:apply-response" in self.host_methods

    @property
    def is_scriptable(self) -> bool:
        """Whether a provider can bring this ending about."""
        return self.failed_to_apply or self.code in {None, "STREAM_INTERRUPTED", *_VENDOR_ERRORS}

    def notes(self) -> list[str]:
        """What of it is not compared."""
        if self.is_scriptable:
            return []
        return [
            f"chat {self.chat_id}: {self.code} does not come from a provider; only that the stream fails is compared"
        ]

    def expected_finish(self) -> str:
        """``finishReason`` as it can be compared."""
        reason = (self.terminal or {}).get("finishReason")
        return str(reason) if reason in _FINISH else "${string}"

    def expected_sentence(self) -> str:
        """``error`` as it can be compared: the vendor's words in it; not the sidecar's own about a broken stream."""
        if self.failed_to_apply:
            return str(literal((self.terminal or {}).get("error", "")))
        if self.code in {"STREAM_INTERRUPTED", "TIMEOUT"}:
            return "${string}"
        return f"${{any}}{literal(self.vendor_sentence())}${{any}}"

    def vendor_sentence(self) -> str:
        """The recorded error without what the sidecar put around it."""
        found = _SENTENCE.fullmatch(str((self.terminal or {}).get("error", "")))
        return found[1] if found else ""

    # --- expected ----------------------------------------------------------------------------------------------------

    def own_prompt(self) -> tuple[int, bool]:
        """The id of its user's row, and whether that holds the prompt as it was sent. Else it holds what the recorded
        installation made of it: prompts of the library, components, paths of attachments."""
        row = self.rows[-2] if len(self.rows) >= 2 else {}
        return row.get("id", -1), row.get("content") == self.prompt

    def first_chunk(self, made: set[int]) -> Json:
        """The first chunk as it is expected. ``made``: user rows that another installation makes otherwise."""
        rows = [self._row(row) for row in self.rows]
        for row, recorded in zip(rows, self.rows, strict=True):
            if recorded["id"] in made:
                row["content"] = f"${{string:prompt-{recorded['id']}}}"
        params = {
            "chatId": self.chat_id,
            "streamId": self.placeholder,
            "messages": rows,
            "effectiveModel": self.own_model(),
        }
        return {"method": "chat:response:chunk", "params": params}

    def _row(self, row: Json) -> Json:
        return {
            "id": f"${{int:m{row['id']}}}",
            "chatId": self.chat_id,
            "role": row["role"],
            "content": literal(row["content"]),
            "approvalState": "${any}",
            "commitHash": "${any}",
            "createdAt": "${iso}",
        }

    # --- the provider ------------------------------------------------------------------------------------------------

    def parts(self) -> list[str]:
        """The text of each model call: fixes follow the app's problem reports."""
        return _REPORT.split(self.text) if "host:check-problems" in self.host_methods else [self.text]

    def visible(self) -> str:
        """What a host has seen of a stopped answer when the provider has sent all of it."""
        answer = AnswerText()
        reports = _REPORT.findall(self.text) if "host:check-problems" in self.host_methods else []
        for index, part in enumerate(self.parts()):
            if index:
                answer.append_raw(reports[index - 1])
            for kind, text in deltas(part):
                (answer.reasoning if kind == "reasoning_content" else answer.text)(text)
        return answer.visible


def deltas(text: str) -> Iterator[tuple[str, str]]:
    """(kind of delta, text) in the order a model would have sent them."""
    position = 0
    for block in _THINK.finditer(text):
        yield from _cut("content", text[position : block.start()])
        yield from _cut("reasoning_content", block[1])
        position = block.end()
    yield from _cut("content", text[position:])


def _cut(kind: str, text: str) -> Iterator[tuple[str, str]]:
    for start in range(0, len(text), _PIECE_CHARS):
        yield kind, text[start : start + _PIECE_CHARS]


def provider_of(stream: RecordedStream) -> tuple[Json, list[Json]]:
    """The custom provider standing for one stream's, and its answers."""
    provider: Json = {
        "id": stream.provider_id,
        "base": f"/stream-{stream.number}/v1",
        "models": [{"api_name": literal(str(stream.model.get("name", "model")))}],
    }
    if stream.code == "NETWORK":
        provider["api_base_url"] = "http://127.0.0.1:9/v1"
    return provider, list(_answers(stream))


def _answers(stream: RecordedStream) -> Iterator[Json]:
    *earlier, last = stream.parts()
    hold = {"pause": stream.end_pause}
    for part in earlier:
        yield {"raw": [*_content(part), hold, *_finish("stop")]}
        hold = {"raw": ": go on\n\n"}
    if stream.was_cancelled:
        yield {"raw": [*_content(last), {"pause": stream.stop_pause}]}
        return
    if stream.code is not None and not stream.failed_to_apply:
        yield _failure(stream, last, hold)
        return
    finish = _finish(_FINISH.get(str((stream.terminal or {}).get("finishReason", "stop")), "stop"))
    yield {"raw": [*_content(last), hold, *finish]}
    yield {"raw": finish}  # an answer left inside a file is asked to go on, and has nothing to add


def _failure(stream: RecordedStream, text: str, hold: Json) -> Json:
    code = stream.code or ""
    status, kind = _VENDOR_ERRORS.get(code, (400, "invalid_request_error"))
    if code == "MODEL_UNAVAILABLE" and not (stream.terminal or {}).get("retryable"):
        status, kind = _NO_SUCH_MODEL
    if code == "STREAM_INTERRUPTED":
        return {"raw": [*_content(text), hold, {"drop": True}]}
    error = {"error": {"message": stream.vendor_sentence(), "type": kind, "code": kind}}
    if text:
        return {"raw": [*_content(text), hold, _event(error)]}
    headers = {"retry-after-ms": "1", "x-should-retry": "true" if (stream.terminal or {}).get("retryable") else "false"}
    return {"json": error, "status": status, "headers": headers, "before": stream.end_pause}


def _content(text: str) -> list[str]:
    return [_chunk({"role": "assistant", "content": ""}), *(_chunk({kind: piece}) for kind, piece in deltas(text))]


def _finish(reason: str) -> list[str]:
    return [_chunk({}, reason), "data: [DONE]\n\n"]


def _chunk(delta: Json, reason: str | None = None) -> str:
    return _event({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def _event(data: Json) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


# --- the installation ------------------------------------------------------------------------------------------------


def installed_chats(streams: list[RecordedStream], others: set[int]) -> list[Json]:
    """The chats as they were before their first recorded stream; ``others`` had none, but were there."""
    first: dict[int, RecordedStream] = {}
    for stream in streams:
        first.setdefault(stream.chat_id, stream)
    rows = {chat: _rows_before(stream) for chat, stream in first.items()}
    chats = sorted(others | rows.keys())
    return [{"id": chat, "title": None, "messages": rows.get(chat, [])} for chat in chats]


def _rows_before(stream: RecordedStream) -> list[Json]:
    rows = [
        {"role": row["role"], "content": literal(row["content"]), "created_at": _seconds(row.get("createdAt"))}
        for row in stream.rows[:-2]
    ]
    if stream.redo:  # replaced the last exchange, which the recording does not show
        rows += [{"role": "user", "content": "(replaced)"}, {"role": "assistant", "content": "(replaced)"}]
    return rows


def _seconds(iso: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(str(iso)).timestamp())
    except ValueError:
        return None
