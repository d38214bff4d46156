"""Nothing in the sidecar may block the event loop while these tests run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx

LOOP_SIDE = [
    f"sidecar.{name}"
    for name in ("account", "catalog", "chat", "engines", "handlers", "llm", "routing", "rpc", "settings", "store")
]
"""Everything that runs on the loop; the replay harness and the tests themselves may block."""


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[None]:
    """Raises ``BlockingError`` where sidecar code calls something that blocks, on the loop's thread."""
    with blockbuster_ctx(LOOP_SIDE):
        yield
