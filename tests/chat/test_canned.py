"""Answers without a model, asked for by ``[scalix-qa=<key>]`` (app contract 7.7), over the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.chat.text.tags import add_dependency_packages, has_unclosed_write, write_tags
from tests.host import memory_host
from tests.installation import Installation, installation

pytestmark = pytest.mark.anyio

PATCH = {"capabilities": {"chunks": "patch"}}
TEST_BUILD = {"E2E_TEST_BUILD": "true"}
KEYS = ["ts-error", "add-dep", "add-non-existing-dep", "add-multiple-deps", "write", "string-literal-leak"]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


def without_a_key(place: Installation, chat: int, prompt: str) -> dict[str, Any]:
    """Params for a model that could not be asked: nobody has its key."""
    return {**place.stream_params(chat, prompt), "model": {"provider": "openai", "name": "gpt-4.1"}}


@pytest.mark.parametrize("mode", ["patch", "messages"])
@pytest.mark.parametrize("key", KEYS)
async def test_a_mark_is_answered_without_a_model_or_a_key(place: Installation, key: str, mode: str) -> None:
    chat = place.chat()
    async with memory_host(place.folder, capabilities={"chunks": mode}) as host:
        assert await host.request("chat:stream", without_a_key(place, chat, f"[scalix-qa={key}]")) == chat
        chunks = host.notifications("chat:response:chunk")
        (end,) = host.terminals(chat)
        text = host.text(chat)
    assert (end["finishReason"], end["wasCancelled"], end["attempts"]) == ("stop", False, [])
    assert len(chunks) > 2, "it arrives word by word"
    assert text.endswith(" "), "every word has its space, as in the app"
    assert place.messages(chat) == [("user", f"[scalix-qa={key}]"), ("assistant", text)]
    assert place.provider.requests == []


async def test_every_answer_is_what_its_key_says(place: Installation) -> None:
    texts = {}
    async with memory_host(place.folder, **PATCH) as host:
        for key in KEYS:
            chat = place.chat()
            await host.request("chat:stream", without_a_key(place, chat, f" [scalix-qa={key}]\n"))
            texts[key] = host.text(chat)
    assert {key: add_dependency_packages(text) for key, text in texts.items() if "scalix-add-dependency" in text} == {
        "add-dep": ["nanoid"],
        "add-non-existing-dep": ["@scalix-qa/there-is-no-such-package"],
        "add-multiple-deps": ["nanoid", "date-fns"],
    }
    writes = {key: [tag.path for tag in write_tags(text)] for key, text in texts.items() if "scalix-write" in text}
    assert writes == {
        "ts-error": ["src/bad-file.ts"],
        "write": ["src/greeting.ts"],
        "string-literal-leak": ["src/components/Quotes.tsx"],
    }
    assert not any(has_unclosed_write(text) for text in texts.values())
    assert 'description="Says ＜hello＞"' in texts["write"], "cleaned like a model's answer"


async def test_a_canned_answer_costs_nothing(place: Installation) -> None:
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        before = (await host.request("usage:get"))["usage"]
        await host.request("chat:stream", without_a_key(place, chat, "[scalix-qa=write]"))
        (end,) = host.terminals(chat)
        assert end["limits"] == before == (await host.request("usage:get"))["usage"]
        analytics = await host.request("analytics:get")
    assert (analytics["totals"]["requests"], analytics["models"]) == (0, [])


async def test_it_is_applied_like_any_answer(place: Installation) -> None:
    chat = place.chat()
    asked: list[Any] = []
    capabilities = {"chunks": "patch", "applyResponse": True, "checkProblems": True}
    async with memory_host(place.folder, capabilities=capabilities) as host:
        host.answer_host["host:apply-response"] = lambda params: asked.append(params) or {"updatedFiles": True}
        host.answer_host["host:check-problems"] = asked.append
        await host.request("set-user-settings", {"autoApproveChanges": True, "enableAutoFixProblems": True})
        await host.request("chat:stream", without_a_key(place, chat, "[scalix-qa=ts-error]"))
        assert host.terminals(chat)[0]["updatedFiles"] is True
    (params,) = asked
    assert params["response"] == place.messages(chat)[-1][1]


async def test_it_can_be_stopped(place: Installation) -> None:
    chat = place.chat()
    async with memory_host(place.folder, **PATCH) as host:
        stream = await host.start("chat:stream", without_a_key(place, chat, "[scalix-qa=string-literal-leak]"))
        await host.until(lambda: host.text(chat))
        assert await host.request("chat:cancel", {"chatId": chat}) is True
        assert await host.answer(stream) == chat
        (end,) = host.terminals(chat)
        partial = host.text(chat)
    assert end["wasCancelled"] is True
    assert "Nothing of it may show up" not in partial
    assert place.messages(chat)[-1][1].endswith("\n\n[Response cancelled by user]")


@pytest.mark.parametrize(
    ("prompt", "environ"),
    [
        ("[scalix-qa=sing-a-song]", TEST_BUILD),
        ("[scalix-qa=]", TEST_BUILD),
        ("[scalix-qa=write", TEST_BUILD),
        ("What does [scalix-qa=write] do?", {}),
    ],
)
async def test_anything_else_goes_to_the_model(place: Installation, prompt: str, environ: dict[str, str]) -> None:
    place.answers("From the model.")
    chat = place.chat()
    async with memory_host(place.folder, environ, **PATCH) as host:
        await host.request("chat:stream", place.stream_params(chat, prompt))
    assert place.messages(chat) == [("user", prompt), ("assistant", "From the model.")]


async def test_a_test_build_finds_the_mark_anywhere(place: Installation) -> None:
    chat = place.chat()
    async with memory_host(place.folder, TEST_BUILD, **PATCH) as host:
        await host.request("chat:stream", without_a_key(place, chat, "Please [scalix-qa=write] now"))
        assert "src/greeting.ts" in host.text(chat)
    assert place.provider.requests == []
