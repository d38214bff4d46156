"""Channels whose code is imported by their first call."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from sidecar.handlers.later import LaterHandlers

pytestmark = pytest.mark.anyio


async def test_a_call_does_not_overtake_those_that_waited_for_the_code() -> None:
    """A cancel that arrives in the moment in which they go on must find the call it is meant for."""
    order: list[int] = []

    async def call(params: dict[str, Any]) -> None:
        order.append(params["number"])
        if params["number"] == 0:
            tasks.start_soon(later, {"number": 9})

    later = LaterHandlers(("call",), lambda: {"call": call}, ("json",)).methods()["call"]
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(later, {"number": number})
    assert order == list(range(10))
