"""The environment of the user's login shell, where many keep their keys (protocol page 9; app contract 6).

An app started from a dock or menu does not inherit what ``~/.zshrc`` exports. So the shell is asked once, in the
background, for 3 s at most; never on Windows, where the process environment is complete.
"""

from __future__ import annotations

import os
import re
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import anyio
import anyio.to_thread

LIMIT_S: Final = 3.0
POLL_S: Final = 0.1
LONGEST_OUTPUT: Final = 1 << 20
"""Bytes; environments are limited to a fraction of this."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_QUIET: Final = {"DISABLE_AUTO_UPDATE": "true", "ZSH_TMUX_AUTOSTART": "false", "TERM": "dumb"}
"""Keeps well-known shell set-ups from updating themselves or starting a terminal multiplexer."""


class LoginShellEnvironment:
    """Call ``load`` once in a background task; ``values`` is empty until it is done, and stays so when it fails.

    Pass ``values`` to ``Environment`` as its second source.
    """

    def __init__(self, environ: Mapping[str, str], *, limit_s: float = LIMIT_S, platform: str = sys.platform) -> None:
        self._environ = environ
        self._limit_s = limit_s
        self._platform = platform
        self._values: Mapping[str, str] = {}
        self._loaded = anyio.Event()

    def values(self) -> Mapping[str, str]:
        """What is known so far."""
        return self._values

    async def wait(self) -> None:
        """Until ``load`` is done, at most its time limit: for a second look after a key was not found."""
        with anyio.move_on_after(self._limit_s):
            await self._loaded.wait()

    async def load(self) -> None:
        """Ask the shell. Never raises for a shell that is missing, slow, noisy or broken."""
        try:
            if self._platform != "win32":
                self._values = await self._ask()
        finally:
            self._loaded.set()

    async def _ask(self) -> Mapping[str, str]:
        name = secrets.token_hex(8)
        marker = f"__scalix_{name}__"
        # In two pieces: some shells export the last argument of a command as ``_``, which ``env`` then prints.
        say = f"printf '%s%s' __scalix_ {name}__"
        question = _Question(
            [self._shell(), "-ilc", f"{say}; env -0 || env; {say}"],
            {**self._environ, **_QUIET},
            marker.encode(),
            self._limit_s,
        )
        try:
            output = await anyio.to_thread.run_sync(question.ask, abandon_on_cancel=True)
        finally:
            question.given_up.set()
        return parse_environment(output, marker)

    def _shell(self) -> str:
        if shell := self._environ.get("SHELL"):
            return shell
        return "/bin/zsh" if self._platform == "darwin" else "/bin/sh"


def parse_environment(output: bytes, marker: str) -> dict[str, str]:
    """The variables between two ``marker``; whatever a start-up file printed around them is ignored.

    Understands ``env -0``, and ``env`` where it has no ``-0``: there, lines that are no assignment belong to a value
    of several lines, which is cut after its first.
    """
    between = output.decode("utf-8", "replace").split(marker)
    if len(between) < 3:
        return {}
    text = between[1]
    entries = text.split("\0") if "\0" in text else text.splitlines()
    found: dict[str, str] = {}
    for entry in entries:
        name, separator, value = entry.partition("=")
        if separator and _NAME.match(name):
            found.setdefault(name, value)
    return found


class _Question:
    """One run of the shell, on a worker thread; ``given_up`` ends it within a tenth of a second.

    Blocking on purpose: the event loop's own subprocesses keep their pipe open for as long as some daemon started by
    a start-up file does.
    """

    def __init__(self, command: list[str], environ: Mapping[str, str], marker: bytes, limit_s: float) -> None:
        self._command = command
        self._environ = environ
        self._marker = marker
        self._limit_s = limit_s
        self.given_up = threading.Event()

    def ask(self) -> bytes:
        """What it printed up to the second marker, within the limit; empty when it cannot be started."""
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own shell
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self._environ),
                start_new_session=True,
            )
        except (OSError, ValueError):
            return b""
        with process:
            try:
                return self._read(process)
            finally:
                # It leads a session, so a process group, of its own: its children end with it.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _read(self, process: subprocess.Popen[bytes]) -> bytes:
        output = bytearray()
        if process.stdout is None:
            return b""
        pipe = process.stdout.fileno()
        deadline = time.monotonic() + self._limit_s
        while output.count(self._marker) < 2 and len(output) < LONGEST_OUTPUT:
            if self.given_up.is_set() or time.monotonic() > deadline:
                break
            if select.select([pipe], [], [], POLL_S)[0]:
                data = os.read(pipe, 1 << 16)
                if not data:
                    break
                output += data
        return bytes(output)
