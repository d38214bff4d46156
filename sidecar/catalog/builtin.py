"""Built-in providers and models, as data (app contract 15.1, 15.2).

Limits and temperatures are the app's own figures, shown in its picker; what may be *sent* to a model is in its
``ModelFacts``. Descriptions are ours. Order is the order of the lists.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from protocol.language_models import LanguageModel, LanguageModelProvider
from sidecar.catalog.facts import (
    OPENAI_REASONING,
    OPENAI_REASONING_TEXT,
    PLAIN_TEXT,
    PLAIN_VISION,
    THINKING_BUDGET,
    ModelFacts,
)


class BuiltinModel(msgspec.Struct, frozen=True):
    """A built-in model. Token counts are limits; ``max_output_tokens`` None means: do not send one."""

    provider_id: str
    api_name: str
    display_name: str
    max_output_tokens: int | None
    context_window: int
    temperature: int
    facts: ModelFacts
    description: str
    tag: str | None = None

    def as_result(self) -> LanguageModel:
        """As the lists show it; ``name`` repeats the API name, as in the app (app contract 2)."""
        return LanguageModel(
            name=self.api_name,
            api_name=self.api_name,
            display_name=self.display_name,
            description=self.description,
            max_output_tokens=UNSET if self.max_output_tokens is None else self.max_output_tokens,
            context_window=self.context_window,
            temperature=self.temperature,
            tag=UNSET if self.tag is None else self.tag,
            type="cloud",
        )


def _cloud(
    provider_id: str,
    name: str,
    env_var: str | UnsetType,
    prefix: str,
    *,
    free: bool | UnsetType,
    website: str,
) -> LanguageModelProvider:
    return LanguageModelProvider(
        id=provider_id,
        name=name,
        has_free_tier=free,
        website_url=website,
        gateway_prefix=prefix,
        env_var_name=env_var,
        type="cloud",
    )


CLOUD_PROVIDERS: Final = (
    _cloud("openai", "OpenAI", "OPENAI_API_KEY", "", free=False, website="https://platform.openai.com/api-keys"),
    _cloud(
        "anthropic",
        "Anthropic",
        "ANTHROPIC_API_KEY",
        "anthropic/",
        free=False,
        website="https://console.anthropic.com/settings/keys",
    ),
    _cloud(
        "google", "Google", "GEMINI_API_KEY", "gemini/", free=True, website="https://aistudio.google.com/app/apikey"
    ),
    _cloud(
        "openrouter",
        "OpenRouter",
        "OPENROUTER_API_KEY",
        "openrouter/",
        free=True,
        website="https://openrouter.ai/settings/keys",
    ),
    _cloud("auto", "Scalix", UNSET, "scalix/", free=UNSET, website="https://academy.scalix.world/settings"),
    _cloud("azure", "Azure OpenAI", "AZURE_API_KEY", "", free=False, website="https://portal.azure.com/"),
    _cloud("grok", "Grok", "GROK_API_KEY", "grok/", free=False, website="https://console.x.ai/"),
    _cloud("mistral", "Mistral AI", "MISTRAL_API_KEY", "mistral/", free=False, website="https://console.mistral.ai/"),
    _cloud("cohere", "Cohere", "COHERE_API_KEY", "cohere/", free=False, website="https://dashboard.cohere.ai/"),
    _cloud("together", "Together AI", "TOGETHER_API_KEY", "together/", free=False, website="https://api.together.xyz/"),
    _cloud(
        "perplexity", "Perplexity", "PERPLEXITY_API_KEY", "perplexity/", free=True, website="https://www.perplexity.ai/"
    ),
)

LOCAL_PROVIDERS: Final = (
    LanguageModelProvider(id="ollama", name="Ollama", has_free_tier=True, type="local"),
    LanguageModelProvider(id="lmstudio", name="LM Studio", has_free_tier=True, type="local"),
)

PROVIDERS: Final = (*CLOUD_PROVIDERS, *LOCAL_PROVIDERS)
"""Cloud, then local: the order of app contract 1."""

_BY_ID: Final = {provider.id: provider for provider in PROVIDERS}

# One model per line, as in the table they come from.
# fmt: off
# ruff: noqa: E501
_M = BuiltinModel
MODELS: Final = (
    _M("openai", "gpt-5", "GPT 5", None, 400000, 1, OPENAI_REASONING, "OpenAI's strongest model; thinks before it answers"),
    _M("openai", "gpt-5-mini", "GPT 5 Mini", None, 400000, 1, OPENAI_REASONING, "A quicker, cheaper GPT-5"),
    _M("openai", "gpt-5-nano", "GPT 5 Nano", None, 400000, 1, OPENAI_REASONING, "The smallest GPT-5, for simple edits"),
    _M("openai", "gpt-4.1", "GPT 4.1", 32768, 1047576, 0, PLAIN_VISION, "Long context, no thinking phase"),
    _M("openai", "gpt-4.1-mini", "GPT 4.1 Mini", 32768, 1047576, 0, PLAIN_VISION, "Long context at a lower price"),
    _M("openai", "o3-mini", "o3 mini", 32000, 200000, 0, OPENAI_REASONING_TEXT, "Small reasoning model, text only"),
    _M("openai", "o4-mini", "o4 mini", 32000, 200000, 0, OPENAI_REASONING, "Small reasoning model that also reads images"),
    _M("anthropic", "claude-sonnet-4-20250514", "Claude 4 Sonnet", 16000, 200000, 0, THINKING_BUDGET, "Anthropic's coding model of 2025, strong on large changes"),
    _M("anthropic", "claude-3-7-sonnet-latest", "Claude 3.7 Sonnet", 16000, 200000, 0, THINKING_BUDGET, "Careful coding with optional thinking"),
    _M("anthropic", "claude-3-5-sonnet-20241022", "Claude 3.5 Sonnet", 8000, 200000, 0, PLAIN_VISION, "Reliable all-round coder, short answers"),
    _M("anthropic", "claude-3-5-haiku-20241022", "Claude 3.5 Haiku", 8000, 200000, 0, PLAIN_VISION, "Fast and inexpensive"),
    _M("google", "gemini-2.5-pro", "Gemini 2.5 Pro", 65535, 1048576, 0, THINKING_BUDGET, "Google's strongest 2.5 model, with a window of a million tokens"),
    _M("google", "gemini-2.5-flash", "Gemini 2.5 Flash", 65535, 1048576, 0, THINKING_BUDGET, "Fast, with a free tier and a window of a million tokens"),
    _M("openrouter", "anthropic/claude-3.7-sonnet", "Claude 3.7 Sonnet (OpenRouter)", 32000, 200000, 0, THINKING_BUDGET, "Claude 3.7 Sonnet, billed by OpenRouter"),
    _M("openrouter", "anthropic/claude-3.5-sonnet", "Claude 3.5 Sonnet (OpenRouter)", 32000, 200000, 0, PLAIN_VISION, "Claude 3.5 Sonnet, billed by OpenRouter"),
    _M("openrouter", "openai/gpt-5", "GPT-5 (OpenRouter)", 32000, 400000, 0, OPENAI_REASONING, "GPT-5, billed by OpenRouter"),
    _M("openrouter", "openai/gpt-5-mini", "GPT-5 Mini (OpenRouter)", 32000, 400000, 0, OPENAI_REASONING, "GPT-5 Mini, billed by OpenRouter"),
    _M("openrouter", "google/gemini-2.5-pro", "Gemini 2.5 Pro (OpenRouter)", 32000, 1000000, 0, THINKING_BUDGET, "Gemini 2.5 Pro, billed by OpenRouter"),
    _M("openrouter", "google/gemini-2.5-flash", "Gemini 2.5 Flash (OpenRouter)", 32000, 1000000, 0, THINKING_BUDGET, "Gemini 2.5 Flash, billed by OpenRouter"),
    _M("openrouter", "qwen/qwen3-coder", "Qwen3 Coder", 32000, 262000, 0, PLAIN_TEXT, "Alibaba's open model for code"),
    _M("openrouter", "codestral/codestral-mamba", "Codestral Mamba", 32000, 256000, 0, PLAIN_TEXT, "Mistral's code model of the Mamba kind"),
    _M("openrouter", "deepseek/deepseek-r1-0528", "DeepSeek R1", 32000, 128000, 0, PLAIN_TEXT, "Open reasoning model"),
    _M("openrouter", "deepseek/deepseek-v3", "DeepSeek v3", 32000, 128000, 0, PLAIN_TEXT, "Open general model at a low price"),
    _M("openrouter", "moonshotai/kimi-k2", "Kimi K2", 32000, 131000, 0, PLAIN_TEXT, "Moonshot's open model, good with tools and code"),
    _M("openrouter", "deepseek/deepseek-chat-v3-0324:free", "DeepSeek v3 (free)", 32000, 128000, 0, PLAIN_TEXT, "DeepSeek v3 without charge; prompts may be used for training"),
    _M("openrouter", "microsoft/wizardlm-2-8x22b", "WizardLM 2 (free)", 32000, 128000, 0, PLAIN_TEXT, "Older open model"),
    _M("auto", "auto", "Auto", 32000, 1000000, 0, THINKING_BUDGET, "Lets Scalix choose the model for each task", "Default"),
    _M("azure", "gpt-5", "GPT-5", 128000, 400000, 0, OPENAI_REASONING, "GPT-5 in your own Azure resource"),
    _M("azure", "gpt-5-mini", "GPT-5 Mini", 128000, 400000, 0, OPENAI_REASONING, "GPT-5 Mini in your own Azure resource"),
    _M("azure", "gpt-5-nano", "GPT-5 Nano", 128000, 400000, 0, OPENAI_REASONING, "GPT-5 Nano in your own Azure resource"),
    _M("azure", "gpt-5-chat", "GPT-5 Chat", 16384, 128000, 0, PLAIN_VISION, "GPT-5 without the thinking phase, in your own Azure resource"),
    _M("grok", "grok-2-1212", "Grok 2", 32000, 128000, 0, PLAIN_TEXT, "xAI's Grok 2 of December 2024"),
    _M("grok", "grok-2-mini", "Grok 2 Mini", 16000, 128000, 0, PLAIN_TEXT, "A smaller Grok 2"),
    _M("grok", "grok-beta", "Grok Beta", 32000, 128000, 0, PLAIN_TEXT, "xAI's first public preview"),
    _M("grok", "grok-1", "Grok 1", 32000, 128000, 0, PLAIN_TEXT, "The first Grok"),
    _M("grok", "grok-2-fast", "Grok 2 Fast", 16000, 128000, 0, PLAIN_TEXT, "Grok 2 tuned for speed"),
    _M("mistral", "mistral-large-latest", "Mistral Large", 32000, 128000, 0, PLAIN_VISION, "Mistral's largest model"),
    _M("mistral", "mistral-medium", "Mistral Medium", 32000, 32000, 0, PLAIN_VISION, "Balance of price and quality"),
    _M("mistral", "codestral-mamba", "Codestral Mamba", 32000, 256000, 0, PLAIN_TEXT, "Code model with a long window"),
    _M("cohere", "command-r-plus", "Command R+", 32000, 128000, 0, PLAIN_TEXT, "Cohere's larger model for long documents"),
    _M("cohere", "command-r", "Command R", 32000, 128000, 0, PLAIN_TEXT, "Cohere's quicker model for long documents"),
    _M("together", "meta-llama/llama-3.3-70b-instruct-turbo", "Llama 3.3 70B", 32000, 128000, 0, PLAIN_TEXT, "Meta's open 70B model, served fast"),
    _M("together", "meta-llama/llama-3.1-8b-instruct-turbo", "Llama 3.1 8B", 32000, 128000, 0, PLAIN_TEXT, "Small open model for quick edits"),
    _M("perplexity", "llama-3.1-sonar-large-128k-online", "Sonar Large Online", 32000, 128000, 0, PLAIN_TEXT, "Answers with a live web search"),
    _M("perplexity", "llama-3.1-sonar-small-128k-online", "Sonar Small Online", 32000, 128000, 0, PLAIN_TEXT, "Quick answers with a live web search"),
)
# fmt: on

_BY_PROVIDER: Final[dict[str, tuple[BuiltinModel, ...]]] = {
    provider.id: tuple(model for model in MODELS if model.provider_id == provider.id) for provider in CLOUD_PROVIDERS
}
_BY_NAME: Final = {(model.provider_id, model.api_name): model for model in MODELS}


def builtin_provider(provider_id: str) -> LanguageModelProvider | None:
    """The built-in provider with this id."""
    return _BY_ID.get(provider_id)


def builtin_models(provider_id: str) -> tuple[BuiltinModel, ...]:
    """The built-in models of a provider; none for local and unknown ones."""
    return _BY_PROVIDER.get(provider_id, ())


def builtin_model(provider_id: str, api_name: str) -> BuiltinModel | None:
    """One built-in model."""
    return _BY_NAME.get((provider_id, api_name))
