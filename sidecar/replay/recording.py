"""A recording of ``serve --record`` as a session that can be played.

A recording knows what the host and the sidecar said, not what the provider said or what lay in the database. So both
are made up from it: each chat begins with the rows of its first chunk, less the two new ones; each stream has a
provider of its own which sends the recorded text (``<think>`` becomes reasoning again), waits where the recording had
it still running, and then ends as recorded. Ids, times, paths and usage are not compared. Channels other than the life
cycle and chats are left out, and ``Session.notes`` says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sidecar.replay.entries import Entry, is_request, key_of, params_of, read_entries
from sidecar.replay.fold import CHUNK, TERMINALS
from sidecar.replay.format import Do, Expected, Incoming, Json, Session, SessionInvalid, Step
from sidecar.replay.invented import RecordedStream, installed_chats, provider_of
from sidecar.replay.match import OPEN, literal

PLAYED: Final = frozenset({"initialize", "ping", "shutdown", "exit", "chat:stream", "chat:cancel", "$/cancelRequest"})
_HOST_PLAYED: Final = frozenset({"host:system-prompt", "host:apply-response", "host:check-problems"})
_AFTER_ANSWER: Final = frozenset({"host:apply-response", "host:check-problems"})
_STOPPING: Final = frozenset({"chat:cancel", "$/cancelRequest", "shutdown", "exit"})
_COPIED_CAPABILITIES: Final = ("systemPrompt", "applyResponse", "checkProblems")
_IS_IN_THE_TEXT: Final = "substitutions"
"""The recorded text went through them; a second time they might find more."""
_COMPARED_OF_END: Final = ("chatId", "updatedFiles", "extraFiles", "extraFilesError", "wasCancelled", "chatSummary")
_COMPARED_OF_ERROR: Final = ("chatId", "kind", "retryable")


def load_recording(path: Path) -> Session:
    """The session made of a recording. Raises ``SessionInvalid``."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SessionInvalid(f"The recording cannot be read: {error}.") from error
    return session_of(path.stem, lines)


def session_of(name: str, lines: list[str]) -> Session:
    """As ``load_recording``, from its lines."""
    entries, unfinished, notes = read_entries(lines)
    return _Arrangement(name, entries, unfinished, notes).session()


class _Arrangement:
    """Goes through a recording once to learn, once to write the session."""

    def __init__(self, name: str, entries: list[Entry], unfinished: dict[str, Any], notes: list[str]) -> None:
        self._name = name
        self._entries = entries
        self._notes = notes
        self._streams: dict[str, RecordedStream] = {}
        self._of_request: dict[str, RecordedStream] = {}
        self._refused: set[int] = set()
        """Chats that were there, but did not take a request."""
        self._methods: dict[str, str] = {}
        """Requests of the host by id, as JSON."""
        self._host_methods: dict[str, str] = {}
        """Requests of the sidecar by id, as JSON."""
        self._left_out: Counter[str] = Counter()
        self._mode = "messages"
        self._closed_stdin = False
        self._learn()
        for stream_id, text in unfinished.items():
            if (stream := self._streams.get(stream_id)) is not None:
                stream.text = text

    def session(self) -> Session:
        """The whole session."""
        steps = [step for entry in self._entries for step in self._steps(entry)]
        last = self._entries[-1].number if self._entries else 0
        unended = [stream for stream in self._streams.values() if stream.terminal is None]
        steps += [self._wait_for(stream, last) for stream in unended]
        if unended or self._unanswered():
            steps.append(Do(number=last, verb="stop", members={}))
        streams = list(self._streams.values())
        notes = [*self._notes, *(f"{count} × {method} is not played" for method, count in self._left_out.items())]
        notes += [note for stream in streams for note in stream.notes()]
        return Session(name=self._name, steps=steps, script=self._script(streams), modes=(self._mode,), notes=notes)

    def _script(self, streams: list[RecordedStream]) -> Json:
        settings = {
            "autoApproveChanges": any("host:apply-response" in stream.host_methods for stream in streams),
            "enableAutoFixProblems": any("host:check-problems" in stream.host_methods for stream in streams),
        }
        providers = [provider_of(stream) for stream in streams]
        return {
            "installation": {
                "chats": installed_chats(streams, self._refused),
                "providers": [provider for provider, _ in providers],
                "settings": settings,
            },
            "answers": {stream.path: answers for stream, (_, answers) in zip(streams, providers, strict=True)},
        }

    def _unanswered(self) -> bool:
        asked = {
            key_of(e.frame["id"]) for e in self._entries if e.incoming and is_request(e.frame) and _is_played(e.frame)
        }
        answered = {key_of(e.frame.get("id")) for e in self._entries if not e.incoming and "method" not in e.frame}
        return bool(asked - answered)

    # --- learning ----------------------------------------------------------------------------------------------------

    def _learn(self) -> None:
        waiting: dict[Any, list[Entry]] = {}
        for entry in self._entries:
            frame, params = entry.frame, params_of(entry.frame)
            method = frame.get("method")
            if entry.incoming:
                if is_request(frame):
                    self._methods[key_of(frame["id"])] = frame["method"]
                if method == "chat:stream":
                    waiting.setdefault(params.get("chatId"), []).append(entry)
                elif method == "initialize":
                    self._mode = params_of({"params": params.get("capabilities")}).get("chunks", "messages")
            elif method == CHUNK and params.get("seq") == 0:
                requests = waiting.get(params["chatId"], [])
                self._learn_stream(params, requests.pop(0) if requests else None)
            elif method in TERMINALS and (stream := self._streams.get(str(params.get("streamId")))) is not None:
                stream.terminal, stream.method, stream.text = params, str(method), entry.text or ""
            elif "method" not in frame and self._methods.get(key_of(frame.get("id"))) == "chat:stream":
                self._forget_refused(waiting, frame)
            elif is_request(frame):
                self._learn_host_request(frame)

    def _learn_stream(self, params: Json, request: Entry | None) -> None:
        given = params_of(request.frame) if request is not None else {}
        stream = RecordedStream(
            number=len(self._streams) + 1,
            chat_id=params["chatId"],
            stream_id=params["streamId"],
            rows=params["messages"],
            model=params.get("effectiveModel") or {"provider": "", "name": "model"},
            prompt=given.get("prompt", ""),
            redo=bool(given.get("redo")),
        )
        self._streams[stream.stream_id] = stream
        if request is not None:
            self._of_request[key_of(request.frame["id"])] = stream

    def _forget_refused(self, waiting: dict[Any, list[Entry]], frame: Json) -> None:
        """An answered ``chat:stream`` that never became a stream waits for none."""
        error = params_of({"params": frame.get("error")})
        for chat, requests in waiting.items():
            left = [entry for entry in requests if key_of(entry.frame["id"]) != key_of(frame.get("id"))]
            was_there = error and params_of({"params": error.get("data")}).get("code") != "NOT_FOUND"
            if len(left) < len(requests) and was_there and isinstance(chat, int):
                self._refused.add(chat)
            requests[:] = left

    def _learn_host_request(self, frame: Json) -> None:
        self._host_methods[key_of(frame["id"])] = frame["method"]
        chat = params_of(frame).get("chatId")
        running = [stream for stream in self._streams.values() if stream.chat_id == chat and stream.terminal is None]
        if running:
            running[-1].host_methods.append(frame["method"])

    # --- writing -----------------------------------------------------------------------------------------------------

    def _steps(self, entry: Entry) -> Iterator[Step]:
        if entry.incoming:
            yield from self._incoming(entry)
        elif "method" not in entry.frame:
            yield from self._answer(entry)
        elif is_request(entry.frame):
            yield from self._host_request(entry)
        else:
            yield from self._notification(entry)

    def _incoming(self, entry: Entry) -> Iterator[Step]:
        frame, number = entry.frame, entry.number
        if "method" not in frame:
            if self._host_methods.get(key_of(frame.get("id"))) in _HOST_PLAYED:
                answer = {**literal(frame), "id": f"${{host-{frame['id']}}}"}
                if isinstance(answer.get("result"), dict):
                    answer["result"].pop(_IS_IN_THE_TEXT, None)
                yield Incoming(number=number, frame=answer)
            return
        if not _is_played(frame):
            self._left_out[frame["method"]] += 1
            return
        if frame["method"] in _STOPPING:
            yield from self._wait_for_what_is_stopped(number)
        yield Incoming(number=number, frame=self._playable(frame))
        if (stream := self._of_request.get(key_of(frame.get("id")))) is not None:
            stream.running = True

    def _playable(self, frame: Json) -> Json:
        filled: Json = literal(frame)
        params = params_of(filled)
        if frame["method"] == "initialize":
            capabilities = params_of({"params": params.get("capabilities")})
            kept = {name: capabilities[name] for name in _COPIED_CAPABILITIES if name in capabilities}
            wanted: Json = {"capabilities": {"chunks": "${chunks}", **kept}}
            if "protocolVersion" in params:
                wanted["protocolVersion"] = params["protocolVersion"]
            return {**filled, "params": wanted}
        stream = self._of_request.get(key_of(frame.get("id"))) or self._of_intent(params)
        params = {key: value for key, value in params.items() if key != _IS_IN_THE_TEXT}
        if stream is not None:
            params["model"] = stream.own_model()
        return {**filled, "params": params} if frame["method"] == "chat:stream" else filled

    def _of_intent(self, params: Json) -> RecordedStream | None:
        """The stream that a repeated request began with its first copy: it must ask for the same model."""
        same = [
            self._of_request[key_of(entry.frame["id"])]
            for entry in self._entries
            if is_request(entry.frame)
            and key_of(entry.frame["id"]) in self._of_request
            and params_of(entry.frame).get("intentId") == params.get("intentId")
            and params_of(entry.frame).get("chatId") == params.get("chatId")
        ]
        return same[0] if same and "intentId" in params else None

    def _wait_for_what_is_stopped(self, number: int) -> Iterator[Step]:
        for stream in self._streams.values():
            if stream.running and stream.was_cancelled:
                yield self._wait_for(stream, number)

    def _wait_for(self, stream: RecordedStream, number: int) -> Do:
        """The provider has sent, and the host has seen, everything up to where the recording stops."""
        visible = stream.visible()
        if not visible:
            return Do(number=number, verb="wait", members={"pause": stream.stop_pause})
        return Do(number=number, verb="wait", members={"text": {"chatId": stream.chat_id, "is": visible}})

    def _answer(self, entry: Entry) -> Iterator[Step]:
        frame = entry.frame
        method = self._methods.get(key_of(frame.get("id")))
        if method not in PLAYED:
            return
        expected: Json = literal(frame)
        if "error" in frame:
            error = frame["error"]
            told = {"code": error.get("code"), "message": "${string}", OPEN: True}
            if (code := params_of({"params": error.get("data")}).get("code")) is not None:
                told["data"] = {"code": code, OPEN: True}
            expected = {**expected, "error": told}
        elif method == "initialize":
            version = params_of({"params": frame["result"]}).get("protocolVersion")
            expected = {**expected, "result": {"protocolVersion": version, OPEN: True}}
        yield Expected(number=entry.number, frame=expected)

    def _host_request(self, entry: Entry) -> Iterator[Step]:
        frame, params = entry.frame, params_of(entry.frame)
        if frame["method"] not in _HOST_PLAYED:
            return
        if frame["method"] in _AFTER_ANSWER:
            yield from self._resume(params.get("chatId"), entry.number)
        compared = {name: literal(params[name]) for name in ("chatId", "response", "chatSummary") if name in params}
        expected: Json = {
            "id": f"${{any:host-{frame['id']}}}",
            "method": frame["method"],
            "params": {**compared, OPEN: True},
        }
        yield Expected(number=entry.number, frame=expected)

    def _resume(self, chat_id: Any, number: int) -> Iterator[Step]:
        for stream in self._streams.values():
            if stream.chat_id == chat_id and stream.running and stream.is_held:
                stream.is_held = False
                yield Do(number=number, verb="resume", members={"pause": stream.end_pause})

    def _notification(self, entry: Entry) -> Iterator[Step]:
        method, params = entry.frame["method"], params_of(entry.frame)
        if method == CHUNK and params.get("seq") == 0:
            own_prompts = [stream.own_prompt() for stream in self._streams.values()]
            made = {row for row, as_sent in own_prompts if not as_sent}
            yield Expected(number=entry.number, frame=self._streams[params["streamId"]].first_chunk(made))
        elif method in TERMINALS:
            stream = self._streams.get(str(params.get("streamId")))
            if stream is None:
                yield Expected(number=entry.number, frame=literal(entry.frame))
            else:
                yield from self._terminal(stream, entry.number)

    def _terminal(self, stream: RecordedStream, number: int) -> Iterator[Step]:
        if stream.was_cancelled and not self._was_stopped_by_host(stream, number) and not self._closed_stdin:
            self._closed_stdin = True
            yield from self._wait_for_what_is_stopped(number)
            yield Do(number=number, verb="close-stdin", members={})
        if not stream.was_cancelled:
            yield from self._resume(stream.chat_id, number)
        stream.running = False
        yield Expected(number=number, frame=_expected_terminal(stream), text=literal(stream.text))

    def _was_stopped_by_host(self, stream: RecordedStream, before: int) -> bool:
        """Whether the host asked for the end; else the end of its input did it."""
        for entry in self._entries:
            if entry.number >= before:
                return False
            if not entry.incoming or entry.frame.get("method") not in _STOPPING:
                continue
            if self._stops(entry.frame, stream):
                return True
        return False

    def _stops(self, frame: Json, stream: RecordedStream) -> bool:
        params = frame.get("params")
        if frame["method"] == "chat:cancel":
            return params == [stream.chat_id] or params_of(frame).get("chatId") == stream.chat_id
        if frame["method"] == "$/cancelRequest":
            return self._of_request.get(key_of(params_of(frame).get("id"))) is stream
        return True


def _expected_terminal(stream: RecordedStream) -> Json:
    terminal = stream.terminal or {}
    expected: Json = {"streamId": stream.placeholder, OPEN: True}
    if "messageId" in terminal:
        expected["messageId"] = f"${{int:m{terminal['messageId']}}}"
    if stream.method == "chat:response:error":
        expected |= {name: terminal[name] for name in _COMPARED_OF_ERROR if name in terminal}
        if stream.is_scriptable:
            expected |= {"code": terminal.get("code"), "error": stream.expected_sentence()}
        else:
            expected = {key: value for key, value in expected.items() if key not in {"kind", "retryable"}}
    else:
        expected |= {name: literal(terminal[name]) for name in _COMPARED_OF_END if name in terminal}
        expected["model"] = stream.own_model()
        if not stream.was_cancelled:
            expected["finishReason"] = stream.expected_finish()
    return {"method": stream.method, "params": expected}


def _is_played(frame: Json) -> bool:
    return frame.get("method") in PLAYED
