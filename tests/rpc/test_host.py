"""Questions to the host that get no answer: nobody waits for ever, and the host hears that nobody does."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest

from protocol.envelope import ErrorObject, Failure, Result
from sidecar.rpc.host import HostLink, HostRefused
from sidecar.rpc.outbox import Outbox

pytestmark = pytest.mark.anyio


class Sent:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def message(self, message: Any) -> None:
        self.messages.append(message)


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def link(sent: Sent) -> HostLink:
    return HostLink(cast(Outbox, sent))


async def test_a_host_that_says_nothing_is_given_up_and_told(
    link: HostLink, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.rpc.host.DEFAULT_TIMEOUT_S", 0.01)
    with pytest.raises(HostRefused, match=r"^The app did not answer host:x in time\.$") as caught:
        await link.request("host:x", {})
    assert caught.value.retryable
    asked, cancelled = sent.messages
    assert (cancelled.method, cancelled.params) == ("$/cancelRequest", {"id": asked.id})
    link.answered(Result(id=asked.id, result=1))  # too late, and of no consequence
    assert link.asked(asked.id)


async def test_an_error_without_words_says_at_least_what_was_asked(link: HostLink, sent: Sent) -> None:
    async with anyio.create_task_group() as tasks:

        async def ask() -> None:
            with pytest.raises(HostRefused, match=r"^The app could not answer host:x\.$"):
                await link.request("host:x", {})

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        link.answered(Failure(id=sent.messages[0].id, error=ErrorObject(code=-32000, message="", data={})))
    assert len(sent.messages) == 1, "an answer needs no cancelling"


async def test_a_host_that_is_gone_is_asked_nothing_more(link: HostLink, sent: Sent) -> None:
    link.close()
    with pytest.raises(HostRefused, match="closing"):
        await link.request("host:x", {})
    assert sent.messages == []
