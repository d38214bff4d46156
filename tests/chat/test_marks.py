"""Where the time to the first token went, and the log line that says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sidecar.chat.marks import STEPS, Marks
from tests.host import memory_host
from tests.installation import Installation, installation
from tests.providers.server import Answer
from tests.providers.streams import openai_chat_stream


class Clock:
    """Moves by one ms with every look."""

    def __init__(self) -> None:
        self.ms = -1

    def __call__(self) -> float:
        self.ms += 1
        return self.ms / 1000


def test_the_steps_add_up_to_the_first_patch() -> None:
    marks = Marks(Clock())
    for name in ("accept", "committed", "context", "connect", "first_byte", "first_patch"):
        marks.mark(name)  # type: ignore[arg-type]
    assert marks.split() == {"accept": 1, "context": 2, "connect": 1, "first_byte": 1, "first_patch": 1}
    assert sum(marks.split().values()) == marks.at("first_patch") == 6
    assert marks.at("committed") == 2


def test_the_attempt_that_was_answered_counts() -> None:
    marks = Marks(Clock())
    for name in ("accept", "context", "connect", "first_byte", "connect", "first_byte", "first_patch"):
        marks.mark(name)  # type: ignore[arg-type]
    before = marks.split()
    for name in STEPS:  # the next call of the same turn
        marks.mark(name)
    assert marks.split() == before == {"accept": 1, "context": 1, "connect": 3, "first_byte": 1, "first_patch": 1}
    marks.mark("committed")
    assert marks.at("committed") == 8, "a commit may come later"


def test_what_was_not_reached_is_not_told() -> None:
    marks = Marks(Clock())
    marks.mark("accept")
    assert (marks.split(), marks.at("first_patch"), marks.has("context")) == ({"accept": 1}, None, False)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


async def logged(place: Installation, **params: Any) -> dict[str, Any]:
    with capture_logs() as lines:
        async with memory_host(place.folder, capabilities={"chunks": "patch"}) as host:
            await host.request("chat:stream", place.stream_params(place.chat(), **params))
    (line,) = [line for line in lines if line["event"] == "turn finished"]
    return dict(line)


@pytest.mark.anyio
async def test_the_log_line_of_a_turn_tells_each_step_and_what_the_context_took(place: Installation) -> None:
    (place.app_folder / "a.ts").write_text("x" * 400)
    place.script(Answer.json({}, status=503, headers={"retry-after-ms": "1"}), openai_chat_stream(["one", "two"]))
    line = await logged(place)
    assert tuple(line["split_ms"]) == STEPS
    assert sum(line["split_ms"].values()) == pytest.approx(line["ttft_ms"], abs=0.5)
    assert line["committed_ms"] > 0
    assert line["context"].startswith("1 files, 111 tokens, ")


@pytest.mark.anyio
async def test_a_turn_that_was_never_answered_says_how_far_it_came(place: Installation) -> None:
    place.provider.answer("/v1/chat/completions", Answer.json({"error": {"message": "no"}}, status=400))
    line = await logged(place)
    assert tuple(line["split_ms"]) == STEPS[:-1]
    assert (line["state"], line["ttft_ms"]) == ("errored", None)
