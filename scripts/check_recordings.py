"""Hold the decoders to recorded vendor streams and the AI SDK's reading of them.

    python scripts/check_recordings.py DIR

DIR has ``<family>/<name>.chunks.txt``, one line per event's JSON, and ``expected.jsonl``: per recording ``fx``,
``family``, ``text``, ``reasoning``, ``finishReason``, ``usage``, ``toolCalls``, ``error``. Prints one line per
recording and exits with 1 when one differs for a reason not listed in ``KNOWN``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sidecar.engines.base import (
    Dialect,
    Event,
    Finish,
    ReasoningDelta,
    StreamError,
    TextDelta,
    ToolCall,
    Usage,
)
from sidecar.engines.wire import decoder_for
from sidecar.errors import StreamInterrupted

RESPONSES = {"openai-responses", "azure-responses", "open-responses", "xai-responses"}

KNOWN = {
    "xai-output": "xAI's completion_tokens leave reasoning out, as its own total_tokens shows; we count it as output",
    "cut": "the recording has no finish marker",
}


class Reading(msgspec.Struct):
    """What was made of one recording, in the reference's terms."""

    text: str = ""
    reasoning: str = ""
    finish: str | None = None
    usage: Usage = Usage()
    calls: list[tuple[str, Any]] = []
    error: StreamError | None = None
    interrupted: bool = False


def dialect_of(family: str) -> Dialect:
    """The dialect a family of recordings is in."""
    if family in RESPONSES or family.endswith("responses"):
        return "openai-responses"
    if family.startswith(("google", "vertex")):
        return "google"
    if family.startswith("anthropic"):
        return "anthropic"
    return "cohere" if family.startswith("cohere") else "openai-chat"


def wire_bytes(dialect: Dialect, lines: list[str]) -> bytes:
    """The bytes the vendor sent."""
    if dialect == "google":
        return "".join(f"data: {line}\r\n\r\n" for line in lines).encode()
    if dialect == "openai-chat":
        return ("".join(f"data: {line}\n\n" for line in lines) + "data: [DONE]\n\n").encode()
    return "".join(f"event: {event_type(line)}\ndata: {line}\n\n" for line in lines).encode()


def event_type(line: str) -> str:
    """The ``type`` member, which these vendors repeat as the event's name."""
    try:
        return str(msgspec.json.decode(line).get("type"))
    except msgspec.DecodeError:
        return "unknown"


def read(dialect: Dialect, data: bytes, piece: int) -> Reading:
    """Decode ``data`` in pieces of ``piece`` bytes."""
    decoder = decoder_for(dialect)
    events: list[Event] = []
    for start in range(0, len(data), piece):
        events += decoder.feed(data[start : start + piece])
    reading = Reading()
    try:
        events += decoder.finish()
    except StreamInterrupted:
        reading.interrupted = True
    for event in events:
        match event:
            case TextDelta():
                reading.text += event.text
            case ReasoningDelta():
                reading.reasoning += event.text
            case Finish():
                reading.finish = event.reason
            case Usage():
                reading.usage = event
            case ToolCall(provider_executed=False):
                reading.calls.append((event.name, arguments(event.arguments)))
            case StreamError():
                reading.error = event
    return reading


def arguments(text: Any) -> Any:
    """Arguments as a value, or as text when they are not JSON."""
    if not isinstance(text, str):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def differences(reading: Reading, expected: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """``(what, ours, theirs)``, ``what`` being a key of ``KNOWN`` where the difference is meant."""
    for what, ours, theirs in (
        ("text", reading.text, expected["text"]),
        ("reasoning", reading.reasoning, expected["reasoning"]),
        ("error", reading.error is not None, expected["error"] is not None),
    ):
        if ours != theirs:
            yield what, ours, theirs
    if reading.error is not None:
        return
    if reading.interrupted:
        yield "cut", None, expected["finishReason"]
    elif reading.finish != expected["finishReason"]:
        yield "finish", reading.finish, expected["finishReason"]
    calls = [(call["name"], arguments(call["input"])) for call in expected["toolCalls"] if not call.get("prov")]
    if reading.calls != calls:
        yield "tool calls", reading.calls, calls
    yield from usage_differences(reading.usage, expected["usage"])


def usage_differences(ours: Usage, theirs: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """A count the reference leaves out is not compared; its 0 also stands for "not reported"."""
    reasoning = theirs.get("reasoning") or 0
    outside = bool(reasoning) and ours.output_tokens == (theirs.get("output") or 0) + reasoning
    for what, mine in (
        ("input", ours.input_tokens),
        ("output", ours.output_tokens),
        ("cached", ours.cached_input_tokens),
        ("cacheWrite", ours.cache_write_tokens),
        ("reasoning", ours.reasoning_tokens),
        ("total", ours.total_tokens),
    ):
        their = theirs.get(what)
        if their is None or (mine or 0) == their:
            continue
        if outside and what == "output":
            yield "xai-output", mine, their
        elif not (outside and what == "total" and mine == their + reasoning):
            yield what, mine, their


def main(folder: Path) -> int:
    """Check every recording under ``folder``; the number of unexplained ones is the exit status, at most 1."""
    failed = 0
    for line in (folder / "expected.jsonl").read_text().splitlines():
        expected = msgspec.json.decode(line)
        path = folder / f"{expected['fx']}.chunks.txt"
        lines = [text for text in path.read_text().split("\n") if text.strip()]
        dialect = dialect_of(expected["family"])
        data = wire_bytes(dialect, lines)
        reading = read(dialect, data, len(data) or 1)
        found = list(differences(reading, expected))
        if any(read(dialect, data, piece) != reading for piece in (7, 1000)):
            found.append(("split", "differs", "same events"))
        meant = [KNOWN[what] for what, _, _ in found if what in KNOWN]
        wrong = [item for item in found if item[0] not in KNOWN]
        failed += bool(wrong)
        print(f"{'DIFFERS' if wrong else 'agrees '} {expected['fx']}{''.join(f'  ({reason})' for reason in meant)}")
        for what, ours, theirs in wrong:
            print(f"    {what}: {str(ours)[:300]!r} instead of {str(theirs)[:300]!r}")
    print(f"{failed} unexplained")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/check_recordings.py DIR")
    sys.exit(main(Path(sys.argv[1])))
