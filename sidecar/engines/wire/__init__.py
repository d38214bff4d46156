"""Vendors' streams: bytes in, events out. Pure, no I/O.

``sse`` frames, ``decoder`` finds the JSON values in a body and rules on its end, one module per dialect reads the
values, ``registry.decoder_for`` picks it.

What the vendor said wins; where the bytes leave a question open, the AI SDK answers it, in usage too: input includes
cached tokens, output includes reasoning, the total is both. ``tests/engines/wire/test_differences.py`` is the table of
the differences on purpose, each with its stream and its reason.
"""

from __future__ import annotations

from sidecar.engines.wire.decoder import StreamCut
from sidecar.engines.wire.registry import decoder_for

__all__ = ["StreamCut", "decoder_for"]
