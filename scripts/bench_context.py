"""Measure the code base context: 2,000 files of 20 MB together, cold, warm and with one file edited; and one folder
of 200,000 empty files.

    python scripts/bench_context.py [--files 2000] [--megabytes 20] [--flat 200000] [--rounds 7] [--wide] [--json]

Prints the medians in ms and the longest gap of a 1 ms heartbeat on the event loop meanwhile. Every cold round has a
new cache; the operating system's own cache is warm, as it is while somebody works on the app. The goal: cold below
1 s, warm below 60 ms, the loop never held for more than 20 ms.

A gap is long when a thread of ours holds the interpreter, and when other programs take the processor away. "Held" is
the part of a gap in which this process computed and the loop's thread was not waiting for a processor (Linux; elsewhere
what this process computed), and "idle" is the same heartbeat with nothing to do.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import anyio

from sidecar.chat.context import Codebase, ContextRule, FileCache, begin_codebase
from sidecar.server import THREAD_SWITCH_S

GITIGNORE = """\
# dependencies
node_modules
/.pnp
.pnp.*
coverage/
/out/
*.log
npm-debug.log*
report.[0-9]*.[0-9]*.[0-9]*.[0-9]*.json
.DS_Store
*.pem
.vercel
*.tsbuildinfo
next-env.d.ts
!important.log
"""
YEAR_2024 = 1_704_067_200


def build_app(folder: Path, *, files: int = 2000, megabytes: int = 20, wide: bool = False) -> None:
    """An app with ``files`` source files in nested folders; ``wide`` gives every tenth a character beyond Latin-1."""
    line = "export const value = { id: 1, label: 'some text of an ordinary component' };\n"
    size = megabytes * 1_000_000 // files
    body = (line * (size // len(line) + 1))[:size]
    for index in range(files):
        path = folder / "src" / f"area{index % 20}" / f"part{index % 7}" / f"file{index}.tsx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// {index}{' →' if wide and index % 10 == 0 else ''}\n{body}", encoding="utf-8")
        os.utime(path, (YEAR_2024 + index, YEAR_2024 + index))
    (folder / ".gitignore").write_text(GITIGNORE, encoding="utf-8")
    (folder / "src" / ".gitignore").write_text("*.tmp\n!keep.tmp\n", encoding="utf-8")


def build_flat(folder: Path, *, files: int) -> None:
    """One folder of ``files`` empty files, their ages in no order."""
    shuffled = random.Random(0)
    for index in range(files):
        path = folder / f"file{index:06}.txt"
        path.touch()
        age = YEAR_2024 + shuffled.random() * 1e7
        os.utime(path, (age, age))


def waited_for_processor_ms() -> float:
    """How long this thread has been ready to run and did not, so far; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1]) / 1e6
    except OSError:
        return 0.0


class Heartbeat:
    """The longest time between two beats since ``reset``, and the most of it that the loop was held, in ms."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.longest_ms = self.held_ms = 0.0
        self._last, self._cpu, self._waited = time.perf_counter(), time.process_time(), waited_for_processor_ms()

    async def run(self) -> None:
        while True:
            await anyio.sleep(0.001)
            now, cpu, waited = time.perf_counter(), time.process_time(), waited_for_processor_ms()
            gap = (now - self._last) * 1000 - 1
            self.longest_ms = max(self.longest_ms, gap)
            self.held_ms = max(self.held_ms, min((cpu - self._cpu) * 1000, gap - (waited - self._waited)))
            self._last, self._cpu, self._waited = now, cpu, waited


@asynccontextmanager
async def heartbeat():
    async with anyio.create_task_group() as group:
        beat = Heartbeat()
        group.start_soon(beat.run)
        yield beat
        group.cancel_scope.cancel()


async def measure(folder: Path, flat: Path, rounds: int) -> dict[str, float]:
    """Medians in ms and the longest loop gaps in ms."""
    gaps: dict[str, float] = {}
    held: dict[str, float] = {}
    medians: dict[str, float] = {}
    edited = folder / "src" / "area0" / "part0" / "file0.tsx"

    async def timed(name: str, work: Callable[[], Awaitable[Codebase]], before: Callable[[int], None]) -> None:
        times = []
        gaps[name] = held[name] = 0.0
        for index in range(rounds):
            before(index)
            beat.reset()
            started = time.perf_counter()
            await work()
            times.append((time.perf_counter() - started) * 1000)
            await anyio.sleep(0.005)
            gaps[name] = max(gaps[name], beat.longest_ms)
            held[name] = max(held[name], beat.held_ms)
        medians[name] = statistics.median(times)

    def extract(cache: FileCache, app: Path = folder) -> Awaitable[Codebase]:
        return begin_codebase(app, ContextRule(), smart_context=False, engine_files=False, cache=cache).value()

    def edit(index: int) -> None:
        edited.write_text(f"// edited {index}\n", encoding="utf-8")

    async with heartbeat() as beat:
        await anyio.sleep(0.05)
        await timed("cold", lambda: extract(FileCache()), lambda _: None)
        shared = FileCache()
        await extract(shared)
        await timed("warm", lambda: extract(shared), lambda _: None)
        await timed("one file edited", lambda: extract(shared), edit)
        await timed("flat folder", lambda: extract(FileCache(), flat), lambda _: None)
        beat.reset()
        await anyio.sleep(1)
        gaps["idle"], held["idle"] = beat.longest_ms, beat.held_ms
    return {
        **{f"{name}: median ms": round(value, 1) for name, value in medians.items()},
        **{f"{name}: longest loop gap ms": round(value, 1) for name, value in gaps.items()},
        **{f"{name}: loop held ms": round(value, 1) for name, value in held.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--flat", type=int, default=200_000, help="files of the flat folder")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--wide", action="store_true", help="some files hold characters beyond Latin-1")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, flat = Path(name) / "app", Path(name) / "flat"
        folder.mkdir()
        flat.mkdir()
        build_app(folder, files=arguments.files, megabytes=arguments.megabytes, wide=arguments.wide)
        build_flat(flat, files=arguments.flat)
        sys.setswitchinterval(THREAD_SWITCH_S)
        result = anyio.run(measure, folder, flat, arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:40}{value:8.1f}" for name, value in result.items()))


if __name__ == "__main__":
    main()
