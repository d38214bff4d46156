"""``scalix-sidecar chat``: one streamed answer in the terminal, by itself or in a chat of the app.

By itself it is a single model call (``llm:stream``) that no chat knows of. With ``--chat`` it is a turn like any other:
history and code base go along, and both messages are kept in the app's database. Ctrl-C cancels either properly: the
provider's connection is closed, the ledger says so, and the text so far is kept, on the terminal and in the chat.
"""

from __future__ import annotations

import os
import re
import sys
import uuid
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from sidecar.commands.interrupt import on_interrupt
from sidecar.commands.local import CommandFailed, Json, LocalSidecar, local_sidecar
from sidecar.lengths import utf16_length

DIM, RESET = "\033[2m", "\033[0m"
CANCELLED: Final = 130
"""Exit code after Ctrl-C, as shells have it."""

_THINK: Final = re.compile(r"(</?think>)")


async def chat(prompt: str, model: str | None, *, chat_id: int | None, user_data: Path | None, as_json: bool) -> int:
    """Stream the answer to stdout, reasoning dimmed. Returns 0, 1 with the reason on stderr, or 130 when cancelled.

    ``model`` is ``provider/name``; without it ``auto``, or what is selected in the app for a chat of the app.
    """
    printer = _JsonLines() if as_json else _Text()
    async with local_sidecar(user_data, printer.notification) as sidecar:
        call = _single_call(prompt, model) if chat_id is None else _turn(prompt, model, chat_id)
        try:
            result, cancelled = await _until_done_or_interrupted(sidecar, *call)
        except CommandFailed as error:
            printer.close()
            sys.stderr.write(f"{error.message}\n")
            return 1
    return printer.finish(result, cancelled)


def _single_call(prompt: str, model: str | None) -> tuple[str, Json, str, Json]:
    call_id = str(uuid.uuid4())
    message = {"role": "user", "content": [{"type": "text", "text": prompt}]}
    params = {"callId": call_id, "model": _reference(model or "auto"), "prompt": [message]}
    return "llm:stream", params, "llm:cancel", {"callId": call_id}


def _turn(prompt: str, model: str | None, chat_id: int) -> tuple[str, Json, str, Json]:
    params: Json = {"chatId": chat_id, "prompt": prompt}
    if model is not None:
        params["model"] = _reference(model)
    return "chat:stream", params, "chat:cancel", {"chatId": chat_id}


def _reference(model: str) -> Json:
    provider, _, name = model.partition("/")
    return {"provider": provider, "name": name or "auto"}


async def _until_done_or_interrupted(
    sidecar: LocalSidecar, method: str, params: Json, cancel: str, cancel_params: Json
) -> tuple[Any, bool]:
    """The result, and whether Ctrl-C ended it. Raises ``CommandFailed`` for a failure of any other kind."""
    interrupted = anyio.Event()

    async def cancel_when_interrupted() -> None:
        await interrupted.wait()
        await sidecar.request(cancel, cancel_params)

    result: Any = None
    failure: CommandFailed | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_when_interrupted)
        with on_interrupt(interrupted.set):
            try:
                result = await sidecar.request(method, params)
            except CommandFailed as error:
                failure = error
        tasks.cancel_scope.cancel()
    if failure is not None and not interrupted.is_set():
        raise failure
    return result, interrupted.is_set()


class _JsonLines:
    """Every part, or every notification of a turn, as a line of JSON."""

    def __init__(self) -> None:
        self._failed = False

    def notification(self, method: str, params: Json) -> None:
        if method == "llm:part":
            _write(msgspec.json.encode(params["part"]).decode() + "\n")
        elif method.startswith("chat:response:") or method == "model:fallback":
            self._failed = self._failed or method == "chat:response:error"
            _write(msgspec.json.encode({"method": method, "params": params}).decode() + "\n")

    def close(self) -> None:
        """Nothing is left open."""

    def finish(self, _result: Any, cancelled: bool) -> int:
        return CANCELLED if cancelled else int(self._failed)


class _Text:
    """The words as they come. Reasoning is for a terminal only: what is piped on is the answer."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._dims = self._terminal and not os.environ.get("NO_COLOR")
        self._thinking = False
        self._length = 0
        """Of the turn's text so far, in UTF-16 code units."""
        self._last = "\n"
        self._end: Json | None = None
        self._error: str | None = None

    def notification(self, method: str, params: Json) -> None:
        if method == "llm:part":
            self._part(params["part"])
        elif method == "chat:response:chunk" and "streamingPatch" in params:
            self._patch(params["streamingPatch"])
        elif method == "chat:response:end":
            self._end = params
        elif method == "chat:response:error":
            self._error = params["error"]
        elif method == "model:fallback":
            names = [f"{params[end]['provider']}/{params[end]['name']}" for end in ("from", "to")]
            sys.stderr.write(f"{names[0]} does not answer, {names[1]} takes over\n")

    def close(self) -> None:
        """Leave the terminal as it was found, at the beginning of a line."""
        self._think(False)
        if self._last != "\n":
            _write("\n")

    def finish(self, result: Any, cancelled: bool) -> int:
        """The last line: which model, how many tokens, what it cost. Returns the exit code."""
        self.close()
        if self._error is not None:
            sys.stderr.write(f"{self._error}\n")
            return 1
        told = self._end or (result if isinstance(result, dict) else {})
        if cancelled:
            kept = " The text so far is kept in the chat." if self._end else ""
            sys.stderr.write(f"Cancelled.{kept}\n")
            return CANCELLED
        usage, model = told.get("usage", {}), told["model"]
        counts = f"{usage.get('inputTokens', '?')} in, {usage.get('outputTokens', '?')} out"
        cost = f", ${usage['costUsd']:.4f}" if usage.get("costUsd") is not None else ""
        sys.stderr.write(f"{model['provider']}/{model['name']}: {counts}{cost}, {told['finishReason']}\n")
        return 0

    def _part(self, part: Json) -> None:
        if part["type"] == "text-delta":
            self._think(False)
            self._say(part["delta"])
        elif part["type"] == "reasoning-delta":
            self._think(True)
            self._say(part["delta"])

    def _patch(self, patch: Json) -> None:
        """More of a turn's text, or another end of it: what was taken back stays on the screen, what is new follows."""
        if patch["offset"] < self._length:
            self._say("\n")
        self._length = patch["offset"] + utf16_length(patch["content"])
        for piece in _THINK.split(patch["content"]):
            if _THINK.fullmatch(piece):
                self._think(piece == "<think>")
            else:
                self._say(piece)

    def _think(self, thinking: bool) -> None:
        if thinking == self._thinking:
            return
        self._thinking = thinking
        if self._terminal:
            _write((DIM if thinking else f"{RESET}\n\n") if self._dims else ("" if thinking else "\n\n"))

    def _say(self, text: str) -> None:
        if text and (self._terminal or not self._thinking):
            self._last = text[-1]
            _write(text)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
