"""Time to the first token and CPU per chunk, the sidecar beside its peers."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Protocol

from scripts.bench.figures import Section, against
from scripts.bench.host import SidecarHost
from scripts.bench.place import MODELS, Place, place
from scripts.bench.processes import HERE, Peer, PeerFailed
from scripts.bench.provider import text_of
from scripts.bench.run import Run

SIDECAR: Final = "sidecar"
CALL: Final = "sidecar, llm:stream"
AI_SDK: Final = "AI SDK"
NODE: Final = HERE / "node"


@dataclass(frozen=True)
class Case:
    """So many streams of so many chunks; ``name`` as the report says it."""

    name: str
    streams: int
    chunks: int
    pace_ms: float = 0


SHORT: Final = Case("one short answer", 1, 20)
ALONE: Final = Case("1 stream", 1, 2000)
BURST: Final = Case("32 at once", 32, 500)
CASES: Final = (
    ALONE,
    Case("8 streams", 8, 1000),
    BURST,
    Case("1 stream, a chunk per 10 ms", 1, 200, pace_ms=10),
    Case("8 streams, a chunk per 10 ms each", 8, 200, pace_ms=10),
)

_A_FIFTH: Final = (f": {ALONE.name}", f": {BURST.name}")
"""Ends of the cases in which the sidecar is to take a fifth of the AI SDK's CPU per chunk."""


@dataclass
class Outcome:
    """What one client did in one case: CPU per chunk in us, times to the first token in ms."""

    cpu_us: list[float] = field(default_factory=list)
    ttft_ms: list[float] = field(default_factory=list)
    slowest_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """CPU of all streams together."""


class Client(Protocol):
    """Whoever can stream answers."""

    name: str

    def stream(self, dialect: str, case: Case) -> tuple[float, list[float]]:
        """CPU seconds used and the times to the first token in ms. Raises ``PeerFailed``."""


class SidecarClient:
    """The sidecar, end to end through its pipes."""

    name = SIDECAR

    def __init__(self, host: SidecarHost, where: Place) -> None:
        self._host, self._where = host, where

    def stream(self, dialect: str, case: Case) -> tuple[float, list[float]]:
        chats = self._where.chats(case.streams)
        before = self._host.cpu_s()
        streams = self._host.chat(chats, MODELS[dialect])
        used = self._host.cpu_s() - before
        if any(stream.text != text_of(case.chunks) for stream in streams):
            raise PeerFailed("a text did not arrive whole")
        return used, [stream.ttft_ms for stream in streams]


class CallClient:
    """The sidecar's ``llm:stream``: a model call and nothing else, as its peers make it."""

    name = CALL

    def __init__(self, host: SidecarHost) -> None:
        self._host = host

    def stream(self, dialect: str, case: Case) -> tuple[float, list[float]]:
        before = self._host.cpu_s()
        stream = self._host.call(MODELS[dialect])
        used = self._host.cpu_s() - before
        if stream.text != text_of(case.chunks):
            raise PeerFailed("a text did not arrive whole")
        return used, [stream.ttft_ms]


class PeerClient:
    """A peer in a process of its own."""

    def __init__(self, peer: Peer, base: str) -> None:
        self.name, self._peer, self._base = peer.name, peer, base

    def stream(self, dialect: str, case: Case) -> tuple[float, list[float]]:
        done = self._peer.run(dialect, self._base, case.streams)
        if done["chars"] != case.streams * len(text_of(case.chunks)):
            raise PeerFailed("a text did not arrive whole")
        return done["cpu_s"], done["ttft_ms"]


def measure(run: Run, versions: dict[str, str]) -> list[Section]:
    """All dialects and cases; every client takes its turn in every round. Adds the peers' ``versions``."""
    first = Section(
        "ttft",
        "Time to the first token, warm",
        "From asking (the sidecar: from writing the request to its pipe) to the first text. llm:stream is what the "
        "peers do, a model call. A turn, chat:stream, also saves its rows, reads the app's folder and builds the "
        "prompt. The app saves the rows before it asks the AI SDK, so that is added for the turn's target.",
    )
    short_cpu = Section(
        "answer",
        "CPU of a short answer",
        f"CPU time of the client's process for one answer of {SHORT.chunks} chunks: what a call costs beside its "
        "chunks. The sidecar's includes the turn's transactions, the prompt and the patches.",
    )
    cpu = Section(
        "cpu",
        "CPU per chunk",
        "CPU time of the client's process divided by chunks, requests included; the sidecar's includes SQLite, "
        "patches and the pipe.",
    )
    several = Section(
        "several",
        "Time to the first token, several at once",
        "Of every stream, in the unpaced cases of the next table: all are asked at once, and each is answered as fast "
        "as it can be.",
    )
    slowest = Section("slowest", "Slowest first token", "Of 32 streams asked for at once.")
    clients: list[Client] = []
    with ExitStack() as stack:
        where = stack.enter_context(place(run.provider))
        host = stack.enter_context(where.sidecar())
        host.idle(3)  # let the background work after the handshake end
        clients.append(SidecarClient(host, where))
        dialects = {SIDECAR: list(MODELS)}
        for name, command in peer_commands(first).items():
            try:
                peer = stack.enter_context(closing(Peer(name, command)))
            except (PeerFailed, OSError) as error:
                first.skipped.append(f"{name}: {error}")
                continue
            versions[name] = peer.version
            dialects[name] = peer.dialects
            clients.append(PeerClient(peer, f"{run.provider.base}/v1"))
        for dialect in MODELS:
            able = [client for client in clients if dialect in dialects[client.name]]
            callers = [*able, CallClient(host)]
            short = take_turns(run, callers, dialect, SHORT, run.rounds(30, 5), skipped=cpu.skipped)
            for client in callers:
                first.add(dialect, client.name, "ms", short[client.name].ttft_ms)
                short_cpu.add(dialect, client.name, "ms", short[client.name].cpu_ms)
            for case in CASES:
                outcomes = take_turns(run, able, dialect, case, run.rounds(5, 1), skipped=cpu.skipped)
                for client in able:
                    cpu.add(f"{dialect}: {case.name}", client.name, "µs", outcomes[client.name].cpu_us)
                    if not case.pace_ms:
                        several.add(f"{dialect}: {case.name}", client.name, "ms", outcomes[client.name].ttft_ms)
                    if case is BURST:
                        slowest.add(dialect, client.name, "ms", outcomes[client.name].slowest_ms)
        commit_ms = commits(where)
    first.add("the turn's rows", "SQLite alone", "ms", commit_ms)
    against(first, SIDECAR, AI_SDK, "half of the AI SDK + the turn's rows", share=0.5, plus=median(commit_ms))
    against(first, CALL, AI_SDK, "half of the AI SDK", share=0.5)
    against(short_cpu, CALL, AI_SDK, "not above the AI SDK")
    against(slowest, SIDECAR, AI_SDK, "half of the AI SDK", share=0.5)
    against(cpu, SIDECAR, AI_SDK, "a fifth of the AI SDK", share=0.2, among=lambda case: case.endswith(_A_FIFTH))
    for section in (short_cpu, several, cpu):
        against(section, SIDECAR, AI_SDK, "not above the AI SDK")
    return [first, short_cpu, several, cpu, slowest]


def commits(where: Place) -> list[float]:
    """What saving a question and an empty answer costs on this disk, in ms: the app does it before it asks a model."""
    took = []
    with closing(sqlite3.connect(where.database, isolation_level=None)) as connection:
        for chat in where.chats(30):
            started = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            insert = "INSERT INTO messages (chat_id, role, content) VALUES (?, ?, ?)"
            connection.executemany(insert, [(chat, "user", "hi"), (chat, "assistant", "")])
            connection.execute("COMMIT")
            took.append((time.perf_counter() - started) * 1000)
    return took


def take_turns(
    run: Run, clients: list[Client], dialect: str, case: Case, rounds: int, *, skipped: list[str]
) -> dict[str, Outcome]:
    """Warm-up rounds, then the measured ones. A client that fails is out for this case.

    Every round in another order, the same in every run: whoever comes after a large process finds colder caches.
    """
    orders = random.Random(len(clients))
    run.say(f"stream, {dialect}, {case.name}")
    run.provider.script(case.chunks, case.pace_ms)
    outcomes = {client.name: Outcome() for client in clients}
    failed: set[str] = set()
    warm_up = 25 if case is SHORT else run.rounds(1, 0)  # Node compiles what it has run a few times
    for number in range(rounds + warm_up):
        for client in orders.sample(clients, len(clients)):
            if client.name in failed:
                continue
            try:
                used, first = client.stream(dialect, case)
            except PeerFailed as error:
                failed.add(client.name)
                skipped.append(f"{client.name}, {dialect}, {case.name}: {error}")
                continue
            if number < warm_up:
                continue
            outcome = outcomes[client.name]
            outcome.cpu_us.append(used * 1e6 / (case.streams * case.chunks))
            outcome.cpu_ms.append(used * 1e3)
            outcome.ttft_ms.extend(first)
            outcome.slowest_ms.append(max(first))
    return outcomes


def peer_commands(section: Section) -> dict[str, list[str]]:
    """The peers, those that are not installed named in ``section.skipped``."""
    python = [sys.executable, "-m", "scripts.bench.peers"]
    found = {}
    if node_packages(section):
        found[AI_SDK] = ["node", str(NODE / "peer.mjs")]
    return found | {
        "openai SDK": [*python, "openai"],
        "litellm": [*python, "litellm"],
        "aiohttp + msgspec": [*python, "floor"],
    }


def node_packages(section: Section) -> bool:
    """The AI SDK as its lock file names it, installed on first need."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        section.skipped.append(f"{AI_SDK}: Node is not installed")
        return False
    lock, installed = NODE / "package-lock.json", NODE / "node_modules" / ".package-lock.json"
    if installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return True
    words = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(words, cwd=NODE, capture_output=True, text=True, check=False)
    if done.returncode:
        section.skipped.append(f"{AI_SDK}: npm ci failed ({(done.stderr.strip().splitlines() or ['no reason'])[-1]})")
        return False
    os.utime(installed)
    return True
