"""Costs by litellm's price data, read without importing litellm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalog.prices import PriceList, cost, data_path
from sidecar.engines.base import Usage
from sidecar.routing.resolve import AUTO_ORDER

pytestmark = pytest.mark.anyio

LITELLM = {
    "openai": ("", "openai"),
    "anthropic": ("", "anthropic"),
    "google": ("gemini/", "gemini"),
    "azure": ("azure/", "azure"),
    "grok": ("xai/", "xai"),
    "mistral": ("mistral/", "mistral"),
    "cohere": ("", "cohere_chat"),
    "together": ("together_ai/", "together_ai"),
}
USES = (
    Usage(input_tokens=1000, output_tokens=500),
    Usage(input_tokens=5000, output_tokens=700, cached_input_tokens=2000, cache_write_tokens=1000),
    Usage(input_tokens=3000, output_tokens=900, reasoning_tokens=400),
    Usage(input_tokens=200_000, output_tokens=10, cached_input_tokens=150_000),
    Usage(input_tokens=300_000, output_tokens=2000, cached_input_tokens=100_000, reasoning_tokens=500),
)

ORACLE = """
import json, sys
import litellm
from litellm.types.utils import CompletionTokensDetailsWrapper, PromptTokensDetailsWrapper, Usage
out = []
for model, vendor, tokens in json.load(sys.stdin):
    usage = Usage(
        prompt_tokens=tokens["input"], completion_tokens=tokens["output"],
        total_tokens=tokens["input"] + tokens["output"],
        prompt_tokens_details=PromptTokensDetailsWrapper(
            cached_tokens=tokens["cached"], cache_creation_tokens=tokens["written"]),
        completion_tokens_details=CompletionTokensDetailsWrapper(reasoning_tokens=tokens["reasoning"]),
        cache_read_input_tokens=tokens["cached"], cache_creation_input_tokens=tokens["written"])
    prompt, completion = litellm.cost_per_token(
        model=model, custom_llm_provider=vendor, usage_object=usage,
        prompt_tokens=tokens["input"], completion_tokens=tokens["output"],
        cache_read_input_tokens=tokens["cached"], cache_creation_input_tokens=tokens["written"])
    out.append(prompt + completion)
print(json.dumps(out))
"""


def sample() -> list[tuple[str, str]]:
    """Up to five models per provider out of the data itself, those with the most prices first."""
    path = data_path()
    assert path is not None
    entries = {k: v for k, v in msgspec.json.decode(path.read_bytes()).items() if isinstance(v, dict)}
    chosen = []
    for provider, (prefix, vendor) in LITELLM.items():
        names = [
            (-sum("token" in key and "cost" in key for key in entry), name.removeprefix(prefix))
            for name, entry in entries.items()
            if entry.get("litellm_provider") == vendor
            and entry.get("mode") == "chat"
            and name.startswith(prefix)
            and name.count("/") == prefix.count("/")
            and "input_cost_per_token" in entry
            and "audio" not in name
            and "search" not in name
        ]
        chosen += [(provider, name) for _, name in sorted(names)[:5]]
    return chosen


@pytest.fixture(scope="module")
def oracle() -> dict[tuple[str, str], list[float]]:
    """What litellm itself says for every model and use, in one process of its own."""
    models = sample()
    questions = [
        (
            f"{LITELLM[provider][0]}{name}",
            LITELLM[provider][1],
            {
                "input": usage.input_tokens,
                "output": usage.output_tokens,
                "cached": usage.cached_input_tokens or 0,
                "written": usage.cache_write_tokens or 0,
                "reasoning": usage.reasoning_tokens or 0,
            },
        )
        for provider, name in models
        for usage in USES
    ]
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_OFFLINE_MODE": "True", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ORACLE],
        input=json.dumps(questions).encode(), env=environment, capture_output=True, check=True,
    )  # fmt: skip
    answers: list[float] = json.loads(done.stdout.splitlines()[-1])
    return {model: answers[index * len(USES) :][: len(USES)] for index, model in enumerate(models)}


async def test_a_cost_is_what_litellm_says(oracle: dict[tuple[str, str], list[float]]) -> None:
    prices = PriceList()
    await prices.load()
    assert len(oracle) >= 30
    own = {model: [prices.cost(*model, usage) for usage in USES] for model in oracle}
    assert own == {model: [pytest.approx(each, rel=1e-9) for each in costs] for model, costs in oracle.items()}


async def test_what_nobody_knows_is_unknown_and_not_free() -> None:
    prices = PriceList()
    usage = Usage(input_tokens=1, output_tokens=1)
    assert prices.cost("openai", "gpt-4.1", usage) is None, "before the data is read"
    await prices.load()
    assert prices.cost("openai", "gpt-4.1", usage) == pytest.approx(2e-6 + 8e-6)
    assert prices.version is not None
    assert prices.version.startswith("litellm ")
    assert prices.cost("openai", "no-such-model", usage) is None
    assert prices.cost("custom::x", "gpt-4.1", usage) is None
    assert prices.cost("ollama", "llama3", usage) is None
    assert prices.cost("openrouter", "deepseek/deepseek-v3", usage) is None, (
        "another vendor's price is not OpenRouter's"
    )
    assert prices.cost("openai", "gpt-4.1", Usage(input_tokens=1)) is None


async def test_a_model_is_found_under_the_gateways_name_and_in_any_case() -> None:
    prices = PriceList()
    await prices.load()
    usage = Usage(input_tokens=1000, output_tokens=1000)
    direct = prices.cost("google", "gemini-2.5-flash", usage)
    assert direct is not None
    assert prices.cost("google", "gemini/gemini-2.5-flash", usage) == direct
    assert prices.cost("together", "meta-llama/llama-3.3-70b-instruct-turbo", usage) is not None


async def test_what_a_vendors_own_list_has_dropped_is_found_at_its_price_elsewhere() -> None:
    prices = PriceList()
    await prices.load()
    usage = Usage(input_tokens=100_000, output_tokens=100_000)
    expected = {
        ("anthropic", "claude-sonnet-4-20250514"): 1.8,
        ("anthropic", "claude-3-7-sonnet-latest"): 1.8,
        ("anthropic", "claude-3-5-sonnet-20241022"): 1.8,
        ("anthropic", "claude-3-5-haiku-20241022"): 0.48,
        ("openrouter", "anthropic/claude-3.7-sonnet"): 1.8,
        ("openrouter", "openai/gpt-5-mini"): prices.cost("openai", "gpt-5-mini", usage),
        ("openrouter", "google/gemini-2.5-flash"): prices.cost("google", "gemini-2.5-flash", usage),
    }
    found = {model: prices.cost(*model, usage) for model in expected}
    assert found == {model: pytest.approx(each) for model, each in expected.items()}


async def test_every_model_that_auto_asks_first_has_a_price() -> None:
    prices = PriceList()
    await prices.load()
    usage = Usage(input_tokens=1000, output_tokens=1000)
    assert all(prices.cost(each.provider, each.name, usage) for each in AUTO_ORDER)


async def test_facts_of_models_that_the_catalogue_does_not_list() -> None:
    prices = PriceList()
    await prices.load()
    data = prices.model("openai", "gpt-4o")
    assert data is not None
    assert (data.context_window, data.max_output_tokens, data.supports_vision) == (128_000, 16_384, True)
    assert prices.model("ollama", "gpt-4o") is None


async def test_odd_prices_are_named_and_not_used(tmp_path: Path) -> None:
    entry = {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    data = {
        "negative": {**entry, "input_cost_per_token": -1},
        "text": {**entry, "output_cost_per_token": "0.1", "max_input_tokens": "many"},
        "half": {**entry, "cache_read_input_token_cost": True},
        "no-entry": ["?"],
        "free": {**entry, "input_cost_per_token": 0, "output_cost_per_token": 0},
    }
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(data))
    prices = PriceList(path)
    await prices.load()
    usage = Usage(input_tokens=10, output_tokens=10, cached_input_tokens=10)
    found = {name: prices.cost("openai", name, usage) for name in data}
    assert found == {"negative": None, "text": None, "half": pytest.approx(3e-5), "no-entry": None, "free": 0.0}
    assert [model.odd for name in ("negative", "text", "half") if (model := prices.model("openai", name))] == [
        ("input_cost_per_token",),
        ("output_cost_per_token",),
        ("cache_read_input_token_cost",),
    ]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff"])
async def test_without_data_everything_is_unknown(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "prices.json"
    if content is not None:
        path.write_bytes(content)
    prices = PriceList(path)
    await prices.load()
    assert prices.cost("openai", "gpt-4.1", Usage(input_tokens=1, output_tokens=1)) is None
    assert prices.version is None


async def test_of_a_model_that_is_there_twice_the_second_counts(tmp_path: Path) -> None:
    entry = '{{"litellm_provider": "openai", "input_cost_per_token": {0}, "output_cost_per_token": {0}}}'.format
    path = tmp_path / "prices.json"
    path.write_text(f'{{"one": {entry(1)}, "two": {entry(2)}, "one": {entry(3)}, "Three": {entry(1)}}}')
    prices = PriceList(path)
    await prices.load()
    usage = Usage(input_tokens=1, output_tokens=0)
    assert [prices.cost("openai", name, usage) for name in ("one", "two", "three")] == [3, 2, 1]


async def test_a_model_whose_data_is_no_text_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(b'{"gpt-4.1": {"litellm_provider": "openai", "source": "\xff", "input_cost_per_token": 1}}')
    prices = PriceList(path)
    await prices.load()
    assert prices.model("openai", "gpt-4.1") is None


def test_reasoning_has_its_own_price() -> None:
    rates = {"input_cost_per_token": 1.0, "output_cost_per_token": 2.0, "output_cost_per_reasoning_token": 3.0}
    counts: Any = SimpleNamespace(
        input_tokens=10, output_tokens=5, reasoning_tokens=2, cached_input_tokens=99, cache_write_tokens=None
    )
    assert cost(rates, counts) == 10 + 3 * 2 + 2 * 3
    assert cost({"output_cost_per_token": 2.0}, counts) is None


counts = st.none() | st.integers(-5, 10**7)


@given(st.builds(Usage, counts, counts, counts, counts, counts))
def test_whatever_a_vendor_reports_a_cost_lies_between_all_cheap_and_all_dear(usage: Usage) -> None:
    rates = {
        "input_cost_per_token": 3.0,
        "cache_read_input_token_cost": 1.0,
        "cache_creation_input_token_cost": 4.0,
        "output_cost_per_token": 5.0,
        "output_cost_per_reasoning_token": 6.0,
    }
    found = cost(rates, usage)
    if usage.input_tokens is None or usage.output_tokens is None:
        assert found is None
        return
    prompt, answer = max(0, usage.input_tokens), max(0, usage.output_tokens)
    assert found is not None
    assert prompt + 5 * answer <= found <= 4 * prompt + 6 * answer


def test_litellm_is_not_imported_for_it() -> None:
    code = (
        "import anyio, sys; from sidecar.catalog.prices import PriceList; p = PriceList(); anyio.run(p.load);"
        "assert p.version; print(any(m == 'litellm' or m.startswith('litellm.') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "False"
