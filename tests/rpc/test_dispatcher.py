"""Requests in, answers out: ids, cancel, the life-cycle gate, the error boundary (protocol pages 1 to 3, 8)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest

from sidecar.errors import Conflict, InvalidParams
from sidecar.lifecycle import serve
from sidecar.rpc.dispatcher import MAX_IN_FLIGHT, Dispatcher
from sidecar.rpc.host import HostLink
from sidecar.rpc.outbox import Outbox
from sidecar.rpc.router import Router
from sidecar.transport.framing import LineFramer
from sidecar.transport.memory import MemoryTransport

pytestmark = pytest.mark.anyio


class Service:
    """A sidecar with a few methods whose behaviour is plain to see."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.outbox = Outbox(transport)
        self.host = HostLink(self.outbox)
        router = Router()
        methods = (self.echo, self.wait, self.save, self.conflict, self.bug, self.ask)
        router.add({method.__name__: method for method in methods}, {"echo": "value"})
        self.dispatcher = Dispatcher(
            self.outbox,
            self.host,
            router,
            initialize=self.initialize,
            shutdown=self.shutdown,
            on_answered_initialize=lambda: None,
        )
        self.let_go = anyio.Event()
        self.streams_ended = anyio.Event()
        self.streams_ended.set()
        self.initialize_gate = anyio.Event()
        self.initialize_gate.set()
        self.cancelled = 0
        self.closed = False

    async def initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        await self.initialize_gate.wait()
        if params.get("bad"):
            raise InvalidParams("bad", path="bad")
        return {"ok": True}

    async def shutdown(self) -> None:
        await self.streams_ended.wait()

    async def echo(self, params: dict[str, Any]) -> Any:
        return params

    async def wait(self, params: dict[str, Any]) -> str:
        try:
            await self.let_go.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        return "done"

    async def save(self, params: dict[str, Any]) -> str:
        """Its last word takes its time, as that of a stream does."""
        with anyio.CancelScope(shield=True):
            await self.let_go.wait()
        return "saved"

    async def conflict(self, params: dict[str, Any]) -> None:
        raise Conflict("busy", extra={"chatId": 7})

    async def bug(self, params: dict[str, Any]) -> None:
        raise ZeroDivisionError("sk-very-secret")

    async def ask(self, params: dict[str, Any]) -> Any:
        return await self.host.request("host:system-prompt", {"x": 1})

    def take_tasks(self, tasks: anyio.abc.TaskGroup) -> None:
        """It has no work of its own."""

    def hurry(self) -> None:
        return

    async def aclose(self) -> None:
        self.closed = True


class Wire:
    """The host's end."""

    def __init__(self, transport: MemoryTransport, service: Service) -> None:
        self._transport = transport
        self._framer = LineFramer()
        self._lines: list[bytes] = []
        self.service = service
        self.code: int | None = None
        self.exited = anyio.Event()

    def send(self, *messages: Any) -> None:
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps(message).encode()
            self._transport.host_send(line + b"\n")

    def call(self, identifier: Any, method: str, params: Any = None) -> None:
        message = {"jsonrpc": "2.0", "id": identifier, "method": method}
        self.send(message if params is None else {**message, "params": params})

    def close(self) -> None:
        self._transport.host_close_input()

    async def next(self) -> Any:
        with anyio.fail_after(5):
            while not self._lines:
                for line in self._framer.feed(await self._transport.host_receive.receive()):
                    assert isinstance(line, bytes)
                    self._lines.append(line)
            return json.loads(self._lines.pop(0))

    async def opened(self) -> Wire:
        self.call("init", "initialize")
        assert (await self.next())["result"] == {"ok": True}
        return self


@asynccontextmanager
async def connected() -> AsyncIterator[Wire]:
    transport = MemoryTransport()
    service = Service(transport)
    wire = Wire(transport, service)

    async def run() -> None:
        wire.code = await serve(transport, service, max_line_bytes=1000)
        wire.exited.set()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            yield wire
            tasks.cancel_scope.cancel()
    finally:
        transport.host_close()


def code_of(answer: Any) -> tuple[Any, int]:
    assert set(answer["error"]["data"]) >= {"code", "kind", "retryable"}
    return answer["id"], answer["error"]["code"]


async def test_nothing_but_ping_is_answered_before_initialize() -> None:
    async with connected() as wire:
        wire.call(1, "echo")
        assert code_of(await wire.next()) == (1, -32002)
        wire.call(2, "ping")
        assert await wire.next() == {"jsonrpc": "2.0", "id": 2, "result": {}}
        wire.call(3, "no-such-method")
        assert code_of(await wire.next()) == (3, -32002)


async def test_a_second_initialize_is_refused_and_a_failed_one_may_be_repeated() -> None:
    async with connected() as wire:
        wire.call(1, "initialize", {"bad": True})
        assert code_of(await wire.next()) == (1, -32602)
        await wire.opened()
        wire.call(2, "initialize")
        assert code_of(await wire.next()) == (2, -32600)


async def test_requests_sent_along_with_initialize_wait_for_it() -> None:
    async with connected() as wire:
        wire.service.initialize_gate = anyio.Event()
        wire.call(1, "initialize")
        wire.call(2, "echo", {"a": 1})
        wire.call(3, "ping")
        assert (await wire.next())["id"] == 3
        wire.service.initialize_gate.set()
        assert [(await wire.next())["id"], (await wire.next())["id"]] == [1, 2]


@pytest.mark.parametrize(
    ("params", "result"),
    [
        ({"a": 1}, {"a": 1}),
        ([{"a": 1}], {"a": 1}),
        ([7], {"value": 7}),
        ([], {}),
        ([None], {}),
        (None, {}),
    ],
)
async def test_params_may_come_as_the_argument_list_of_the_ipc_call(params: Any, result: Any) -> None:
    async with connected() as wire:
        await wire.opened()
        wire.send({"jsonrpc": "2.0", "id": 1, "method": "echo", "params": params})
        assert (await wire.next())["result"] == result


@pytest.mark.parametrize("params", [[1, 2], "text", 7, True, [[1]]])
async def test_params_of_another_shape_are_invalid(params: Any) -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "echo", params)
        answer = await wire.next()
        assert code_of(answer) == (1, -32602)
        assert "path" in answer["error"]["data"]


@pytest.mark.parametrize("params", [[1, 2], "text", 7])
async def test_params_of_another_shape_are_invalid_where_none_are_read_too(params: Any) -> None:
    async with connected() as wire:
        wire.call(1, "ping", params)
        assert code_of(await wire.next()) == (1, -32602)
        wire.call(2, "ping", [{"newer": "host"}])
        assert (await wire.next())["result"] == {}


async def test_a_batch_is_answered_by_one_array_and_notifications_by_nothing() -> None:
    async with connected() as wire:
        await wire.opened()
        call = {"jsonrpc": "2.0", "method": "echo", "params": {"n": 1}}
        wire.send([{**call, "id": 1}, call, 5, {**call, "id": "1"}, {"jsonrpc": "2.0", "id": 9, "method": "nope"}])
        answers = {json.dumps(answer["id"]): answer for answer in await wire.next()}
        assert set(answers) == {"1", '"1"', "null", "9"}
        assert code_of(answers["9"]) == (9, -32601)
        wire.send([call, call])
        wire.call(2, "ping")
        assert (await wire.next())["id"] == 2


async def test_the_next_request_works_after_garbage_and_after_an_overlong_line() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.send(b"garbage", b'"' + b"x" * 2000 + b'"')
        assert code_of(await wire.next()) == (None, -32700)
        assert code_of(await wire.next()) == (None, -32600)
        wire.call(1, "echo")
        assert (await wire.next())["result"] == {}


async def test_an_id_in_flight_cannot_be_used_twice() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(5, "wait")
        wire.call(5, "echo")
        assert code_of(await wire.next()) == (5, -32600)
        wire.call("5", "echo")
        assert (await wire.next())["id"] == "5"
        wire.service.let_go.set()
        assert await wire.next() == {"jsonrpc": "2.0", "id": 5, "result": "done"}


async def test_the_ids_of_a_batch_are_in_flight_until_the_batch_is_answered() -> None:
    async with connected() as wire:
        await wire.opened()
        ping = {"jsonrpc": "2.0", "id": 5, "method": "ping"}
        wire.send([ping, {**ping, "id": 6, "method": "wait"}, ping, {**ping, "id": "5"}])
        wire.call(5, "echo")
        assert code_of(await wire.next()) == (5, -32600)
        wire.service.let_go.set()
        first, *rest = await wire.next()
        assert first == {"jsonrpc": "2.0", "id": 5, "result": {}}
        assert [code_of(each) for each in rest if "error" in each] == [(5, -32600)]
        assert sorted(str(each["id"]) for each in rest) == ["5", "5", "6"]
        wire.call(5, "echo")
        assert (await wire.next())["result"] == {}


@pytest.mark.parametrize("params", [{"id": 5}, [{"id": 5}], [5]])
async def test_what_to_cancel_may_come_as_the_argument_list_of_the_ipc_call(params: Any) -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(5, "wait")
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": params})
        assert code_of(await wire.next()) == (5, -32800)


@pytest.mark.parametrize("params", [{"id": True}, {"id": 1.0}, {"id": "1"}, {"id": [1]}, {"id": None}, [1, 1], "1", 1])
async def test_what_is_not_the_id_of_a_request_cancels_nothing(params: Any) -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "wait")
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": params})
        wire.call(2, "echo")
        assert (await wire.next())["id"] == 2
        wire.service.let_go.set()
        assert (await wire.next())["result"] == "done"


async def test_a_cancelled_request_is_answered_once_and_its_id_is_free_again() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(5, "wait")
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 5}})
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 5}})
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "unknown"}})
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest"})
        answer = await wire.next()
        assert code_of(answer) == (5, -32800)
        assert answer["error"]["message"] == "Request cancelled"
        wire.call(5, "echo")
        assert (await wire.next())["result"] == {}


async def test_domain_errors_keep_their_sentence_and_bugs_leak_nothing() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "conflict")
        answer = await wire.next()
        assert answer["error"] == {
            "code": -32000,
            "message": "busy",
            "data": {"code": "CONFLICT", "kind": "conflict", "retryable": False, "chatId": 7},
        }
        wire.call(2, "bug")
        answer = await wire.next()
        assert code_of(answer) == (2, -32603)
        assert "secret" not in json.dumps(answer)
        assert "Traceback" not in json.dumps(answer)


async def test_too_many_requests_are_told_to_come_back() -> None:
    async with connected() as wire:
        await wire.opened()
        for identifier in range(MAX_IN_FLIGHT):
            wire.call(identifier, "wait")
        wire.call("one more", "wait")
        assert code_of(await wire.next()) == ("one more", -32001)
        wire.call("ping", "ping")
        assert (await wire.next())["id"] == "ping"


async def test_shutdown_answers_after_everything_else_and_then_takes_no_work() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "wait")
        wire.call(2, "shutdown")
        assert code_of(await wire.next()) == (1, -32800)
        assert await wire.next() == {"jsonrpc": "2.0", "id": 2, "result": None}
        wire.call(3, "echo")
        assert code_of(await wire.next()) == (3, -32600)
        wire.send({"jsonrpc": "2.0", "method": "exit"})
        with anyio.fail_after(5):
            await wire.exited.wait()
        assert wire.code == 0


async def test_from_shutdown_on_nothing_is_begun_even_in_the_same_write() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "wait")
        lines = [
            {"jsonrpc": "2.0", "id": identifier, "method": method}
            for identifier, method in [(2, "shutdown"), (3, "echo"), (4, "initialize"), (5, "ping"), (6, "shutdown")]
        ]
        wire.send(b"\n".join(json.dumps(line).encode() for line in lines))
        answers = {}
        for _ in range(6):
            answer = await wire.next()
            answers[answer["id"]] = answer.get("error", {}).get("code")
        assert answers == {1: -32800, 2: None, 3: -32600, 4: -32600, 5: None, 6: None}
        assert list(answers).index(1) < min(list(answers).index(2), list(answers).index(6))


async def test_no_shutdown_stops_another_one() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "save")
        wire.call(2, "shutdown")
        wire.call(3, "shutdown")
        wire.call(4, "ping")
        assert (await wire.next())["id"] == 4, "both wait for what is being saved"
        wire.service.let_go.set()
        answers = [await wire.next() for _ in range(3)]
        assert answers[0]["id"] == 1
        assert sorted(answers[1:], key=lambda answer: answer["id"]) == [
            {"jsonrpc": "2.0", "id": 2, "result": None},
            {"jsonrpc": "2.0", "id": 3, "result": None},
        ]


async def test_shutdown_and_exit_in_one_write_are_a_shutdown_and_an_exit() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.send(b'{"jsonrpc":"2.0","id":1,"method":"shutdown"}\n{"jsonrpc":"2.0","method":"exit"}')
        assert await wire.next() == {"jsonrpc": "2.0", "id": 1, "result": None}
        with anyio.fail_after(5):
            await wire.exited.wait()
        assert wire.code == 0


async def test_shutdown_then_end_of_input_is_answered() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "wait")
        wire.call(2, "shutdown")
        wire.close()
        assert code_of(await wire.next()) == (1, -32800)
        assert await wire.next() == {"jsonrpc": "2.0", "id": 2, "result": None}
        with anyio.fail_after(5):
            await wire.exited.wait()
        assert wire.code == 0


async def test_exit_without_shutdown_is_an_error_and_end_of_input_is_not() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.send({"jsonrpc": "2.0", "method": "exit"})
        with anyio.fail_after(5):
            await wire.exited.wait()
        assert wire.code == 1
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "wait")
        wire.close()
        assert code_of(await wire.next()) == (1, -32800)
        with anyio.fail_after(5):
            await wire.exited.wait()
        assert wire.code == 0
        assert wire.service.closed


async def test_what_was_asked_before_the_end_of_input_is_answered() -> None:
    async with connected() as wire:
        wire.call(1, "initialize")
        wire.call(2, "echo", {"a": 1})
        wire.close()
        assert (await wire.next())["result"] == {"ok": True}
        assert (await wire.next())["result"] == {"a": 1}
        with anyio.fail_after(5):
            await wire.exited.wait()
        assert wire.code == 0


async def test_a_stream_that_cannot_end_keeps_nobody_else_from_being_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.lifecycle.FINISH_S", 0.01)
    async with connected() as wire:
        await wire.opened()
        wire.service.streams_ended = anyio.Event()
        wire.call(1, "wait")
        wire.close()
        assert code_of(await wire.next()) == (1, -32800)
        assert not wire.exited.is_set()
        wire.service.streams_ended.set()
        with anyio.fail_after(5):
            await wire.exited.wait()
        assert wire.code == 0


async def test_the_sidecar_asks_the_host_and_passes_its_refusal_on() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "ask")
        question = await wire.next()
        assert question["method"] == "host:system-prompt"
        wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {"systemPrompt": "be nice"}})
        assert (await wire.next())["result"] == {"systemPrompt": "be nice"}
        wire.call(2, "ask")
        question = await wire.next()
        refusal = {"code": 1, "message": "no prompt today"}
        wire.send({"jsonrpc": "2.0", "id": question["id"], "error": refusal})
        assert (await wire.next())["error"]["message"] == "no prompt today"
        wire.call(3, "ask")
        question = await wire.next()
        refusal = {"code": 1, "message": "not with Bearer abcdefghij0123456789"}
        wire.send({"jsonrpc": "2.0", "id": question["id"], "error": refusal})
        assert (await wire.next())["error"]["message"] == "not with Bearer ***"


@pytest.mark.parametrize("answer", [{}, {"error": "no prompt today"}, {"error": None}, {"jsonrpc": "1.0", "result": 1}])
async def test_a_host_whose_answer_is_none_is_not_waited_for(answer: dict[str, Any]) -> None:
    """``JSON.stringify`` drops a result that is ``undefined``. Nor does the host get an answer to its answer."""
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "ask")
        question = await wire.next()
        wire.send({"jsonrpc": "2.0", "id": question["id"], **answer})
        refused = await wire.next()
        assert code_of(refused) == (1, -32000)
        assert "host:system-prompt" in refused["error"]["message"]


async def test_giving_up_on_the_host_tells_it_and_ignores_its_late_answer() -> None:
    async with connected() as wire:
        await wire.opened()
        wire.call(1, "ask")
        question = await wire.next()
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 1}})
        forgotten = await wire.next()
        assert forgotten == {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": question["id"]}}
        assert code_of(await wire.next()) == (1, -32800)
        wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {}}, {"jsonrpc": "2.0", "id": question["id"]})
        wire.call(2, "ping")
        assert (await wire.next())["id"] == 2
