"""Which decoder reads which dialect; a dialect that nobody speaks is not imported."""

from __future__ import annotations

from sidecar.engines.base import Decoder, Dialect


def decoder_for(dialect: Dialect) -> Decoder:
    """A new decoder for one answer in ``dialect``. Raises ``KeyError`` for ``litellm``, which has none."""
    match dialect:
        case "openai-chat":
            from sidecar.engines.wire.openai_chat import OpenAIChatDecoder

            return OpenAIChatDecoder()
        case "openai-responses":
            from sidecar.engines.wire.openai_responses import OpenAIResponsesDecoder

            return OpenAIResponsesDecoder()
        case "anthropic":
            from sidecar.engines.wire.anthropic import AnthropicDecoder

            return AnthropicDecoder()
        case "google":
            from sidecar.engines.wire.google import GoogleDecoder

            return GoogleDecoder()
        case "cohere":
            from sidecar.engines.wire.cohere import CohereDecoder

            return CohereDecoder()
        case "litellm":
            raise KeyError(dialect)
