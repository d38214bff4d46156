"""Vendors' streams: bytes in, events out. Pure, no I/O.

``sse`` frames, ``decoder`` finds the JSON values in a body and rules on its end, one module per dialect reads the
values, ``registry.decoder_for`` picks it. Differences from the AI SDK's reading of the same bytes, on purpose:

================================  ==============================================  ==================================
wire                              AI SDK 6                                        here
================================  ==============================================  ==================================
xAI chat usage                    output without the reasoning the total counts   with it (its later versions agree)
Anthropic ``mcp_tool_use``        input of the block's start, ``{}``              input of the deltas
Cohere ``cached_tokens``          left out                                        reported
server tools                      renamed (``bash_code_execution`` ...)           the vendor's own name
Responses ``custom_tool_call``    dropped (OpenAI)                                a provider-executed call
Responses text without deltas     dropped (OpenAI)                                the text of the ``done`` event
refusal deltas (both OpenAI)      dropped                                         text
Gemini prompt blocked             ``other``                                       ``content-filter``
no finish marker                  ``other``, no error                             ``StreamCut``
total tokens                      input + output                                  the vendor's own total, if any
================================  ==============================================  ==================================
"""

from __future__ import annotations

from sidecar.engines.wire.decoder import StreamCut
from sidecar.engines.wire.registry import decoder_for

__all__ = ["StreamCut", "decoder_for"]
