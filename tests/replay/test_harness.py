"""The harness itself: what it lets pass, what it finds, and how it tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.chat.text.patches import PatchLog
from sidecar.replay.app_database import execute
from sidecar.replay.fold import ContractBroken, Folder, RebuiltText
from sidecar.replay.format import MODES, Session, SessionInvalid, load_session, read_steps
from sidecar.replay.lanes import Arrived, Lanes
from sidecar.replay.match import Bindings, Mismatch, UnknownPlaceholder, literal
from sidecar.replay.place import place_of
from sidecar.replay.play import play
from sidecar.replay.player import Difference, Player
from sidecar.replay.provider import Drop, Later, Pause
from sidecar.replay.report import report
from sidecar.replay.script import Pauses, build_answer
from tests.replay.test_replay import SESSIONS

UUID = "9b2f7a52-4a3c-4f2e-8a8c-0123456789ab"

# --- matching --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ({"a": 1, "b": [True, None, "x"]}, {"b": [True, None, "x"], "a": 1}),
        ({"a": 1, "...": True}, {"a": 1, "b": 2}),
        (["a", "${...}"], ["a", "b", "c"]),
        (["${...}"], []),
        (["${any}", "${int}", "${ms}", "${uuid}", "${iso}"], [None, -3, 1.5, UUID, "2026-01-31T12:00:00.000Z"]),
        ("[Request ID: ${uuid:r}] no${any}", f"[Request ID: {UUID}] no and\nmore"),
        ("code: `$${1 + 1}`", "code: `${1 + 1}`"),
        (["${int:a}", "${int:b}", "${int:a}"], [1, 2, 1]),
        (1.0, 1),
    ],
)
def test_these_are_the_same(expected: Any, got: Any) -> None:
    assert Bindings().difference(expected, got) is None


@pytest.mark.parametrize(
    ("expected", "got", "path"),
    [
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "a.b[1]"),
        ({"a": 1}, {"a": 1, "b": 2}, "b"),
        ({"a": 1, "...": True}, {"b": 2}, "a"),
        (["a"], ["a", "b"], "[1]"),
        (["a", "b"], ["a"], "[1]"),
        (1, True, ""),
        (0, False, ""),
        (None, 0, ""),
        ("1", 1, ""),
        ("${int}", True, ""),
        ("${int}", 1.5, ""),
        ("${ms}", -1, ""),
        ("${uuid}", "not-a-uuid", ""),
        ("${iso}", "2026-01-31 12:00:00", ""),
        ("${string}", 1, ""),
        (["${int:a}", "${int:a}"], [1, 2], "[1]"),
        ("begin ${int} end", "begin x end", ""),
        ("begin ${any}", "Begin all", ""),
        ({}, [], ""),
        ([], {}, ""),
    ],
)
def test_these_differ(expected: Any, got: Any, path: str) -> None:
    found = Bindings().difference(expected, got)
    assert found is not None
    assert found.path == path


def test_a_value_nobody_captured_is_no_placeholder() -> None:
    with pytest.raises(UnknownPlaceholder, match="chunky"):
        Bindings({"chunks": "patch"}).fill({"a": ["${chunky}"]})


def test_known_values_are_filled_in_with_their_type() -> None:
    bindings = Bindings({"chunks": "patch"})
    assert bindings.difference({"id": "${any:asked}"}, {"id": 7}) is None
    assert bindings.fill({"id": "${asked}", "text": "no ${asked}: $${x}", "c": ["${chunks}"]}) == {
        "id": 7,
        "text": "no 7: ${x}",
        "c": ["patch"],
    }


@given(st.recursive(st.none() | st.integers() | st.text(alphabet="${}a:ny"), st.lists))  # type: ignore[arg-type]
def test_anything_taken_literally_matches_itself_and_fills_to_itself(value: Any) -> None:
    assert Bindings().difference(literal(value), value) is None
    assert Bindings().fill(literal(value)) == value


# --- folding ---------------------------------------------------------------------------------------------------------


def chunk(seq: int, **members: Any) -> dict[str, Any]:
    return {"method": "chat:response:chunk", "params": {"chatId": 1, "streamId": "s", "seq": seq, **members}}


def first(**more: Any) -> dict[str, Any]:
    rows = [{"id": 1, "role": "user", "content": "hi"}, {"id": 2, "role": "assistant", "content": ""}]
    return chunk(0, messages=rows, **more)


def patch(seq: int, offset: int, content: str, prefix_hash: int | None = None, message: int = 2) -> dict[str, Any]:
    body = {"offset": offset, "content": content}
    if prefix_hash is not None:
        body["prefixHash"] = prefix_hash
    return chunk(seq, streamingMessageId=message, streamingPatch=body)


def end(seq: int) -> dict[str, Any]:
    return {"method": "chat:response:end", "params": {"chatId": 1, "streamId": "s", "seq": seq}}


HASH_OF_HI = ((5381 * 33 ^ ord("H")) * 33 ^ ord("i")) & 0xFFFFFFFF


def test_patches_become_the_text_of_the_last_frame() -> None:
    folder = Folder()
    folder.take(first())
    assert folder.take(patch(1, 0, "Hi")) == (None, None)
    assert folder.take(patch(2, 2, " there", HASH_OF_HI)) == (None, None)
    frame, text = folder.take(end(3))
    assert text == "Hi there"
    assert frame == {"method": "chat:response:end", "params": {"chatId": 1, "streamId": "s"}}


BROKEN = {
    "a gap in seq": [first(), patch(2, 0, "Hi")],
    "a repeated seq": [first(), patch(1, 0, "Hi"), patch(1, 2, "!", HASH_OF_HI)],
    "a wrong hash": [first(), patch(1, 0, "Hi"), patch(2, 2, "!", HASH_OF_HI + 1)],
    "no hash": [first(), patch(1, 0, "Hi"), patch(2, 2, "!")],
    "a hash at offset 0": [first(), patch(1, 0, "Hi", 5381)],
    "an offset past the end": [first(), patch(1, 1, "Hi", 5381)],
    "an offset inside a pair": [first(), patch(1, 0, "👋"), patch(2, 1, "x", (5381 * 33 ^ 0xD83D) & 0xFFFFFFFF)],
    "a patch that changes nothing": [first(), patch(1, 0, "")],
    "another message": [first(), patch(1, 0, "Hi", message=1)],
    "a chunk after the end": [first(), end(1), patch(2, 0, "Hi")],
    "two ends": [first(), end(1), end(2)],
    "an end without a beginning": [end(0)],
    "a stream that begins with a patch": [patch(0, 0, "Hi")],
    "a first row that is not empty": [chunk(0, messages=[{"id": 2, "role": "assistant", "content": "x"}])],
    "another row last": [first(), chunk(1, messages=[{"id": 3, "role": "user", "content": "x"}])],
    "another chat": [first(), {**end(1), "params": {**end(1)["params"], "chatId": 2}}],
}


@pytest.mark.parametrize("frames", BROKEN.values(), ids=BROKEN.keys())
def test_what_the_protocol_forbids_is_found(frames: list[dict[str, Any]]) -> None:
    folder = Folder()
    with pytest.raises(ContractBroken):
        for frame in frames:
            folder.take(frame)


@given(st.lists(st.text(min_size=1, max_size=8), max_size=20), st.integers(0, 19))
def test_the_text_is_rebuilt_from_what_the_sidecar_sends(pieces: list[str], mark_at: int) -> None:
    sent, rebuilt = PatchLog(), RebuiltText()
    for number, piece in enumerate(pieces):
        if number == mark_at:
            sent.mark()
        sent.append(piece)
        if number == mark_at + 3:
            sent.rewind()
        if (taken := sent.take()) is not None:
            rebuilt.patch(taken.offset, taken.content, taken.prefix_hash)
    assert str(rebuilt) == sent.text
    assert len(rebuilt) == len(sent.text.encode("utf-16-le")) // 2


def test_a_byte_order_mark_in_a_text_is_kept() -> None:
    text = RebuiltText()
    text.patch(0, "\ufeffa", None)
    assert str(text) == "\ufeffa"


# --- order -----------------------------------------------------------------------------------------------------------


def notification(chat: int, name: str) -> dict[str, Any]:
    return {"method": name, "params": {"chatId": chat}}


def test_chats_have_no_order_between_them_and_answers_wait_for_their_notifications() -> None:
    lanes = Lanes()
    lanes.sent({"id": 1, "method": "chat:stream", "params": {"chatId": 1}})
    lanes.sent({"id": 2, "method": "chat:cancel", "params": [1]})
    for frame in [notification(2, "a"), notification(1, "end"), {"id": 2, "result": True}, {"id": 1, "result": 1}]:
        lanes.arrived(Arrived(frame))
    assert lanes.take(notification(1, "end")) == Arrived(notification(1, "end"))
    assert lanes.take({"id": 1, "result": 1}) == Arrived({"id": 1, "result": 1})
    assert lanes.left() == [Arrived(notification(2, "a")), Arrived({"id": 2, "result": True})]


def test_what_is_asked_for_the_prompt_has_no_order_with_the_first_chunk() -> None:
    lanes = Lanes()
    asked = {"id": "1", "method": "host:system-prompt", "params": {"chatId": 1}}
    for frame in (asked, notification(1, "chunk"), {**asked, "method": "host:apply-response"}, notification(1, "end")):
        lanes.arrived(Arrived(frame))
    assert lanes.take(notification(1, "chunk")) == Arrived(notification(1, "chunk"))
    assert lanes.take(asked) == Arrived(asked)
    assert lanes.take(notification(1, "end")) != Arrived(notification(1, "end"))


def test_an_answer_before_its_notification_is_what_came() -> None:
    lanes = Lanes()
    lanes.sent({"id": 1, "method": "chat:stream", "params": {"chatId": 1}})
    lanes.arrived(Arrived({"id": 1, "result": 1}))
    assert lanes.take(notification(1, "end")) == Arrived({"id": 1, "result": 1})


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["{", "[]", '{"dir": "in"}', '{"dir": "sideways", "frame": {}}', '{"does": 1}'])
def test_a_line_that_is_no_step_is_named(line: str) -> None:
    with pytest.raises(SessionInvalid, match="story, line 2"):
        read_steps(['{"say": "hello"}', line], Path("story"))


def test_long_strings_are_written_out() -> None:
    (step,) = read_steps(['{"dir": "out", "frame": {}, "text": {"${join}": ["a", {"${repeat}": ["bc", 3]}]}}'], Path())
    assert step.text == "abcbcbc"  # type: ignore[attr-defined]


def test_a_missing_session_is_told() -> None:
    with pytest.raises(SessionInvalid, match="cannot be read"):
        load_session(Path("/no/such/session"))


@pytest.mark.parametrize("folder", SESSIONS, ids=[folder.name for folder in SESSIONS])
def test_every_session_says_what_it_is_about(folder: Path) -> None:
    first_line = json.loads((folder / "session.ndjson").read_text("utf-8").splitlines()[0])
    assert "scenario" in first_line["say"]


# --- the script ------------------------------------------------------------------------------------------------------


def test_steps_stand_where_they_were_written_in_every_dialect() -> None:
    for dialect in ("openai-chat", "openai-responses", "anthropic", "gemini", "cohere"):
        pauses = Pauses()
        pieces = ["one", {"pause": "a"}, "two", {"later-ms": 5}, {"drop": True}]
        steps = build_answer({"dialect": dialect, "pieces": pieces}, pauses).steps
        kinds = [type(step) for step in steps if not isinstance(step, bytes)]
        assert kinds == [Pause, Later, Drop]
        at = steps.index(pauses["a"])
        assert b"one" in b"".join(step for step in steps[:at] if isinstance(step, bytes))
        assert b"two" not in b"".join(step for step in steps[:at] if isinstance(step, bytes))
        assert b"of-the-script" not in b"".join(step for step in steps if isinstance(step, bytes))


@pytest.mark.parametrize(
    "spec", [{}, {"dialect": "klingon"}, {"dialect": "openai-chat", "pieces": [], "odd": 1}, {"raw": [{"wait": 1}]}]
)
def test_an_answer_that_is_none_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(SessionInvalid):
        build_answer(spec, Pauses())


# --- playing ---------------------------------------------------------------------------------------------------------


class SaysWhatItIsTold:
    """A sidecar that answers every line with the next of its lines."""

    def __init__(self, *frames: Any, code: int = 0) -> None:
        self._frames = [frame if isinstance(frame, bytes) else json.dumps(frame).encode() + b"\n" for frame in frames]
        self._code = code
        self._send, self._receive = anyio.create_memory_object_stream[bytes](100)

    async def send(self, data: bytes) -> None:
        if self._frames:
            self._send.send_nowait(self._frames.pop(0))

    async def receive(self) -> bytes:
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            self._receive.close()
            return b""

    async def close_input(self) -> None:
        for frame in self._frames:
            self._send.send_nowait(frame)
        self._frames = []
        self._send.close()

    async def exit_code(self) -> int:
        return self._code

    def log(self) -> str:
        return "something was logged"

    def close(self) -> None:
        self._send.close()
        self._receive.close()


async def found(tmp_path: Path, lines: list[Any], link: SaysWhatItIsTold, timeout_s: float = 5) -> Difference | None:
    steps = read_steps([json.dumps(line) for line in lines], Path("story"))
    session = Session(name="story", steps=steps, script={})
    async with place_of({}, tmp_path) as place:
        try:
            return await Player(session, place, link, mode="patch", timeout_s=timeout_s).play()
        finally:
            link.close()


PING = {"dir": "in", "frame": {"id": 1, "method": "ping"}}
PONG = {"dir": "out", "frame": {"id": 1, "result": {}}}
REAL_PONG = {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.anyio
async def test_the_runner_writes_files_and_holds_the_database_as_somebody_else_would(tmp_path: Path) -> None:
    steps = [
        {"do": "save", "path": "new/a.bin", "content": {"base64": "AP8="}},
        {"do": "file", "path": "new/a.bin", "base64": "AP8="},
        {"do": "file", "path": "new/b.bin", "absent": True},
        {"do": "lock"},
    ]
    assert await found(tmp_path, steps, SaysWhatItIsTold()) is None
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"\0\xff"
    execute(tmp_path / "sqlite.db", "UPDATE chats SET title = 'the lock is gone with the session'")


@pytest.mark.anyio
async def test_an_installation_has_the_files_of_every_app_in_their_order(tmp_path: Path) -> None:
    apps = [
        {"name": "one", "files": {"b": "2", "a": {"base64": "AA=="}}},
        {"name": "two", "files": {"c": {"link": "x"}}},
    ]
    script = {"installation": {"files": {"first": "1"}, "apps": apps, "settings": "no JSON"}}
    async with place_of(script, tmp_path) as place:
        one, two = (place.folder / "scalix-apps" / name for name in ("one", "two"))
        assert sorted(one.iterdir(), key=lambda file: file.stat().st_mtime) == [one / "first", one / "b", one / "a"]
        assert (two / "c").readlink() == Path("x")
        assert (place.folder / "user-settings.json").read_text() == "no JSON"


@pytest.mark.anyio
async def test_a_session_that_goes_as_written_has_no_difference(tmp_path: Path) -> None:
    assert await found(tmp_path, [PING, PONG], SaysWhatItIsTold(REAL_PONG)) is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("frames", "what"),
    [
        ([{"jsonrpc": "2.0", "id": 1, "result": 3}], "something else came"),
        ([REAL_PONG, REAL_PONG], "sent 1 frames that the session does not have"),
        ([], "did not come"),
        ([{"id": 1, "result": {}}], "no JSON-RPC message"),
        ([b"Hello from a library\n"], "no JSON"),
        ([{"jsonrpc": "2.0", **patch(0, 0, "x")}], "broke the protocol"),
    ],
)
async def test_what_is_not_as_written_is_found(tmp_path: Path, frames: list[Any], what: str) -> None:
    difference = await found(tmp_path, [{"say": "A ping."}, PING, PONG], SaysWhatItIsTold(*frames), timeout_s=0.2)
    assert difference is not None
    text = report("story", difference)
    assert what in text
    assert "line 3" in text
    assert "A ping." in text
    assert "→ " in text
    assert "something was logged" in text


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("step", "what"),
    [
        ({"do": "rows", "sql": "SELECT title FROM chats", "are": [["Mine"]]}, "rows[0][0]"),
        ({"do": "requests", "count": 1}, "count"),
        ({"do": "file", "path": "scalix-apps/app/a.ts", "is": "x"}, "scalix-apps/app/a.ts"),
        ({"do": "file", "path": "sqlite.db", "absent": True}, "sqlite.db"),
        ({"do": "file", "path": "sqlite.db", "has": "x"}, "absent"),
        ({"do": "save", "path": "a.ts", "content": {"odd": 1}}, "a.ts"),
        ({"do": "unlock"}, "not locked"),
        ({"do": "exit", "code": 1}, "exit code"),
        ({"do": "wait", "text": {"chatId": 1, "is": "x"}}, "chat 1"),
        ({"do": "wait", "pause": "never"}, "never"),
        ({"dir": "in", "frame": {"id": "${unknown}"}}, "unknown"),
        ({"do": "juggle"}, "juggle"),
        ({"do": "wait"}, "nothing to wait for"),
    ],
)
async def test_what_the_runner_checks_can_fail(tmp_path: Path, step: Any, what: str) -> None:
    difference = await found(tmp_path, [step], SaysWhatItIsTold(), timeout_s=0.1)
    assert difference is not None
    assert what in report("story", difference)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", MODES)
async def test_one_wrong_letter_in_a_long_answer_is_shown(mode: str, tmp_path: Path) -> None:
    folder = next(folder for folder in SESSIONS if folder.name == "ten-thousand-deltas")
    session = load_session(folder)
    place = session.script["answers"]["/v1/chat/completions"][0]
    place["text"] = place["text"][:555_555] + "#" + place["text"][555_556:]
    difference = await play(session, mode=mode, folder=tmp_path)
    assert difference is not None
    assert isinstance(difference.mismatch, Mismatch)
    text = report("long", difference)
    assert "from character 555555" in text
    assert len(text) < 5000
