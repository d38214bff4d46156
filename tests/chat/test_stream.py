"""``chat:stream`` and ``chat:cancel`` as a host sees them (protocol pages 4, 6, 8)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from sidecar.chat.text.answer import AnswerText
from sidecar.routing import runner
from tests.app_database import execute, insert_message, rows
from tests.host import RpcError, memory_host
from tests.installation import MODEL, Installation, installation
from tests.providers.server import Answer, Drop, Pause
from tests.providers.streams import openai_chat_stream, sse

pytestmark = pytest.mark.anyio

PATCH = {"capabilities": {"chunks": "patch"}}
MESSAGES = {"capabilities": {"chunks": "messages"}}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


@pytest.mark.parametrize("mode", ["patch", "messages"])
async def test_an_answer_streams_and_every_row_is_there(place: Installation, mode: str) -> None:
    place.answers("Hel", "lo 👋", " wörld", usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": mode}) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        first, *_ = host.notifications("chat:response:chunk")
        assert [(row["role"], row["content"]) for row in first["messages"]] == [("user", "hi"), ("assistant", "")]
        assert set(first["messages"][0]) == {
            "id", "chatId", "role", "content", "approvalState", "commitHash", "createdAt",
        }  # fmt: skip
        assert first["messages"][0]["createdAt"].endswith(".000Z")
        assert first["effectiveModel"] == MODEL
        (end,) = host.terminals(chat)
        assert host.text(chat) == "Hello 👋 wörld"
        assert end["wasCancelled"] is False
        assert end["updatedFiles"] is False
        assert end["finishReason"] == "stop"
        assert end["messageId"] == first["messages"][-1]["id"]
        assert end["usage"] == {
            "inputTokens": 5, "outputTokens": 3, "reasoningTokens": None, "cachedInputTokens": None,
            "totalTokens": 8, "costUsd": None,
        }  # fmt: skip
        assert end["attempts"][0]["outcome"] == "ok"
        assert host.frames[-1]["result"] == chat, "the response comes after the terminal notification"
        seqs = [frame["params"]["seq"] for frame in host.frames if "streamId" in frame.get("params", {})]
        assert seqs == list(range(len(seqs)))
    assert place.messages(chat) == [("user", "hi"), ("assistant", "Hello 👋 wörld")]


async def test_reasoning_is_wrapped_and_closed(place: Installation) -> None:
    place.answers("Answer", reasoning=["let me ", "see <scalix-wr", "ite>"])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat))
        assert host.text(chat) == "<think>let me see ＜scalix-write></think>Answer"
    assert place.messages(chat)[-1] == ("assistant", "<think>let me see ＜scalix-write></think>Answer")


async def test_cancel_saves_the_partial_text_and_closes_the_upstream_connection(place: Installation) -> None:
    hold = Pause()
    place.script([*openai_chat_stream(["Hello, ", "wor"])[:3], hold])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        stream = await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "Hello, wor")
        assert await host.request("chat:cancel", {"chatId": chat}) is True
        assert host.terminals(chat)[0]["wasCancelled"] is True
        assert place.messages(chat)[-1] == ("assistant", "Hello, wor\n\n[Response cancelled by user]")
        assert await host.answer(stream) == chat
        with anyio.fail_after(5):
            await place.provider.last().gone.wait()
        assert len(host.terminals(chat)) == 1


async def test_cancel_before_the_first_byte_saves_the_suffix_alone(place: Installation) -> None:
    before = Pause()
    place.script(Answer([], before=before))
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        stream = await host.start("chat:stream", place.stream_params(chat))
        with anyio.fail_after(5):
            await before.reached.wait()
        await host.request("chat:cancel", [chat])
        assert await host.answer(stream) == chat
    assert place.messages(chat)[-1] == ("assistant", "[Response cancelled by user]")


async def test_cancel_in_mid_reasoning_closes_the_thinking_block(place: Installation) -> None:
    place.script([*openai_chat_stream([], reasoning=["hmm"])[:2], Pause()])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: "hmm" in host.text(chat))
        await host.request("chat:cancel", {"chatId": chat})
    assert place.messages(chat)[-1][1] == "<think>hmm</think>\n\n[Response cancelled by user]"


async def test_cancel_request_is_answered_as_cancelled_after_the_end(place: Installation) -> None:
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        stream = await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "Hello")
        await host.notify("$/cancelRequest", {"id": stream})
        with pytest.raises(RpcError) as refused:
            await host.answer(stream)
        assert refused.value.code == -32800
        assert host.terminals(chat)[0]["wasCancelled"] is True
        assert host.frames[-2]["method"] == "chat:response:end"


@pytest.mark.parametrize("together", [True, False])
async def test_cancel_sent_right_behind_the_prompt_finds_the_stream(place: Installation, together: bool) -> None:
    hold = Pause()
    place.script([hold])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        stream = {"jsonrpc": "2.0", "id": "s", "method": "chat:stream", "params": place.stream_params(chat)}
        cancel = {"jsonrpc": "2.0", "id": "c", "method": "chat:cancel", "params": {"chatId": chat}}
        lines = [json.dumps(message).encode() + b"\n" for message in (stream, cancel)]
        for line in [b"".join(lines)] if together else lines:
            await host.raw(line)
        assert await host.answer("c") is True
        assert await host.answer("s") == chat
        assert [end["wasCancelled"] for end in host.terminals(chat)] == [True]
        assert host.terminals(chat)[0]["streamId"]
    assert place.messages(chat) == [("user", "hi"), ("assistant", "[Response cancelled by user]")]


async def test_cancel_of_a_prompt_that_never_became_a_stream_still_ends(place: Installation) -> None:
    async with memory_host(place.folder, **PATCH) as host:
        failing = await host.start("chat:stream", place.stream_params(99))
        assert await host.request("chat:cancel", {"chatId": 99}) is True
        with pytest.raises(RpcError) as caught:
            await host.answer(failing)
        assert caught.value.data["code"] == "NOT_FOUND"
        assert host.terminals(99) == [{"chatId": 99, "updatedFiles": False, "wasCancelled": True}]


async def test_the_same_intent_sent_twice_at_once_is_one_stream(place: Installation) -> None:
    place.answers("Hello")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        params = place.stream_params(chat, intentId="i")
        one, two = await host.start("chat:stream", params), await host.start("chat:stream", params)
        other = await host.start("chat:stream", {**params, "prompt": "something else"})
        with pytest.raises(RpcError) as caught:
            await host.answer(other)
        assert caught.value.data["code"] == "CONFLICT"
        assert "intentId was already used" in caught.value.message
        assert await host.answer(two) == await host.answer(one) == chat
        assert len(host.terminals(chat)) == 1
    assert place.messages(chat) == [("user", "hi"), ("assistant", "Hello")]


async def test_cancel_on_an_idle_chat_sends_one_end_without_a_stream(place: Installation) -> None:
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:cancel", [7]) is True
        assert host.terminals(7) == [{"chatId": 7, "updatedFiles": False, "wasCancelled": True}]


async def test_a_second_stream_on_a_busy_chat_is_refused_and_writes_nothing(place: Installation) -> None:
    place.script([*openai_chat_stream(["one"])[:2], Pause()])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "one")
        with pytest.raises(RpcError) as refused:
            await host.request("chat:stream", place.stream_params(chat, "two"))
        assert refused.value.data["code"] == "CONFLICT"
        assert len(place.messages(chat)) == 2
        await host.request("chat:cancel", {"chatId": chat})


async def test_an_unknown_chat_is_a_json_rpc_error_and_no_stream(place: Installation) -> None:
    async with memory_host(place.folder, **PATCH) as host:
        with pytest.raises(RpcError) as refused:
            await host.request("chat:stream", place.stream_params(4711))
        assert (refused.value.code, refused.value.message) == (-32000, "Chat not found: 4711")
        assert refused.value.data["code"] == "NOT_FOUND"
        assert host.notifications("chat:response:chunk") == []


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"prompt": "hi"}, "chatId"),
        ({"chatId": "1", "prompt": "hi"}, "chatId"),
        ({"chatId": 1}, "prompt"),
        ({"chatId": 1, "prompt": 5}, "prompt"),
        ({"chatId": 1, "prompt": "x", "attachments": [{"name": "a", "type": "b"}]}, "attachments[0].data"),
        ({"chatId": 1, "prompt": "x", "intentId": "x" * 257}, "intentId"),
    ],
)
async def test_bad_params_name_the_field(place: Installation, params: dict[str, Any], path: str) -> None:
    async with memory_host(place.folder, **PATCH) as host:
        with pytest.raises(RpcError) as refused:
            await host.request("chat:stream", params)
        assert refused.value.code == -32602
        assert refused.value.data["path"].replace("[...]", "[0]") == path


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer.text("<html><body>Bad gateway</body></html>", content_type="text/html"), "MODEL_UNAVAILABLE"),
        (Answer.stream([]), "STREAM_INTERRUPTED"),
        (Answer.stream([b"data: {half"]), "STREAM_INTERRUPTED"),
        (Answer.stream([sse("this is no JSON")]), "STREAM_INTERRUPTED"),
        (Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401), "AUTHENTICATION_FAILED"),
        (Answer.json({"error": {"message": "no credit"}}, status=402), "INSUFFICIENT_CREDITS"),
        (Answer.json({"error": {"message": "no such model"}}, status=404), "MODEL_UNAVAILABLE"),
        (Answer.text("", status=400), "BAD_REQUEST"),
    ],
)
async def test_what_a_provider_does_wrong_is_one_error_with_a_code(
    place: Installation, answer: Answer, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "FIRST_DELAY_S", 0.01)  # how long it waits between attempts is told elsewhere
    place.script(answer)
    chat = place.chat()
    async with memory_host(place.folder, {"SCALIX_TIMEOUT_FIRST_TOKEN_S": "5"}, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        (error,) = host.terminals(chat)
        assert error["error"].startswith("Sorry, there was an error from the AI: ")
        assert len(error["error"]) > len("Sorry, there was an error from the AI: ")
        assert error["code"] == code, error
        assert error["kind"]


async def test_a_stream_that_breaks_off_keeps_its_text(place: Installation) -> None:
    place.script([*openai_chat_stream(["Hello, ", "world"])[:3], Drop()])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        (error,) = host.terminals(chat)
        assert (error["code"], error["retryable"]) == ("STREAM_INTERRUPTED", True)
        assert host.text(chat) == "Hello, world"
    assert place.messages(chat)[-1] == ("assistant", "Hello, world")


async def test_an_end_without_finish_marker_is_an_interruption(place: Installation) -> None:
    place.script(openai_chat_stream(["Hello"], finish=None, done=False))
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        assert host.terminals(chat)[0]["code"] == "STREAM_INTERRUPTED"
    assert place.messages(chat)[-1] == ("assistant", "Hello")


async def test_an_empty_answer_still_ends(place: Installation) -> None:
    place.answers()
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        (end,) = host.terminals(chat)
        assert end["finishReason"] == "stop"
        assert "empty" in end["warningMessages"][0]


async def test_an_error_in_one_chat_leaves_the_other_alone(place: Installation) -> None:
    hold = Pause()

    def answer(request: Any) -> Answer:
        if "break" in request.json["messages"][-1]["content"]:
            return Answer.json({"error": {"message": "bad"}}, status=400)
        return Answer.stream([*openai_chat_stream(["Hel", "lo"])[:2], hold, *openai_chat_stream(["lo"])[1:]])

    place.provider.handle("/v1/chat/completions", answer)
    one, two = place.chat(), place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        first = await host.start("chat:stream", place.stream_params(one))
        await host.until(lambda: host.text(one) == "Hel")
        assert await host.request("chat:stream", place.stream_params(two, "break")) == "error"
        hold.resume()
        assert await host.answer(first) == one
        assert host.text(one) == "Hello"
        assert [len(host.terminals(one)), len(host.terminals(two))] == [1, 1]


async def test_sixty_four_chats_at_once_and_one_more_is_told_to_wait(place: Installation) -> None:
    hold = Pause()
    place.script([*openai_chat_stream(["on"])[:2], hold, *openai_chat_stream(["e"])[1:]])
    chats = [place.chat() for _ in range(65)]
    async with memory_host(place.folder, **PATCH) as host:
        streams = [await host.start("chat:stream", place.stream_params(chat)) for chat in chats[:64]]
        await host.until(lambda: all(host.text(chat) == "on" for chat in chats[:64]))
        with pytest.raises(RpcError) as refused:
            await host.request("chat:stream", place.stream_params(chats[64]))
        assert refused.value.code == -32001
        assert await host.request("ping") == {}
        hold.resume()
        for stream, chat in zip(streams, chats, strict=False):
            assert await host.answer(stream) == chat
        assert all(host.text(chat) == "one" for chat in chats[:64])


async def test_shutdown_saves_what_is_streaming_and_then_answers(place: Installation) -> None:
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        stream = await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "Hello")
        assert await host.request("shutdown") is None
        assert await host.answer(stream) == chat
        assert host.terminals(chat)[0]["wasCancelled"] is True
    assert place.messages(chat)[-1][1] == "Hello\n\n[Response cancelled by user]"


async def test_redo_replaces_the_last_exchange(place: Installation) -> None:
    chat = place.chat()
    for role, content in [("user", "a"), ("assistant", "b"), ("user", "again"), ("assistant", "old")]:
        insert_message(place.database, chat, role, content)
    place.answers("new")
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat, "again", redo=True))
    assert place.messages(chat) == [("user", "a"), ("assistant", "b"), ("user", "again"), ("assistant", "new")]


async def test_the_same_intent_starts_nothing_new(place: Installation) -> None:
    place.answers("once")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        params = place.stream_params(chat, intentId="one")
        assert await host.request("chat:stream", params) == chat
        assert await host.request("chat:stream", params) == chat
        with pytest.raises(RpcError) as refused:
            await host.request("chat:stream", place.stream_params(chat, "other", intentId="one"))
        assert refused.value.data["code"] == "CONFLICT"
    assert place.messages(chat) == [("user", "hi"), ("assistant", "once")]


ATTACHED = {"name": "a.txt", "type": "text/plain", "data": "data:;base64,YQ=="}


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "hi!"},
        {"redo": True},
        {"attachments": []},
        {"attachments": [{**ATTACHED, "data": "data:;base64,Yg=="}]},
        {"attachments": [{**ATTACHED, "name": "b.txt"}]},
        {"files": [{"path": "a.ts", "content": "b"}]},
    ],
)
async def test_an_intent_is_the_same_after_a_restart_and_only_with_the_same_content(
    place: Installation, other: dict[str, Any]
) -> None:
    place.answers("ok")
    chat = place.chat()
    params = place.stream_params(
        chat, intentId="click", attachments=[ATTACHED], files=[{"path": "a.ts", "content": "a"}]
    )
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", params)
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", params) == chat
        with pytest.raises(RpcError) as refused:
            await host.request("chat:stream", {**params, **other})
        assert refused.value.data["code"] == "CONFLICT"
        assert host.terminals(chat) == []
        again = {**params, "chatId": place.chat()}
        assert await host.request("chat:stream", again) == again["chatId"], "in another chat it is another intent"
    assert len(place.messages(chat)) == 2
    assert len(place.provider.requests) == 2


RECORDED_BEFORE = (
    '{"chatId":1,"prompt":"hi","redo":false,"attachments":[{"name":"a.txt","type":"text/plain","data":"data:;base64,YQ==",'
    '"attachmentType":"chat-context"}],"selectedComponent":null,"selectedComponents":null,"systemPrompt":null,'
    '"files":[{"path":"a.ts","content":"a","force":false}],"substitutions":null,"model":{"provider":"custom::testing",'
    '"name":"test-model"},"intentId":null}'
)
"""What an early build hashed for the turn below: the files with everything else, not by hashes of their own."""


async def test_an_intent_with_files_that_an_early_build_recorded_is_the_same(place: Installation) -> None:
    place.answers("ok")
    chat = place.chat()
    params = place.stream_params(
        chat, intentId="click", attachments=[ATTACHED], files=[{"path": "a.ts", "content": "a"}]
    )
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", params)
    recorded = hashlib.sha256(RECORDED_BEFORE.encode()).hexdigest()
    execute(place.database, "UPDATE sidecar_turns SET content_hash = ?", recorded)
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", params) == chat
        with pytest.raises(RpcError) as refused:
            await host.request("chat:stream", {**params, "files": [{"path": "a.ts", "content": "b"}]})
        assert refused.value.data["code"] == "CONFLICT"
    assert len(place.provider.requests) == 1


async def test_an_interrupted_intent_is_not_run_again(place: Installation) -> None:
    place.answers("ok")
    chat = place.chat()
    params = place.stream_params(chat, intentId="click")
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", params)
    execute(place.database, "UPDATE sidecar_turns SET state = 'interrupted'")
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", params) == chat
    assert len(place.provider.requests) == 1


async def test_the_title_comes_from_the_answer_and_only_once(place: Installation) -> None:
    place.answers("Hi <scalix-chat-summary>\nMy\nchat </scalix-chat-summary>")
    chat, named = place.chat(), place.chat("Mine")
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat))
        assert host.terminals(chat)[0]["chatSummary"] == "My\nchat"
        await host.request("chat:stream", place.stream_params(named))
    titles = [row["title"] for row in rows(place.database, "SELECT title FROM chats ORDER BY id")]
    assert titles == ["My\nchat", "Mine"]


async def test_an_answer_that_was_cancelled_gives_no_title(place: Installation) -> None:
    text = "<scalix-chat-summary>Half</scalix-chat-summary> and"
    place.script([*openai_chat_stream([text])[:2], Pause()])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == text)
        await host.request("chat:cancel", {"chatId": chat})
        assert "chatSummary" not in host.terminals(chat)[0]
    assert rows(place.database, "SELECT title FROM chats")[0]["title"] is None


@pytest.mark.parametrize("tokens", [2**63, 1e30])
async def test_an_answer_that_claims_more_tokens_than_a_table_can_hold_is_saved(
    place: Installation, tokens: float
) -> None:
    """Its row of usage would be refused with everything else of the transaction, and again with every later one."""
    usage = {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": tokens}
    place.script(openai_chat_stream(["Hello"], usage=usage))
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
    assert place.messages(chat)[-1] == ("assistant", "Hello")
    assert rows(place.database, "SELECT output_tokens FROM sidecar_requests")[0]["output_tokens"] < 10


async def test_the_text_is_saved_while_it_streams(place: Installation) -> None:
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await saved(place, chat, "Hello")
        await host.request("chat:cancel", {"chatId": chat})


async def saved(place: Installation, chat: int, text: str) -> None:
    """Wait until the assistant row holds ``text``."""
    with anyio.fail_after(5):
        while place.messages(chat)[-1:] != [("assistant", text)]:
            await anyio.lowlevel.checkpoint()


async def test_the_request_holds_the_limited_history_and_no_placeholder(place: Installation) -> None:
    chat = place.chat()
    for number in range(6):
        insert_message(place.database, chat, "user", f"q{number}")
        insert_message(place.database, chat, "assistant", f"<think>t</think>a{number}")
    place.answers("ok")
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat, "now", systemPrompt="Be brief."))
    body = place.provider.last().json
    assert body["model"] == "test-model"
    assert body["stream"] is True
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    turns = [(m["role"], m["content"]) for m in body["messages"][1:] if not m["content"].startswith("This is my code")]
    history = [turn for turn in turns if turn != ("assistant", "OK, got it. I'm ready to help")]
    assert history == [
        ("user", "q3"), ("assistant", "a3"), ("user", "q4"), ("assistant", "a4"), ("user", "q5"), ("assistant", "a5"),
        ("user", "now"),
    ]  # fmt: skip


@pytest.mark.parametrize("by", ["chat:cancel", "$/cancelRequest", "shutdown"])
async def test_a_host_that_does_not_answer_is_given_up_when_the_stream_is_cancelled(
    place: Installation, by: str
) -> None:
    place.answers('<scalix-write path="a.ts">x</scalix-write>')
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        await host.request("set-user-settings", {"autoApproveChanges": True})
        asked = await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: [frame for frame in host.frames if frame.get("method") == "host:apply-response"])
        if by == "$/cancelRequest":
            await host.notify(by, {"id": asked})
            with pytest.raises(RpcError) as refused:
                await host.answer(asked)
            assert refused.value.code == -32800
        else:
            await host.request(by, {"chatId": chat})
            assert await host.answer(asked) == chat
        (end,) = host.terminals(chat)
    assert (end["wasCancelled"], end["updatedFiles"]) == (True, False)
    assert "applied" in end["warningMessages"][-1]
    assert place.messages(chat)[-1] == ("assistant", '<scalix-write path="a.ts">x</scalix-write>'), "it was complete"


async def test_a_mistake_of_our_own_ends_the_stream_as_an_error_and_keeps_the_text(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = AnswerText.text

    def stumble(answer: AnswerText, text: str) -> None:
        if text == "stumble":
            raise ZeroDivisionError("sk-" + "s" * 20)
        add(answer, text)

    monkeypatch.setattr(AnswerText, "text", stumble)
    hold = Pause()
    events = openai_chat_stream(["shown so far", "stumble"])
    place.script([*events[:2], hold, *events[2:]])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        with capture_logs() as logged:
            stream = await host.start("chat:stream", place.stream_params(chat))
            await host.until(lambda: host.text(chat) == "shown so far")
            hold.resume()
            assert await host.answer(stream) == "error"
        assert [entry["exc_info"] for entry in logged if entry["event"] == "the stream failed"] == [True]
        (error,) = host.terminals(chat)
        assert error["code"] == "INTERNAL"
        assert error["error"].startswith("Sorry, there was an error processing your request: ")
        assert "sk-" not in str(error)
        monkeypatch.undo()
        place.answers("again")
        assert await host.request("chat:stream", place.stream_params(chat)) == chat, "the chat is free again"
    assert place.messages(chat)[1] == ("assistant", "shown so far")
    states = [row["state"] for row in rows(place.database, "SELECT state FROM sidecar_turns")]
    assert states == ["errored", "completed"]


async def test_a_mistake_of_our_own_while_saving_ends_the_stream_as_an_error_too(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    place.answers("Hello")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        with capture_logs() as logged, monkeypatch.context() as patched:
            patched.setattr("sidecar.chat.farewell.save_content", stumble)
            assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        assert [entry["exc_info"] for entry in logged if entry["event"] == "the answer was not saved"] == [True]
        (error,) = host.terminals(chat)
        assert error["code"] == "INTERNAL"
        assert await host.request("chat:stream", place.stream_params(chat)) == chat, "the chat is free again"


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "a\\ud83db"])
async def test_half_an_emoji_in_an_answer_is_replaced(place: Installation, half: str) -> None:
    delta = f'data: {{"choices":[{{"index":0,"delta":{{"content":"x{half}y"}},"finish_reason":null}}]}}\n\n'
    place.script([delta.encode(), *openai_chat_stream(["end"])])
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert host.text(chat) == place.messages(chat)[-1][1]
    text = place.messages(chat)[-1][1]
    assert text.startswith("x") and text.endswith("yend")
    assert "\ufffd" in text
