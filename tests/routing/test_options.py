"""The models a user could ask now."""

from __future__ import annotations

import pytest

from protocol.language_models import LocalModel
from sidecar.catalog.catalog import CustomRows
from sidecar.catalog.prices import PriceList
from sidecar.routing.catalog_view import CatalogSnapshot
from sidecar.routing.inputs import Environment, RoutingSettings
from sidecar.routing.options import usable_options
from sidecar.routing.recommend import ModelOption
from sidecar.secret import SecretText
from sidecar.store.language_models import CustomModel, CustomProvider

pytestmark = pytest.mark.anyio

CUSTOM = CustomRows(
    [CustomProvider("custom::lan", "LAN", "http://lan/v1", None), CustomProvider("custom::bad", "Bad", "", None)],
    [
        CustomModel(1, "custom::lan", "qwen", "Qwen", None, None, 32_000),
        CustomModel(2, "custom::bad", "x", "X", None, None, None),
        CustomModel(3, "openai", "gpt-4o", "My 4o", None, None, 128_000),
    ],
)


async def options(settings: RoutingSettings, environ: dict[str, str] | None = None) -> dict[str, ModelOption]:
    prices = PriceList()
    await prices.load()
    local = [LocalModel("ollama", "llama3:8b", "Llama 3")]
    catalog = CatalogSnapshot(CUSTOM)
    found = usable_options(settings, catalog, Environment(environ or {}), prices=prices, local=local,
                           down={("openai", "gpt-5")})  # fmt: skip
    return {f"{option.provider}/{option.name}": option for option in found}


async def test_only_what_resolves_to_an_endpoint_is_usable() -> None:
    found = await options(RoutingSettings(keys={"openai": SecretText("k" * 20)}, locked=frozenset({"google"})))
    assert {name.split("/")[0] for name in found} == {"openai", "custom::lan", "ollama"}
    assert found["openai/gpt-4.1"].usd_per_million == pytest.approx((2.0, 8.0))
    assert found["openai/gpt-4.1"].reads_images is True
    assert found["openai/gpt-5"].open_circuit
    assert found["openai/gpt-5"].reasons
    assert (found["openai/o3-mini"].reads_images, found["openai/o3-mini"].display_name) == (False, "o3 mini")
    assert (found["custom::lan/qwen"].context_window, found["custom::lan/qwen"].usd_per_million) == (32_000, None)
    assert (found["ollama/llama3:8b"].local, found["ollama/llama3:8b"].usd_per_million) == (True, None)
    assert found["openai/gpt-4o"].reads_images is True


async def test_keys_of_the_environment_and_a_proxy_count() -> None:
    by_key = await options(RoutingSettings(), {"ANTHROPIC_API_KEY": "k" * 20})
    assert "anthropic/claude-sonnet-4-20250514" in by_key
    assert "openai/gpt-5" not in by_key
    proxied = await options(RoutingSettings(), {"LITE_LLM_BASE_URL": "http://proxy", "LITE_LLM_MASTER_KEY": "k" * 20})
    assert {"openai/gpt-5", "google/gemini-2.5-flash"} <= proxied.keys()
    assert not any(name.startswith("auto/") for name in proxied)
