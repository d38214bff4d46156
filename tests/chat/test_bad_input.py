"""What a user's disk and requests hold at their worst: a clear error or a note, over the wire, and never a crash."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.app_database import execute, insert_app, insert_chat, insert_message
from tests.host import Host, Json, RpcError, memory_host, process_host, sidecar_command
from tests.installation import Installation, installation

pytestmark = pytest.mark.anyio

PATCH = {"capabilities": {"chunks": "patch"}}
needs_symlinks = pytest.mark.skipif(sys.platform == "win32", reason="symlinks need a privilege")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        made.answers("ok")
        yield made


async def notes(place: Installation, host: Host, prompt: str = "hi", **more: Any) -> str:
    """The notes of a turn that must end well."""
    chat = place.chat()
    assert await host.request("chat:stream", place.stream_params(chat, prompt, **more)) == chat
    (end,) = host.terminals(chat)
    assert place.messages(chat)[-1] == ("assistant", "ok")
    return "\n".join(end.get("warningMessages", []))


def sent(place: Installation) -> list[str]:
    """The texts of the last request's messages."""
    messages: list[Json] = place.provider.requests[-1].json["messages"]
    return [message["content"] for message in messages]


def component(path: str) -> Json:
    return {"id": "1", "name": "H", "relativePath": path, "lineNumber": 1, "columnNumber": 0}


TRICKS = [
    "..",
    "../secret.ts",
    "src/../../secret.ts",
    "/etc/passwd",
    "\\etc\\passwd",
    "..\\..\\secret.ts",
    "C:\\Windows\\win.ini",
    "c:secret.ts",
    "\\\\server\\share\\secret.ts",
    "//server/share/secret.ts",
    "\\\\?\\C:\\secret.ts",
    "a\0b",
    "",
    "./.",
    "x" * 5000,
]


# --- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["chat:stream", "chat:count-tokens"])
async def test_a_chat_without_its_app_is_not_found(place: Installation, method: str) -> None:
    chat = place.chat()
    execute(place.database, "PRAGMA foreign_keys = OFF")
    async with memory_host(place.folder, **PATCH) as host:
        with pytest.raises(RpcError, match="Chat not found: 99"):
            await host.request(method, {"chatId": 99, "prompt": "hi", "input": "hi"})
        execute(place.database, "DELETE FROM apps")
        with pytest.raises(RpcError, match=f"Chat not found: {chat}") as refused:
            await host.request(method, {"chatId": chat, "prompt": "hi", "input": "hi"})
    assert refused.value.data["code"] == "NOT_FOUND"
    assert place.provider.requests == []


@pytest.mark.parametrize("method", ["chat:stream", "chat:count-tokens", "models:recommend"])
@pytest.mark.parametrize("chat", [2**63, -(2**63) - 1, 10**30])
async def test_a_chat_id_that_no_row_can_have_is_not_found(place: Installation, method: str, chat: int) -> None:
    async with memory_host(place.folder, **PATCH) as host:
        with pytest.raises(RpcError, match=f"Chat not found: {chat}") as refused:
            await host.request(method, {"chatId": chat, "prompt": "hi", "input": "hi"})
        assert refused.value.data["code"] == "NOT_FOUND"
        assert await host.request("chat:cancel", [chat]) is True


async def test_tokens_of_no_input_are_not_counted(place: Installation) -> None:
    async with memory_host(place.folder, **PATCH) as host:
        with pytest.raises(RpcError) as refused:
            await host.request("chat:count-tokens", {"chatId": place.chat()})
    assert (refused.value.code, refused.value.data["path"]) == (-32602, "input")


@pytest.mark.parametrize("path", TRICKS[:-1])
async def test_an_apps_path_that_leads_elsewhere_is_an_error_that_names_it(place: Installation, path: str) -> None:
    if Path(path).is_absolute() and "\0" not in path:
        pytest.skip("an absolute path is where the app is")
    app = insert_app(place.database, name="odd", path=path)
    chat = insert_chat(place.database, app)
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == "error"
        (error,) = host.terminals(chat)
    assert (error["code"], error["kind"]) == ("VALIDATION", "validation")
    assert error["error"].startswith(
        "Sorry, there was an error processing your request: The app's folder is not known."
    )
    assert place.provider.requests == []


async def test_a_mentioned_app_that_cannot_be_read_is_left_out_and_told(place: Installation) -> None:
    insert_app(place.database, name="gone", path=str(place.folder / "no-such-folder"))
    insert_app(place.database, name="odd", path="../../elsewhere")
    async with memory_host(place.folder, **PATCH) as host:
        told = await notes(place, host, "look at @app:gone and @app:odd")
    assert "gone" in told
    assert "odd" in told
    assert "odd" not in "".join(sent(place)[:-1]), "what is not there is not referred to"


# --- the app's folder ------------------------------------------------------------------------------------------------


async def test_a_deleted_app_folder_is_told_whatever_the_turn_asks_of_it(place: Installation) -> None:
    shutil.rmtree(place.app_folder)
    async with memory_host(place.folder, **PATCH) as host:
        told = await notes(place, host, selectedComponent=component("src/App.tsx"))
        counts = await host.request("chat:count-tokens", {"chatId": place.chat(), "input": "hi"})
    assert "does not exist" in told
    assert "src/App.tsx" in told
    assert "[component snippet not available]" in sent(place)[-1]
    assert counts["codebaseTokens"] > 0, "the model is told that there is no folder"


@needs_symlinks
async def test_symlink_loops_end(place: Installation) -> None:
    (place.app_folder / "a.ts").write_text("real")
    (place.app_folder / "here").symlink_to(".", target_is_directory=True)
    (place.app_folder / "round").symlink_to("about")
    (place.app_folder / "about").symlink_to("round")
    (place.app_folder / "AI_RULES.md").symlink_to("AI_RULES.md")
    (place.app_folder / ".gitignore").symlink_to(".gitignore")
    async with memory_host(place.folder, **PATCH) as host:
        told = await notes(place, host, selectedComponent=component("round/x.ts"))
        assert "round/x.ts" in told
        told = await notes(place, host)
    assert "AI_RULES.md" in told
    assert ".gitignore" in told
    assert sent(place)[1].count("<scalix-file") == 1


@needs_symlinks
async def test_an_app_folder_that_is_a_loop_is_as_good_as_none(place: Installation) -> None:
    place.app_folder.rmdir()
    place.app_folder.symlink_to(place.app_folder)
    async with memory_host(place.folder, **PATCH) as host:
        assert "does not exist" in await notes(place, host)


@needs_symlinks
async def test_no_link_leads_out_of_the_app(place: Installation) -> None:
    outside = place.folder / "outside"
    outside.mkdir()
    (outside / "secret.ts").write_text("do-not-send")
    (place.app_folder / "out").symlink_to(outside, target_is_directory=True)
    (place.app_folder / "secret.ts").symlink_to(outside / "secret.ts")
    (place.app_folder / "AI_RULES.md").symlink_to(outside / "secret.ts")
    async with memory_host(place.folder, **PATCH) as host:
        told = await notes(place, host, selectedComponents=[component("out/secret.ts"), component("secret.ts")])
        assert "out/secret.ts" in told
        assert "AI_RULES.md" in told
        await notes(place, host)
    assert all("do-not-send" not in str(request.json) for request in place.provider.requests)


@pytest.mark.parametrize("glob", ["../**", "/**", "src/../../**", "C:\\**", "\\\\server\\share\\**", "{../**,/etc/**}"])
async def test_no_glob_leads_out_of_the_app(place: Installation, glob: str) -> None:
    (place.folder / "scalix-apps" / "outside.ts").write_text("do-not-send")
    (place.app_folder / "a.ts").write_text("inside")
    rule = {"contextPaths": [{"globPath": glob}], "smartContextAutoIncludes": []}
    execute(place.database, "UPDATE apps SET chat_context = ?", json.dumps(rule))
    async with memory_host(place.folder, **PATCH) as host:
        await notes(place, host)
    assert "do-not-send" not in "".join(sent(place))


@pytest.mark.parametrize("path", TRICKS)
async def test_a_component_outside_of_the_app_is_refused_and_nothing_is_written(place: Installation, path: str) -> None:
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        for params, field in (
            ({"selectedComponent": component(path)}, "selectedComponent.relativePath"),
            ({"selectedComponents": [component("a.ts"), component(path)]}, "selectedComponents[1].relativePath"),
        ):
            with pytest.raises(RpcError) as refused:
                await host.request("chat:stream", place.stream_params(chat, **params))
            assert (refused.value.code, refused.value.data["path"]) == (-32602, field)
    assert place.messages(chat) == []
    assert place.provider.requests == []


@pytest.mark.parametrize("path", [trick for trick in TRICKS if trick and "\0" not in trick])
async def test_an_answer_does_not_reach_out_of_the_app_while_it_is_fixed(place: Installation, path: str) -> None:
    (place.app_folder.parent / "secret.ts").write_text("do-not-send")
    place.answers(
        f'<scalix-rename from="{path}" to="b.ts"></scalix-rename><scalix-delete path="{path}"></scalix-delete>'
    )
    rounds = [[{"file": "b.ts", "line": 1, "column": 1, "code": 1, "message": "no"}], []]
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": "patch", "checkProblems": True}) as host:
        host.answer_host["host:check-problems"] = lambda _: {"problems": rounds.pop(0)}
        await host.request("set-user-settings", {"enableAutoFixProblems": True})
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
    assert len(place.provider.requests) == 2
    assert "do-not-send" not in str(place.provider.requests[-1].json)
    assert (place.app_folder.parent / "secret.ts").exists()


# --- files -----------------------------------------------------------------------------------------------------------


async def test_files_of_a_gigabyte_are_left_out_and_told_one_by_one(place: Installation) -> None:
    for name in ("huge.ts", "AI_RULES.md", ".gitignore"):
        with (place.app_folder / name).open("wb") as file:
            file.truncate(1 << 30)
    (place.app_folder / "small.ts").write_text("small")
    async with memory_host(place.folder, **PATCH) as host:
        told = await notes(place, host)
        assert "huge.ts" in told
        assert "AI_RULES.md has more than 1,024,000 bytes" in told
        assert ".gitignore" in told
        assert "small" in sent(place)[1]
        assert "huge.ts" not in sent(place)[1]
        told = await notes(place, host, selectedComponent=component("huge.ts"))
        assert "huge.ts" in told
    assert "[component snippet not available]" in sent(place)[-1]


async def test_a_folder_with_too_many_files_is_cut_and_told(place: Installation) -> None:
    for number in range(20_010):
        (place.app_folder / f"{number:05}.txt").touch()
    async with memory_host(place.folder, **PATCH) as host:
        told = await notes(place, host)
        again = await notes(place, host)
    assert "only the first 20,000 are used" in told
    assert again == told
    first, second = (request.json["messages"][1]["content"] for request in place.provider.requests)
    assert first == second, "the same files each time"
    assert first.count("<scalix-file") == 20_000


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"Say caf\xe9.", "Say caf\ufffd."),
        ("\ufeffSay 😀.".encode("utf-16-le"), "Say 😀."),
        ("\ufeffSay 😀.".encode("utf-16-be") + b"\x00", "Say 😀.\ufffd"),
        (b"\x80\x81\x82", "\ufffd\ufffd\ufffd"),
    ],
)
async def test_rules_that_are_not_utf8_are_used_as_far_as_they_go_and_told(
    place: Installation, content: bytes, shown: str
) -> None:
    (place.app_folder / "AI_RULES.md").write_bytes(content)
    async with memory_host(place.folder, **PATCH) as host:
        told = await notes(place, host)
    assert "AI_RULES.md is not valid UTF-8" in told
    assert shown in sent(place)[0]


async def test_a_text_attachment_that_is_not_utf8_is_told(place: Installation) -> None:
    attachment = {"name": "note.txt", "type": "text/plain", "data": "data:;base64,Y2Fm6Q==",
                  "attachmentType": "chat-context"}  # fmt: skip
    async with memory_host(place.folder, **PATCH) as host:
        told = await notes(place, host, attachments=[attachment])
    assert "note.txt is not valid UTF-8" in told
    assert "caf\ufffd" in sent(place)[-1]


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="capabilities of a process")
async def test_files_without_permission_are_told(place: Installation) -> None:
    """Run without root's right to read everything, which tests often have."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() == 0 and setpriv is None:
        pytest.skip("root may read everything")
    caps = "-dac_override,-dac_read_search"
    drop = [str(setpriv), f"--bounding-set={caps}", f"--inh-caps={caps}", "--"] if os.geteuid() == 0 else []
    (place.app_folder / "folder").mkdir()
    for path in ("locked.ts", "AI_RULES.md", "folder"):
        if path != "folder":
            (place.app_folder / path).write_text("do-not-send")
        (place.app_folder / path).chmod(0)
    (place.app_folder / "open.ts").write_text("open")
    try:
        async with process_host(place.folder, command=[*drop, *sidecar_command()], **PATCH) as host:
            told = await notes(place, host)
    finally:
        (place.app_folder / "folder").chmod(0o700)
    assert "locked.ts" in told
    assert "AI_RULES.md could not be read" in told
    assert "folder/" in told
    assert "open" in sent(place)[1]
    assert "// Error reading file" in sent(place)[1]
    assert "do-not-send" not in "".join(sent(place))


# --- text ------------------------------------------------------------------------------------------------------------


async def test_half_an_emoji_in_a_prompt_is_a_prompt(place: Installation) -> None:
    """JavaScript cuts texts between the halves of a surrogate pair, and JSON carries the half as an escape."""
    chat = place.chat()
    line = json.dumps({"jsonrpc": "2.0", "id": 77, "method": "chat:stream",
                       "params": place.stream_params(chat, "cut \ud83d here")})  # fmt: skip
    async with memory_host(place.folder, **PATCH) as host:
        await host.raw(line.encode() + b"\n")
        assert await host.answer(77) == chat
    assert place.messages(chat)[0] == ("user", "cut \ufffd here")
    assert sent(place)[-1] == "cut \ufffd here"


async def test_odd_rows_of_the_history_do_no_harm(place: Installation) -> None:
    chat = place.chat()
    insert_message(place.database, chat, "assistant", "an answer without a question")
    insert_message(place.database, chat, "system", "of another build")
    insert_message(place.database, chat, "user", "")
    insert_message(place.database, chat, "user", "<think>never closed")
    async with memory_host(place.folder, **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
    assert place.messages(chat)[-1] == ("assistant", "ok")
