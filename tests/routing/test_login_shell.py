"""The login shell's environment: read from real shells, some of them hostile."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.routing.inputs import Environment
from sidecar.routing.login_shell import LoginShellEnvironment, parse_environment

posix = pytest.mark.skipif(os.name != "posix", reason="there are no login shells on Windows")


def fake_shell(folder: Path, script: str) -> Path:
    """A "shell" that runs ``script`` and then the command it was given."""
    path = folder / "shell"
    path.write_text(f'#!/bin/sh\n{script}\nexec /bin/sh -c "$2"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def load(shell: Path | str, limit_s: float = 10.0) -> LoginShellEnvironment:
    environment = LoginShellEnvironment({"PATH": os.environ["PATH"], "SHELL": str(shell)}, limit_s=limit_s)
    with anyio.fail_after(20):
        await environment.load()
    return environment


@posix
@pytest.mark.anyio
async def test_what_a_start_up_file_exports_is_found(tmp_path: Path) -> None:
    shell = fake_shell(tmp_path, "echo welcome; echo OPENAI_API_KEY=printed; export OPENAI_API_KEY='a=b\nc'")
    environment = await load(shell)
    assert environment.values()["OPENAI_API_KEY"] == "a=b\nc"


@posix
@pytest.mark.anyio
async def test_a_shell_that_hangs_is_given_up_and_ended(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    shell = fake_shell(tmp_path, f"echo $$ > {pid_file}; sleep 600")
    environment = await load(shell, limit_s=1.0)
    assert environment.values() == {}
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@posix
@pytest.mark.anyio
async def test_a_child_that_keeps_the_pipe_open_holds_nothing_up(tmp_path: Path) -> None:
    environment = await load(fake_shell(tmp_path, "sleep 600 & export KEY=value"))
    assert environment.values()["KEY"] == "value"


@posix
@pytest.mark.anyio
async def test_a_shell_that_tells_its_last_argument_cuts_nothing_off(tmp_path: Path) -> None:
    # dash keeps ``_`` up to date where it is exported.
    shell = fake_shell(tmp_path, 'export _=anything KEY=value\nexec /bin/sh -ic "$2"')
    environment = await load(shell)
    assert environment.values()["KEY"] == "value"
    assert "PATH" in environment.values()
    assert "PWD" in environment.values()


@pytest.mark.anyio
@pytest.mark.parametrize("shell", ["/no/such/shell", "/", "bad\0name"])
async def test_a_shell_that_cannot_be_started_is_no_error(shell: str) -> None:
    environment = await load(shell)
    await environment.wait()
    assert environment.values() == {}


@pytest.mark.anyio
async def test_on_windows_nothing_is_started() -> None:
    environment = LoginShellEnvironment({"SHELL": "/bin/sh"}, platform="win32")
    await environment.load()
    await environment.wait()
    assert environment.values() == {}


Names = st.text("ABCxyz_", min_size=1, max_size=8)
Values = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)


@given(st.dictionaries(Names, Values), Values, Values)
def test_null_separated_variables_come_back_exactly(found: dict[str, str], before: str, after: str) -> None:
    body = "".join(f"{name}={value}\0" for name, value in found.items())
    output = f"{before}__mark__{body}__mark__{after}".encode()
    assert parse_environment(output, "__mark__") == found


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (b"", {}),
        (b"no marker", {}),
        (b"__mark__cut off", {}),
        (b"__mark__A=1\nB=two\nlines of B\n()=x\n__mark__", {"A": "1", "B": "two"}),
        (b"__mark__A=\xff\0__mark__", {"A": "\ufffd"}),
    ],
)
def test_lines_are_understood_and_nonsense_is_not(output: bytes, found: dict[str, str]) -> None:
    assert parse_environment(output, "__mark__") == found


def test_the_process_wins_over_the_login_shell_and_blank_is_unset() -> None:
    later: dict[str, str] = {}
    environment = Environment({"A": " own ", "B": "  "}, lambda: later)
    assert (environment.get("A"), environment.get("B")) == ("own", None)
    later.update(A="shell", B="shell")
    assert (environment.get("A"), environment.get("B"), environment.get("C")) == ("own", "shell", None)
