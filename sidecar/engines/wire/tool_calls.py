"""Tool calls put together from the pieces vendors send."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.engines.base import Event, ToolCall, ToolInputDelta, ToolInputStart


class PendingCall:
    """One call whose arguments are still arriving.

    ``ToolInputStart`` waits for the name; what comes before it is kept.
    """

    def __init__(
        self,
        call_id: str,
        name: str = "",
        *,
        wire_id: str = "",
        provider_executed: bool = False,
        signature: str | None = None,
    ) -> None:
        self.id = call_id
        self.wire_id = wire_id
        """The id the vendor uses for it, when ours had to be another."""
        self.name = name
        self.provider_executed = provider_executed
        self.signature = signature
        self._pieces: list[str] = []
        self._started = False

    def start(self, out: list[Event]) -> None:
        """Announce the call, once, as soon as it has a name."""
        if self.name:
            self._announce(out)

    def _announce(self, out: list[Event]) -> None:
        if not self._started:
            self._started = True
            out.append(ToolInputStart(self.id, self.name, self.provider_executed))
            if self._pieces:
                out.append(ToolInputDelta(self.id, "".join(self._pieces)))

    def append(self, delta: str, out: list[Event]) -> None:
        """A further piece of the arguments."""
        if delta:
            self._pieces.append(delta)
            if self._started:
                out.append(ToolInputDelta(self.id, delta))

    @property
    def has_arguments(self) -> bool:
        """Whether any piece has come."""
        return bool(self._pieces)

    @property
    def arguments(self) -> str:
        """The pieces so far."""
        return "".join(self._pieces)

    def complete(self, out: list[Event], arguments: str | None = None) -> None:
        """Close the call. ``arguments``, when given, is the vendor's own full text and wins over the pieces.

        A call that was never named is reported all the same: the host can tell the model.
        """
        if arguments and not self._pieces:
            self.append(arguments, out)
        self._announce(out)
        text = arguments or self.arguments
        if text.strip() in ("", "null"):  # null: Cohere's calls of tools that take nothing
            text = "{}"
        out.append(ToolCall(self.id, self.name, text, self.provider_executed, self.signature))


def whole_call(
    call_id: str,
    name: str,
    arguments: str,
    out: list[Event],
    *,
    provider_executed: bool = False,
    signature: str | None = None,
) -> None:
    """A call that arrives in one piece: start, delta and call at once."""
    PendingCall(call_id, name, provider_executed=provider_executed, signature=signature).complete(out, arguments)


def json_text(value: Any) -> str:
    """Arguments as JSON text: strings are taken as they are, anything else is encoded, null is empty."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


class ChatCalls:
    """The ``tool_calls`` of chat completions.

    Vendors differ in what a delta carries. A piece belongs to the call of its ``index``; without an index to the call
    of its id, else to the latest. A piece with a name may begin a new call all the same: Gemini and some Mistral-style
    servers number every call 0, others give every call the same id. What tells is another name, or arguments that
    begin anew where those of the call were complete. Empty ids are no ids (Alibaba). A call without an id, or with
    one that is taken, gets one made of ``prefix`` and its position.
    """

    def __init__(self) -> None:
        self._open: list[PendingCall] = []
        self._by_index: dict[int, PendingCall] = {}
        self._by_wire_id: dict[str, PendingCall] = {}
        self._count = 0

    def add(self, deltas: list[Any], prefix: str, out: list[Event]) -> None:
        """Take the ``tool_calls`` of one chunk (or of a whole message)."""
        for delta in deltas:
            if isinstance(delta, dict):
                function = delta.get("function")
                self._add(delta, function if isinstance(function, dict) else {}, prefix, out)

    def add_function_call(self, function: Any, prefix: str, out: list[Event]) -> None:
        """Take the legacy ``function_call``: one unnamed slot."""
        if isinstance(function, dict):
            self._add({"index": -1}, function, prefix, out)

    def complete(self, out: list[Event]) -> None:
        """The vendor gave its finish reason: every open call is complete."""
        for call in self._open:
            if call.name or call.has_arguments:
                call.complete(out)
        self._open.clear()
        self._by_index.clear()
        self._by_wire_id.clear()

    def _add(self, delta: dict[str, Any], function: dict[str, Any], prefix: str, out: list[Event]) -> None:
        wire_id = str(delta.get("id") or "")
        name = function.get("name")
        name = name if isinstance(name, str) else ""
        arguments = json_text(function.get("arguments"))
        index = delta.get("index")
        call = self._find(index, wire_id, name)
        if call is not None and name and call.name:
            if arguments == call.arguments and _is_object(arguments):
                return  # the same call, sent twice
            if _begins_another(call, wire_id, name, arguments):
                call = None
        if call is None:
            call = self._begin(wire_id, prefix)
        if isinstance(index, int):
            self._by_index[index] = call
        if wire_id:
            self._by_wire_id[wire_id] = call
        if name and not call.name:
            call.name = name
        call.start(out)
        call.append(arguments, out)

    def _begin(self, wire_id: str, prefix: str) -> PendingCall:
        taken = not wire_id or wire_id in self._by_wire_id
        call = PendingCall(f"{prefix}-call-{self._count}" if taken else wire_id, wire_id=wire_id)
        self._count += 1
        self._open.append(call)
        return call

    def _find(self, index: Any, wire_id: str, name: str) -> PendingCall | None:
        """The call a piece seems to belong to."""
        placed = isinstance(index, int)
        call = self._by_index.get(index) if placed else None
        if call is not None and call.wire_id == wire_id:
            return call
        if wire_id in self._by_wire_id and not (placed and name):
            return self._by_wire_id[wire_id]
        if not placed and not name and self._open:
            return self._open[-1]
        return call


def _begins_another(call: PendingCall, wire_id: str, name: str, arguments: str) -> bool:
    """Whether a piece that names a function begins a call of its own instead of going on with ``call``."""
    if name != call.name:
        return True
    anew = arguments.lstrip().startswith("{")
    if wire_id and wire_id != call.wire_id:
        return anew or not call.has_arguments or _is_object(call.arguments)
    return anew and _is_object(call.arguments)


def _is_object(arguments: str) -> bool:
    """Whether ``arguments`` is a complete JSON object."""
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
