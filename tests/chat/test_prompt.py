"""The stored prompt, the system prompt, and the messages that are sent (app contract 7.5, 7.8, 13.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol.chat import SelectedComponent
from sidecar.chat.attachments import StoredAttachment
from sidecar.chat.context import Codebase
from sidecar.chat.history import HistoryRow, limit_history, model_messages
from sidecar.chat.prompt import (
    MAX_PROMPT_CHARS,
    PromptInputs,
    build_messages,
    check_prompt,
    count_tokens,
    is_summarise,
    prompt_references,
    referenced_apps_text,
    replace_prompt_references,
    stored_prompt,
    summarise_chat_id,
    with_codebase,
)
from sidecar.chat.system_prompt import (
    ASK_PROMPT,
    BUILD_PROMPT,
    DEFAULT_AI_RULES,
    IMAGE_INSTRUCTIONS,
    SUMMARISE_PROMPT,
    SUPABASE_AVAILABLE,
    SUPABASE_NOT_AVAILABLE,
    TEST_SUPABASE_CONTEXT,
    UPLOAD_INSTRUCTIONS,
    SupabaseState,
    system_prompt,
)
from sidecar.engines.base import FilePart, Message, TextPart
from sidecar.errors import InvalidParams
from sidecar.lengths import estimate_tokens
from sidecar.routing.inputs import ContextFile

CODEBASE = Codebase(
    text='This is my codebase. <scalix-file path="a.ts">\n😀 code\n</scalix-file>\n\n',
    files=(ContextFile("a.ts", "😀 code"),),
    warnings=(),
    token_estimate=13,
    elapsed_ms=0,
)
IMAGE = FilePart("image/png", base64="AAAA")


def upload(kind: Any = "chat-context", name: str = "a.png", media_type: str = "image/png") -> StoredAttachment:
    return StoredAttachment(name=name, type=media_type, kind=kind, path=Path("/tmp/x"), file_id="SCALIX_ATTACHMENT_0")


# --- the stored prompt -----------------------------------------------------------------------------------------------


def test_a_prompt_has_at_most_a_mebi_of_utf16_units() -> None:
    check_prompt("x" * MAX_PROMPT_CHARS)
    check_prompt("😀" * (MAX_PROMPT_CHARS // 2))
    for prompt in ("x" * (MAX_PROMPT_CHARS + 1), "😀" * (MAX_PROMPT_CHARS // 2 + 1)):
        with pytest.raises(InvalidParams, match="1,048,576") as caught:
            check_prompt(prompt)
        assert caught.value.path == "prompt"


@pytest.mark.parametrize(
    ("prompt", "result"),
    [
        ("[dump] @prompt:1", "[dump] one"),
        ("@prompt:2@prompt:1", "costs $& \\1one"),
        ("@prompt:9 stays", "@prompt:9 stays"),
        ("@prompt:3", "@prompt:1"),
        ("@prompt:001", "one"),
        ("@prompt:" + "9" * 5000, "@prompt:" + "9" * 5000),
        ("@prompt:x @Prompt:1", "@prompt:x @Prompt:1"),
        ("@prompt:12", "@prompt:12"),
    ],
)
def test_prompt_references_are_replaced_in_one_pass(prompt: str, result: str) -> None:
    assert replace_prompt_references(prompt, {1: "one", 2: "costs $& \\1", 3: "@prompt:1"}) == result


def test_the_referenced_ids_are_known_before_the_rows_are_read() -> None:
    assert prompt_references("@prompt:2 @prompt:7 @prompt:2 @prompt:007 @prompt:x") == (2, 7)


def test_the_stored_prompt_is_prompt_then_attachments_then_components() -> None:
    component = SelectedComponent(name="Title", relative_path="src/a.tsx", line_number=2)
    attachments = [upload(name="@prompt:1.png")]
    assert stored_prompt(
        "do @prompt:1", prompts={1: "this"}, attachments=attachments, components=[(component, "x")]
    ) == (
        "do this\n\nAttachments:\n- @prompt:1.png (image/png)\n"
        "\n\nSelected component: Title (file: src/a.tsx)\n\nSnippet:\n```\nx\n```\n"
    )


# --- messages --------------------------------------------------------------------------------------------------------

HISTORY = (HistoryRow("user", "first"), HistoryRow("assistant", "answer"), HistoryRow("user", "second"))


def test_the_order_is_system_codebase_referenced_apps_history() -> None:
    inputs = PromptInputs(system="SYSTEM", history=HISTORY, codebase=CODEBASE, referenced_apps="# Referenced Apps ...")
    assert build_messages(inputs) == (
        Message.of("system", "SYSTEM"),
        Message.of("user", CODEBASE.text),
        Message.of("assistant", "OK, got it. I'm ready to help"),
        Message.of("user", "# Referenced Apps ..."),
        Message.of("assistant", "OK."),
        Message.of("user", "first"),
        Message.of("assistant", "answer"),
        Message.of("user", "second"),
    )
    assert inputs.codebase_index == 1


def test_the_engine_gets_no_codebase_message_but_the_referenced_apps() -> None:
    inputs = PromptInputs(system="S", history=HISTORY[-1:], codebase=CODEBASE, engine=True, referenced_apps="R")
    assert [message.parts[0].text for message in build_messages(inputs)] == ["S", "R", "OK.", "second"]  # type: ignore[union-attr]
    assert inputs.codebase_index is None


def test_the_empty_placeholder_is_not_sent_and_images_join_the_new_message() -> None:
    rows = [*HISTORY, HistoryRow("assistant", "")]
    inputs = PromptInputs(system="S", history=model_messages(rows), images=(IMAGE, IMAGE))
    messages = build_messages(inputs)
    assert messages[-1] == Message("user", (TextPart("second"), IMAGE, IMAGE))
    assert messages[1] == Message.of("user", "first")


def test_images_never_join_an_assistants_message() -> None:
    messages = build_messages(PromptInputs(system="S", history=HISTORY[:2], images=(IMAGE,)))
    assert messages[-2:] == (Message.of("assistant", "answer"), Message("user", (IMAGE,)))


def test_another_codebase_takes_the_place_of_the_first() -> None:
    inputs = PromptInputs(system="S", history=HISTORY, codebase=CODEBASE)
    messages = build_messages(inputs)
    swapped = with_codebase(messages, inputs.codebase_index, "NEW")
    assert swapped[1] == Message.of("user", "NEW")
    assert swapped[:1] + swapped[2:] == messages[:1] + messages[2:]
    assert with_codebase(messages, None, "NEW") == messages
    bare = PromptInputs(system="", history=HISTORY, codebase=CODEBASE)
    assert with_codebase(build_messages(bare), bare.codebase_index, "NEW")[0] == swapped[1]


def test_referenced_apps_have_a_heading_and_a_section_each() -> None:
    text = referenced_apps_text([("Shop", "A"), ("Blog", "B")])
    assert text is not None and text.startswith("# Referenced Apps\n")
    assert text.endswith("\n\n=== Referenced App: Shop ===\nA\n\n=== Referenced App: Blog ===\nB")
    assert referenced_apps_text([]) is None


@pytest.mark.parametrize(
    ("prompt", "asks", "chat_id"),
    [
        ("Summarize from chat-id=12", True, 12),
        ("Summarize from chat-id=12=13", True, 12),
        ("Summarize from chat-id=", True, None),
        ("Summarize from chat-id=x", True, None),
        ("please Summarize from chat-id=12", False, 12),
    ],
)
def test_the_summarise_intent(prompt: str, asks: bool, chat_id: int | None) -> None:
    assert (is_summarise(prompt), summarise_chat_id(prompt)) == (asks, chat_id)


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_what_is_counted_is_what_is_sent() -> None:
    rows = [HistoryRow(role, f"{role} 😀 {n}" * 9) for n in range(6) for role in ("user", "assistant")]
    rows += [HistoryRow("user", "new question"), HistoryRow("assistant", "")]
    inputs = PromptInputs(
        system="SYSTEM",
        history=model_messages(limit_history(rows, 2)),
        codebase=CODEBASE,
        referenced_apps="# Referenced Apps",
    )
    tokens = count_tokens(inputs)
    messages = build_messages(inputs)
    sent = ["".join(part.text for part in message.parts if isinstance(part, TextPart)) for message in messages]
    assert tokens.system == estimate_tokens(sent[0])
    assert tokens.codebase == estimate_tokens(sent[1].removeprefix("This is my codebase. "))
    assert tokens.mentioned_apps == estimate_tokens(sent[3])
    assert tokens.history == estimate_tokens("".join(sent[5:-1]))
    assert tokens.input == estimate_tokens(sent[-1]) == 3
    assert tokens.total == tokens.system + tokens.codebase + tokens.mentioned_apps + tokens.history + tokens.input


def test_without_a_new_message_there_is_no_input_and_the_engines_files_count() -> None:
    tokens = count_tokens(PromptInputs(system="", history=HISTORY[:2], codebase=CODEBASE, engine=True))
    assert (tokens.input, tokens.codebase, tokens.history) == (
        0,
        CODEBASE.token_estimate,
        estimate_tokens("firstanswer"),
    )


# --- the system prompt -----------------------------------------------------------------------------------------------


def test_the_base_depends_on_the_mode_and_holds_the_apps_rules() -> None:
    rules = "Use $& and $1 and [[AI_RULES]]"
    assert system_prompt(ai_rules=rules) == BUILD_PROMPT.replace("[[AI_RULES]]", rules).strip()
    assert system_prompt(ask_mode=True, ai_rules=rules) == ASK_PROMPT.replace("[[AI_RULES]]", rules).strip()
    assert DEFAULT_AI_RULES.strip() in system_prompt()


@pytest.mark.parametrize(
    "tag", ["write path=", "rename from=", "delete path=", "add-dependency packages=", "chat-summary>"]
)
def test_the_build_prompt_explains_each_tag(tag: str) -> None:
    assert f"<scalix-{tag}" in BUILD_PROMPT and f"<scalix-{tag}" not in ASK_PROMPT


def test_the_hosts_prompt_takes_the_place_of_the_base() -> None:
    text = system_prompt(host_prompt="HOST [[AI_RULES]]", ai_rules="RULES", referenced_apps=["Shop"])
    assert text.startswith("HOST RULES\n\n# Referenced Apps\n") and "Shop" in text
    whole = system_prompt(host_prompt="HOST [[AI_RULES]]", complete=True, ai_rules="R", referenced_apps=["Shop"])
    assert whole == "HOST R"


def test_the_parts_follow_in_the_contracts_order() -> None:
    text = system_prompt(
        host_prompt="BASE",
        referenced_apps=["Shop", "Blog"],
        supabase=SupabaseState(connected=True, context=TEST_SUPABASE_CONTEXT),
        attachments=[upload()],
    )
    order = ["BASE", "# Referenced Apps", "Shop, Blog", "# Supabase", TEST_SUPABASE_CONTEXT, "# Images"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("state", "contained", "missing"),
    [
        (None, "BASE", "Supabase"),
        (SupabaseState(), SUPABASE_NOT_AVAILABLE.strip(), "execute-sql"),
        (SupabaseState(has_neon=True), "BASE", "Supabase"),
        (SupabaseState(connected=True, has_neon=True), SUPABASE_AVAILABLE.strip(), "add-integration"),
        (
            SupabaseState(connected=True, context="the project as it is"),
            f"{SUPABASE_AVAILABLE}\nthe project as it is",
            "add-integration",
        ),
    ],
)
def test_supabase_is_told_as_it_stands(state: SupabaseState | None, contained: str, missing: str) -> None:
    text = system_prompt(host_prompt="BASE", supabase=state)
    assert contained in text and missing not in text


@pytest.mark.parametrize(
    ("attachments", "expected"),
    [
        ([], None),
        ([upload(name="a.md", media_type="text/markdown")], None),
        ([upload()], IMAGE_INSTRUCTIONS),
        ([upload(), upload("upload-to-codebase")], UPLOAD_INSTRUCTIONS),
        ([upload("upload-to-codebase", "a.md", "text/markdown")], UPLOAD_INSTRUCTIONS),
    ],
)
def test_attachments_bring_their_instructions(attachments: list[StoredAttachment], expected: str | None) -> None:
    text = system_prompt(host_prompt="BASE", attachments=attachments)
    assert text == ("BASE" if expected is None else f"BASE\n\n{expected.strip()}")


def test_a_summary_replaces_all_but_the_attachments_instructions() -> None:
    text = system_prompt(ai_rules="RULES", referenced_apps=["Shop"], supabase=SupabaseState(), summarise=True)
    assert text == SUMMARISE_PROMPT.strip()
    assert system_prompt(summarise=True, attachments=[upload()]).endswith(IMAGE_INSTRUCTIONS.strip())
