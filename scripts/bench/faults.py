"""Chats with providers that fail (``scripts.bench.faulty``): what the user sees of it, and whether every word is where
it belongs.

The chosen model fails now and then; two other vendors at least are healthy, with keys in the environment and
``autoFallback`` on. So is ``continueInterrupted``: without it every answer cut after its first words is an error, as
the user wants it. Three things are compared for each chat: the patches folded as a renderer does, the row in the
database, and what the provider's script says.
"""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final

from scripts.bench.faulty import FLAKY, PER_BLOCK, VOICES, answer_text, thought_text
from scripts.bench.figures import Section, Target
from scripts.bench.host import Patch, SidecarHost, Stream
from scripts.bench.place import Place, place
from scripts.bench.processes import KEY, Provider
from scripts.bench.run import Run
from tests.app_database import insert_provider

PARALLEL: Final = 32
TIMEOUT_S: Final = 4
"""Of the sidecar in this run, for the first token and between two: stalls are part of it."""

VENDORS: Final = (
    ("custom::bench", "bench-model"),
    ("openai", "gpt-4.1"),
    ("anthropic", "claude-sonnet-4"),
    ("google", "gemini-2.5"),
    ("cohere", "command-r"),
)
"""In turn, one for each dialect."""

MODELS: Final = 64
"""Names that each vendor's flaky model has: one circuit would keep everything away from it after its first stall."""

UNREACHABLE: Final = "custom::gone"
UNREACHABLE_EVERY: Final = 250
"""Every so many chats choose a vendor where nothing listens."""

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What came of the chats."""

    chats: int = 0
    failures: list[str] = field(default_factory=list)
    """The sentence of every chat that ended with an error."""
    wrong: list[str] = field(default_factory=list)
    """Every chat whose text is not what somebody answered, whole and once."""
    tally: Counter[str] = field(default_factory=Counter)
    """Requests as the provider counted them: by health of who was asked, and by kind of failure."""
    refused: int = 0
    """Connections that were refused."""
    taken_over: int = 0
    """Chats that another model answered."""
    continued: int = 0
    """Chats that were cut and went on."""
    ms: list[float] = field(default_factory=list)
    """From asking to the end, of each chat."""
    seconds: float = 0.0

    @property
    def failing_share(self) -> float:
        """Failed requests to chosen models, in per cent."""
        failed = sum(number for what, number in self.tally.items() if not what.startswith("asked")) + self.refused
        return 100 * failed / (self.tally[f"asked {FLAKY}"] + self.refused)


class Folded(Stream):
    """A text put together as JavaScript does: offsets count UTF-16 units."""

    def patch(self, patch: Patch, _: float) -> None:
        self.patches += 1
        kept = self.text.encode("utf-16-le")[: 2 * patch.offset].decode("utf-16-le")
        self.pieces = [kept + patch.content]


def measure(run: Run) -> Section:
    """10,000 chats (quick: 1,000)."""
    section = Section(
        "faults",
        "Providers that fail",
        "Chats in five dialects, 32 at a time, with models that fail 3.2 % of requests (429 with and without "
        "Retry-After, 500, 503, 529, reset, stall, stall, cut and error after text, garbage) or cannot be reached; "
        "other vendors are healthy, autoFallback and continueInterrupted are on. Seen: an error instead of an answer. "
        "Wrong: a text in which something is missing, comes twice or is from somebody else.",
        chart="none",
    )
    found = fault_run(run.rounds(10_000, 1_000), say=run.say)
    case = f"{found.chats:,} chats"
    section.add(case, "requests that failed", "%", [found.failing_share])
    share = 100 * len(found.failures) / found.chats
    section.add(case, "failures seen by the user", "%", [share], Target(0.1, "below 0.1 %"))
    section.add(case, "wrong texts", "chats", [len(found.wrong)], Target(0, "none"))
    section.add(case, "answered by another model", "chats", [found.taken_over])
    section.add(case, "cut, and went on", "chats", [found.continued])
    section.add(case, "from asking to the end", "ms", found.ms)
    section.add(case, "pace", "chats per s", [found.chats / found.seconds])
    for sentence, times in Counter(found.failures).most_common(5):
        section.skipped.append(f"{times} failed: {sentence[:150]}")
    section.skipped += [f"wrong: {line}" for line in found.wrong[:5]]
    return section


def fault_run(
    chats: int, *, per_block: int = PER_BLOCK, say: Say = lambda _: None, command: Sequence[str] = ()
) -> Outcome:
    """So many chats; ``per_block`` of 125 requests to flaky models fail. ``command``: the sidecar, else the source."""
    outcome = Outcome()
    with (
        unreachable() as nowhere,
        closing(Provider("scripts.bench.faulty", str(per_block))) as provider,
        place(provider) as where,
    ):
        insert_provider(where.database, UNREACHABLE, name="Gone", api_base_url=nowhere)
        where.environ |= {
            "SCALIX_TIMEOUT_FIRST_TOKEN_S": str(TIMEOUT_S),
            "SCALIX_TIMEOUT_IDLE_S": str(TIMEOUT_S),
            "COHERE_API_KEY": KEY,
            "SCALIX_COHERE_BASE_URL": f"{provider.base}/v2",
        }
        with where.sidecar(*command) as host:
            host.request("set-user-settings", {"autoFallback": True, "continueInterrupted": True})
            streams = converse(where, host, chats, outcome, say)
        judge(where, streams, outcome)
        outcome.tally.update(provider.ask("GET", "/tally"))
    return outcome


@contextmanager
def unreachable() -> Iterator[str]:
    """A base URL where every connection is refused: the port is taken and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def model_of(number: int) -> dict[str, str]:
    """The model that chat ``number`` chooses."""
    if number % UNREACHABLE_EVERY == UNREACHABLE_EVERY // 2:
        return {"provider": UNREACHABLE, "name": f"gone-{number}"}
    provider, name = VENDORS[number % len(VENDORS)]
    return {"provider": provider, "name": f"{name}-{FLAKY}-{number // len(VENDORS) % MODELS}"}


def converse(where: Place, host: SidecarHost, chats: int, outcome: Outcome, say: Say) -> dict[int, tuple[int, Stream]]:
    """All the chats, ``PARALLEL`` at a time; each one's number and stream, by chat id."""
    numbers = zip(where.chats(chats), count(), strict=False)
    running: dict[int, int] = {}
    streams: dict[int, tuple[int, Stream]] = {}
    started = time.perf_counter()

    def more(free: int) -> None:
        for chat, number in islice(numbers, free):
            stream = host.streams[chat] = Folded(time.perf_counter())
            streams[chat] = (number, stream)
            params = {"chatId": chat, "prompt": f"answer number {number}", "model": model_of(number), "files": []}
            running[host.start("chat:stream", params)] = chat

    more(PARALLEL)
    while running:
        host.until(lambda: not host.answers.keys().isdisjoint(running))
        for request in host.answers.keys() & running.keys():
            at, _ = host.answers[request]
            host.result(request)
            outcome.ms.append((at - host.streams.pop(running.pop(request)).asked_at) * 1000)
        say(f"faults, {len(outcome.ms)} of {chats} chats")
        more(PARALLEL - len(running))
    outcome.seconds = time.perf_counter() - started
    return streams


def judge(where: Place, streams: dict[int, tuple[int, Stream]], outcome: Outcome) -> None:
    """Holds what was shown and what was saved to the script."""
    with closing(sqlite3.connect(where.database)) as connection:
        saved = dict(connection.execute("SELECT chat_id, content FROM messages WHERE role = 'assistant'"))
    for chat, (number, stream) in streams.items():
        frame = json.loads(stream.terminal)
        terminal = frame["params"]
        failed = frame["method"] == "chat:response:error"
        continued = any("asked to go on" in warning for warning in terminal.get("warningMessages", []))
        outcome.chats += 1
        outcome.continued += continued
        outcome.taken_over += not failed and terminal["model"] != model_of(number)
        outcome.refused += sum(attempt["provider"] == UNREACHABLE for attempt in terminal["attempts"])
        if failed:
            outcome.failures.append(terminal["error"])
        if saved[chat] != stream.text:
            outcome.wrong.append(f"chat {chat}: saved {saved[chat]!r}, shown {stream.text!r}")
        elif not is_right(number, stream.text, continued=continued, failed=failed):
            outcome.wrong.append(f"chat {chat}: {stream.text!r}")


def is_right(number: int, text: str, *, continued: bool = False, failed: bool = False) -> bool:
    """Whether ``text`` is what one voice answers to prompt ``number``, whole and once.

    An answer that failed may stop anywhere. One that was cut may have stopped thinking anywhere, and somebody else may
    have taken the word then.
    """
    thoughts, answers = [thought_text(number, who) for who in VOICES], [answer_text(number, who) for who in VOICES]
    whole = [f"<think>{t}</think>{a}" if t else a for t, a in zip(thoughts, answers, strict=True)]
    if failed:
        return any(answer.startswith(text.removesuffix("</think>")) for answer in whole)
    if text in whole:
        return True
    parts = re.fullmatch(r"<think>(.*?)</think>(.*)", text, re.DOTALL)
    begun = parts is not None and any(thought.startswith(parts[1]) for thought in thoughts)
    return continued and begun and parts is not None and parts[2] in answers
