"""``provider.json``: what the provider answers, and the installation it happens in.

::

    {
      "installation": {"chats": [...], "files": {...}, "settings": {...}, ...},     (sidecar.replay.place)
      "answers": {"/v1/chat/completions": [<answer>, ...]},
      "modes": ["patch"]                                       only when a session makes sense in one chunk mode
    }

An answer is one of::

    {"dialect": "openai-chat", "pieces": ["Hel", {"pause": "a"}, "lo"], "reasoning": [...], "usage": {...}, ...}
    {"dialect": "openai-chat", "text": "Hello", "size": 8, ...}      cut by UTF-16 unit, as the app's fake server does
    {"raw": [": keep-alive\\n\\n", {"later-ms": 5}, "data: ..."], "headers": {...}}
    {"json": {...}, "status": 429, "headers": {...}}
    {"body": "<html>", "status": 502, "headers": {...}}

Further members: ``when`` (only for requests whose last message contains this), ``before`` (a pause before the head),
``cut`` (the body in writes of so many bytes), ``newline`` (``"\\r\\n"``). Other members of a dialect's answer are those
of its function in ``sidecar.replay.streams``. A piece may be a step: ``{"pause": name}``, ``{"later-ms": n}``,
``{"drop": true}``, ``{"raw": "..."}``.

Answers of one path are used up in order; the last fitting one stays for every further request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from sidecar.replay import streams
from sidecar.replay.format import SessionInvalid
from sidecar.replay.provider import Answer, Drop, Later, Pause, Recorded, Step

Json = dict[str, Any]

_DIALECTS: Final[Mapping[str, tuple[Callable[..., list[bytes]], str]]] = {
    "openai-chat": (streams.openai_chat_stream, "reasoning"),
    "openai-responses": (streams.openai_responses_stream, "reasoning"),
    "anthropic": (streams.anthropic_stream, "thinking"),
    "gemini": (streams.gemini_stream, "thoughts"),
    "cohere": (streams.cohere_stream, "thinking"),
}
"""Name -> builder, and what it calls reasoning."""

_HEAD: Final = frozenset({"when", "before", "cut", "newline", "status", "headers"})


class Pauses:
    """The named places where answers wait."""

    def __init__(self) -> None:
        self._pauses: dict[str, Pause] = {}

    def __getitem__(self, name: str) -> Pause:
        return self._pauses.setdefault(name, Pause())


class ScriptedAnswers:
    """The answers of one path: a handler for the provider."""

    def __init__(self, answers: list[Json], pauses: Pauses) -> None:
        self._answers = [(answer.get("when"), build_answer(answer, pauses)) for answer in answers]
        self._used: set[int] = set()

    def __call__(self, request: Recorded) -> Answer:
        """The next fitting answer."""
        text = last_message(request)
        fitting = [index for index, (when, _) in enumerate(self._answers) if when is None or when in text]
        fresh = [index for index in fitting if index not in self._used]
        if not fitting:
            return Answer.json({"error": {"message": "The script has no answer for this request."}}, status=404)
        index = fresh[0] if fresh else fitting[-1]
        self._used.add(index)
        return self._answers[index][1]


def last_message(request: Recorded) -> str:
    """The text of a chat request's last message; "" for other requests."""
    try:
        content = request.json["messages"][-1]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content if isinstance(part, dict))


def build_answer(spec: Json, pauses: Pauses) -> Answer:
    """One answer of the script. Raises ``SessionInvalid``."""
    own = {key: value for key, value in spec.items() if key not in _HEAD}
    headers: dict[str, str] = {}
    match own:
        case {"dialect": str(dialect), **options}:
            steps = _dialect_steps(dialect, options, pauses)
            headers = {"Content-Type": "text/event-stream"}
        case {"raw": list(parts), **rest} if not rest:
            steps = [_raw(part, pauses) for part in parts]
            headers = {"Content-Type": "text/event-stream"}
        case {"json": document, **rest} if not rest:
            steps = [json.dumps(document).encode()]
            headers = {"Content-Type": "application/json"}
        case {"body": str(body), **rest} if not rest:
            steps = [body.encode()] if body else []
        case _:
            raise SessionInvalid(f'An answer of the script is none of "dialect", "raw", "json", "body": {own}.')
    before = spec.get("before")
    return Answer(
        steps=_shaped(steps, spec),
        status=spec.get("status", 200),
        headers={**headers, **spec.get("headers", {})},
        before=None if before is None else pauses[before],
    )


def _dialect_steps(dialect: str, options: Json, pauses: Pauses) -> list[Step]:
    if dialect not in _DIALECTS:
        raise SessionInvalid(f"Unknown dialect {dialect!r}; there are {', '.join(_DIALECTS)}.")
    build, reasoning_name = _DIALECTS[dialect]
    markers = _Markers(pauses)
    pieces = markers.replace(_pieces(options))
    if "reasoning" in options:
        options[reasoning_name] = markers.replace(options.pop("reasoning"))
    try:
        events = build(pieces, **options)
    except TypeError as error:
        raise SessionInvalid(f"An answer of the script does not fit its dialect {dialect}: {error}.") from error
    return markers.put_back(events)


def _pieces(options: Json) -> list[Any]:
    if "text" not in options:
        return list(options.pop("pieces", []))
    size: int = options.pop("size", 8)
    units = options.pop("text").encode("utf-16-le", "surrogatepass")
    return [units[i : i + 2 * size].decode("utf-16-le", "surrogatepass") for i in range(0, len(units), 2 * size)]


class _Markers:
    """Lets steps stand among pieces of text while a dialect's events are built around them."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self._steps: dict[bytes, Step] = {}

    def replace(self, pieces: list[Any]) -> list[str]:
        """Every step replaced by a word that no text holds."""
        return [piece if isinstance(piece, str) else self._marker(piece) for piece in pieces]

    def _marker(self, spec: Json) -> str:
        marker = f"step-{len(self._steps)}-of-the-script;"
        self._steps[marker.encode()] = _step(spec, self._pauses)
        return marker

    def put_back(self, events: list[bytes]) -> list[Step]:
        """The event of each marker replaced by its step; vendors repeat the whole text at the end, there it goes."""
        steps: list[Step] = []
        due = dict(self._steps)
        for event in events:
            marker = next((marker for marker in due if marker in event), None)
            if marker is not None:
                steps.append(due.pop(marker))
                continue
            cleaned = event
            for known in self._steps:
                cleaned = cleaned.replace(known, b"")
            steps.append(cleaned)
        return steps


def _step(spec: Json, pauses: Pauses) -> Step:
    match spec:
        case {"pause": str(name)}:
            return pauses[name]
        case {"later-ms": int() | float() as ms}:
            return Later(ms / 1000)
        case {"drop": True}:
            return Drop()
        case {"raw": str(text)}:
            return text.encode()
        case _:
            raise SessionInvalid(f"Unknown step in an answer of the script: {spec}.")


def _raw(part: Any, pauses: Pauses) -> Step:
    return part.encode("utf-8", "surrogatepass") if isinstance(part, str) else _step(part, pauses)


def _shaped(steps: list[Step], spec: Json) -> list[Step]:
    """The steps with other line ends, and in writes of another size."""
    newline, cut = spec.get("newline"), spec.get("cut")
    if newline is not None:
        ends = newline.encode()
        steps = [step.replace(b"\n", ends) if isinstance(step, bytes) else step for step in steps]
    if cut is None:
        return steps
    shaped: list[Step] = []
    run = b""
    for step in [*steps, None]:
        if isinstance(step, bytes):
            run += step
            continue
        shaped += [run[i : i + cut] for i in range(0, len(run), cut)]
        run = b""
        if step is not None:
            shaped.append(step)
    return shaped
