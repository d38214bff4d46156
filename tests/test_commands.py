"""The commands for people, run as people run them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio.to_thread
import pytest

from tests.app_database import create_app_database
from tests.host import clean_environment
from tests.installation import Installation, installation
from tests.providers.server import Answer, ScriptedProvider

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
    done = await command("chat", "hi", "--model", "custom::testing/test-model", "--user-data", str(place.folder))
    assert (done.returncode, done.stdout) == (0, "Hello\n")
    assert "3 in, 2 out, stop" in done.stderr


async def test_chat_says_what_went_wrong_and_fails(place: Installation) -> None:
    place.script(Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401))
    done = await command("chat", "hi", "--model", "custom::testing/test-model", "--user-data", str(place.folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Incorrect API key provided" in done.stderr


async def test_models_lists_custom_ones_too(place: Installation) -> None:
    done = await command("models", "--json", "--user-data", str(place.folder))
    found = json.loads(done.stdout)
    assert found["custom::testing"][0]["apiName"] == "test-model"
    assert len(found["openrouter"]) > 5
    unknown = await command("models", "--provider", "nobody", "--user-data", str(place.folder))
    assert unknown.returncode == 1
    assert "openai" in unknown.stderr


async def test_doctor_finds_a_working_installation_and_never_shows_a_key(place: Installation) -> None:
    key = "sk-" + "s" * 30
    base = place.provider.base_url
    done = await command(
        "doctor", "--json", "--user-data", str(place.folder), OPENAI_API_KEY=key, SCALIX_OPENAI_BASE_URL=base
    )
    found = json.loads(done.stdout)
    assert done.returncode == 0, found["advice"]
    assert found["keys"] == {"openai": "environment"}
    assert found["providers"][0]["reachable"] is True
    assert key not in done.stdout + done.stderr


async def test_doctor_names_a_key_that_is_refused(tmp_path: Path) -> None:
    create_app_database(tmp_path / "sqlite.db")
    async with ScriptedProvider() as provider:
        provider.answer("/models", Answer.json({"error": {"message": "Incorrect API key provided"}}, status=401))
        environment = {"OPENAI_API_KEY": "sk-" + "s" * 30, "SCALIX_OPENAI_BASE_URL": provider.base_url}
        nobody = {"OLLAMA_HOST": "http://127.0.0.1:9", "LM_STUDIO_BASE_URL": "http://127.0.0.1:9"}
        done = await command("doctor", "--user-data", str(tmp_path), **environment, **nobody)
    assert done.returncode == 1
    assert "The key of openai is refused: Incorrect API key provided" in done.stdout.replace("\n", " ")


async def test_doctor_says_what_to_do_when_nothing_is_there(tmp_path: Path) -> None:
    done = await command("doctor", "--user-data", str(tmp_path / "nowhere"), OLLAMA_HOST="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "start Scalix once" in done.stdout.replace("\n", " ")


async def test_an_unknown_command_is_told_and_fails() -> None:
    done = await command("nonsense")
    assert done.returncode == 2
    assert "No such command" in done.stderr
