"""Start-up of the sidecar in any form: spawn to the answer of ``initialize``, processor time, memory, size.

Programs take turns, so that what else the machine does hits all of them alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

ROOT = Path(__file__).resolve().parent.parent
HELLO = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}\n'
WARM_UP = 2
"""Starts that are not counted: they read the files into the page cache."""


@dataclass
class Figures:
    """One program's starts."""

    answered_ms: list[float] = field(default_factory=list)
    """Spawn to the answer."""
    cpu_ms: list[float] = field(default_factory=list)
    """Processor time until the answer, bootloader included."""
    ended_ms: list[float] = field(default_factory=list)
    """End of stdin to the end of the process."""
    rss_mb: list[float] = field(default_factory=list)
    """Resident memory after the answer: the sidecar itself, without the bootloader that waits for it."""
    unpacked_mb: list[float] = field(default_factory=list)
    """What the bootloader wrote to the temporary folder."""


def measure(programs: Mapping[str, Sequence[str]], runs: int) -> dict[str, Figures]:
    """Start every program ``runs`` times, print a table, return the figures."""
    figures = {name: Figures() for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-WARM_UP, runs):
            for name, command in programs.items():
                _once(list(command), Path(folder), figures[name] if number >= 0 else Figures())
    _print(programs, figures)
    return figures


def _once(command: list[str], folder: Path, figures: Figures) -> None:
    temporary = Path(tempfile.mkdtemp(dir=folder))
    environment = {**os.environ, "TMPDIR": str(temporary), "TMP": str(temporary), "TEMP": str(temporary)}
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "serve", "--user-data", str(temporary)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(HELLO)
        process.stdin.flush()
        answer = process.stdout.readline()
        answered = time.perf_counter()
        if b'"result"' not in answer:
            raise SystemExit(f"{command[0]} does not answer: {answer!r}")
        family = programs_of(psutil.Process(process.pid))
        cpu = sum(times.user + times.system for times in (one.cpu_times() for one in family))
        rss = max(one.memory_info().rss for one in family)
        unpacked = sum(path.stat().st_size for path in temporary.glob("_MEI*/**/*") if path.is_file())
        closed = time.perf_counter()
        process.stdin.close()
        process.wait()
    ended = time.perf_counter()
    figures.answered_ms.append((answered - started) * 1000)
    figures.ended_ms.append((ended - closed) * 1000)
    figures.cpu_ms.append(cpu * 1000)
    figures.rss_mb.append(rss / 1e6)
    figures.unpacked_mb.append(unpacked / 1e6)


def programs_of(outer: psutil.Process) -> list[psutil.Process]:
    """The started process and, of a one-file binary, the real one below it; not the login shell that it asks."""
    own = outer.name()
    found = [outer]
    for child in outer.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name() == own:
                found.append(child)
    return found


def size_mb(command: Sequence[str]) -> float | None:
    """Bytes on disk of a frozen program, in MB; None for a checkout."""
    program = Path(command[0])
    if len(command) > 1:
        return None
    files = program.parent.rglob("*") if (program.parent / "lib").is_dir() else [program]
    return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink()) / 1e6


def _print(programs: Mapping[str, Sequence[str]], figures: Mapping[str, Figures]) -> None:
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    lines = [
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}{load}",
        "",
        "| | answer, median | best | worst | CPU | exit | RSS | unpacked | size |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in figures.items():
        size = size_mb(programs[name])
        lines.append(
            f"| {name} | {median(one.answered_ms):.0f} ms | {min(one.answered_ms):.0f} | {max(one.answered_ms):.0f} "
            f"| {median(one.cpu_ms):.0f} ms | {median(one.ended_ms):.0f} ms | {median(one.rss_mb):.0f} MB "
            f"| {median(one.unpacked_mb):.1f} MB | {'-' if size is None else f'{size:.1f} MB'} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")
    record = ROOT / "dist" / "start.json"
    if record.parent.is_dir():
        record.write_text(json.dumps({name: vars(one) for name, one in figures.items()}, indent=1) + "\n")
