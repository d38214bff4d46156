"""Measure the code base context: 2,000 files of 20 MB together, cold, warm and with one file edited.

    python scripts/bench_context.py [--files 2000] [--megabytes 20] [--rounds 7] [--wide] [--json]

Prints the medians in ms and the longest gap of a 1 ms heartbeat on the event loop meanwhile. Every cold round has a
new cache; the operating system's own cache is warm, as it is while somebody works on the app. The goal: cold below
1 s, warm below 60 ms, the loop never held for more than 20 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import anyio

from sidecar.chat.context import Codebase, ContextRule, FileCache, extract_codebase

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


class Heartbeat:
    """The longest time the event loop was held since ``reset``, in ms."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._last = time.perf_counter()

    def reset(self) -> None:
        self.longest_ms = 0.0
        self._last = time.perf_counter()

    async def run(self) -> None:
        while True:
            await anyio.sleep(0.001)
            now = time.perf_counter()
            self.longest_ms = max(self.longest_ms, (now - self._last) * 1000 - 1)
            self._last = now


@asynccontextmanager
async def heartbeat():
    async with anyio.create_task_group() as group:
        beat = Heartbeat()
        group.start_soon(beat.run)
        yield beat
        group.cancel_scope.cancel()


async def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Medians in ms and the longest loop gaps in ms."""
    gaps: dict[str, float] = {}
    medians: dict[str, float] = {}
    edited = folder / "src" / "area0" / "part0" / "file0.tsx"

    async def timed(name: str, work: Callable[[], Awaitable[Codebase]], before: Callable[[int], None]) -> None:
        times = []
        gaps[name] = 0.0
        for index in range(rounds):
            before(index)
            beat.reset()
            started = time.perf_counter()
            await work()
            times.append((time.perf_counter() - started) * 1000)
            await anyio.sleep(0.005)
            gaps[name] = max(gaps[name], beat.longest_ms)
        medians[name] = statistics.median(times)

    def extract(cache: FileCache) -> Awaitable[Codebase]:
        return extract_codebase(folder, ContextRule(), smart_context=False, engine_files=False, cache=cache)

    def edit(index: int) -> None:
        edited.write_text(f"// edited {index}\n", encoding="utf-8")

    async with heartbeat() as beat:
        await anyio.sleep(0.05)
        await timed("cold", lambda: extract(FileCache()), lambda _: None)
        shared = FileCache()
        await extract(shared)
        await timed("warm", lambda: extract(shared), lambda _: None)
        await timed("one file edited", lambda: extract(shared), edit)
    return {
        **{f"{name}: median ms": round(value, 1) for name, value in medians.items()},
        **{f"{name}: longest loop gap ms": round(value, 1) for name, value in gaps.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--wide", action="store_true", help="some files hold characters beyond Latin-1")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_app(folder, files=arguments.files, megabytes=arguments.megabytes, wide=arguments.wide)
        result = anyio.run(measure, folder, arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:34}{value:8.1f}" for name, value in result.items()))


if __name__ == "__main__":
    main()
