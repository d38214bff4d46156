"""Finding the models of local servers (app contract 5), against real loopback servers."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode
from sidecar.catalog import local
from sidecar.catalog.local import list_lmstudio, list_ollama, lmstudio_base, ollama_base, ollama_display_name
from sidecar.errors import ProviderError
from sidecar.handlers.local_models import LocalModelHandlers

pytestmark = pytest.mark.anyio

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[str, list[str]]]:
    """A server on a free port: its base address, and the paths it was asked for."""
    asked: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        return await answer(request)

    server = web.Server(handle)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def serving_json(value: Any, status: int = 200) -> AbstractAsyncContextManager[tuple[str, list[str]]]:
    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(value, status=status)

    return serving(answer)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (None, "http://localhost:11434"),
        ("", "http://localhost:11434"),
        ("  ", "http://localhost:11434"),
        ("http://example.com:1234", "http://example.com:1234"),
        ("https://example.com", "https://example.com"),
        ("http://localhost:3500/ollama", "http://localhost:3500/ollama"),
        ("http://localhost:3500/ollama/", "http://localhost:3500/ollama"),
        ("HTTP://Host:1", "http://Host:1"),
        ("http://0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("http://[::]:11434", "http://[::1]:11434"),
        ("localhost:8080", "http://localhost:8080"),
        ("localhost:8080/", "http://localhost:8080"),
        ("192.168.1.100", "http://192.168.1.100:11434"),
        ("my-host", "http://my-host:11434"),
        ("my-host/ollama", "http://my-host:11434/ollama"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        (":1234", "http://localhost:1234"),
        ("::1", "http://[::1]:11434"),
        ("::", "http://[::1]:11434"),
        ("2001:db8::1", "http://[2001:db8::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("[2001:db8::1]:8080", "http://[2001:db8::1]:8080"),
    ],
)
def test_ollama_host_says_where_a_client_connects(value: str | None, base: str) -> None:
    assert ollama_base({} if value is None else {"OLLAMA_HOST": value}) == base


@given(st.text(max_size=40))
def test_any_ollama_host_gives_an_address_a_path_can_be_added_to(value: str) -> None:
    base = ollama_base({"OLLAMA_HOST": value})
    assert base.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("env", "base"),
    [
        ({}, "http://localhost:1234"),
        ({"LM_STUDIO_BASE_URL": "http://studio:5000/"}, "http://studio:5000"),
        ({"LM_STUDIO_BASE_URL": "studio:5000"}, "http://studio:5000"),
        ({"LM_STUDIO_BASE_URL": "http://0.0.0.0:1234/v1"}, "http://127.0.0.1:1234"),
        ({"LM_STUDIO_BASE_URL_FOR_TESTING": "http://localhost:3500/lmstudio"}, "http://localhost:3500/lmstudio"),
        ({"LM_STUDIO_BASE_URL_FOR_TESTING": "http://a", "LM_STUDIO_BASE_URL": "http://b"}, "http://a"),
    ],
)
def test_lm_studio_s_address(env: dict[str, str], base: str) -> None:
    assert lmstudio_base(env) == base


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("codellama:7b", "Codellama"),
        ("llama3.1:8b", "Llama 3 .1"),
        ("qwen2.5-coder", "Qwen 2 .5 Coder"),
        ("mistral-7", "Mistral  7"),
        ("testollama", "Testollama"),
        ("", ""),
    ],
)
def test_ollama_names_are_written_as_the_app_writes_them(name: str, shown: str) -> None:
    assert ollama_display_name(name) == shown


# --- lists -------------------------------------------------------------------------------------------------------


async def test_ollama_s_models_are_listed() -> None:
    async with serving_json({"models": [{"name": "testollama"}, {"name": "codellama:7b", "size": 1}]}) as (base, asked):
        found = await list_ollama(base)
    assert asked == ["/api/tags"]
    assert msgspec.json.decode(msgspec.json.encode(found)) == {
        "models": [
            {"provider": "ollama", "modelName": "testollama", "displayName": "Testollama"},
            {"provider": "ollama", "modelName": "codellama:7b", "displayName": "Codellama"},
        ]
    }


async def test_an_openai_style_address_still_lists_ollama_s_models() -> None:
    async with serving_json({"models": []}) as (base, asked):
        await list_ollama(f"{base}/v1")
    assert asked == ["/api/tags"]


@pytest.mark.parametrize("answer", [{}, {"models": None}, {"models": []}, [], {"models": [{"name": 5}, {}, "x"]}])
async def test_an_answer_without_models_is_an_empty_list(answer: Any) -> None:
    async with serving_json(answer) as (base, _):
        assert (await list_ollama(base)).models == []


async def test_lm_studio_lists_all_but_embedding_models() -> None:
    data = [
        {"id": "lmstudio-model-1", "type": "llm"},
        {"id": "eyes", "type": "vlm"},
        {"id": "vectors", "type": "embeddings"},
        {"id": "vectors-2", "type": "embedding"},
        {"type": "llm"},
    ]
    async with serving_json({"data": data}) as (base, asked):
        found = await list_lmstudio(base)
    assert asked == ["/api/v0/models"]
    assert [(model.provider, model.model_name, model.display_name) for model in found.models] == [
        ("lmstudio", "lmstudio-model-1", "lmstudio-model-1"),
        ("lmstudio", "eyes", "eyes"),
    ]


async def test_an_ollama_that_does_not_run_is_named_with_its_real_address() -> None:
    base = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(ProviderError) as caught:
        await list_ollama(base)
    assert caught.value.message == f"Could not connect to Ollama. Make sure it's running at {base}"
    assert caught.value.code is ErrorCode.NETWORK


async def test_an_lm_studio_that_does_not_run_gets_a_sentence_too() -> None:
    base = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(ProviderError) as caught:
        await list_lmstudio(base)
    assert caught.value.message == f"Could not connect to LM Studio. Make sure it's running at {base}"


async def test_a_password_in_the_address_is_not_repeated() -> None:
    with pytest.raises(ProviderError) as caught:
        await list_ollama(f"http://user:hunter2@127.0.0.1:{closed_port()}")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("base", ["http://a b", "http://[::1", "http://host:99999", "http://"])
async def test_an_address_that_is_none_cannot_be_connected_to(base: str) -> None:
    with pytest.raises(ProviderError, match="Could not connect to Ollama"):
        await list_ollama(base)


@pytest.mark.parametrize(
    ("listing", "beginning"),
    [(list_ollama, "Failed to fetch models from Ollama"), (list_lmstudio, "Failed to fetch models from LM Studio")],
)
async def test_an_error_status_keeps_the_app_s_sentence_and_the_status(listing: Any, beginning: str) -> None:
    async with serving_json({"error": "no"}, status=500) as (base, _):
        with pytest.raises(ProviderError, match=f"^{beginning}") as caught:
            await listing(base)
    assert caught.value.status == 500


async def test_another_server_at_that_address_is_told_apart() -> None:
    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<html>hello</html>", content_type="text/html")

    async with serving(answer) as (base, _):
        with pytest.raises(ProviderError, match=r"^Failed to fetch models from Ollama") as caught:
            await list_ollama(base)
    assert not caught.value.retryable


async def test_a_server_that_hangs_up_is_a_connection_failure() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving(answer) as (base, _):
        with pytest.raises(ProviderError, match=r"^Could not connect to Ollama"):
            await list_ollama(base)


async def test_a_list_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LARGEST_LIST_BYTES", 1000)
    async with serving_json({"models": [{"name": "x" * 2000}]}) as (base, _):
        with pytest.raises(ProviderError, match=r"^Failed to fetch models from Ollama"):
            await list_ollama(base)


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "ANSWER_TIMEOUT_S", 0.05)
    release = anyio.Event()

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with serving(answer) as (base, _):
        with pytest.raises(ProviderError, match=r"^Failed to fetch models from Ollama") as caught:
            await list_ollama(base)
        release.set()
    assert caught.value.code is ErrorCode.TIMEOUT


async def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    async with serving_json({"models": [{"name": "a"}]}) as (base, _):
        assert len((await list_ollama(base)).models) == 1


async def test_the_handlers_ask_the_environment_at_each_call() -> None:
    env: dict[str, str] = {}
    methods = LocalModelHandlers(env).methods()
    async with serving_json({"models": [{"name": "a"}], "data": [{"id": "b", "type": "llm"}]}) as (base, asked):
        env["OLLAMA_HOST"] = f"{base}/ollama"
        env["LM_STUDIO_BASE_URL"] = f"{base}/lmstudio"
        assert len((await methods["local-models:list-ollama"]({})).models) == 1
        assert len((await methods["local-models:list-lmstudio"]({})).models) == 1
    assert asked == ["/ollama/api/tags", "/lmstudio/api/v0/models"]
