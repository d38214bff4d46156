"""Resident memory and what is left over: at rest, after many chats, and with litellm in the process."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import psutil

from scripts.bench.figures import Section, Target
from scripts.bench.host import SidecarHost
from scripts.bench.place import MODELS, Place, place
from scripts.bench.run import Run
from scripts.bench.start import commands
from scripts.measure_start import programs_of

MODEL: Final = MODELS["openai-chat"]
CHUNKS: Final = 50
PARALLEL: Final = 64
KEPT_ALIVE_S: Final = 122
"""A little longer than an unused connection is kept: a minute, and until the pool, once a minute, looks again."""
PING_S: Final = 0.003
LITELLM: Final = {"provider": "openai", "name": "gpt-4.1"}
FLOOR: Final = "import sys, asyncio, aiohttp, msgspec; print(flush=True); sys.stdin.read()"


def memory(run: Run) -> Section:
    """At rest and after a first chat, in every form; then many chats on the checkout."""
    many = run.rounds(1000, 200)
    section = Section(
        "memory",
        "Memory and what is left over",
        f"Resident memory in MB of 10^6 bytes; answers of {CHUNKS} chunks. At rest: models and settings asked for, "
        f"nothing else. The first 100 chats are 36 one after the other and {PARALLEL} at once. Threads, descriptors "
        "and sockets after two minutes' rest, when connections kept for the next call are closed too.",
        chart="none",
    )
    run.provider.script(CHUNKS)
    section.add("at rest", "floor: aiohttp and msgspec, imported", "MB", [floor_mb() for _ in range(run.rounds(5, 2))])
    with place(run.provider) as where:
        for name, command in commands(section).items():
            run.say(f"memory, {name}")
            rest: list[float] = []
            chat: list[float] = []
            for _ in range(run.rounds(5, 2)):
                with where.sidecar(*command) as host:
                    host.request("get-language-model-providers")
                    host.request("get-user-settings")
                    host.idle(2)
                    rest.append(resident_mb(host))
                    host.chat(where.chats(1), MODEL)
                    host.idle(0.5)
                    chat.append(resident_mb(host))
            section.add("at rest", name, "MB", rest, Target(45, "below 45 MB"))
            section.add("after a first chat", name, "MB", chat, Target(45, "below 45 MB"))
        with where.sidecar() as host:
            _many(run, section, where, host, many)
    return section


def _many(run: Run, section: Section, where: Place, host: SidecarHost, many: int) -> None:
    process = psutil.Process(host.pid)
    run.say("memory, the first 100 chats")
    _one_by_one(host, where, 36)
    host.chat(where.chats(PARALLEL), MODEL)
    host.idle(KEPT_ALIVE_S if not run.quick else 1)
    first, files, threads = host.rss_mb(), process.num_fds(), process.num_threads()
    section.add("after 100 chats", "sidecar (source)", "MB", [first])
    run.say(f"memory, {many} chats")
    _one_by_one(host, where, many)
    section.add(f"after {many:,} more, one by one", "sidecar (source)", "MB", [host.rss_mb()])
    host.chat(where.chats(PARALLEL), MODEL)
    host.idle(KEPT_ALIVE_S if not run.quick else 1)
    last = host.rss_mb()
    section.add(f"after {PARALLEL} at once", "sidecar (source)", "MB", [last])
    section.add(
        "grown since the first 100", "sidecar (source)", "MB", [max(0.0, last - first)], Target(1, "below 1 MB")
    )
    more_threads, more_files = process.num_threads() - threads, process.num_fds() - files
    section.add("threads more than then", "sidecar (source)", "", [max(0, more_threads)], Target(0, "none"))
    sockets = [each for each in process.net_connections() if each.status != psutil.CONN_NONE]
    target = Target(0, "none") if not run.quick else None
    section.add("descriptors more than then", "sidecar (source)", "", [max(0, more_files)], target)
    section.add("sockets left", "sidecar (source)", "", [len(sockets)], target)


def floor_mb() -> float:
    """Of an interpreter that has imported what no client of ours can do without."""
    words = [sys.executable, "-c", FLOOR]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return psutil.Process(process.pid).memory_info().rss / 1e6


def _one_by_one(host: SidecarHost, where: Place, count: int) -> None:
    for chat in where.chats(count):
        host.chat([chat], MODEL)


def litellm(run: Run) -> Section:
    """What a first call through litellm costs, and whom it holds up."""
    section = Section(
        "litellm",
        "litellm, loaded by the first call that needs it",
        "SCALIX_LITELLM_ROUTE=openai. From that first chat until its first token a ping is sent every 3 ms: what it "
        "waits is how long the event loop was held. Meanwhile chats are asked of an OpenAI-compatible target.",
        chart="none",
    )
    run.provider.script(CHUNKS)
    with place(run.provider) as where:
        where.environ["SCALIX_LITELLM_ROUTE"] = "openai"
        for name, command in commands(section).items():
            found = [_loading(run, where, command, name) for _ in range(run.rounds(5, 1))]
            waits = [wait for each in found for wait in each.waits]
            section.add(
                "longest wait of a ping",
                name,
                "ms",
                [max(each.waits) for each in found],
                Target(40, "below 40 ms", worst=True),
            )
            section.add("wait of a ping, 99 of 100", name, "ms", [_share(waits, 99)], Target(10, "below 10 ms"))
            section.add("its first chat, to the first token", name, "ms", [each.first_ms for each in found])
            section.add("another chat meanwhile", name, "ms", [ms for each in found for ms in each.others_ms])
            section.add("the same afterwards", name, "ms", [ms for each in found for ms in each.later_ms])
            section.add("memory after it", name, "MB", [each.mb for each in found], Target(210, "below 210 MB"))
        more = run.rounds(1000, 100)
        after = f"memory after {more:,} more through it"
        section.add(after, "sidecar (source)", "MB", [_many_through_it(run, where, more)], Target(210, "below 210 MB"))
    return section


def _many_through_it(run: Run, where: Place, many: int) -> float:
    run.say(f"litellm, {many} chats")
    with where.sidecar() as host:
        for chat in where.chats(1 + many):
            host.chat([chat], LITELLM)
        host.idle(1)
        return resident_mb(host)


class _Loading:
    """One sidecar that loads litellm."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.others_ms: list[float] = []
        self.later_ms: list[float] = []
        self.first_ms = 0.0
        self.mb = 0.0


def _loading(run: Run, where: Place, command: Sequence[str], name: str) -> _Loading:
    run.say(f"litellm, {name}")
    found = _Loading()
    with where.sidecar(*command) as host:
        host.idle(2)
        host.chat(where.chats(1), MODEL)
        (slow,) = where.chats(1)
        others = iter(where.chats(200))
        request = host.ask(slow, LITELLM)
        stream = host.streams[slow]
        while not stream.patches and request not in host.answers:
            found.waits.append(host.timed("ping"))
            host.idle(PING_S)
            if len(found.waits) % 50 == 0:
                found.others_ms.extend(other.ttft_ms for other in host.chat([next(others)], MODEL))
        host.until(lambda: request in host.answers)
        if host.result(request) != slow:
            raise RuntimeError(stream.terminal.decode())
        found.first_ms = stream.ttft_ms
        host.idle(1)
        found.mb = resident_mb(host)
        found.later_ms = [host.chat([next(others)], MODEL)[0].ttft_ms for _ in range(10)]
    return found


def resident_mb(host: SidecarHost) -> float:
    """Of the sidecar itself: a one-file binary's bootloader only waits for it."""
    return max(process.memory_info().rss for process in programs_of(psutil.Process(host.pid))) / 1e6


def _share(samples: Sequence[float], percent: int) -> float:
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]
