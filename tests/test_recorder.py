"""``serve --record``: everything is in the file but secrets, and recording never gets in the way."""

from __future__ import annotations

import base64
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from sidecar.redaction import register_secret
from sidecar.replay.recorded import RecordedLines
from sidecar.secret import SecretText
from sidecar.transport.memory import MemoryTransport
from sidecar.transport.recorder import RecordingTransport
from tests.host import process_host
from tests.installation import Installation, installation

pytestmark = pytest.mark.anyio

KEY = "sk-proj-Abc123Def456Ghi789"
PLAIN = "correct horse battery"
"""A secret that looks like nothing in particular."""
ENCODED = base64.b64encode(PLAIN.encode()).decode()
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.fixture
def inner() -> Iterator[MemoryTransport]:
    """What is recorded; closed at both ends afterwards."""
    transport = MemoryTransport()
    yield transport
    transport.host_close()
    anyio.run(transport.aclose)


def recorded(*frames: tuple[str, Any]) -> list[dict[str, Any]]:
    lines = RecordedLines()
    written = [lines.line(1.0, direction, _bytes(frame)) for direction, frame in frames]  # type: ignore[arg-type]
    return [json.loads(line) for line in [*written, *lines.rest(2.0)]]


def _bytes(frame: Any) -> bytes:
    return frame if isinstance(frame, bytes) else json.dumps(frame).encode()


def chunk(seq: int, **members: Any) -> dict[str, Any]:
    params = {"chatId": 1, "streamId": "s", "seq": seq, **members}
    return {"jsonrpc": "2.0", "method": "chat:response:chunk", "params": params}


def first(content: str = "") -> dict[str, Any]:
    return chunk(
        0, messages=[{"id": 1, "role": "user", "content": "hi"}, {"id": 2, "role": "assistant", "content": content}]
    )


LEAKS: dict[str, list[tuple[str, Any]]] = {
    "a key in a settings change": [
        (
            "in",
            {
                "id": 1,
                "method": "set-user-settings",
                "params": {"providerSettings": {"openai": {"apiKey": {"value": PLAIN}}}},
            },
        )
    ],
    "a key in a settings change without an envelope": [
        ("in", {"id": 1, "method": "set-user-settings", "params": {"providerSettings": {"x": {"apiKey": PLAIN}}}})
    ],
    "a secret of another service": [
        ("in", {"id": 1, "method": "set-user-settings", "params": {"aws": {"secretAccessKey": {"value": PLAIN}}}}),
        ("in", {"id": 2, "method": "set-user-settings", "params": {"supabase": {"accessToken": {"value": PLAIN}}}}),
        ("in", {"id": 3, "method": "set-user-settings", "params": {"sentry": {"dsn": {"value": PLAIN}}}}),
        ("in", {"id": 4, "method": "set-user-settings", "params": {"githubAccessToken": {"value": PLAIN}}}),
    ],
    "the settings with their secrets open": [
        (
            "out",
            {
                "id": 1,
                "result": {"providerSettings": {"auto": {"apiKey": {"value": PLAIN, "encryptionType": "plaintext"}}}},
            },
        )
    ],
    "an answer of host:decrypt-secrets": [
        (
            "in",
            {"id": "sidecar-1", "result": {"secrets": [{"id": "providerSettings.openai.apiKey", "plaintext": PLAIN}]}},
        )
    ],
    "a question of host:encrypt-secrets": [
        (
            "out",
            {
                "id": "sidecar-1",
                "method": "host:encrypt-secrets",
                "params": {"secrets": [{"id": "a", "plaintext": PLAIN}]},
            },
        )
    ],
    "a locked secret": [
        (
            "out",
            {
                "id": "sidecar-1",
                "method": "host:decrypt-secrets",
                "params": {"secrets": [{"id": "a", "value": PLAIN, "encryptionType": "electron-safe-storage"}]},
            },
        )
    ],
    "an Authorization header in an error": [
        ("out", {"id": 1, "error": {"code": -32000, "message": f"refused: Authorization: Bearer {TOKEN}", "data": {}}}),
        (
            "out",
            {
                "method": "chat:response:error",
                "params": {"chatId": 1, "error": f'Details: {{"authorization": "Bearer {KEY}"}}'},
            },
        ),
    ],
    "a key in a URL": [
        (
            "out",
            {"id": 1, "error": {"code": -32000, "message": f"https://x.test/v1?key={KEY}&alt=sse failed", "data": {}}},
        ),
        (
            "in",
            {
                "id": 1,
                "method": "create-custom-language-model-provider",
                "params": {"apiBaseUrl": f"https://me:{KEY}@x.test/v1"},
            },
        ),
    ],
    "headers of a model call": [
        ("in", {"id": 1, "method": "llm:stream", "params": {"headers": {"X-Company-Auth": PLAIN, "Cookie": TOKEN}}})
    ],
    "a key in a prompt": [
        ("in", {"id": 1, "method": "chat:stream", "params": {"chatId": 1, "prompt": f"use {KEY} please"}})
    ],
    "a known secret that comes back in an error": [
        ("in", {"id": "sidecar-1", "result": {"secrets": [{"id": "a", "plaintext": PLAIN}]}}),
        ("out", {"id": 1, "error": {"code": -32000, "message": f"Incorrect key provided: {PLAIN}.", "data": {}}}),
    ],
    "a known secret as the name of a member": [
        ("in", {"id": "sidecar-1", "result": {"secrets": [{"id": "a", "plaintext": PLAIN}]}}),
        ("out", {"id": 1, "result": {PLAIN: 1}}),
    ],
    "a line that is no JSON": [("in", b'{"params": {"apiKey": {"value": "' + PLAIN.encode() + b'"')],
    "a line nested too deeply": [("in", b"[" * 100_000 + PLAIN.encode())],
    "an attachment": [
        (
            "in",
            {
                "id": 1,
                "method": "chat:stream",
                "params": {
                    "attachments": [
                        {"name": "a.env", "type": "text/plain", "data": f"data:text/plain;base64,{ENCODED}"}
                    ]
                },
            },
        )
    ],
    "a key in the answer, cut in two by patches": [
        ("out", first()),
        ("out", chunk(1, streamingMessageId=2, streamingPatch={"offset": 0, "content": "Use " + KEY[:11]})),
        ("out", {**chunk(2), "method": "chat:response:error"}),
    ],
    "a key in an answer that never ends": [
        ("out", first()),
        ("out", chunk(1, streamingMessageId=2, streamingPatch={"offset": 0, "content": f"Use {KEY}"})),
    ],
    "a key in the parts of a model call": [
        (
            "out",
            {
                "method": "llm:part",
                "params": {"callId": "c", "seq": n, "part": {"type": "text-delta", "id": "0", "delta": delta}},
            },
        )
        for n, delta in enumerate([KEY[:5], KEY[5:12], KEY[12:]])
    ]
    + [("out", {"method": "llm:part", "params": {"callId": "c", "seq": 3, "part": {"type": "finish"}}})],
    "a key in the pieces of a help answer": [
        ("out", {"method": "help:chat:response:chunk", "params": {"sessionId": "h", "delta": delta, "type": "text"}})
        for delta in (KEY[:5], KEY[5:])
    ]
    + [("out", {"method": "help:chat:response:end", "params": {"sessionId": "h"}})],
}


@pytest.mark.parametrize("frames", LEAKS.values(), ids=LEAKS.keys())
def test_no_secret_is_written(frames: list[tuple[str, Any]]) -> None:
    written = json.dumps(recorded(*frames), ensure_ascii=False)
    for secret in (PLAIN, KEY, TOKEN, KEY[3:], ENCODED):
        assert secret not in written
    assert KEY[8:] not in written


def test_a_key_cut_by_patches_is_hidden_in_the_whole_text() -> None:
    seed = 5381
    for letter in "Use sk-proj":
        seed = (seed * 33 ^ ord(letter)) & 0xFFFFFFFF
    second = {"offset": 11, "content": KEY[7:] + " here", "prefixHash": seed}
    *_, one, two, last = recorded(
        ("out", first()),
        ("out", chunk(1, streamingMessageId=2, streamingPatch={"offset": 0, "content": "Use sk-proj"})),
        ("out", chunk(2, streamingMessageId=2, streamingPatch=second)),
        ("out", {**chunk(3), "method": "chat:response:end"}),
    )
    assert one["frame"]["params"]["streamingPatch"] == {"offset": 0, "units": 11}
    assert two["frame"]["params"]["streamingPatch"] == {"offset": 11, "units": len(KEY) - 7 + 5}
    assert last["text"] == "Use sk-*** here"


def test_a_secret_of_this_process_is_hidden_whatever_it_looks_like() -> None:
    register_secret(SecretText("nothing-special-7"))
    (line,) = recorded(("in", {"id": 1, "method": "chat:stream", "params": {"prompt": "nothing-special-7 here"}}))
    assert line["frame"]["params"]["prompt"] == "*** here"


def test_long_texts_are_kept_whole() -> None:
    text = "A sentence that is no secret. " * 100_000
    (line,) = recorded(("in", {"id": 1, "method": "chat:stream", "params": {"prompt": text, "chatId": 7}}))
    assert line == {
        "t": 1.0,
        "dir": "in",
        "frame": {"id": 1, "method": "chat:stream", "params": {"prompt": text, "chatId": 7}},
    }


def test_what_is_no_secret_stays_as_it_is() -> None:
    frame = {
        "jsonrpc": "2.0",
        "id": 3,
        "result": {
            "usage": {"inputTokens": 5, "totalTokens": None, "tokens_used": 3},
            "envVarName": "OPENAI_API_KEY",
            "text": "half an emoji \ud83d and a whole one 👋",
            "lockedSecrets": [],
            "apiKey": None,
            "ok": True,
        },
    }
    (line,) = recorded(("out", frame))
    assert line["frame"] == frame


async def test_everything_passes_and_times_grow(inner: MemoryTransport, tmp_path: Path) -> None:
    seconds = iter(range(100))
    transport = RecordingTransport(inner, tmp_path / "r.ndjson", RecordedLines(), clock=lambda: next(seconds))
    inner.host_send(b'{"id":1,"met')
    inner.host_send(b'hod":"ping"}\n')
    inner.host_close_input()
    assert await transport.receive() + await transport.receive() == b'{"id":1,"method":"ping"}\n'
    assert await transport.receive() == b""
    await transport.send(b'{"id":1,"result":{}}\n{"id":2')
    await transport.aclose()
    lines = [json.loads(line) for line in (tmp_path / "r.ndjson").read_text().splitlines()]
    assert [(line["dir"], line["frame"]) for line in lines] == [
        ("in", {"id": 1, "method": "ping"}),
        ("out", {"id": 1, "result": {}}),
    ]
    assert 0 < lines[0]["t"] < lines[1]["t"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
async def test_only_its_owner_may_read_a_recording(inner: MemoryTransport, tmp_path: Path) -> None:
    transport = RecordingTransport(inner, tmp_path / "r.ndjson", RecordedLines())
    await transport.aclose()
    assert stat.S_IMODE((tmp_path / "r.ndjson").stat().st_mode) == 0o600


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
async def test_a_full_disk_ends_the_recording_and_not_the_session(inner: MemoryTransport) -> None:
    transport = RecordingTransport(inner, Path("/dev/full"), RecordedLines())
    for number in range(3):
        await transport.send(b'{"id":%d,"result":{}}\n' % number)
    await transport.aclose()
    assert await inner.host_receive.receive() == b'{"id":0,"result":{}}\n'


def test_a_file_that_cannot_be_created_is_told_at_once(inner: MemoryTransport, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RecordingTransport(inner, tmp_path / "no" / "such" / "folder", RecordedLines())


@pytest.mark.process
async def test_a_live_session_is_recorded_without_its_secrets(tmp_path: Path) -> None:
    place: Installation
    async with installation(tmp_path) as place:
        place.answers(*[KEY[at : at + 4] for at in range(0, len(KEY), 4)], " is your key")
        chat = place.chat()
        file = tmp_path / "session.ndjson"
        async with process_host(tmp_path, arguments=("--record", str(file)), capabilities={"chunks": "patch"}) as host:
            await host.request("set-user-settings", {"providerSettings": {"openai": {"apiKey": {"value": PLAIN}}}})
            await host.request("chat:stream", place.stream_params(chat, f"I say {KEY}"))
            assert host.text(chat) == f"{KEY} is your key"
    written = file.read_text("utf-8")
    assert KEY not in written
    assert PLAIN not in written
    lines = [json.loads(line) for line in written.splitlines()]
    (end,) = [line for line in lines if line.get("frame", {}).get("method") == "chat:response:end"]
    assert end["text"] == "sk-*** is your key"
    assert [line["frame"]["id"] for line in lines if line["dir"] == "in"] == [1, 2, 3]


async def test_a_file_that_cannot_be_written_to_is_said_in_one_line(tmp_path: Path) -> None:
    async with process_host(tmp_path, arguments=("--record", str(tmp_path / "missing" / "record"))) as host:
        await host.closed.wait()
        assert await host.process.wait() == 2
    assert host.frames == []
    assert host.stderr.decode().splitlines() == [
        f"scalix-sidecar serve: cannot record to {tmp_path / 'missing' / 'record'}: No such file or directory"
    ]
