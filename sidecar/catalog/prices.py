"""What a call costs and what a model can do: litellm's local data, read without importing litellm.

The file is read once, on a worker thread, when it is first wanted. Kept is where in it the chat models of the app's
providers are; a model is read and parsed when it is first asked for, because the whole list takes 8 MB when it is
parsed, their texts are 0.8 MB, and a user asks few models. A model that is not in it, a price that is missing, negative
or no number, and every local or custom model cost *unknown* (None), never 0.

The rules are litellm's own (held by a differential test): a longer prompt than a model's threshold makes the whole
call dearer, each price by itself; a cached or written prompt without a price of its own is an ordinary prompt.
"""

from __future__ import annotations

import importlib.util
import math
import mmap
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread
import msgspec
import structlog

from sidecar.catalog.builtin import builtin_provider

DATA_FILE: Final = "model_prices_and_context_window_backup.json"

_VENDORS: Final = {
    "openai": ("", ("openai",)),
    "anthropic": ("", ("anthropic",)),
    "google": ("gemini/", ("gemini",)),
    "openrouter": ("openrouter/", ("openrouter",)),
    "azure": ("azure/", ("azure",)),
    "grok": ("xai/", ("xai",)),
    "mistral": ("mistral/", ("mistral",)),
    "cohere": ("", ("cohere", "cohere_chat")),
    "together": ("together_ai/", ("together_ai",)),
    "perplexity": ("perplexity/", ("perplexity",)),
}
"""Our provider ids: the prefix of litellm's model names, and litellm's provider ids."""

_KEPT_VENDORS: Final = frozenset(vendor for _, vendors in _VENDORS.values() for vendor in vendors)
_KEPT_MODES: Final = frozenset({"chat", "completion", "responses"})
_INCLUSIVE: Final = frozenset({"grok"})
"""xAI's higher price begins at the threshold, the others' above it."""

_AT_LIST_PRICE: Final = {"openai": "", "google": "gemini/", "anthropic": "vercel_ai_gateway/anthropic/"}
"""Vendors whose models cost the same at OpenRouter: their prefix in litellm's names."""

_ALSO_KEPT: Final = ("anthropic.claude", "vercel_ai_gateway/anthropic/")
"""Names of other sellers that are read for what a vendor's own list has dropped."""

_PRICE: Final = re.compile(
    r"(?P<kind>input_cost_per_token|output_cost_per_token|cache_read_input_token_cost|cache_creation_input_token_cost"
    r"|output_cost_per_reasoning_token)(?:_above_(?P<tokens>\d+)(?P<thousands>k?)_tokens)?"
)

log = structlog.get_logger("sidecar.catalog")

Rates = Mapping[str, float]
"""USD per token by litellm's field name, without threshold."""


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


class ModelData(msgspec.Struct, frozen=True, kw_only=True):
    """What the data says about a model; None is unknown. Limits in tokens."""

    rates: dict[str, float]
    tiers: tuple[tuple[int, dict[str, float]], ...] = ()
    """(prompt tokens, prices from there on), the lowest first."""
    context_window: int | None = None
    max_output_tokens: int | None = None
    supports_vision: bool | None = None
    supports_reasoning: bool | None = None
    odd: tuple[str, ...] = ()
    """Prices that are negative or no number; they are not used."""


class PriceList:
    """Prices and facts by our provider ids and the models' own names."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._data: _Data | None = None
        self._models: dict[str, ModelData] = {}
        self._lock = anyio.Lock()
        self.version: str | None = None
        """Which data costs were made with; None before ``load`` and without any."""

    @property
    def is_loaded(self) -> bool:
        """Whether ``load`` is done."""
        return self._data is not None

    async def load(self) -> None:
        """Read the data; without it everything is unknown. Never raises."""
        if self._data is not None:
            return
        async with self._lock:
            if self._data is None:
                self._data, self.version = await anyio.to_thread.run_sync(_read, self._path)

    def cost(self, provider: str, model: str, tokens: TokenCounts) -> float | None:
        """USD of one call to a vendor's model; None when unknown, also before ``load``."""
        data = self.model(provider, model)
        if data is None or tokens.input_tokens is None:
            return None
        return cost(rates_for(data, tokens.input_tokens, inclusive=provider in _INCLUSIVE), tokens)

    def model(self, provider: str, name: str) -> ModelData | None:
        """What is known about a model, also one that our catalogue does not list."""
        if self._data is None or provider not in _VENDORS:
            return None
        return next((data for each in _names(provider, name) if (data := self._parsed(each)) is not None), None)

    def _parsed(self, name: str) -> ModelData | None:
        if name not in self._models and self._data is not None and (place := self._data.places.get(name)) is not None:
            try:
                self._models[name] = _model(msgspec.json.decode(self._data.content[place]))
            except ValueError:  # no UTF-8 in it
                return None
        return self._models.get(name)


def rates_for(data: ModelData, input_tokens: int, *, inclusive: bool = False) -> Rates:
    """A model's prices for a prompt of that length."""
    rates: Rates = data.rates
    for threshold, tier in data.tiers:
        if input_tokens > threshold or (inclusive and input_tokens == threshold):
            rates = {**rates, **tier}
    return rates


def cost(rates: Rates, tokens: TokenCounts) -> float | None:
    """Prompt, cached prompt, cache writes, answer and reasoning, each at its own price.

    ``input_tokens`` includes cached and written ones, ``output_tokens`` includes reasoning (``engines.base.Usage``).
    """
    if tokens.input_tokens is None or tokens.output_tokens is None:
        return None
    per_input, per_output = rates.get("input_cost_per_token"), rates.get("output_cost_per_token")
    if per_input is None or per_output is None:
        return None
    input_tokens, output_tokens = max(0, tokens.input_tokens), max(0, tokens.output_tokens)
    cached = min(max(0, tokens.cached_input_tokens or 0), input_tokens)
    written = min(max(0, tokens.cache_write_tokens or 0), input_tokens - cached)
    reasoning = min(max(0, tokens.reasoning_tokens or 0), output_tokens)
    return (
        (input_tokens - cached - written) * per_input
        + cached * rates.get("cache_read_input_token_cost", per_input)
        + written * rates.get("cache_creation_input_token_cost", per_input)
        + (output_tokens - reasoning) * per_output
        + reasoning * rates.get("output_cost_per_reasoning_token", per_output)
    )


def data_path() -> Path | None:
    """Where litellm's data lies, in the environment or in a frozen bundle; None without litellm.

    Asked for the package, not for a path: that is what makes the one-file binary unpack the package's data.
    """
    spec = importlib.util.find_spec("litellm")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    return Path(places[0]) / DATA_FILE if places else None


def _names(provider: str, name: str) -> Iterator[str]:
    """How litellm may call a model: by its name, without a gateway's prefix, in small letters, and elsewhere."""
    prefix = _VENDORS[provider][0]
    known = builtin_provider(provider)
    gateway = known.gateway_prefix if known is not None else ""
    bare = name.removeprefix(gateway) if isinstance(gateway, str) else name
    for each in dict.fromkeys((name, bare.removeprefix(prefix))):
        yield f"{prefix}{each}"
        yield f"{prefix}{each}".lower()
    yield from _elsewhere(provider, bare)


def _elsewhere(provider: str, name: str) -> Iterator[str]:
    """Where else the data has the same model at its vendor's own price.

    A vendor's list drops what the vendor has retired, the app's Claude models among it, while they are still asked.
    Bedrock sells Anthropic's models at Anthropic's prices, and so does Vercel's gateway; OpenRouter adds nothing to the
    prices of OpenAI, Google and Anthropic. Open models cost something else at every host: they stay unknown.
    """
    if provider == "anthropic":
        yield from (f"anthropic.{name}-v1:0", f"anthropic.{name}-v2:0")
        yield f"vercel_ai_gateway/anthropic/{name.removesuffix('-latest')}"
    elif provider == "openrouter":
        vendor, _, model = name.partition("/")
        if vendor in _AT_LIST_PRICE:
            yield f"{_AT_LIST_PRICE[vendor]}{model}"


# --- reading -------------------------------------------------------------------------------------------------------


class _Data(msgspec.Struct, frozen=True):
    """The data file, and where in it each model's JSON is."""

    content: mmap.mmap | bytes = b""
    places: Mapping[str, slice] = {}


class _Kind(msgspec.Struct):
    """What tells whether a model is wanted."""

    litellm_provider: str | None = None
    mode: str | None = "chat"


_ENTRIES: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KIND: Final = msgspec.json.Decoder(_Kind)


def _read(path: Path | None) -> tuple[_Data, str | None]:
    try:
        path = path or data_path()
        content = _mapped(path) if path is not None else b""
        entries = _ENTRIES.decode(content)
    except (OSError, ImportError, ValueError) as error:
        log.warning("no price data: costs are unknown", reason=str(error))
        return _Data(), None
    places: dict[str, slice] = {}
    begin = len(content)
    while entries:  # emptied on the way, so that what is kept takes the place of what is not
        name, entry = entries.popitem()
        if _is_wanted(name, entry):
            text = bytes(entry)
            if (begin := content.rfind(text, 0, begin)) < 0:  # out of order: a name that is there twice
                begin = content.find(text)
            copied = name.encode().decode()  # the name itself would hold the memory around it
            places[copied] = slice(begin, begin + len(text))
    for name in reversed([*places]):
        places.setdefault(name.lower(), places[name])
    version = _version(path, content) if path is not None and places else None
    _let_go(content)
    return _Data(content, places), version


def _mapped(path: Path) -> mmap.mmap:
    """A file's content, as memory that the system may take back. Raises ``OSError``, and ``ValueError`` for an empty
    file."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _let_go(content: mmap.mmap | bytes) -> None:
    """Of what was read, nothing stays in memory; what is asked for again comes from the system's cache."""
    if isinstance(content, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # elsewhere: when the system wants it
        content.madvise(mmap.MADV_DONTNEED)


def _is_wanted(name: str, entry: msgspec.Raw) -> bool:
    try:
        kind = _KIND.decode(entry)
    except msgspec.ValidationError:
        return False
    return (kind.litellm_provider in _KEPT_VENDORS or name.startswith(_ALSO_KEPT)) and kind.mode in _KEPT_MODES


def _model(entry: Mapping[str, Any]) -> ModelData:
    rates: dict[str, float] = {}
    tiers: dict[int, dict[str, float]] = {}
    odd: list[str] = []
    for key, value in entry.items():
        if (match := _PRICE.fullmatch(key)) is None or value is None:
            continue
        if not _is_price(value):
            odd.append(key)
            continue
        if match["tokens"] is None:
            rates[match["kind"]] = float(value)
        else:
            threshold = int(match["tokens"]) * (1000 if match["thousands"] else 1)
            tiers.setdefault(threshold, {})[match["kind"]] = float(value)
    return ModelData(
        rates=rates,
        tiers=tuple(sorted(tiers.items())),
        context_window=_limit(entry.get("max_input_tokens")),
        max_output_tokens=_limit(entry.get("max_output_tokens")),
        supports_vision=_flag(entry.get("supports_vision")),
        supports_reasoning=_flag(entry.get("supports_reasoning")),
        odd=tuple(odd),
    )


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _limit(value: Any) -> int | None:
    return int(value) if _is_price(value) and value >= 1 else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _version(path: Path, content: mmap.mmap | bytes) -> str:
    """litellm's version, by the name of the folder that describes the package (``importlib.metadata`` would be one more
    megabyte); where there is none, a fingerprint of the data."""
    described = next(path.parent.parent.glob("litellm-*.dist-info"), None)
    if described is not None:
        return f"litellm {described.name.removeprefix('litellm-').removesuffix('.dist-info')}"
    import hashlib

    return f"data {hashlib.sha256(content).hexdigest()[:12]}"
