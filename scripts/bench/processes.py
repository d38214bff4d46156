"""The processes of a benchmark run: their CPU time and memory, the provider, and peers that answer line by line."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import psutil

from scripts.bench.provider import Script

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
KEY: Final = "sk-" + "k" * 30


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used, all its threads: to the nanosecond on Linux, to the clock tick elsewhere."""
    if sys.platform == "linux":
        # what clock_getcpuclockid(3) gives; /proc counts in ticks of 10 ms, too coarse for chunks of 5 us
        return time.clock_gettime((~pid << 3) | 2)
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MB of 10**6 bytes."""
    return psutil.Process(pid).memory_info().rss / 1e6


class Provider:
    """The scripted provider, running; or ``module``, another one."""

    def __init__(self, module: str = "scripts.bench.provider", *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.base = f"http://127.0.0.1:{self.port}"

    def script(self, chunks: int, pace_ms: float = 0, burst: int = 0) -> None:
        """What the following answers are."""
        self.ask("POST", "/control", json.dumps(asdict(Script(chunks, pace_ms, burst))))

    def cut(self) -> list[float]:
        """``time.perf_counter`` of the connections clients closed in the middle of an answer, since last asked."""
        found: list[float] = self.ask("GET", "/cut")
        return found

    def close(self) -> None:
        _end(self._process)

    def ask(self, method: str, path: str, body: str | None = None) -> Any:
        """One request; its JSON answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


class PeerFailed(Exception):
    """A peer could not start or could not answer."""


class Peer:
    """Another client of the same provider, in a process of its own: one JSON line per job, one per result."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        hello = self._line()
        self.version: str = hello["version"]
        self.dialects: list[str] = hello["dialects"]

    def run(self, dialect: str, base: str, streams: int) -> dict[str, Any]:
        """So many answers at once: ``ttft_ms`` of each, ``cpu_s`` of the process, ``chars`` of all."""
        assert self._process.stdin is not None
        job = {"dialect": dialect, "base": base, "streams": streams, "key": KEY}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._line()

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        _end(self._process)

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("{"):  # litellm prints to stdout what it thinks the user should know
                answer: dict[str, Any] = json.loads(line)
                return answer
        assert self._process.stderr is not None
        words = self._process.stderr.read().strip().splitlines()
        _end(self._process)
        raise PeerFailed(words[-1] if words else "it ended without a word")


def _end(process: subprocess.Popen[Any]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
