"""From the spawn to the first answer, and to the first token."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from scripts.bench.figures import Section, Target
from scripts.bench.host import SOURCE, SidecarHost
from scripts.bench.place import MODELS, Place, place
from scripts.bench.processes import ROOT
from scripts.bench.run import Run

BARE: Final = "python: import asyncio, json, sqlite3"
BUILDS: Final = {
    "onedir": ROOT / "dist" / "onedir" / "scalix-sidecar" / "scalix-sidecar",
    "onefile": ROOT / "dist" / "scalix-sidecar",
}
"""Where ``dev.py freeze`` puts its builds."""
LIMITS_MS: Final = {"sidecar (source)": 200.0, "sidecar (onedir)": 200.0, "sidecar (onefile)": 600.0}


def commands(section: Section) -> dict[str, tuple[str, ...]]:
    """The sidecars that can be started."""
    found: dict[str, tuple[str, ...]] = {"sidecar (source)": SOURCE}
    for name, path in BUILDS.items():
        if program(path).is_file():
            found[f"sidecar ({name})"] = (str(program(path)),)
        else:
            section.skipped.append(f"{name}: not built (python3 scripts/dev.py freeze)")
    return found


def program(path: Path) -> Path:
    """With the suffix the platform wants."""
    return path.with_suffix(".exe") if sys.platform == "win32" else path


def measure(run: Run) -> Section:
    """Every way to start, in turn."""
    section = Section(
        "start",
        "Start",
        "From the spawn to the answer to initialize, and to the first token of a chat asked for at once when that has "
        "been read, of an OpenAI-compatible target. The bare "
        "interpreter prints a line after its imports; in turn with the others, files in the system's cache.",
    )
    builds = commands(section)
    answered: dict[str, list[float]] = {name: [] for name in [BARE, *builds]}
    token: dict[str, list[float]] = {name: [] for name in builds}
    with place(run.provider) as where:
        run.provider.script(20)
        for number in range(run.rounds(15, 3) + 1):
            run.say(f"start, round {number}")
            bare = interpreter_ms()
            if number:  # the first round fills caches
                answered[BARE].append(bare)
            for name, command in list(builds.items()):
                try:
                    ready, first = sidecar_ms(where, command)
                except (RuntimeError, TimeoutError) as error:
                    section.skipped.append(f"{name}: it did not start ({error or type(error).__name__})")
                    del builds[name]
                    continue
                if number:
                    answered[name].append(ready)
                    token[name].append(first)
    for name, samples in answered.items():
        limit = LIMITS_MS.get(name)
        target = Target(limit, f"below {limit:.0f} ms") if limit is not None else None
        section.add("to the first answer", name, "ms", samples, target)
    for name, samples in token.items():
        section.add("to the first token", name, "ms", samples)
    for name, samples in token.items():
        after = [first - ready for first, ready in zip(samples, answered[name], strict=True)]
        section.add("from that answer to that token", name, "ms", after, Target(100, "below 100 ms"))
    bare_ms = section.median("to the first answer", BARE)
    for name in builds:
        ready_ms = section.median("to the first answer", name)
        if bare_ms and ready_ms:
            section.add("times the bare interpreter", name, "x", [ready_ms / bare_ms])
    return section


def interpreter_ms() -> float:
    """A bare interpreter, to its first line."""
    started = time.perf_counter()
    words = [sys.executable, "-c", "import asyncio, json, sqlite3; print(flush=True)"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return (time.perf_counter() - started) * 1000


def sidecar_ms(where: Place, command: tuple[str, ...]) -> tuple[float, float]:
    """To the answer to ``initialize``, and to the first token."""
    (chat,) = where.chats(1)
    host = SidecarHost(where.folder, where.environ, command)
    try:
        ready = host.initialize()
        (stream,) = host.chat([chat], MODELS["openai-chat"])
        return ready, (stream.first_at - host.spawned_at) * 1000
    finally:
        host.close()
