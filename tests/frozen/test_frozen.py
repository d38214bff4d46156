"""The frozen binaries in ``dist/`` (``python3 scripts/dev.py freeze``): the same program, whole, and nothing left over.

``scripts/dev.py test`` builds them and runs this (``tests/frozen/binaries.py``). Any other test of a spawned sidecar
runs on a binary too: ``pytest --sidecar dist/scalix-sidecar tests/process``.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import psutil
import pytest

from tests.frozen.binaries import ONE_FILE, ROOT, needs_binaries
from tests.host import TIMEOUT_S, ProcessHost, clean_environment, process_host
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer, Pause
from tests.providers.streams import anthropic_stream, openai_chat_stream

PATCH = {"capabilities": {"chunks": "patch"}}
KEY = planted("sk-ant-{}0123456789")

pytestmark = [pytest.mark.anyio, *needs_binaries]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder that the one-file binary unpacks itself in."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    (tmp_path / "installation").mkdir()
    async with installation(tmp_path / "installation") as made:
        yield made


def environment(temporary: Path) -> dict[str, str]:
    return {"TMPDIR": str(temporary), "TMP": str(temporary), "TEMP": str(temporary), "E2E_TEST_BUILD": "true"}


def unpacked(temporary: Path) -> list[Path]:
    return list(temporary.glob("_MEI*"))


def family(host: ProcessHost) -> list[psutil.Process]:
    """The process that was started and, of the one-file binary, the real one below it (not a shell that it asks)."""
    outer = psutil.Process(host.process.pid)
    found = [outer]
    for child in outer.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name() == outer.name():
                found.append(child)
    return found


async def ended(processes: list[psutil.Process]) -> bool:
    _, alive = await anyio.to_thread.run_sync(lambda: psutil.wait_procs(processes, timeout=TIMEOUT_S / 2))
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


# --- it starts and speaks ------------------------------------------------------------------------------------------


async def test_the_handshake_names_the_build(binary: Path, temporary: Path, tmp_path: Path) -> None:
    manifest = json.loads((ROOT / "dist" / "manifest.json").read_text())
    async with process_host(tmp_path, environment(temporary), command=[str(binary)]) as host:
        result = await host.initialize()
        assert await host.request("ping") == {}
    assert result["serverInfo"]["name"] == "scalix-sidecar"
    assert result["serverInfo"]["build"] == manifest["build"]
    assert (host.process.returncode, host.stderr) == (0, b"")
    assert all(frame["jsonrpc"] == "2.0" for frame in host.frames)


async def test_it_announces_the_methods_of_the_checkout(binary: Path, temporary: Path, tmp_path: Path) -> None:
    checkout = [sys.executable, "-m", "sidecar"]
    answers = []
    for command in ([str(binary)], checkout):
        async with process_host(tmp_path, environment(temporary), command=command) as host:
            answers.append((await host.initialize())["capabilities"])
    assert answers[0] == answers[1]


async def test_commands_for_people_work(binary: Path, temporary: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**clean_environment(), **environment(temporary)}
        return subprocess.run([str(binary), *arguments], env=env, capture_output=True, text=True, check=False)

    shown = await anyio.to_thread.run_sync(run, "--version")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("scalix-sidecar ")
    listed = await anyio.to_thread.run_sync(lambda: run("models", "--user-data", str(temporary)))
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "claude" in listed.stdout
    assert unpacked(temporary) == []


async def test_the_report_has_its_plots(binary: Path, temporary: Path, place: Installation) -> None:
    place.answers("Hello")
    page = place.folder / "usage.html"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**clean_environment(), **environment(temporary)}
        words = [str(binary), *arguments, "--user-data", str(place.folder)]
        return subprocess.run(words, env=env, capture_output=True, text=True, check=False)

    asked = await anyio.to_thread.run_sync(lambda: run("chat", "hi", "--model", "custom::testing/test-model"))
    assert (asked.returncode, asked.stdout) == (0, "Hello\n"), asked.stderr
    told = await anyio.to_thread.run_sync(lambda: run("report", "--html", str(page)))
    assert (told.returncode, told.stderr) == (0, "")
    assert 'id="chart-requests"' in page.read_text("utf-8")
    assert unpacked(temporary) == []


@pytest.mark.parametrize(("first", "code"), [("shutdown", 0), (None, 1)])
async def test_the_exit_code_passes_through(
    binary: Path, temporary: Path, tmp_path: Path, first: str | None, code: int
) -> None:
    async with process_host(tmp_path, environment(temporary), command=[str(binary)]) as host:
        await host.initialize()
        if first is not None:
            await host.request(first)
        await host.notify("exit")
        with anyio.fail_after(TIMEOUT_S):
            assert await host.process.wait() == code
    assert unpacked(temporary) == []


# --- everything it needs is in -------------------------------------------------------------------------------------


async def test_a_chat_streams_and_nothing_is_left_behind(binary: Path, temporary: Path, place: Installation) -> None:
    place.answers("Hel", "lo")
    chat = place.chat()
    async with process_host(place.folder, environment(temporary), command=[str(binary)], **PATCH) as host:
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        assert host.text(chat) == "Hello"
    assert place.messages(chat)[-1] == ("assistant", "Hello")
    assert host.process.returncode == 0
    assert unpacked(temporary) == []


async def test_litellm_works_in_the_bundle(binary: Path, temporary: Path, place: Installation) -> None:
    place.provider.answer("/v1/messages", Answer.stream(anthropic_stream(["Hel", "lo"])))
    extra = {
        "ANTHROPIC_API_KEY": KEY,
        "SCALIX_ANTHROPIC_BASE_URL": f"{place.provider.base_url}/v1",
        "SCALIX_LITELLM_ROUTE": "anthropic",
    }
    model = {"provider": "anthropic", "name": "claude-sonnet-4-20250514"}
    chat = place.chat()
    async with process_host(place.folder, {**environment(temporary), **extra}, command=[str(binary)], **PATCH) as host:
        answer = await host.request("chat:stream", place.stream_params(chat, model=model, files=[]))
        assert answer == chat, (host.terminals(chat), host.stderr)
        assert host.text(chat) == "Hello"
    assert host.terminals(chat)[0]["finishReason"] == "stop"
    assert all(frame["jsonrpc"] == "2.0" for frame in host.frames)
    assert unpacked(temporary) == []


async def test_the_package_that_litellm_asks_openai_with_is_whole(
    binary: Path, temporary: Path, place: Installation
) -> None:
    place.provider.answer("/v1/chat/completions", Answer.stream(openai_chat_stream(["Hel", "lo"])))
    extra = {
        "OPENAI_API_KEY": KEY,
        "SCALIX_OPENAI_BASE_URL": f"{place.provider.base_url}/v1",
        "SCALIX_LITELLM_ROUTE": "openai",
    }
    chat = place.chat()
    async with process_host(place.folder, {**environment(temporary), **extra}, command=[str(binary)], **PATCH) as host:
        model = {"provider": "openai", "name": "gpt-4.1"}
        assert await host.request("chat:stream", place.stream_params(chat, model=model, files=[])) == chat
        assert host.text(chat) == "Hello"
        resident = max(process.memory_info().rss for process in family(host))
    assert host.stderr == b""
    assert resident < 210_000_000


@pytest.mark.parametrize("key", [True, False])
async def test_doctor_tells_whether_a_chat_could_work(
    binary: Path, temporary: Path, place: Installation, key: bool
) -> None:
    extra = {"OPENAI_API_KEY": KEY, "SCALIX_OPENAI_BASE_URL": place.provider.base_url} if key else {}
    nobody = {"OLLAMA_HOST": "http://127.0.0.1:9", "LM_STUDIO_BASE_URL": "http://127.0.0.1:9"}

    def ask() -> subprocess.CompletedProcess[str]:
        env = {**clean_environment(), **environment(temporary), **nobody, **extra}
        folder = place.folder if key else temporary
        command = [str(binary), "doctor", "--json", "--user-data", str(folder)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    said = await anyio.to_thread.run_sync(ask)
    found = json.loads(said.stdout)
    assert said.returncode == (0 if key else 1), said.stderr
    assert bool(found["advice"]) is not key
    assert found["build"] == json.loads((ROOT / "dist" / "manifest.json").read_text())["build"]
    assert (found["litellm"]["version"], found["litellm"]["priceData"]) == (importlib.metadata.version("litellm"), True)
    assert found["litellm"]["loadMs"] > 0
    assert KEY not in said.stdout + said.stderr
    assert unpacked(temporary) == []


def test_what_no_provider_needs_is_out() -> None:
    packages = json.loads((ROOT / "dist" / "manifest.json").read_text())["packages"]
    unwanted = {"boto3", "botocore", "s3transfer", "huggingface_hub", "hf_xet", "fsspec", "tokenizers", "numpy", "PIL"}
    unwanted |= {"tkinter", "matplotlib", "pip", "setuptools", "pytest", "_pytest", "tests", "unittest"}
    assert not unwanted & packages.keys()


def test_the_binaries_are_as_small_as_promised() -> None:
    manifest = json.loads((ROOT / "dist" / "manifest.json").read_text())
    assert manifest["onefile"]["bytes"] <= 60_000_000
    assert manifest["onedir"]["bytes"] <= 105_000_000


async def test_memory_stays_small_until_litellm_is_needed(binary: Path, temporary: Path, place: Installation) -> None:
    place.answers("Hel", "lo")

    def resident() -> int:
        return max(process.memory_info().rss for process in family(host))

    logged = {**environment(temporary), "SCALIX_LOG_LEVEL": "info"}
    async with process_host(place.folder, logged, command=[str(binary)]) as host:
        await host.initialize()
        for method in ("get-language-models-by-providers", "get-user-settings"):
            await host.request(method)
        with anyio.fail_after(TIMEOUT_S):
            while b"the start is over" not in host.stderr:
                await host.request("ping")
        at_rest = resident()
        chat = place.chat()
        assert await host.request("chat:stream", place.stream_params(chat)) == chat
        after_a_chat = resident()
    assert at_rest < 45_000_000
    assert after_a_chat < 45_000_000


async def test_only_what_a_first_chat_needs_is_unpacked_at_the_start(temporary: Path, tmp_path: Path) -> None:
    async with process_host(tmp_path, environment(temporary), command=[str(ONE_FILE)]) as host:
        await host.initialize()
        (folder,) = unpacked(temporary)
        assert not list(folder.rglob("*pydantic_core*"))
        assert not (folder / "litellm").exists()


# --- signals and the process tree ----------------------------------------------------------------------------------


@posix
async def test_a_polite_kill_of_the_started_process_saves_the_text(
    binary: Path, temporary: Path, place: Installation
) -> None:
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    chat = place.chat()
    async with process_host(place.folder, environment(temporary), command=[str(binary)], **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "Hello")
        host.process.send_signal(signal.SIGTERM)
        with anyio.fail_after(TIMEOUT_S):
            assert await host.process.wait() == 0
    assert place.messages(chat)[-1][1] == "Hello\n\n[Response cancelled by user]"
    assert unpacked(temporary) == []


@posix
async def test_a_signal_to_the_whole_process_group_saves_the_text_too(
    binary: Path, temporary: Path, place: Installation
) -> None:
    """It arrives twice: the bootloader forwards its own."""
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    chat = place.chat()
    async with process_host(place.folder, environment(temporary), command=[str(binary)], **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "Hello")
        for process in [*family(host), *family(host)]:
            process.send_signal(signal.SIGTERM)
        with anyio.fail_after(TIMEOUT_S):
            assert await host.process.wait() == 0
    assert place.messages(chat)[-1][1] == "Hello\n\n[Response cancelled by user]"
    assert unpacked(temporary) == []


@posix
async def test_killing_the_started_process_ends_the_real_one(
    binary: Path, temporary: Path, place: Installation
) -> None:
    place.script([*openai_chat_stream(["Hello"])[:2], Pause()])
    chat = place.chat()
    async with process_host(place.folder, environment(temporary), command=[str(binary)], **PATCH) as host:
        await host.start("chat:stream", place.stream_params(chat))
        await host.until(lambda: host.text(chat) == "Hello")
        processes = family(host)
        assert len(processes) == (2 if binary == ONE_FILE else 1)
        host.process.kill()
        assert await ended(processes)
    if binary == ONE_FILE:  # the real process outlived the bootloader: it saved the text and cleaned up for it
        assert place.messages(chat)[-1][1] == "Hello\n\n[Response cancelled by user]"
    assert unpacked(temporary) == []


@posix
async def test_killing_the_real_process_is_seen_by_the_host(temporary: Path, tmp_path: Path) -> None:
    async with process_host(tmp_path, environment(temporary), command=[str(ONE_FILE)]) as host:
        await host.initialize()
        family(host)[1].kill()
        with anyio.fail_after(TIMEOUT_S):
            assert await host.process.wait() != 0
    assert unpacked(temporary) == []


async def test_two_at_once_do_not_share_what_they_unpack(temporary: Path, tmp_path: Path) -> None:
    command = [str(ONE_FILE)]
    async with process_host(tmp_path, environment(temporary), command=command) as first:
        await first.initialize()
        async with process_host(tmp_path, environment(temporary), command=command) as second:
            await second.initialize()
            assert len(unpacked(temporary)) == 2
        assert len(unpacked(temporary)) == 1
        assert await first.request("ping") == {}
    assert unpacked(temporary) == []


def test_litellm_asks_its_own_native_module_for_nothing_that_is_used() -> None:
    """38 MB are left out for it (docs/packaging.md)."""
    spec = importlib.util.find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "rust_bridge" / "catalog.py").read_text()
    for route in ("CHAT_COMPLETIONS", "RESPONSES", "TOKENIZER", "TOKEN_COUNTER"):
        assert f"RouteRule(Route.{route}, Rollout.PYTHON_ONLY)" in source
