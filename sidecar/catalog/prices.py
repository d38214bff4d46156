"""What a call costs: litellm's local price data, read without importing litellm.

The file is parsed once, on a worker thread, when the first cost is wanted. A model that is not in it, a price that is
missing, negative or no number, and every local or custom model cost *unknown* (None), never 0.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread
import msgspec
import structlog

DATA_FILE: Final = "model_prices_and_context_window_backup.json"

_PREFIX: Final = {
    "google": "gemini/",
    "grok": "xai/",
    "together": "together_ai/",
    "azure": "azure/",
    "openrouter": "openrouter/",
    "mistral": "mistral/",
    "perplexity": "perplexity/",
}
"""Our provider ids as litellm names them; the others' models stand there by their bare name."""

_PRICED: Final = frozenset({*_PREFIX, "openai", "anthropic", "cohere"})
_TIERS: Final = ((272_000, "_above_272k_tokens"), (200_000, "_above_200k_tokens"), (128_000, "_above_128k_tokens"))
"""Prompts longer than this many tokens cost more, where a model has such prices; the highest tier first."""

log = structlog.get_logger("sidecar.catalog")

Rates = Mapping[str, float]


class TokenCounts(Protocol):
    """What a call used (``engines.base.Usage``)."""

    @property
    def input_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...
    @property
    def reasoning_tokens(self) -> int | None: ...
    @property
    def cached_input_tokens(self) -> int | None: ...
    @property
    def cache_write_tokens(self) -> int | None: ...


class PriceList:
    """Prices in USD per token by litellm's model names."""

    def __init__(self) -> None:
        self._rates: dict[str, dict[str, float]] | None = None
        self._lock = anyio.Lock()

    async def load(self) -> None:
        """Read the data; without it every cost is unknown. Never raises."""
        async with self._lock:
            if self._rates is None:
                self._rates = await anyio.to_thread.run_sync(_read)

    def cost(self, provider: str, model: str, tokens: TokenCounts) -> float | None:
        """USD of one call to a vendor's model; None when unknown, also before ``load``."""
        if self._rates is None or provider not in _PRICED:
            return None
        rates = self._rates.get(f"{_PREFIX.get(provider, '')}{model}") or self._rates.get(model)
        return None if rates is None else cost(rates, tokens)


def cost(rates: Rates, tokens: TokenCounts) -> float | None:
    """Prompt, cached prompt, cache writes, answer and reasoning, each at its own price.

    ``input_tokens`` includes cached and written ones, ``output_tokens`` includes reasoning (``engines.base.Usage``).
    """
    if tokens.input_tokens is None or tokens.output_tokens is None:
        return None
    tier = next(
        (
            suffix
            for limit, suffix in _TIERS
            if tokens.input_tokens > limit and f"input_cost_per_token{suffix}" in rates
        ),
        "",
    )

    def rate(name: str) -> float | None:
        return rates.get(f"{name}{tier}", rates.get(name))

    per_input, per_output = rate("input_cost_per_token"), rate("output_cost_per_token")
    if per_input is None or per_output is None:
        return None
    cached = min(tokens.cached_input_tokens or 0, tokens.input_tokens)
    written = min(tokens.cache_write_tokens or 0, tokens.input_tokens - cached)
    reasoning = min(tokens.reasoning_tokens or 0, tokens.output_tokens)
    per_cached, per_written = rate("cache_read_input_token_cost"), rate("cache_creation_input_token_cost")
    per_reasoning = rate("output_cost_per_reasoning_token")
    return (
        (tokens.input_tokens - cached - written) * per_input
        + cached * (per_input if per_cached is None else per_cached)
        + written * (per_input if per_written is None else per_written)
        + (tokens.output_tokens - reasoning) * per_output
        + reasoning * (per_output if per_reasoning is None else per_reasoning)
    )


def data_path() -> Path | None:
    """Where litellm's data lies, in the environment or in a frozen bundle; None without litellm."""
    if bundle := getattr(sys, "_MEIPASS", None):
        return Path(bundle) / "litellm" / DATA_FILE
    spec = importlib.util.find_spec("litellm")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    return Path(places[0]) / DATA_FILE if places else None


_SUFFIXES: Final = ("", *(suffix for _, suffix in _TIERS))
_RATES: Final = tuple(
    f"{name}{suffix}"
    for name in (
        "input_cost_per_token",
        "output_cost_per_token",
        "cache_read_input_token_cost",
        "cache_creation_input_token_cost",
        "output_cost_per_reasoning_token",
    )
    for suffix in _SUFFIXES
)
_Entry: Final = msgspec.defstruct("_Entry", [(name, Any, None) for name in _RATES])
"""Only these members are kept while parsing: the file is 2 MB, what costs need of it a fraction."""


def _read() -> dict[str, dict[str, float]]:
    path = data_path()
    try:
        entries = {} if path is None else msgspec.json.decode(path.read_bytes(), type=dict[str, _Entry])  # type: ignore[valid-type]
    except (OSError, msgspec.DecodeError) as error:
        log.warning("no price data: costs are unknown", reason=str(error))
        return {}
    return {sys.intern(name): rates for name, entry in entries.items() if (rates := _rates(entry))}


def _rates(entry: Any) -> dict[str, float]:
    """The usable prices of one model: numbers that are not negative."""
    named = ((name, getattr(entry, name)) for name in _RATES)
    return {
        name: float(value)
        for name, value in named
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    }
