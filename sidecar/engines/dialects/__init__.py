"""Requests in each vendor's dialect: pure functions from ``ModelCall`` to one HTTP request.

The counterpart of ``engines.wire``, which reads the answers. litellm knows these shapes too and is the oracle of a
differential test; building them here spares every first chat its import, which takes seconds and 150 MB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sidecar.engines.base import Dialect, ModelCall
from sidecar.engines.dialects import anthropic, cohere, google, openai_responses
from sidecar.engines.exchange import PreparedRequest

PREPARE: Final[dict[Dialect, Callable[[ModelCall], PreparedRequest]]] = {
    "anthropic": anthropic.prepare,
    "google": google.prepare,
    "openai-responses": openai_responses.prepare,
    "cohere": cohere.prepare,
}
"""Dialect -> how to ask in it; chat completions have an engine of their own."""
