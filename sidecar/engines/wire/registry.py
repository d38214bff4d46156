"""Which decoder reads which dialect."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.engines.base import Decoder, Dialect
from sidecar.engines.wire.anthropic import AnthropicDecoder
from sidecar.engines.wire.cohere import CohereDecoder
from sidecar.engines.wire.google import GoogleDecoder
from sidecar.engines.wire.openai_chat import OpenAIChatDecoder
from sidecar.engines.wire.openai_responses import OpenAIResponsesDecoder

_DECODERS: dict[Dialect, Callable[[], Decoder]] = {
    "openai-chat": OpenAIChatDecoder,
    "openai-responses": OpenAIResponsesDecoder,
    "anthropic": AnthropicDecoder,
    "google": GoogleDecoder,
    "cohere": CohereDecoder,
}


def decoder_for(dialect: Dialect) -> Decoder:
    """A new decoder for one answer in ``dialect``. Raises ``KeyError`` for ``litellm``, which has none."""
    return _DECODERS[dialect]()
