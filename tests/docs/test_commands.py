"""Every command of README and docs: run as it stands, or, where it builds or measures for minutes, held to the options
that it really has."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.app_database import create_app_database
from tests.docs.pages import PAGES, ROOT, blocks, commands, prose
from tests.host import clean_environment
from tests.providers.server import Answer, ScriptedProvider
from tests.providers.streams import openai_chat_stream

pytestmark = [pytest.mark.anyio, pytest.mark.process]

CHORES = ROOT / "scripts" / "dev.py"
SCRIPTS = {"demo": "demo.py", "freeze": "freeze.py", "bench": "bench.py", "generate": "generate.py"}
"""Chores that hand their options on to a script of their own."""
CONSOLE_SCRIPT = Path(sys.executable).parent / "scalix-sidecar"
GREETING = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}\n{"jsonrpc":"2.0","id":2,"method":"ping"}\n'


class Place:
    """A user's machine: a home folder with the app's database, an Ollama that answers, a folder to work in."""

    def __init__(self, folder: Path, provider: ScriptedProvider) -> None:
        self.folder = folder
        home = folder / "home"
        self.environment = {
            **clean_environment(),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "OLLAMA_HOST": provider.base_url,
            "LM_STUDIO_BASE_URL": f"{provider.base_url}/lmstudio",
        }
        user_data = self._user_data()
        user_data.mkdir(parents=True)
        create_app_database(user_data / "sqlite.db")

    def _user_data(self) -> Path:
        show = "import os; from sidecar.paths import default_user_data; print(default_user_data(os.environ))"
        done = subprocess.run(
            [sys.executable, "-c", show], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True
        )
        return Path(done.stdout.strip())

    async def run(self, command: list[str], stdin: str = "", cwd: Path | None = None) -> str:
        """What it writes to stdout; it has to end with 0."""

        def work() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command, input=stdin, cwd=cwd or self.folder, env=self.environment, capture_output=True, text=True,
                check=False, timeout=100,
            )  # fmt: skip

        done = await anyio.to_thread.run_sync(work)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with ScriptedProvider() as provider:
        provider.handle("/api/tags", lambda _: Answer.json({"models": [{"name": "llama3"}]}))
        provider.handle("/lmstudio/api/v0/models", lambda _: Answer.json({"data": []}))
        provider.handle("/v1/chat/completions", lambda _: Answer.stream(openai_chat_stream(["Hello, ", "you."])))
        yield Place(tmp_path, provider)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
async def test_every_command_of_a_page_works(page: Path, place: Place) -> None:
    """In the order of the page: what one writes the next may read."""
    for block in blocks(page):
        if block.language == "console":
            for command in commands(block):
                await _check(command, place)


async def _check(command: str, place: Place) -> None:
    words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    match words:
        case ["python3", "scripts/dev.py", chore, *options]:
            await _check_chore(chore, options, place)
        case [".venv/bin/scalix-sidecar" | "dist/scalix-sidecar", *arguments]:
            await _check_sidecar(arguments, place)
        case ["printf", *_]:
            await _check_conversation(command, place)
        case ["cd", folder, "&&", "npm", "ci", "&&", "npm", "pack"]:
            await _check_package(ROOT / folder, place)
        case _:
            pytest.fail(f"nobody checks this command: {command}")


async def _check_chore(chore: str, options: list[str], place: Place) -> None:
    assert chore in _chores(), chore
    flags = [option for option in options if option.startswith("--")]
    if chore in SCRIPTS and flags:
        told = await place.run([sys.executable, str(ROOT / "scripts" / SCRIPTS[chore]), "--help"])
        assert [flag for flag in flags if flag not in told] == []
    elif flags:
        own = CHORES.read_text(encoding="utf-8")
        assert [flag for flag in flags if f'"{flag}"' not in own] == []
    elif chore == "demo":
        assert "stopped" in await place.run([sys.executable, str(ROOT / "scripts" / "demo.py")])


def _chores() -> set[str]:
    """What ``dev.py`` can do, by its own table."""
    return set(re.findall(r'^        "(\w+)": ', CHORES.read_text(encoding="utf-8"), re.MULTILINE))


async def _check_sidecar(arguments: list[str], place: Place) -> None:
    """The frozen binary has the same commands; ``test --frozen`` runs it."""
    told = await place.run([str(CONSOLE_SCRIPT), *arguments], stdin=GREETING)
    if arguments[0] == "serve":
        assert {json.loads(line)["id"] for line in told.splitlines()} == {1, 2}
    else:
        assert told.strip()


async def _check_conversation(command: str, place: Place) -> None:
    ours = command.replace(".venv/bin/scalix-sidecar", str(CONSOLE_SCRIPT))
    told = await place.run(["bash", "-c", ours])
    answers = {answer["id"]: answer for answer in map(json.loads, told.splitlines())}
    assert all("result" in answers[identifier] for identifier in (1, 2))


async def _check_package(folder: Path, place: Place) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not on the path")
    # Installing and building are tests/node's; here: that it packs, and under which name.
    told = await place.run(["npm", "pack", "--dry-run", "--json", "--ignore-scripts"], cwd=folder)
    name = json.loads(told)[0]["filename"]
    assert name in (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
async def test_every_command_in_a_sentence_is_one_that_there_is(page: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    chores = [span.split()[2] for span in spans if span.startswith("python3 scripts/dev.py ")]
    assert set(chores) <= _chores()
    paths = [
        word for span in spans for word in span.split() if re.fullmatch(r"(tests|docs|scripts|protocol)/[\w/.-]+", word)
    ]
    assert [path for path in paths if not (ROOT / path).exists()] == []
