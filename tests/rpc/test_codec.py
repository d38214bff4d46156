"""One line of JSON to messages (protocol pages 1 and 3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.envelope import Failure, Malformed, Notification, Request, Result
from protocol.errors import RpcCode
from sidecar.rpc.codec import decode, encode


def malformed(line: bytes) -> tuple[int, Any]:
    message = decode(line)
    assert isinstance(message, Malformed)
    return int(message.code), message.id


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"nonsense",
        b'{"jsonrpc":"2.0","id":1,"method":"ping"} x',
        b"\xff\xfe{}",
        b'{"jsonrpc":"2.0","method":"\xc3\x28","id":1}',
        b"\xef\xbb\xbf{}",
        b"NaN",
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":Infinity}}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    ],
)
def test_what_is_not_json_is_a_parse_error_without_id(line: bytes) -> None:
    assert malformed(line) == (RpcCode.PARSE, None)


@pytest.mark.parametrize(
    ("line", "identifier"),
    [
        (b"1", None),
        (b'"text"', None),
        (b"null", None),
        (b"[]", None),
        (b"{}", None),
        (b'{"id":7}', 7),
        (b'{"jsonrpc":"1.0","id":"a","method":"ping"}', "a"),
        (b'{"jsonrpc":"2.0","id":7}', 7),
        (b'{"jsonrpc":"2.0","id":7,"method":5}', 7),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', None),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', None),
    ],
)
def test_json_that_is_no_request_keeps_the_id_it_has(line: bytes, identifier: Any) -> None:
    assert malformed(line) == (RpcCode.INVALID_REQUEST, identifier)


def test_a_batch_is_read_member_by_member() -> None:
    batch = decode(b'[{"jsonrpc":"2.0","id":"a","method":"m"},1,{"jsonrpc":"2.0","method":"n"}]')
    assert isinstance(batch, list)
    assert [type(member) for member in batch] == [Request, Malformed, Notification]


def test_half_an_emoji_from_javascript_becomes_a_replacement_character() -> None:
    message = decode(rb'{"jsonrpc":"2.0","id":1,"method":"m","params":{"p":"a\ud83db \ud83d\ude00"}}')
    assert isinstance(message, Request)
    assert message.params == {"p": "a\ufffdb \U0001f600"}


def test_answers_of_the_host_are_told_from_its_requests() -> None:
    assert decode(b'{"jsonrpc":"2.0","id":"sidecar-1","result":null}') == Result(id="sidecar-1", result=None)
    refused = decode(b'{"jsonrpc":"2.0","id":"sidecar-1","error":{"code":1,"message":"no"}}')
    assert isinstance(refused, Failure)
    assert refused.error.message == "no"


def test_ids_keep_their_type() -> None:
    for identifier in ("7", 7, -1, 2**60, ""):
        line = encode(Result(id=identifier, result={}))
        assert line.endswith(b"\n")
        assert json.loads(line)["id"] == identifier
