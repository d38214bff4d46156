"""Every decoder of ours against ``litellm.acompletion`` on the same bytes, over loopback.

What differs is in ``DIFFERENCES``, each with the reason; what is listed and no longer differs fails too, so that the
list stays true when litellm is updated. Token counts that no vendor sent are no difference: litellm estimates them and
does not say so, we report none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sidecar.engines.base import Dialect
from tests.engines.wire.oracle_cases import CASES
from tests.engines.wire.reading import read

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]


class Route(NamedTuple):
    """How litellm is brought to a dialect."""

    model: str
    path: str


ROUTES: dict[Dialect, Route] = {
    "openai-chat": Route("openai/gpt-4.1", "/v1"),
    "openai-responses": Route("openai/responses/gpt-5", "/v1"),
    "anthropic": Route("anthropic/claude-sonnet-4-20250514", ""),
    "google": Route("gemini/gemini-2.5-flash", "/v1beta"),
    "cohere": Route("cohere_chat/command-a-03-2025", "/v2/chat"),
}

TOKENS = ("input", "output", "total", "cached", "thought")

DIFFERENCES: list[tuple[Dialect, str, str, str]] = [
    ("openai-chat", "refusal", "text", "litellm drops it; it is the answer"),
    ("openai-chat", "a call without arguments", "calls", "no arguments are an empty object"),
    ("openai-chat", "content in parts", "reasoning", "Mistral's thinking parts are lost on litellm's OpenAI route"),
    ("openai-chat", "without a reason", "finish", "nobody said stop: the end mark came, and no reason"),
    ("openai-chat", "an unknown reason", "finish", "an unknown word is not taken for stop"),
    ("openai-chat", "cut", "finish failed", "litellm makes a broken stream a complete answer"),
    (
        "openai-responses",
        "reasoning of an open model",
        "reasoning",
        "litellm reads summaries only; LM Studio sends this",
    ),
    ("openai-responses", "two calls", "finish", "the API has no reason for it; calls are what the answer ends with"),
    ("openai-responses", "text and a call", "finish", "as before"),
    ("openai-responses", "everything", "finish", "as before"),
    ("openai-responses", "refusal", "text", "litellm drops it; it is the answer"),
    ("anthropic", "a call without arguments", "calls", "no arguments are an empty object"),
    ("anthropic", "cut", "finish failed", "litellm makes a broken stream a complete answer"),
    ("anthropic", "cut", "output total", "litellm replaces the count that was sent by an estimate"),
    ("anthropic", "error event", "input output total", "litellm loses what had been counted before the error"),
    ("google", "a malformed call", "finish", "the call the model meant is lost; that is no stop"),
    ("google", "a call without arguments", "finish failed calls", "litellm dies of it (KeyError)"),
    ("google", "keep-alives", "text input output total", "a comment line loses litellm the whole answer"),
    ("google", "without a reason", "finish failed", "every Gemini answer ends with a reason; this one was cut"),
    ("google", "cut", "finish failed", "litellm makes a broken stream a complete answer"),
    ("cohere", "text", "input output total", "litellm estimates although Cohere reported"),
    ("cohere", "without event names", "input output total", "as before"),
    ("cohere", "length", "input output total", "as before"),
    ("cohere", "length", "finish", "litellm knows one reason of Cohere's version 2: the end"),
    ("cohere", "cut", "finish failed", "litellm makes a broken stream a complete answer"),
    ("cohere", "everything", "reasoning finish calls", "litellm reads text only"),
    ("cohere", "everything", "input output total cached", "litellm estimates although Cohere reported"),
]
"""Dialect, case, fields, and why we read it otherwise."""


def ours(dialect: Dialect, body: bytes) -> dict[str, Any]:
    """What the decoder reads, in the peer's words."""
    reading = read(dialect, body)
    usage = reading.usage
    return {
        "text": reading.text,
        "reasoning": reading.reasoning,
        "finish": reading.finish,
        "failed": reading.cut or reading.error is not None,
        "calls": [[call.name, call.arguments] for call in reading.calls],
        "input": usage and usage.input_tokens,
        "output": usage and usage.output_tokens,
        "total": usage and usage.total_tokens,
        "cached": usage and usage.cached_input_tokens,
        "thought": usage and usage.reasoning_tokens,
    }


def by_litellm(dialects: Sequence[Dialect], python: str) -> dict[str, list[dict[str, Any]]]:
    """litellm's reading of every case of these dialects."""
    jobs = [{"name": each, **ROUTES[each]._asdict(), "streams": bodies(each)} for each in dialects]
    done = subprocess.run(
        [python, "tests/engines/litellm_peer.py"],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    return {line["name"]: line["readings"] for line in lines}


def bodies(dialect: Dialect) -> list[str]:
    """The cases of a dialect. litellm's reader for Cohere takes bare lines of JSON and dies of the event stream that
    Cohere really sends, so that is what it gets."""
    found = [body.decode() for body in CASES[dialect].values()]
    if dialect != "cohere":
        return found
    return ["".join(f"{line[6:]}\n" for line in b.splitlines() if line.startswith("data: ")) for b in found]


def assert_same_but_for_the_list(dialect: Dialect, readings: list[dict[str, Any]]) -> None:
    """Fails with what differs and is not listed, and with what is listed and does not differ."""
    found = {}
    for (case, body), theirs in zip(CASES[dialect].items(), readings, strict=True):
        for field, value in ours(dialect, body).items():
            estimated = field in TOKENS and value is None
            if comparable(value) != comparable(theirs.get(field)) and not estimated:
                found[case, field] = f"{value!r} here, {theirs.get(field)!r} by litellm"
    listed = {(case, field) for named, case, fields, _ in DIFFERENCES if named == dialect for field in fields.split()}
    assert found.keys() == listed, {key: found.get(key, "does not differ") for key in found.keys() ^ listed}


def comparable(value: Any) -> Any:
    """Calls with their arguments as values, where they are JSON: blanks in it do not count."""
    if not isinstance(value, list):
        return value
    return [(name, json.loads(arguments) if arguments else None) for name, arguments in value]


@pytest.fixture(scope="module")
def readings() -> dict[str, list[dict[str, Any]]]:
    """Of all dialects that the litellm of the product can be asked in."""
    return by_litellm([dialect for dialect in CASES if dialect != "openai-responses"], sys.executable)


@pytest.mark.parametrize("dialect", [dialect for dialect in CASES if dialect != "openai-responses"])
def test_a_decoder_reads_what_litellm_reads_but_for_what_is_listed(
    dialect: Dialect, readings: dict[str, list[dict[str, Any]]]
) -> None:
    assert_same_but_for_the_list(dialect, readings[dialect])


def test_so_does_the_one_for_responses(litellm_python: Path) -> None:
    """litellm's way there needs a package that only its proxy requires."""
    found = by_litellm(["openai-responses"], str(litellm_python))
    assert_same_but_for_the_list("openai-responses", found["openai-responses"])
