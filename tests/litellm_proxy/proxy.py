"""The real LiteLLM proxy as a process on loopback, with a scripted provider behind it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.providers import Recorded, ScriptedProvider

HERE = Path(__file__).parent
MASTER_KEY = "sk-master-0123456789"
PATH = "/v1/chat/completions"

START_S = 120
"""Importing the proxy alone takes ten seconds where the machine has nothing else to do."""


class NotAvailable(Exception):
    """The proxy did not come up."""


@dataclass
class LitellmProxy:
    """The running proxy."""

    base_url: str
    upstream: ScriptedProvider
    """What is behind every model; it serves on a loop of its own, for as long as the proxy runs."""
    _portal: BlockingPortal
    _requests_file: Path

    def received(self) -> list[dict[str, Any]]:
        """``path``, ``headers`` and ``body`` of the requests the proxy got, since last asked."""
        lines = self._requests_file.read_text().splitlines()
        self._requests_file.write_text("")
        return [json.loads(line) for line in lines]

    def gone(self, request: Recorded) -> None:
        """Waits, at most some seconds, until the proxy hung up on its upstream."""
        self._portal.start_task_soon(request.gone.wait).result(10)


@contextmanager
def running(python: Path, folder: Path) -> Iterator[LitellmProxy]:
    """Starts proxy and upstream, without a database. Raises ``NotAvailable`` with the proxy's last words when it does
    not come up."""
    command = [str(python.with_name("litellm")), "--config", "config.yaml"]
    with proxy_process(command, folder, {}) as proxy:
        yield proxy


@contextmanager
def proxy_process(command: list[str], folder: Path, environ: dict[str, str]) -> Iterator[LitellmProxy]:
    """Starts the proxy with this command, which gets host and port, and its upstream."""
    requests_file = folder / "requests.ndjson"
    requests_file.touch()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(ScriptedProvider()) as upstream:
        port = free_port()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "UPSTREAM_URL": f"{upstream.base_url}/v1",
            "MASTER_KEY": MASTER_KEY,
            "REQUESTS_FILE": str(requests_file),
            **environ,
        }
        command = [*command, "--host", "127.0.0.1", "--port", str(port)]
        with subprocess.Popen(
            command, cwd=HERE, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            output = Output(process.stdout)
            try:
                output.wait_until_up()
                yield LitellmProxy(f"http://127.0.0.1:{port}", upstream, portal, requests_file)
            finally:
                end(process)
                output.join()


class Output:
    """What the proxy prints: read all the time, so that it never waits for us."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe
        self._lines: deque[str] = deque(maxlen=5)
        self._up = False
        self._settled = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_until_up(self) -> None:
        """Until the proxy says that it serves."""
        self._settled.wait(START_S)
        if not self._up:
            raise NotAvailable("".join(self._lines) or "it printed nothing")

    def join(self) -> None:
        """Until the pipe is closed, with the process's end."""
        self._reader.join()

    def _read(self) -> None:
        for line in self._pipe:
            self._lines.append(line)
            if "Uvicorn running on" in line:
                self._up = True
                self._settled.set()
        self._settled.set()


def end(process: subprocess.Popen[str]) -> None:
    """Asks the process to end, and sees that it does."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
