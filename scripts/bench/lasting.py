"""What lasts or grows: long answers, a host that does not read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Final

from scripts.bench.figures import Section, Target
from scripts.bench.host import SidecarHost
from scripts.bench.place import MODELS, Place, place
from scripts.bench.provider import text_of
from scripts.bench.run import Run

MODEL: Final = MODELS["openai-chat"]
SIZES: Final = (1_000, 10_000, 100_000)
WINDOW: Final = 300
"""Deltas whose cost is looked at, one patch each, at some place of a long answer."""
PACE_MS: Final = 10
"""Between those: slow enough for a patch each."""


# --- growth --------------------------------------------------------------------------------------------------------


def growth(run: Run) -> list[Section]:
    """Cost per delta in short and long answers, and bytes on the wire."""
    section = Section(
        "growth",
        "Long answers",
        "CPU per delta averaged over an answer that comes as fast as it can, and of its last 300 one by one (10 ms "
        "apart, a patch each).",
        chart="lines",
    )
    bytes_ = Section(
        "bytes",
        "Bytes on the wire",
        "Of the last 300 deltas of those answers, a patch each; and of whole answers, what the app sends for them: an "
        "array of all messages with every delta.",
    )
    sizes = SIZES[:2] if run.quick else SIZES
    whole: dict[int, list[float]] = {size: [] for size in sizes}
    deep: dict[int, list[float]] = {size: [] for size in sizes}
    wire: list[float] = []
    full: dict[int, list[float]] = {size: [] for size in sizes}
    sizes_of_patches: list[float] = []
    with place(run.provider) as where, where.sidecar() as host:
        host.idle(3)
        fast(run, where, host, sizes[0])
        for number in range(run.rounds(5, 2)):
            for size in sizes:
                run.say(f"growth, {size} deltas, round {number}")
                whole[size].append(fast(run, where, host, size))
                found = one_by_one(run, where, host, size)
                deep[size].append(found.cpu_us)
                wire.append(found.share)
                full[size].append(found.arrays)
                sizes_of_patches.append(found.patch_bytes)
    first_whole, first_deep = median(whole[sizes[0]]), median(deep[sizes[0]])
    for size in sizes:
        words = "at most 1.3 times the first 1,000"
        longest = size == sizes[-1]
        target = Target(1.3 * first_whole, words) if longest else None
        section.add(f"{size:,}", "whole answer, unpaced", "µs CPU per delta", whole[size], target)
        target = Target(1.3 * first_deep, words) if longest else None
        section.add(f"{size:,}", "its last 300, one by one", "µs CPU per delta", deep[size], target)
    bytes_.add(
        "bytes / (3 x text + 200 per patch)", "sidecar", "x", wire, Target(1.0, "at most 1", worst=True)
    )  # fmt: skip
    bytes_.add("bytes per patch of one delta", "sidecar", "bytes", sizes_of_patches)
    for size in sizes:
        bytes_.add(f"full arrays / our bytes, {size:,} deltas", "the app", "x", full[size])
    return [section, bytes_]


def fast(run: Run, where: Place, host: SidecarHost, deltas: int) -> float:
    """CPU per delta in us of an answer sent as fast as it can."""
    run.provider.script(deltas)
    before = host.cpu_s()
    (stream,) = host.chat(where.chats(1), MODEL)
    used = host.cpu_s() - before
    check(stream.text, deltas)
    return used * 1e6 / deltas


@dataclass(frozen=True)
class OneByOne:
    """What the last deltas of an answer cost when they come singly."""

    cpu_us: float
    """Per delta."""
    share: float
    """Bytes of those deltas' chunks against their allowance."""
    arrays: float
    """Bytes of the full arrays the app sends with every delta, against ours."""
    patch_bytes: float


def one_by_one(run: Run, where: Place, host: SidecarHost, deltas: int) -> OneByOne:
    """An answer whose last deltas are sent singly."""
    burst = max(deltas - WINDOW, 10)
    run.provider.script(deltas + 10, pace_ms=PACE_MS, burst=burst)
    (chat,) = where.chats(1)
    request = host.ask(chat, MODEL)
    stream = host.streams[chat]
    seen = len(text_of(max(burst - 10, 1)))
    host.until(lambda: stream.length >= seen)
    host.idle(0.05)
    before, patches = host.cpu_s(), stream.patches
    started, wire = stream.length, stream.bytes
    last = len(text_of(deltas))
    host.until(lambda: stream.length >= last)
    used, count, wire = host.cpu_s() - before, stream.patches - patches, stream.bytes - wire
    host.until(lambda: request in host.answers)
    host.result(request)
    check(stream.text, deltas + 10)
    del host.streams[chat]
    allowance = 3 * (last - started) + 200 * count
    each = len(stream.text) / (deltas + 10)
    # the app sends all messages with each delta: the first chunk's size plus the answer so far
    arrays = sum(stream.first_chunk_bytes + number * each for number in range(deltas + 10))
    return OneByOne(
        cpu_us=used * 1e6 / ((last - started) / each),
        share=wire / allowance,
        arrays=arrays / stream.bytes,
        patch_bytes=wire / max(1, count),
    )


def check(text: str, deltas: int) -> None:
    """Every figure is one of a complete answer."""
    if text != text_of(deltas):
        raise RuntimeError("a text did not arrive whole")


# --- a host that does not read -------------------------------------------------------------------------------------


def backpressure(run: Run) -> Section:
    """Memory while nobody reads."""
    stopped_s = run.rounds(10, 3)
    section = Section(
        "backpressure",
        "A host that stops reading",
        f"8 streams, a delta per ms each, nothing read for {stopped_s} s: the greatest growth of resident memory "
        "beyond the answers' own text; then every text is checked.",
        chart="none",
    )
    deltas = 1000 * stopped_s
    run.say("backpressure")
    with place(run.provider) as where, where.sidecar() as host:
        host.idle(3)
        run.provider.script(200, pace_ms=1)
        for _ in range(3):
            host.chat(where.chats(8), MODEL)
        run.provider.script(deltas, pace_ms=1)
        chats = where.chats(8)
        before = host.rss_mb()
        requests = [host.ask(chat, MODEL) for chat in chats]
        host.until(lambda: all(host.streams[chat].patches for chat in chats))
        greatest, end = 0.0, time.perf_counter() + stopped_s
        while time.perf_counter() < end:
            time.sleep(0.05)
            greatest = max(greatest, host.rss_mb() - before)
        seen = sum(host.streams[chat].length for chat in chats)
        host.until(lambda: all(request in host.answers for request in requests))
        texts_mb = 8 * len(text_of(deltas)) / 1e6
        whole = sum(host.streams[chat].text == text_of(deltas) for chat in chats)
        target = Target(10, "below 10 MB")
        section.add("growth beyond the texts", "sidecar", "MB", [max(0.0, greatest - texts_mb)], target)
        section.add("the texts", "sidecar", "MB", [texts_mb])
        section.add("read before the stop", "sidecar", "MB", [seen / 1e6])
        section.add("texts not complete", "sidecar", "of 8", [8 - whole], Target(0, "none"))
    return section
