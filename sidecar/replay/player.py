"""Plays one session against one sidecar and finds the first difference.

What a ``{"do": ...}`` line may do::

    {"do": "wait", "text": {"chatId": 1, "is": "Hel"}}      the rebuilt answer is this ("has", "begins")
    {"do": "wait", "pause": "a"}                            the provider has got that far
    {"do": "wait", "requests": 2}                           the provider has that many requests
    {"do": "wait", "gone": 1}                               the sidecar hung up on the first request
    {"do": "resume", "pause": "a"}
    {"do": "requests", "count": 2, "are": [{...}]}          what the provider got: method, path, headers, json;
                                                            members not named are not looked at
    {"do": "rows", "sql": "SELECT ...", "are": [[...]]}     what the database holds
    {"do": "sql", "sql": "UPDATE ..."}                      somebody else writes to it
    {"do": "file", "path": "src/a.ts", "is": "..."}         what a file holds ("base64": ..., "absent": true);
                                                            relative to ${folder}
    {"do": "save", "path": "src/a.ts", "content": "..."}    somebody else writes it (a content as in an installation)
    {"do": "lock"}, {"do": "unlock"}                        somebody else holds the database's write lock
    {"do": "sent", "chatId": 1, "unitsAtMost": 1000}        UTF-16 units sent after the first chunk of the newest stream
    {"do": "close-stdin"}
    {"do": "exit", "code": 0}                               the sidecar ends (after exit, or end of stdin)
    {"do": "stop"}                                          what comes now is not part of the session
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec

from sidecar.replay.app_database import execute, rows, write_lock
from sidecar.replay.fold import ContractBroken, Folder
from sidecar.replay.format import Do, Expected, Incoming, Say, Session, SessionInvalid, Step
from sidecar.replay.lanes import Arrived, Lanes
from sidecar.replay.links import Link
from sidecar.replay.match import OPEN, Bindings, Mismatch, UnknownPlaceholder
from sidecar.replay.place import Place, file_content, write_file
from sidecar.transport.framing import LineFramer

TIMEOUT_S: Final = 30.0
"""How long the next expected thing may take."""

CONTEXT_LINES: Final = 8
_SHOWN_CHARS: Final = 180

Json = dict[str, Any]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first place where a sidecar did something else than the session says."""

    line: int
    """Of the session, from 1."""
    what: str
    """A clause that goes on after "line 7: "."""
    mismatch: Mismatch | None = None
    said: str = ""
    """The session's last remark."""
    before: list[str] = []
    """What was sent and received last, oldest first."""
    log: str = ""
    """The end of the sidecar's log."""


class _Differs(Exception):
    """Ends the play at the first difference."""

    def __init__(self, what: str, mismatch: Mismatch | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.mismatch = mismatch


class Player:
    """One play of one session. ``mode`` is the chunk mode, known to the session as ``${chunks}``."""

    def __init__(self, session: Session, place: Place, link: Link, *, mode: str, timeout_s: float = TIMEOUT_S) -> None:
        self._session = session
        self._place = place
        self._link = link
        self._mode = mode
        self._timeout_s = timeout_s
        known = {"chunks": mode, "provider": place.provider.base_url, "folder": str(place.folder)}
        self._bindings = Bindings(known)
        self._folder = Folder()
        self._lanes = Lanes()
        self._transcript: deque[str] = deque(maxlen=CONTEXT_LINES)
        self._changed = anyio.Event()
        self._broken: ContractBroken | None = None
        self._ended = False
        self._other: sqlite3.Connection | None = None
        """Somebody else's connection, while it holds the database's write lock."""
        self._step: Step = Say(number=0, text="")
        self._said = ""
        self._verbs: dict[str, Callable[[Json], Awaitable[None]]] = {
            "wait": self._wait,
            "resume": self._resume,
            "requests": self._requests,
            "rows": self._rows,
            "sql": self._sql,
            "file": self._file,
            "save": self._save,
            "lock": self._lock,
            "unlock": self._unlock,
            "sent": self._sent,
            "close-stdin": self._close_stdin,
            "exit": self._exit,
        }

    async def play(self) -> Difference | None:
        """The first difference, or None when the session went as written. A line that cannot be played is one."""
        difference: Difference | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read)
            try:
                await self._story()
            except _Differs as found:
                difference = self._difference(found)
            except (UnknownPlaceholder, SessionInvalid) as error:
                difference = self._difference(_Differs(f"is not playable: {error}"))
            tasks.cancel_scope.cancel()
        if self._other is not None:
            self._other.close()
        return difference

    def _difference(self, found: _Differs) -> Difference:
        return Difference(
            line=self._step.number,
            what=found.what,
            mismatch=found.mismatch,
            said=self._said,
            before=list(self._transcript),
            log=self._link.log(),
        )

    # --- the story ---------------------------------------------------------------------------------------------------

    async def _story(self) -> None:
        for step in self._session.steps:
            if self._mode not in step.modes:
                continue
            self._step = step
            match step:
                case Say(text=text):
                    self._said = text
                case Incoming():
                    await self._send(step)
                case Expected():
                    await self._expect(step)
                case Do(verb="stop"):
                    return
                case Do():
                    await self._do(step)
        await self._link.close_input()
        await self._in_time(self._link.exit_code, "the sidecar did not end after the end of its stdin")
        await self._until(lambda: self._ended, "its output did not end")
        if left := self._lanes.left():
            raise _Differs(
                f"is the last, but the sidecar also sent {len(left)} frames that the session does not have",
                Mismatch("", None, left[0].frame, "was not expected"),
            )

    async def _send(self, step: Incoming) -> None:
        if step.frame is None:
            line = step.raw or ""
        else:
            frame = {"jsonrpc": "2.0", **self._bindings.fill(step.frame)}
            self._lanes.sent(frame)
            line = _line(frame)
        self._transcript.append(f"→ {shown(line)}")
        try:
            await self._link.send(line.encode("utf-8", "surrogatepass") + b"\n")
        except anyio.BrokenResourceError as error:
            raise _Differs("cannot be sent: the sidecar is gone") from error

    async def _expect(self, step: Expected) -> None:
        taken: list[Arrived] = []

        def came() -> bool:
            arrived = self._lanes.take(step.frame)
            if arrived is not None:
                taken.append(arrived)
            return bool(taken)

        expected = step.frame
        await self._until(came, f"was expected, but did not come: {shown(_json(expected))}")
        arrived = taken[0]
        mismatch = self._bindings.difference(expected, arrived.frame)
        if mismatch is None and step.text is not None:
            mismatch = self._bindings.difference(step.text, arrived.text, "text")
        if mismatch is not None:
            raise _Differs("was expected, and something else came", mismatch)

    async def _do(self, step: Do) -> None:
        verb = self._verbs.get(step.verb)
        if verb is None:
            raise SessionInvalid(f'Line {step.number}: the runner cannot do "{step.verb}".')
        self._transcript.append(f"· {shown(_json({'do': step.verb, **step.members}))}")
        await verb(step.members)

    # --- what it can do ----------------------------------------------------------------------------------------------

    async def _wait(self, members: Any) -> None:
        provider = self._place.provider
        match members:
            case {"text": {"chatId": int(chat), **condition}}:
                what = f"the answer of chat {chat} did not become what was waited for"
                await self._until(lambda: self._text_fits(chat, condition), what, lambda: self._text(chat))
            case {"pause": str(name)}:
                pause = self._place.pauses[name]
                await self._in_time(pause.reached.wait, f'the provider did not get to the pause "{name}"')
            case {"requests": int(count)}:
                await self._in_time(partial(provider.request_number, count), f"request {count} did not come")
            case {"gone": int(number)}:
                request = provider.requests[number - 1]
                await self._in_time(request.gone.wait, f"the sidecar did not hang up on request {number}")
            case _:
                raise SessionInvalid(f"nothing to wait for in {members}")

    def _text(self, chat_id: int) -> str | None:
        stream = self._folder.stream(chat_id)
        return None if stream is None else str(stream.text)

    def _text_fits(self, chat_id: int, condition: Any) -> bool:
        text = self._text(chat_id)
        if text is None:
            return False
        match condition:
            case {"is": wanted}:
                return bool(text == wanted)
            case {"has": wanted}:
                return wanted in text
            case {"begins": wanted}:
                return text.startswith(wanted)
        raise SessionInvalid('a text "is", "has" or "begins"')

    async def _resume(self, members: Json) -> None:
        self._place.pauses[members["pause"]].resume()

    async def _requests(self, members: Json) -> None:
        requests = self._place.provider.requests
        if (count := members.get("count")) is not None and count != len(requests):
            raise _Differs("counts the provider's requests", Mismatch("count", count, len(requests)))
        if "are" not in members:
            return
        got = [request_as_json(request) for request in requests]
        expected = [{OPEN: True, **_with_open_headers(wanted)} for wanted in members["are"]]
        self._compare(expected, got, "looks at the provider's requests", "requests")

    async def _rows(self, members: Json) -> None:
        found = await anyio.to_thread.run_sync(rows, self._place.database, members["sql"])
        self._compare(members["are"], [list(row.values()) for row in found], "looks into the database", "rows")

    async def _sql(self, members: Json) -> None:
        await anyio.to_thread.run_sync(execute, self._place.database, members["sql"])

    async def _file(self, members: Json) -> None:
        filled = self._bindings.fill(members["path"])
        content = await anyio.to_thread.run_sync(file_content, self._place.folder / filled)
        expected = {key: value for key, value in members.items() if key != "path"}
        if list(expected) not in (["is"], ["base64"], ["absent"]):
            raise SessionInvalid('a file "is", "base64" or "absent"')
        got: Json = {"absent": True} if content is None else {}
        if content is not None:
            as_text = content.decode("utf-8", "replace")
            got = {"is": as_text} if "is" in expected else {"base64": base64.b64encode(content).decode()}
        self._compare(expected, got, "looks at a file", filled)

    async def _save(self, members: Json) -> None:
        path = self._place.folder / self._bindings.fill(members["path"])
        await anyio.to_thread.run_sync(write_file, path, self._bindings.fill(members["content"]))

    async def _lock(self, _members: Json) -> None:
        self._other = await anyio.to_thread.run_sync(write_lock, self._place.database)

    async def _unlock(self, _members: Json) -> None:
        if self._other is None:
            raise SessionInvalid("the database is not locked")
        await anyio.to_thread.run_sync(self._other.close)
        self._other = None

    async def _sent(self, members: Json) -> None:
        stream = self._folder.stream(members["chatId"])
        units = 0 if stream is None else stream.content_units
        if units > members["unitsAtMost"]:
            raise _Differs("limits what is sent", Mismatch("unitsAtMost", members["unitsAtMost"], units, "is more"))

    async def _close_stdin(self, _members: Json) -> None:
        await self._link.close_input()

    async def _exit(self, members: Json) -> None:
        code = await self._in_time(self._link.exit_code, "the sidecar did not end")
        self._compare(members["code"], code, "looks at the exit code", "code")

    def _compare(self, expected: Any, got: Any, what: str, name: str) -> None:
        mismatch = self._bindings.difference(expected, got, name)
        if mismatch is not None:
            raise _Differs(f"{what}, and finds something else", mismatch)

    # --- what comes --------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        framer = LineFramer()
        try:
            while data := await self._link.receive():
                for line in framer.feed(data):
                    self._line(line)
                self._notify()
        except ContractBroken as broken:
            self._broken = broken
        self._ended = True
        self._notify()

    def _line(self, line: Any) -> None:
        try:
            value = json.loads(line)
        except (TypeError, ValueError) as error:
            raise ContractBroken(f"a line that is no JSON: {line[:200]!r}") from error
        for frame in value if isinstance(value, list) else [value]:
            self._frame(frame)

    def _frame(self, frame: Json) -> None:
        if not isinstance(frame, dict) or frame.pop("jsonrpc", None) != "2.0":
            raise ContractBroken(f"a line that is no JSON-RPC message: {frame!r:.200}")
        folded, text = self._folder.take(frame)
        if folded is None:
            return
        self._transcript.append(f"← {shown(_json(folded))}")
        if text:
            self._transcript.append(f"  text {shown(_json(text))}")
        self._lanes.arrived(Arrived(folded, text))

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    # --- time --------------------------------------------------------------------------------------------------------

    async def _until(self, condition: Callable[[], bool], what: str, got: Callable[[], Any] | None = None) -> None:
        with anyio.move_on_after(self._timeout_s):
            while not condition():
                if self._broken is not None:
                    raise _Differs(f"was next, when the sidecar broke the protocol: {self._broken}")
                if self._ended:
                    raise _Differs(f"{what}; the sidecar has ended", self._left(got))
                await self._changed.wait()
            return
        raise _Differs(f"{what} within {self._timeout_s:g} seconds", self._left(got))

    def _left(self, got: Callable[[], Any] | None) -> Mismatch | None:
        """What to show of something that did not come: what came instead."""
        if got is not None:
            return Mismatch("text", self._step.members if isinstance(self._step, Do) else None, got())
        left = self._lanes.left()
        return Mismatch("", None, left[0].frame, "came instead") if left else None

    async def _in_time(self, wait: Callable[[], Awaitable[Any]], what: str) -> Any:
        with anyio.move_on_after(self._timeout_s):
            return await wait()
        raise _Differs(f"{what} within {self._timeout_s:g} seconds")


def request_as_json(request: Any) -> Json:
    """A provider's request as ``requests`` compares it."""
    try:
        body = request.json
    except ValueError:
        body = None
    return {"method": request.method, "path": request.path, "headers": request.headers, "json": body}


def _with_open_headers(wanted: Json) -> Json:
    return {**wanted, "headers": {OPEN: True, **wanted["headers"]}} if "headers" in wanted else wanted


def _line(frame: Json) -> str:
    """As JavaScript writes it: lone surrogates have no UTF-8 form and stay escapes."""
    line = json.dumps(frame, ensure_ascii=False)
    lone = any("\ud800" <= letter <= "\udfff" for letter in line)
    return json.dumps(frame) if lone else line


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def shown(text: str, limit: int = _SHOWN_CHARS) -> str:
    """A line short enough to read: its beginning and its end."""
    return text if len(text) <= limit else f"{text[: limit - 60]} … {text[-57:]}"
