"""A whole turn from the database and the app's folder (app contract 7, 11, 12, 13), over the wire."""

from __future__ import annotations

import base64
import os
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from sidecar.store.database import Database
from tests.app_database import execute, insert_app, insert_message, insert_prompt, rows, write_lock
from tests.host import Json, RpcError, memory_host, process_host
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer, Drop, Pause
from tests.providers.streams import openai_chat_stream

pytestmark = pytest.mark.anyio

PATCH = {"capabilities": {"chunks": "patch"}}
LEAK = "push to https://x:ghp_0123456789abcdefghij@github.com/a failed"
LEAK_CUT = "push to https://***@github.com/a failed"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n0000").decode()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


def sent(place: Installation, number: int = -1) -> list[Json]:
    """The messages of a request as the provider got them."""
    messages: list[Json] = place.provider.requests[number].json["messages"]
    return messages


def texts(place: Installation, number: int = -1) -> list[str]:
    return [message["content"] for message in sent(place, number) if isinstance(message["content"], str)]


async def test_the_code_base_goes_before_the_conversation(place: Installation) -> None:
    (place.app_folder / "src").mkdir()
    (place.app_folder / "src" / "a.ts").write_text("export const a = 1;\n")
    (place.app_folder / ".env").write_text("SECRET=do-not-send")
    (place.app_folder / "AI_RULES.md").write_text("Always use tabs. $& $1")
    place.answers("ok")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat))
    roles = [message["role"] for message in sent(place)]
    assert roles == ["system", "user", "assistant", "user"]
    system, codebase, reply, prompt = texts(place)
    assert "Always use tabs. $& $1" in system
    assert codebase.startswith("This is my codebase. ")
    assert '<scalix-file path="src/a.ts">\nexport const a = 1;\n\n</scalix-file>\n\n' in codebase
    assert reply == "OK, got it. I'm ready to help"
    assert prompt == "hi"
    assert "do-not-send" not in str(sent(place))


async def test_files_of_the_request_replace_the_folder(place: Installation) -> None:
    (place.app_folder / "disk.ts").write_text("on disk")
    place.answers("ok")
    async with memory_host(place.folder, **PATCH) as host:
        files = [{"path": "given.ts", "content": "given"}]
        await host.request("chat:stream", place.stream_params(place.chat(), files=files))
    assert "given.ts" in texts(place)[1]
    assert "disk.ts" not in texts(place)[1]


async def test_an_image_reaches_the_model_and_a_text_file_stays_visible(place: Installation) -> None:
    place.answers("ok")
    chat = place.chat()
    note = base64.b64encode(b"remember $& me").decode()
    attachments = [
        {"name": "logo.png", "type": "image/png", "data": f"data:image/png;base64,{PNG}",
         "attachmentType": "chat-context"},
        {"name": "note.md", "type": "text/markdown", "data": f"data:text/markdown;base64,{note}",
         "attachmentType": "chat-context"},
    ]  # fmt: skip
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat, "look", attachments=attachments))
        parts = sent(place)[-1]["content"]
        assert "- logo.png (image/png)" in parts[0]["text"]
        assert "remember $& me" in parts[0]["text"]
        assert parts[1] == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        await host.request("chat:stream", place.stream_params(chat, "and now?"))
        earlier = [text for text in texts(place) if text.startswith("look")]
        assert "remember $& me" in earlier[0]


@pytest.mark.parametrize(
    ("attachments", "path"),
    [
        ([{"name": "a.txt", "type": "t", "data": "data:;base64,AAAA"}] * 11, "attachments"),
        ([{"name": "a.txt", "type": "t", "data": "data:;base64,A$$A"}], "attachments[0].data"),
        ([{"name": "a.txt", "type": "t", "data": "data:;base64," + "A" * (14 * 1024 * 1024)}], "attachments[0].data"),
    ],
)
async def test_attachments_past_the_limits_write_nothing(place: Installation, attachments: Any, path: str) -> None:
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        with pytest.raises(RpcError) as refused:
            await host.request("chat:stream", place.stream_params(chat, attachments=attachments))
    assert (refused.value.code, refused.value.data["path"]) == (-32602, path)
    assert place.messages(chat) == []


async def test_references_are_replaced_and_mentioned_apps_are_shown(place: Installation) -> None:
    other = place.folder / "scalix-apps" / "shop"
    other.mkdir()
    (other / "shop.ts").write_text("shop code")
    insert_app(place.database, name="Shop", path=str(other))
    prompt_id = insert_prompt(place.database, "title", "be kind")
    place.answers("ok")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat, f"@prompt:{prompt_id} @prompt:99 @app:shop"))
    assert place.messages(chat)[0][1] == "be kind @prompt:99 @app:shop"
    referenced = [text for text in texts(place) if text.startswith("# Referenced Apps")]
    assert "=== Referenced App: Shop ===" in referenced[0]
    assert "shop code" in referenced[0]


async def test_a_selected_component_is_confined_to_the_app(place: Installation) -> None:
    (place.app_folder / "a.tsx").write_text("one\ntwo\nthree\nfour\nfive\nsix\n")
    component = {"id": "1", "name": "H", "relativePath": "a.tsx", "lineNumber": 2, "columnNumber": 0}
    place.answers("ok")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat, selectedComponent=component))
        assert "one\ntwo // <-- EDIT HERE\nthree\nfour\nfive" in place.messages(chat)[0][1]
        outside = {**component, "relativePath": "../../sqlite.db"}
        with pytest.raises(RpcError) as refused:
            await host.request("chat:stream", place.stream_params(chat, selectedComponent=outside))
    assert refused.value.code == -32602


async def test_ask_mode_strips_tags_and_applies_nothing(place: Installation) -> None:
    chat = place.chat()
    insert_message(place.database, chat, "user", "q")
    insert_message(place.database, chat, "assistant", 'a <scalix-write path="x">body</scalix-write> b')
    place.answers("ok")
    applied: list[Json] = []
    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        host.answer_host["host:apply-response"] = lambda params: applied.append(params) or {"updatedFiles": True}
        await host.request("set-user-settings", {"selectedChatMode": "ask", "autoApproveChanges": True})
        await host.request("chat:stream", place.stream_params(chat))
    assert [text for text in texts(place) if text.startswith("a ")] == ["a  b"]
    assert applied == []


async def test_in_ask_mode_an_open_file_is_not_continued(place: Installation) -> None:
    place.answers('Like so: <scalix-write path="a.ts">const a')
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("set-user-settings", {"selectedChatMode": "ask"})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
    assert len(place.provider.requests) == 1


async def test_auto_approve_asks_the_host_before_the_end(place: Installation) -> None:
    place.answers('<scalix-write path="a.ts">x</scalix-write>')
    chat = place.chat()
    asked: list[Json] = []
    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        host.answer_host["host:apply-response"] = lambda params: asked.append(params) or {
            "updatedFiles": True, "extraFiles": ["b.ts"],
        }  # fmt: skip
        await host.request("set-user-settings", {"autoApproveChanges": True})
        await host.request("chat:stream", place.stream_params(chat))
        (end,) = host.terminals(chat)
    assert asked[0]["response"] == '<scalix-write path="a.ts">x</scalix-write>'
    assert (end["updatedFiles"], end["extraFiles"]) == (True, ["b.ts"])


async def test_a_host_that_cannot_apply_answers_is_not_asked_to(place: Installation) -> None:
    """It would be waited for, five minutes long."""
    place.answers('<scalix-write path="a.ts">x</scalix-write>')
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("set-user-settings", {"autoApproveChanges": True})
        with anyio.fail_after(5):
            assert await host.request("chat:stream", place.stream_params(chat)) == chat
        (end,) = host.terminals(chat)
    assert (end["updatedFiles"], end.get("warningMessages")) == (False, None)


async def test_who_wants_answers_applied_may_say_so_while_one_is_written(place: Installation) -> None:
    pause, words = Pause(), openai_chat_stream(["te", "xt"])
    place.script([*words[:2], pause, *words[2:]])
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        host.answer_host["host:apply-response"] = lambda _: {"updatedFiles": True}
        answer = await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "te")
        await host.request("set-user-settings", {"autoApproveChanges": True})
        pause.resume()
        assert await host.answer(answer) == chat
        assert host.terminals(chat)[0]["updatedFiles"] is True


async def test_a_mistake_of_our_own_while_applying_has_a_last_word_too(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    place.answers("text")
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        await host.request("set-user-settings", {"autoApproveChanges": True})
        with capture_logs() as logged, monkeypatch.context() as patched:
            patched.setattr("sidecar.chat.farewell.apply_response", stumble)
            assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        assert [entry["exc_info"] for entry in logged if entry["event"] == "the answer was not applied"] == [True]
        (error,) = host.terminals(chat)
        assert error["code"] == "INTERNAL"
    assert place.messages(chat)[-1] == ("assistant", "text")


async def test_a_failed_apply_is_the_one_terminal_error(place: Installation) -> None:
    place.answers("text")
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        host.answer_host["host:apply-response"] = lambda _: {"updatedFiles": False, "error": "disk full"}
        await host.request("set-user-settings", {"autoApproveChanges": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        (error,) = host.terminals(chat)
    assert error["error"] == "Sorry, there was an error applying the AI's changes: disk full"
    assert place.messages(chat)[-1] == ("assistant", "text")


async def test_a_failed_apply_shows_what_the_host_wrote_into_the_answer(place: Installation) -> None:
    place.answers("text")
    chat = place.chat()
    told = 'text<scalix-output type="error" message="disk full"></scalix-output>'

    def apply(params: Json) -> Json:
        execute(place.database, "UPDATE messages SET content = ? WHERE id = ?", told, params["messageId"])
        return {"updatedFiles": False, "error": "disk full"}

    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        host.answer_host["host:apply-response"] = apply
        await host.request("set-user-settings", {"autoApproveChanges": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        *_, rows_again = host.notifications("chat:response:chunk")
        assert rows_again["messages"][-1]["content"] == told
        assert [frame["method"] for frame in host.frames if "streamId" in frame.get("params", {})][-2:] == [
            "chat:response:chunk",
            "chat:response:error",
        ]


async def test_a_database_locked_by_the_host_while_it_applies_costs_no_last_word(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.app.Database", partial(Database, busy_timeout_ms=100))
    place.answers("text")
    chat = place.chat()
    locks = []

    def apply(_: Json) -> Json:
        locks.append(write_lock(place.database, "EXCLUSIVE"))
        return {"updatedFiles": True}

    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        host.answer_host["host:apply-response"] = apply
        await host.request("set-user-settings", {"autoApproveChanges": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        (end,) = host.terminals(chat)
        locks[0].close()
    assert end["updatedFiles"] is True
    assert "when the chat is opened again" in end["warningMessages"][-1]


@pytest.mark.parametrize("refusal", [{"error": LEAK}, {"error": {"message": LEAK}}])
async def test_a_key_in_the_hosts_words_goes_no_further(place: Installation, refusal: Any) -> None:
    place.answers("text")
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        host.answer_host["host:apply-response"] = lambda _: refusal
        await host.request("set-user-settings", {"autoApproveChanges": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        (error,) = host.terminals(chat)
    assert error["error"] == f"Sorry, there was an error applying the AI's changes: {LEAK_CUT}"


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"updatedFiles": True, "extraFiles": ["a", 1], "extraFilesError": 5}, {"extraFiles": ["a"]}),
        ({"updatedFiles": True, "extraFiles": "a", "extraFilesError": LEAK}, {"extraFilesError": LEAK_CUT}),
        ({"updatedFiles": True, "extraFiles": None, "error": ""}, {}),
    ],
)
async def test_of_a_result_only_what_the_protocol_names_is_passed_on(
    place: Installation, result: Json, told: Json
) -> None:
    place.answers("text")
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        host.answer_host["host:apply-response"] = lambda _: result
        await host.request("set-user-settings", {"autoApproveChanges": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        (end,) = host.terminals(chat)
    assert end["updatedFiles"] is True
    assert {name: value for name, value in end.items() if name.startswith("extra")} == told


async def test_an_unclosed_write_is_continued_without_a_seam(place: Installation) -> None:
    first = 'Here: <scalix-write path="a.ts">const a = "be'
    rest = 'gin";\nconst b = 2;\n</scalix-write> done'
    place.script(openai_chat_stream([first], finish="length"), openai_chat_stream([rest]))
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat))
        assert host.text(chat) == first + rest
        assert host.terminals(chat)[0]["finishReason"] == "stop"
    assert place.messages(chat)[-1] == ("assistant", first + rest)
    assert sent(place)[-2] == {"role": "assistant", "content": first}
    assert "did not finish completely" in sent(place)[-1]["content"]
    assert len(place.provider.requests) == 2


async def test_an_answer_the_provider_stopped_with_an_error_says_so(place: Installation) -> None:
    """Mistral's and OpenRouter's finish reason; what there is of the answer reads as if it were all."""
    place.answers("Here it", " is", finish="error")
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        await host.request("set-user-settings", {"autoApproveChanges": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        (end,) = host.terminals(chat)
    assert end["finishReason"] == "error"
    assert end["warningMessages"] == [
        "The provider stopped the answer with an error; nothing of it is applied. Try again."
    ]
    assert place.messages(chat)[-1][1] == "Here it is"


@pytest.mark.parametrize("finish", ["length", "content_filter"])
async def test_an_answer_that_stays_unfinished_is_kept_told_and_not_applied(place: Installation, finish: str) -> None:
    opened = '<scalix-write path="a.ts">\nconst a = 1;\n'
    place.script(
        openai_chat_stream([opened], finish=finish),
        openai_chat_stream(["const b = 2;\n"], finish=finish),
        openai_chat_stream(["const c = 3;\n"], finish=finish),
    )
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "applyResponse": True}) as host:
        await host.request("set-user-settings", {"autoApproveChanges": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        (end,) = host.terminals(chat)
    assert "nothing of it is applied" in end["warningMessages"][-1]
    assert place.messages(chat)[-1][1] == f"{opened}const b = 2;\nconst c = 3;\n"
    assert len(place.provider.requests) == 3


async def test_type_errors_are_reported_and_fixed(place: Installation) -> None:
    place.script(
        openai_chat_stream(['<scalix-write path="a.ts">bad</scalix-write>']),
        openai_chat_stream(['<scalix-write path="a.ts">good</scalix-write>']),
    )
    problem = {"file": "a.ts", "line": 1, "column": 2, "code": 2304, "message": "Cannot find <b>"}
    rounds = [[problem], []]
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "checkProblems": True}) as host:
        host.answer_host["host:check-problems"] = lambda _: {"problems": rounds.pop(0)}
        await host.request("set-user-settings", {"enableAutoFixProblems": True})
        await host.request("chat:stream", place.stream_params(chat))
        text = host.text(chat)
    assert '<scalix-problem-report summary="1 problems">' in text
    assert "Cannot find &lt;b&gt;" in text
    assert text.endswith('<scalix-write path="a.ts">good</scalix-write>')
    assert sent(place)[-1]["content"].startswith("Fix these 1 TypeScript compile-time error:")
    codebase = next(text for text in texts(place) if text.startswith("This is my codebase."))
    assert '<scalix-file path="a.ts">\nbad' in codebase


async def test_an_answer_that_adds_packages_is_not_checked_before_they_are_there(place: Installation) -> None:
    place.answers('<scalix-add-dependency packages="left-pad"></scalix-add-dependency>')
    problem = {"file": "a.ts", "line": 1, "column": 2, "code": 2307, "message": "Cannot find module"}
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "checkProblems": True}) as host:
        host.answer_host["host:check-problems"] = lambda _: {"problems": [problem]}
        await host.request("set-user-settings", {"enableAutoFixProblems": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert "problem-report" not in host.text(chat)


async def test_a_fix_that_fails_is_a_note_and_the_answer_stays(place: Installation) -> None:
    written = '<scalix-write path="a.ts">bad</scalix-write>'
    refused = Answer.json({"error": {"message": "Incorrect API key"}}, status=401)
    place.script(openai_chat_stream([written]), refused)
    problem = {"file": "a.ts", "line": 1, "column": 2, "code": 2304, "message": "Cannot find b"}
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "checkProblems": True}) as host:
        host.answer_host["host:check-problems"] = lambda _: {"problems": [problem]}
        await host.request("set-user-settings", {"enableAutoFixProblems": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert host.terminals(chat)[0]["warningMessages"][-1].startswith("The automatic fix of type errors stopped: ")
    assert place.messages(chat)[-1][1].startswith(written)


async def test_errors_that_stay_are_given_up_after_two_attempts(place: Installation) -> None:
    place.script(*(openai_chat_stream([f'<scalix-write path="a.ts">{number}</scalix-write>']) for number in range(4)))
    problem = {"file": "a.ts", "line": 1, "column": 2, "code": 2304, "message": "Cannot find b"}
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "checkProblems": True}) as host:
        host.answer_host["host:check-problems"] = lambda _: {"problems": [problem]}
        await host.request("set-user-settings", {"enableAutoFixProblems": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert host.text(chat).endswith('<scalix-write path="a.ts">2</scalix-write>')
    assert len(place.provider.requests) == 3


async def test_the_hosts_system_prompt_and_substitutions_are_used(place: Installation) -> None:
    place.answers("import $$SUPA", "BASE_CLIENT_CODE$$ twice $$SUPABASE_CLIENT_CODE$$")
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "systemPrompt": True}) as host:
        host.answer_host["host:system-prompt"] = lambda params: {
            "systemPrompt": f"You work on {params['appPath']}", "substitutions": {"$$SUPABASE_CLIENT_CODE$$": "CLIENT"},
        }  # fmt: skip
        await host.request("chat:stream", place.stream_params(chat))
        assert host.text(chat) == "import CLIENT twice $$SUPABASE_CLIENT_CODE$$"
    assert texts(place)[0] == f"You work on {place.app_folder}"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"systemPrompt": 5},
        {"systemPrompt": "x", "substitutions": ["a"]},
        {"systemPrompt": "x", "substitutions": {"$$A$$": 5}},
    ],
)
async def test_an_answer_of_the_host_that_makes_no_sense_leaves_the_built_in_prompt(
    place: Installation, answer: Any
) -> None:
    place.answers("ok $$A$$")
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "systemPrompt": True}) as host:
        host.answer_host["host:system-prompt"] = lambda _: answer
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert "not understood" in host.terminals(chat)[0]["warningMessages"][0]
        assert host.text(chat) == "ok $$A$$"
    assert texts(place)[0].startswith("You are Scalix, an assistant that builds")


async def test_a_summary_request_holds_nothing_but_the_other_chat(place: Installation) -> None:
    other = place.chat()
    insert_message(place.database, other, "user", "make it blue")
    place.answers("ok")
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(place.chat(), f"Summarize from chat-id={other}"))
    assert [message["role"] for message in sent(place)] == ["system", "user"]
    assert texts(place)[1] == 'Summarize the following chat: <message role="user">make it blue</message>'


@pytest.mark.parametrize(
    ("prompt", "settings"),
    [
        ("hi", {}),
        ("hi", {"selectedChatMode": "ask"}),
        ("hi", {"maxChatTurnsInContext": 1}),
        ("hi 😀 @prompt:1 and @prompt:99", {}),
        ("look at @app:shop", {}),
        ("Summarize from chat-id=1", {}),
        ("Summarize from chat-id=99", {}),
    ],
)
async def test_counted_tokens_are_those_of_what_is_sent(
    place: Installation, prompt: str, settings: dict[str, Any]
) -> None:
    (place.app_folder / "a.ts").write_text("x" * 400 + "→😀")
    (place.app_folder / "AI_RULES.md").write_text("Use tabs. " * 9)
    shop = place.folder / "scalix-apps" / "shop"
    shop.mkdir()
    (shop / "shop.ts").write_text("shop code 😀")
    insert_app(place.database, name="shop", path=str(shop))
    insert_prompt(place.database, "title", "from the library")
    chat = place.chat()
    for number in range(7):
        content = f'<think>no</think>{number} 😀 <scalix-write path="a">b</scalix-write>' + "x" * number
        insert_message(place.database, chat, ("user", "assistant")[number % 2], content)
    place.answers("ok")
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("set-user-settings", settings)
        counts = await host.request("chat:count-tokens", {"chatId": chat, "input": prompt})
        await host.request("chat:stream", place.stream_params(chat, prompt))
    assert place.provider.requests[-1].json["messages"][-1]["role"] == "user"
    system, *others, asked = texts(place)
    codebase = others[0].removeprefix("This is my codebase. ") if "codebase" in "".join(others[:1]) else ""
    apps = next((text for text in others if text.startswith("# Referenced Apps")), "")
    history = others[2 * bool(codebase) + 2 * bool(apps) :]
    expected = {
        "systemPromptTokens": tokens(system),
        "codebaseTokens": tokens(codebase),
        "mentionedAppsTokens": tokens(apps),
        "messageHistoryTokens": tokens("".join(history)),
        "inputTokens": tokens(asked),
    }
    assert counts == {**expected, "totalTokens": sum(expected.values()), "contextWindow": counts["contextWindow"]}


def tokens(text: str) -> int:
    """A quarter of the UTF-16 code units, rounded up (app contract 6)."""
    return -(-len(text.encode("utf-16-le")) // 8)


async def test_a_prompt_that_cannot_fit_is_told_before_it_is_sent(place: Installation) -> None:
    for number in range(4):
        (place.app_folder / f"{number}.ts").write_text("x" * 1_000_000)
    chat = place.chat()
    params = place.stream_params(chat, model={"provider": "openai", "name": "o3-mini"})
    async with memory_host(place.folder, {"OPENAI_API_KEY": planted()}, **PATCH) as host:
        assert await host.request("chat:stream", params) == "error"
        (error,) = host.terminals(chat)
    assert error["code"] == "CONTEXT_LENGTH_EXCEEDED"
    assert "200,000" in error["error"]
    assert place.provider.requests == []


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_a_killed_process_loses_next_to_nothing_and_the_turn_is_marked(place: Installation) -> None:
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    chat = place.chat()
    async with process_host(place.folder, **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await saved(place, chat, "Hello")
        os.kill(host.process.pid, signal.SIGKILL)
        await host.process.wait()
    assert place.messages(chat) == [("user", "hi"), ("assistant", "Hello")]
    async with process_host(place.folder, **PATCH) as host:
        await saved(place, chat, "Hello\n\n[Response interrupted]")
    assert len(place.provider.requests) == 1, "an interrupted turn is never run again by itself"


async def saved(place: Installation, chat: int, text: str) -> None:
    """Wait until the assistant row holds ``text``."""
    with anyio.fail_after(10):
        while place.messages(chat)[-1:] != [("assistant", text)]:
            await anyio.lowlevel.checkpoint()


async def test_an_answer_that_meets_a_lock_at_its_end_is_shown_and_saved_when_the_lock_goes(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.app.Database", partial(Database, busy_timeout_ms=300))
    end = Pause()
    text = '<scalix-write path="a.ts">x</scalix-write><scalix-chat-summary>T</scalix-chat-summary>'
    *most, last = openai_chat_stream([text])
    place.script([*most, end, last], openai_chat_stream(["next"]))
    chat = place.chat()
    capabilities = {"chunks": "patch", "applyResponse": True}
    async with memory_host(place.folder, capabilities=capabilities) as host:
        await host.request("set-user-settings", {"autoApproveChanges": True})
        asked = await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat))
        other = write_lock(place.database)
        end.resume()
        assert await host.answer(asked) == chat
        (told,) = host.terminals(chat)
        assert (told["wasCancelled"], told["updatedFiles"]) == (False, False)
        assert "saved as soon as the lock is gone" in told["warningMessages"][-2]
        assert "not applied" in told["warningMessages"][-1]
        other.close()
        host.answer_host["host:apply-response"] = lambda _: {"updatedFiles": True}
        await host.request("chat:stream", place.stream_params(chat, "go on"))
        assert host.terminals(chat)[1]["updatedFiles"] is True
    assert [content for _, content in place.messages(chat)] == ["hi", text, "go on", "next"]
    assert sent(place)[-2] == {"role": "assistant", "content": text}, "the next turn sees it"
    states = rows(place.database, "SELECT state FROM sidecar_turns")
    assert states == [{"state": "completed"}] * 2
    assert rows(place.database, "SELECT title FROM chats") == [{"title": "T"}]


async def test_a_missing_app_folder_is_a_note_and_not_a_failure(place: Installation) -> None:
    place.app_folder.rmdir()
    place.answers("ok")
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert "does not exist" in host.terminals(chat)[0]["warningMessages"][0]


async def test_a_retryable_failure_is_tried_again_and_the_attempts_are_shown(place: Installation) -> None:
    busy = Answer.json({"error": {"message": "busy"}}, status=503, headers={"retry-after-ms": "1"})
    place.script(busy, busy, openai_chat_stream(["ok"]))
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert [a["outcome"] for a in host.terminals(chat)[0]["attempts"]] == ["error", "error", "ok"]


async def test_too_many_requests_end_in_the_apps_words(place: Installation) -> None:
    limited = Answer.json(
        {"error": {"message": "Too many requests. Please try again later.", "type": "rate_limit_error"}},
        status=429, headers={"retry-after-ms": "1"},
    )  # fmt: skip
    place.script(limited)
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        (error,) = host.terminals(chat)
    assert error["error"].startswith(
        "Sorry, there was an error from the AI: Failed after 3 attempts. Last error: Too many requests."
    )
    assert error["code"] == "RATE_LIMIT_EXCEEDED"
    assert len(place.provider.requests) == 3


async def test_a_broken_answer_is_continued_only_where_the_user_wants_that(place: Installation) -> None:
    half = [*openai_chat_stream(["The quick brown fox ", "jumps over the"])[:3], Drop()]
    rest = openai_chat_stream(["brown fox jumps over the lazy dog."])
    place.script(half, rest, half, rest)
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("set-user-settings", {"continueInterrupted": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert host.text(chat) == "The quick brown fox jumps over the lazy dog."
        assert "asked to go on" in str(host.terminals(chat)[0]["warningMessages"])
        await host.request("set-user-settings", {"continueInterrupted": False})
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        assert host.terminals(chat)[1]["code"] == "STREAM_INTERRUPTED"
    assert place.messages(chat)[1][1] == "The quick brown fox jumps over the lazy dog."
    assert place.messages(chat)[3][1] == "The quick brown fox jumps over the"


async def test_a_continuation_that_breaks_off_while_it_repeats_adds_nothing(place: Installation) -> None:
    half = [*openai_chat_stream(["The quick brown fox ", "jumps over the"])[:3], Drop()]
    repeating = [*openai_chat_stream(["The quick ", "brown"])[:3], Drop()]
    place.script(half, repeating, openai_chat_stream(["The quick brown fox jumps over the lazy dog."]))
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("set-user-settings", {"continueInterrupted": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert host.text(chat) == "The quick brown fox jumps over the lazy dog."


async def test_a_question_that_got_no_answer_is_not_continued(place: Installation) -> None:
    place.script(Answer.json({"error": {"message": "busy"}}, status=503, headers={"retry-after-ms": "1"}))
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("set-user-settings", {"continueInterrupted": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
    assert len(place.provider.requests) == 3


async def test_a_continuation_that_ends_before_it_is_clear_what_it_repeats_is_kept(place: Installation) -> None:
    half = [*openai_chat_stream(["one two, ", "one two"])[:3], Drop()]
    place.script(half, openai_chat_stream([", o"]))
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("set-user-settings", {"continueInterrupted": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert host.text(chat) == "one two, one two, o"


async def test_a_continuation_that_is_refused_for_good_is_not_asked_for_again(place: Installation) -> None:
    half = [*openai_chat_stream(["The quick brown fox ", "jumps over the"])[:3], Drop()]
    place.script(
        half, Answer.json({"error": {"message": "Incorrect API key"}}, status=401), openai_chat_stream(["lazy dog."])
    )
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("set-user-settings", {"continueInterrupted": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
    assert len(place.provider.requests) == 2


async def test_a_broken_answer_without_a_word_yet_is_asked_for_again(place: Installation) -> None:
    """There is nothing to go on with: what was thought stays, and the same question brings the answer."""
    half = [*openai_chat_stream(["Hello"], reasoning=["hm, ", "well"])[:2], Drop()]
    place.script(half, openai_chat_stream(["Hello"], reasoning=["again"]))
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        await host.request("set-user-settings", {"continueInterrupted": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert host.text(chat) == "<think>hm, </think>Hello"
    first, second = place.provider.requests
    assert first.json["messages"] == second.json["messages"]
