"""Costs by litellm's price data, read without importing litellm."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.catalog.prices import PriceList, cost
from sidecar.engines.base import Usage

pytestmark = pytest.mark.anyio

CASES = [
    ("openai", "gpt-4.1", "gpt-4.1", Usage(input_tokens=1000, output_tokens=500)),
    ("openai", "gpt-5", "gpt-5", Usage(input_tokens=1000, output_tokens=500, cached_input_tokens=400)),
    ("anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5-20250929",
     Usage(input_tokens=5000, output_tokens=500, cached_input_tokens=2000, cache_write_tokens=1000)),
    ("google", "gemini-2.5-pro", "gemini/gemini-2.5-pro", Usage(input_tokens=1000, output_tokens=500)),
    ("google", "gemini-2.5-pro", "gemini/gemini-2.5-pro", Usage(input_tokens=250_000, output_tokens=500)),
    ("mistral", "mistral-large-latest", "mistral/mistral-large-latest", Usage(input_tokens=1000, output_tokens=500)),
]  # fmt: skip

ORACLE = """
import json, sys
import litellm
out = []
for model, tokens in json.load(sys.stdin):
    prompt, completion = litellm.cost_per_token(
        model=model, prompt_tokens=tokens["input"], completion_tokens=tokens["output"],
        cache_read_input_tokens=tokens["cached"], cache_creation_input_tokens=tokens["written"])
    out.append(prompt + completion)
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def oracle() -> list[float]:
    """What litellm itself says for every case, in one process of its own."""
    questions = [
        (
            name,
            {
                "input": usage.input_tokens,
                "output": usage.output_tokens,
                "cached": usage.cached_input_tokens or 0,
                "written": usage.cache_write_tokens or 0,
            },
        )
        for _, _, name, usage in CASES
    ]
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_OFFLINE_MODE": "True", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ORACLE],
        input=json.dumps(questions).encode(), env=environment, capture_output=True, check=True,
    )  # fmt: skip
    answers: list[float] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.mark.parametrize("number", range(len(CASES)))
async def test_a_cost_is_what_litellm_says(number: int, oracle: list[float]) -> None:
    provider, model, _, usage = CASES[number]
    prices = PriceList()
    await prices.load()
    assert prices.cost(provider, model, usage) == pytest.approx(oracle[number], rel=1e-9)


async def test_what_nobody_knows_is_unknown_and_not_free() -> None:
    prices = PriceList()
    usage = Usage(input_tokens=1, output_tokens=1)
    assert prices.cost("openai", "gpt-4.1", usage) is None, "before the data is read"
    await prices.load()
    assert prices.cost("openai", "no-such-model", usage) is None
    assert prices.cost("custom::x", "gpt-4.1", usage) is None
    assert prices.cost("ollama", "llama3", usage) is None
    assert prices.cost("openai", "gpt-4.1", Usage(input_tokens=1)) is None


def test_reasoning_and_odd_figures() -> None:
    rates = {"input_cost_per_token": 1.0, "output_cost_per_token": 2.0, "output_cost_per_reasoning_token": 3.0}
    counts: Any = SimpleNamespace(
        input_tokens=10, output_tokens=5, reasoning_tokens=2, cached_input_tokens=99, cache_write_tokens=None
    )
    assert cost(rates, counts) == 10 + 3 * 2 + 2 * 3
    assert cost({"output_cost_per_token": 2.0}, counts) is None
