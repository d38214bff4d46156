"""Single moments: a cancel, the code base read, settings and models asked for; and what the builds weigh."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from scripts.bench.figures import Section, Target
from scripts.bench.place import MODELS, place
from scripts.bench.processes import ROOT
from scripts.bench.run import Run
from scripts.bench.start import BUILDS, program

MODEL: Final = MODELS["openai-chat"]
LIMITS_MB: Final = {"onefile": 60.0, "onedir": 105.0}


def cancel(run: Run) -> Section:
    """From writing ``chat:cancel`` to the provider seeing its connection closed."""
    section = Section(
        "cancel",
        "Cancel",
        "From writing chat:cancel to the closed upstream connection, as the provider saw it; and to the answer, with "
        "the partial text saved.",
    )
    closed: list[float] = []
    answered: list[float] = []
    run.say("cancel")
    with place(run.provider) as where, where.sidecar() as host:
        run.provider.script(100_000, pace_ms=5)
        host.idle(3)
        run.provider.cut()
        for number in range(run.rounds(50, 10) + 1):
            (chat,) = where.chats(1)
            request = host.ask(chat, MODEL)
            stream = host.streams[chat]
            host.until(lambda stream=stream: stream.patches >= 3)
            started, took = time.perf_counter(), host.timed("chat:cancel", {"chatId": chat})
            host.until(lambda request=request: request in host.answers)
            host.result(request)
            host.idle(0.05)
            cuts = run.provider.cut()
            if number:
                answered.append(took)
                closed.extend((at - started) * 1000 for at in cuts)
    section.add("connection closed", "sidecar", "ms", closed, Target(50, "every one below 50 ms", worst=True))
    section.add("slowest", "sidecar", "ms", [max(closed)] if closed else [])
    section.add("chat:cancel answered", "sidecar", "ms", answered)
    return section


def context(run: Run) -> Section:
    """What ``scripts/bench_context.py`` finds."""
    section = Section(
        "context",
        "Code base context",
        "2,000 files of 20 MB together, cold with the system's file cache warm; and a folder of 200,000 files. Gap: "
        "longest time between two beats of the loop; held: what of it this process itself is the reason for.",
        chart="none",
    )
    run.say("context")
    words = [sys.executable, "scripts/bench_context.py", "--json", "--rounds", str(run.rounds(7, 3))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        section.skipped.append(f"bench_context.py failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        return section
    limits = {"cold: median ms": 1000.0, "warm: median ms": 60.0}
    for name, value in json.loads(done.stdout).items():
        limit = 20.0 if name.endswith("loop held ms") else limits.get(name)
        target = Target(limit, f"below {limit:,.0f} ms") if limit is not None else None
        section.add(name.removesuffix(" ms"), "sidecar", "ms", [value], target)
    return section


def settings(run: Run) -> Section:
    """Large settings and many models, asked for through the pipe."""
    section = Section(
        "settings",
        "Settings and models",
        "From writing the request to having read the answer; 1,000 keys in the settings and 1,000 providers with a "
        "secret each, 200 custom models.",
    )
    cases = {
        "get-user-settings, 1,000 keys and 1,000 secrets": ("get-user-settings", Target(5, "below 5 ms")),
        "get-language-models-by-providers, 200 custom models": (
            "get-language-models-by-providers",
            Target(10, "below 10 ms"),
        ),
        "ping, the pipe alone": ("ping", None),
    }
    run.say("settings")
    with place(run.provider) as where:
        where.settings(1000)
        where.more_models(200)
        with where.sidecar() as host:
            host.idle(3)
            samples: dict[str, list[float]] = {case: [] for case in cases}
            for number in range(run.rounds(100, 20) + 5):
                for case, (method, _) in cases.items():
                    took = host.timed(method)
                    if number >= 5:
                        samples[case].append(took)
            if len(host.request("get-user-settings")) < 1000:
                raise RuntimeError("the settings were not all there")
    for case, (_, target) in cases.items():
        section.add(case, "sidecar", "ms", samples[case], target)
    return section


def sizes(_: Run) -> Section:
    """What the builds weigh."""
    section = Section("sizes", "Sizes of the builds", "In MB of 10^6 bytes.", chart="none")
    for name, path in BUILDS.items():
        if not program(path).is_file():
            section.skipped.append(f"{name}: not built (python3 scripts/dev.py freeze)")
            continue
        files = [program(path)] if name == "onefile" else [f for f in path.parent.rglob("*") if f.is_file()]
        limit = LIMITS_MB[name]
        size = sum(size_of(file) for file in files) / 1e6
        section.add(name, "sidecar", "MB", [size], Target(limit, f"at most {limit:.0f} MB"))
    return section


def size_of(file: Path) -> int:
    """Bytes; a link weighs nothing."""
    return 0 if file.is_symlink() else file.stat().st_size
