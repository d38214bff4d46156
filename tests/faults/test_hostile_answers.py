"""A provider that answers with anything at all: each chat ends once, with a sentence, and gives no key away."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.host import Host, memory_host
from tests.installation import CHAT, Installation, installation
from tests.providers import Answer, Recorded, openai_chat_stream

pytestmark = pytest.mark.anyio

KEY = "sk-" + "k" * 30
GOOD = b"".join(openai_chat_stream(["Hel", "lo"]))


def answer(body: bytes, *headers: str, status: str = "200 OK", kind: str = "text/event-stream") -> bytes:
    """Raw HTTP."""
    return "\r\n".join((f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers, "", "")).encode() + body


def quoted(sentence: str, status: str) -> bytes:
    """An error that quotes the request's key."""
    return answer(json.dumps({"error": {"message": sentence}}).encode(), status=status, kind="application/json")


HELLO = "answers"
BROKEN = "broken"
"""NETWORK or STREAM_INTERRUPTED, by how much had come when it broke."""

HOSTILE: dict[str, tuple[bytes, str]] = {
    "a good one": (answer(GOOD), HELLO),
    "compressed": (answer(gzip.compress(GOOD), "Content-Encoding: gzip"), HELLO),
    "100 Continue first": (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(GOOD), HELLO),
    "no event stream at all": (
        answer(b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}', kind="application/json"),
        HELLO,
    ),
    "lines that end in CR": (answer(b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r")), HELLO),
    "values of no shape between": (answer(b"data: null\n\n" + GOOD), "MODEL_UNAVAILABLE"),
    "claims to be compressed": (answer(GOOD, "Content-Encoding: gzip"), BROKEN),
    "too short a length": (answer(GOOD, "Content-Length: 5"), BROKEN),
    "chunks of no length": (answer(b"zz\r\n" + GOOD, "Transfer-Encoding: chunked"), BROKEN),
    "no content": (answer(b"", status="204 No Content"), "MODEL_UNAVAILABLE"),
    "elsewhere": (answer(b"", f"Location: http://elsewhere.test/?key={KEY}", status="301 Moved"), "BAD_REQUEST"),
    "a status nobody knows": (answer(b"{}", status="999 Odd"), "MODEL_UNAVAILABLE"),
    "a head without end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n" + GOOD, BROKEN),
    "no HTTP": (b"220 mail.example ESMTP\r\n", BROKEN),
    "nothing": (b"", BROKEN),
    "bytes": (answer(bytes(range(256)) * 8), BROKEN),
    "without a floor": (answer(b"data: " + b"[" * 100_000 + b"\n\n"), BROKEN),
    "another API": (answer(b'data: {"choices":"no"}\n\n'), "MODEL_UNAVAILABLE"),
    "an error of nothing": (answer(b'{"error":null}', status="500 X", kind="application/json"), "MODEL_UNAVAILABLE"),
    "a long error": (quoted("A" * 100_000, "500 X"), "MODEL_UNAVAILABLE"),
    "the key in a refusal": (quoted(f"Incorrect API key provided: {KEY}.", "401 X"), "AUTHENTICATION_FAILED"),
    "the key in a failure": (quoted(f"Authorization: Bearer {KEY} is odd", "500 X"), "MODEL_UNAVAILABLE"),
}  # fmt: skip


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        made.provider.handle(CHAT, hostile)
        yield made


def hostile(request: Recorded) -> Answer:
    """The model's name says what to answer."""
    return Answer([HOSTILE[request.json["model"]][0]], raw=True)


async def test_whatever_a_provider_sends_a_chat_ends_once_and_tells_no_key(place: Installation) -> None:
    ends: dict[str, str] = {}
    async with memory_host(place.folder, capabilities={"chunks": "patch"}) as host:
        key = {"custom::testing": {"apiKey": {"value": KEY}}}
        await host.request("set-user-settings", {"providerSettings": key})

        async def ask(name: str) -> None:
            ends[name] = await outcome(place, host, name)

        async with anyio.create_task_group() as tasks:
            for name in HOSTILE:
                tasks.start_soon(ask, name)
        assert await host.request("ping") == {}
        assert KEY not in str(host.frames[3:])
    assert ends == {name: expected for name, (_, expected) in HOSTILE.items()}


async def outcome(place: Installation, host: Host, name: str) -> str:
    """What came of a chat with this model: ``HELLO``, or an error's code."""
    chat = place.chat()
    model = {"provider": "custom::testing", "name": name}
    await host.request("chat:stream", place.stream_params(chat, model=model, files=[]))
    (end,) = host.terminals(chat)
    if "code" not in end:
        assert host.text(chat) == "Hello"
        return HELLO
    sentence: str = end["error"].removeprefix("Sorry, there was an error from the AI: ")
    assert 10 < len(sentence) < 10_000
    code: str = end["code"]
    return BROKEN if code in ("NETWORK", "STREAM_INTERRUPTED") else code
