"""``scalix-sidecar chat``: one streamed answer in the terminal, without the app's database."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any

from sidecar.commands.local import CommandFailed, Json, local_sidecar

DIM, RESET = "\033[2m", "\033[0m"


async def chat(prompt: str, model: Json, *, user_data: Path | None, as_json: bool) -> int:
    """Stream the answer to stdout, reasoning dimmed. Returns 0, or 1 with the reason on stderr."""
    printer = _Printer(as_json=as_json)
    async with local_sidecar(user_data, printer.notification) as sidecar:
        params: dict[str, Any] = {
            "callId": str(uuid.uuid4()),
            "model": model,
            "prompt": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        }
        try:
            result = await sidecar.request("llm:stream", params)
        except CommandFailed as error:
            sys.stderr.write(f"{error.message}\n")
            return 1
    printer.finish(result)
    return 0


class _Printer:
    """Writes the parts of one call as they arrive."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._colour = sys.stdout.isatty() and not as_json

    def notification(self, method: str, params: Json) -> None:
        if method != "llm:part":
            return
        part = params["part"]
        if self._json:
            import msgspec

            self._write(msgspec.json.encode(part).decode() + "\n")
        elif part["type"] == "text-delta":
            self._write(part["delta"])
        elif part["type"] == "reasoning-delta" and self._colour:
            self._write(f"{DIM}{part['delta']}{RESET}")
        elif part["type"] == "reasoning-end" and self._colour:
            self._write("\n\n")

    def finish(self, result: Json) -> None:
        """The last line: which model, how many tokens."""
        if self._json:
            return
        usage = result["usage"]
        model = result["model"]
        self._write("\n")
        counts = f"{usage.get('inputTokens', '?')} in, {usage.get('outputTokens', '?')} out"
        sys.stderr.write(f"{model['provider']}/{model['name']}: {counts}, {result['finishReason']}\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
