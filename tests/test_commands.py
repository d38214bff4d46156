"""The commands for people, run as people run them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio.to_thread
import pytest

from tests.app_database import create_app_database, rows
from tests.host import clean_environment
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer, Pause, ScriptedProvider
from tests.providers.streams import openai_chat_stream

MODEL = "custom::testing/test-model"

pytestmark = [pytest.mark.anyio, pytest.mark.process]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


async def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    def run() -> subprocess.CompletedProcess[str]:
        env = {**clean_environment(), **environment}
        arguments = [sys.executable, "-m", "sidecar", *words]
        return subprocess.run(arguments, env=env, capture_output=True, text=True, check=False, timeout=60)

    return await anyio.to_thread.run_sync(run)


async def test_chat_streams_an_answer_to_the_terminal(place: Installation) -> None:
    place.answers("Hel", "lo", reasoning=["hm"], usage={"prompt_tokens": 3, "completion_tokens": 2})
    done = await command("chat", "hi", "--model", MODEL, "--user-data", str(place.folder))
    assert (done.returncode, done.stdout) == (0, "Hello\n")
    assert "3 in, 2 out, stop" in done.stderr


async def test_chat_says_what_went_wrong_and_fails(place: Installation) -> None:
    place.script(Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401))
    done = await command("chat", "hi", "--model", MODEL, "--user-data", str(place.folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Incorrect API key provided\n"


async def test_a_turn_of_a_chat_is_kept_in_the_app(place: Installation) -> None:
    place.answers("Hel", "lo 👍 there", reasoning=["hm"], usage={"prompt_tokens": 3, "completion_tokens": 2})
    chat = place.chat()
    words = ("chat", "hi", "--chat", str(chat), "--model", MODEL, "--user-data", str(place.folder))
    done = await command(*words)
    assert (done.returncode, done.stdout) == (0, "Hello 👍 there\n"), done.stderr
    assert place.messages(chat) == [("user", "hi"), ("assistant", "<think>hm</think>Hello 👍 there")]
    lines = [json.loads(line) for line in (await command(*words, "--json")).stdout.splitlines()]
    assert [line["method"] for line in lines][-1] == "chat:response:end"
    missing = await command("chat", "hi", "--chat", "999", "--user-data", str(place.folder))
    assert (missing.returncode, missing.stdout, missing.stderr) == (1, "", "Chat not found: 999\n")


async def test_a_turn_that_fails_says_why(place: Installation) -> None:
    place.script(Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401))
    chat = place.chat()
    words = ("chat", "hi", "--chat", str(chat), "--model", MODEL, "--user-data", str(place.folder))
    done = await command(*words)
    assert done.returncode == 1
    assert "Incorrect API key provided" in done.stderr
    assert (await command(*words, "--json")).returncode == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals for this")
async def test_reasoning_is_dimmed_on_a_terminal(place: Installation) -> None:
    place.answers("Hello", reasoning=["let me ", "think"])
    words = ("chat", "hi", "--model", MODEL, "--user-data", str(place.folder))
    shown = await anyio.to_thread.run_sync(_on_a_terminal, words, {})
    assert shown.startswith("\x1b[2mlet me think\x1b[0m\n\nHello\n")
    plain = await anyio.to_thread.run_sync(_on_a_terminal, words, {"NO_COLOR": "1"})
    assert plain.startswith("let me think\n\nHello\n")


def _on_a_terminal(words: tuple[str, ...], environment: dict[str, str]) -> str:
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar", *words], env={**clean_environment(), **environment},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:  # Linux says so when the other side is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    assert process.wait(timeout=30) == 0, shown
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process on Windows")
@pytest.mark.parametrize("in_a_chat", [True, False], ids=["in a chat", "by itself"])
async def test_ctrl_c_cancels_and_keeps_what_came(place: Installation, in_a_chat: bool) -> None:
    pause = Pause()
    begin, *rest = openai_chat_stream(["Once upon", " a time"])
    first, second, *end = rest
    place.script([begin, first, pause, second, *end])
    chat = place.chat()
    words = ["chat", "hi", "--model", MODEL, "--user-data", str(place.folder)]
    words += ["--chat", str(chat)] if in_a_chat else []

    def interrupted() -> tuple[int, str, str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sidecar", *words], env=clean_environment(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        begun = os.read(process.stdout.fileno(), 100)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
        return process.returncode, (begun + out).decode(), errors.decode()

    code, out, errors = await anyio.to_thread.run_sync(interrupted)
    pause.resume()
    assert (code, out) == (130, "Once upon\n"), errors
    assert errors.startswith("Cancelled.")
    (entry,) = rows(place.database, "SELECT outcome FROM sidecar_requests")
    assert entry["outcome"] == "cancelled"
    kept = "Once upon\n\n[Response cancelled by user]"
    assert place.messages(chat) == ([("user", "hi"), ("assistant", kept)] if in_a_chat else [])


async def test_the_report_is_told_in_tables_as_json_and_as_a_page(place: Installation) -> None:
    place.answers("Hello", usage={"prompt_tokens": 3, "completion_tokens": 2})
    folder = ("--user-data", str(place.folder))
    nothing = await command("report", *folder)
    assert (nothing.returncode, nothing.stderr) == (0, "")
    assert "Nothing was recorded in this period." in nothing.stdout
    for _ in range(2):
        await command("chat", "hi", "--model", MODEL, *folder)
    shown = await command("report", *folder)
    assert shown.returncode == 0, shown.stderr
    assert "2, 100% of 2 attempts" in shown.stdout
    assert "custom::testing/test-model" in shown.stdout
    told = json.loads((await command("report", "--json", "--since", "24h", *folder)).stdout)
    assert (told["totals"]["requests"], told["analytics"]["model_efficiency"]) == (2, "100%")
    assert len(told["series"][0]["label"]) == len("2026-01-01T00:00"), "a day is shown by the hour"
    page = place.folder / "usage.html"
    written = await command("report", "--html", str(page), *folder)
    assert (written.returncode, written.stdout.strip()) == (0, str(page))
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert "test-model" in page.read_text("utf-8")


async def test_a_report_that_cannot_be_made_says_why(place: Installation) -> None:
    folder = ("--user-data", str(place.folder))
    odd = await command("report", "--since", "lately", *folder)
    assert (odd.returncode, odd.stdout) == (1, "")
    assert "'lately' is no date" in odd.stderr
    backwards = await command("report", "--since", "2026-02-01", "--until", "2026-01-01", *folder)
    assert (backwards.returncode, backwards.stderr) == (1, "since must not be later than until.\n")
    nowhere = await command("report", "--html", str(place.folder / "no" / "folder.html"), *folder)
    assert nowhere.returncode == 1
    page = place.folder / "no" / "folder.html"
    assert nowhere.stderr == f"The page could not be written to {page}: No such file or directory.\n"


async def test_the_best_model_is_recommended_with_its_figures(place: Installation) -> None:
    place.answers("Hello")
    folder = ("--user-data", str(place.folder))
    await command("chat", "hi", "--model", MODEL, *folder)
    shown = await command("models", "recommend", *folder)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("custom::testing/test-model\n")
    assert "done best lately" in shown.stdout
    told = json.loads((await command("models", "recommend", "--json", *folder)).stdout)
    assert told["model_selection"]["recommended"] == MODEL
    unable = await command("models", "recommend", "--need", "reasoning", *folder)
    assert unable.returncode == 1
    assert "No model that you can use thinks before it answers." in unable.stdout


async def test_models_lists_custom_ones_too(place: Installation) -> None:
    done = await command("models", "--json", "--user-data", str(place.folder))
    found = json.loads(done.stdout)
    assert found["custom::testing"][0]["apiName"] == "test-model"
    assert len(found["openrouter"]) > 5
    unknown = await command("models", "--provider", "nobody", "--user-data", str(place.folder))
    assert unknown.returncode == 1
    assert "openai" in unknown.stderr


async def test_doctor_finds_a_working_installation_and_never_shows_a_key(place: Installation) -> None:
    key = planted()
    base = place.provider.base_url
    done = await command(
        "doctor", "--json", "--user-data", str(place.folder), OPENAI_API_KEY=key, SCALIX_OPENAI_BASE_URL=base
    )
    found = json.loads(done.stdout)
    assert done.returncode == 0, found["advice"]
    assert found["keys"] == {"openai": "environment"}
    assert found["providers"][0]["reachable"] is True
    assert found["providers"][0]["ms"] > 0
    assert found["paths"]["settingsFile"] == str(place.folder / "user-settings.json")
    assert found["settings"]["model"] == "auto/auto"
    assert found["database"]["writable"] is True
    assert found["litellm"]["loadMs"] > 0
    assert key not in done.stdout + done.stderr


async def test_doctor_names_a_key_that_is_refused(tmp_path: Path) -> None:
    create_app_database(tmp_path / "sqlite.db")
    async with ScriptedProvider() as provider:
        provider.answer("/models", Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401))
        environment = {"OPENAI_API_KEY": planted(), "SCALIX_OPENAI_BASE_URL": provider.base_url}
        nobody = {"OLLAMA_HOST": "http://127.0.0.1:9", "LM_STUDIO_BASE_URL": "http://127.0.0.1:9"}
        done = await command("doctor", "--user-data", str(tmp_path), **environment, **nobody)
    assert done.returncode == 1
    assert "The key of openai is refused: Incorrect API key provided" in done.stdout


async def test_doctor_says_what_is_wrong_with_a_key_that_cannot_be_sent(tmp_path: Path) -> None:
    create_app_database(tmp_path / "sqlite.db")
    nobody = {"OLLAMA_HOST": "http://127.0.0.1:9", "LM_STUDIO_BASE_URL": "http://127.0.0.1:9"}
    done = await command("doctor", "--user-data", str(tmp_path), OPENAI_API_KEY="pasted “key”", **nobody)
    assert done.returncode == 1
    assert "→ OpenAI API key contains an invalid character at index 6 (U+0020)." in done.stdout


async def test_doctor_says_what_to_do_when_nothing_is_there(tmp_path: Path) -> None:
    done = await command("doctor", "--user-data", str(tmp_path / "nowhere"), OLLAMA_HOST="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "start Scalix once" in done.stdout
    assert "\nlmstudio    localhost:1234: not reachable" in done.stdout, "and not the picture named 1234"


NOBODY = {"OLLAMA_HOST": "http://127.0.0.1:9", "LM_STUDIO_BASE_URL": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("openai/gpt-4.1", "→ The selected model openai/gpt-4.1 cannot be asked: "),
        ("custom::gone/any", "→ The selected model custom::gone/any cannot be asked: "),
        ("anthropic/claude-sonnet-4-20250514", None),
        ("auto/auto", None),
    ],
)
async def test_doctor_says_when_the_selected_model_is_not_the_one_that_could_be_asked(
    tmp_path: Path, model: str, said: str | None
) -> None:
    create_app_database(tmp_path / "sqlite.db")
    provider_id, _, name = model.partition("/")
    settings = {"selectedModel": {"provider": provider_id, "name": name}}
    (tmp_path / "user-settings.json").write_text(json.dumps(settings))
    async with ScriptedProvider() as provider:
        provider.answer("/models", Answer.json({"data": []}))
        key = {"ANTHROPIC_API_KEY": planted(), "SCALIX_ANTHROPIC_BASE_URL": provider.base_url}
        done = await command("doctor", "--user-data", str(tmp_path), **key, **NOBODY)
    assert done.returncode == (0 if said is None else 1), done.stdout
    assert ("→" not in done.stdout) if said is None else (said in done.stdout)


async def test_doctor_says_when_the_selected_model_is_the_one_that_is_refused(tmp_path: Path) -> None:
    create_app_database(tmp_path / "sqlite.db")
    (tmp_path / "user-settings.json").write_text('{"selectedModel": {"provider": "openai", "name": "gpt-4.1"}}')
    async with ScriptedProvider() as refusing, ScriptedProvider() as other:
        refusing.answer("/models", Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401))
        other.answer("/models", Answer.json({"data": []}))
        keys = {
            "OPENAI_API_KEY": planted(),
            "SCALIX_OPENAI_BASE_URL": refusing.base_url,
            "ANTHROPIC_API_KEY": planted(),
            "SCALIX_ANTHROPIC_BASE_URL": other.base_url,
        }
        done = await command("doctor", "--user-data", str(tmp_path), **keys, **NOBODY)
    assert done.returncode == 1
    assert "→ The selected model openai/gpt-4.1 cannot be asked: Incorrect API key provided" in done.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty. Restart Scalix to have it recreated."),
        (b"no database at all " * 20, "cannot be read: file is not a database."),
        (None, "was written by a newer version of Scalix."),
    ],
)
async def test_doctor_says_what_is_wrong_with_the_database(
    place: Installation, content: bytes | None, said: str
) -> None:
    if content is None:
        with contextlib.closing(sqlite3.connect(place.database)) as connection:
            connection.execute("UPDATE __drizzle_migrations SET created_at = 9999999999999")
            connection.commit()
    else:
        place.database.write_bytes(content)
    done = await command("doctor", "--user-data", str(place.folder))
    assert done.returncode == 1
    assert re.search(rf"^→ The app's database.*{re.escape(said)}", done.stdout, re.MULTILINE), done.stdout


async def test_doctor_says_when_the_sidecar_is_switched_off(place: Installation) -> None:
    done = await command("doctor", "--user-data", str(place.folder), LITE_LLM_ENABLED="false")
    assert done.returncode == 1
    assert "switched off" in done.stdout


async def test_doctor_names_variables_that_cannot_be_used(place: Installation) -> None:
    odd = {"SCALIX_TIMEOUT_IDLE_S": "soon", "SCALIX_FREE_REQUESTS_PER_DAY": "many"}
    done = await command("doctor", "--user-data", str(place.folder), **odd)
    assert "variables   SCALIX_TIMEOUT_IDLE_S is 'soon', which is no number of seconds; 60 is used." in done.stdout
    assert "SCALIX_FREE_REQUESTS_PER_DAY is 'many'" in done.stdout


async def test_doctor_shows_addresses_and_paths_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "user [data]"
    there = {"OLLAMA_HOST": "http://127.0.0.1:9", "LM_STUDIO_BASE_URL": "http://127.0.0.1:1234"}
    done = await command("doctor", "--user-data", str(folder), **there)
    assert str(folder / "sqlite.db") in done.stdout
    assert re.search(r"^lmstudio +127\.0\.0\.1:1234: ", done.stdout, re.MULTILINE)


async def test_an_unknown_command_is_told_and_fails() -> None:
    done = await command("nonsense")
    assert done.returncode == 2
    assert "No such command" in done.stderr
