"""Settings as text: what nobody changes keeps its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.settings.document import NotAnObject, equal, members, patched, render, same, text_of, value_of

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_an_object_is_cut_and_put_together_again(value: dict[str, Any]) -> None:
    document = members(json.dumps(value, indent=1))
    assert json.loads(render(document)) == value
    assert {key: json.loads(text) for key, text in document.items()} == value


@pytest.mark.parametrize(
    "text",
    ["1.0", "1e5", "123456789012345678901234567890", "-0", '"\\u00e9"', '{"b":1,\t"a":[ 1 ]}', '"\\ud800"', "1" * 5000],
)
def test_a_value_keeps_the_bytes_it_came_in(text: str) -> None:
    assert members('{"before": 1, "key":  %s , "after": 2}' % text)["key"] == text  # noqa: UP031 - braces
    assert f'"key": {text}' in render({"key": text})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"a":1',
        '{"a":1}x',
        '{"a" 1}',
        '{"a":1 "b":2}',
        "{a:1}",
        '{"a":NaN}',
        '{"a":1,}',
        '{"\\ud800":1}',
        "[" * 100_000,
        '{"a":' + "[" * 100_000,
    ],
)
def test_what_is_no_object_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(NotAnObject) as caught:
        members(text)
    assert str(caught.value) == "The text is not a JSON object."


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert members('{"a": 1, "b": 2, "a": 3}') == {"a": "3", "b": "2"}


def test_what_cannot_be_sent_is_made_sendable_for_looking_at() -> None:
    assert value_of('["\\ud800x", {"\\udfff": "\\ud83d\\ude00"}]') == ["\ufffdx", {"\ufffd": "😀"}]
    assert isinstance(value_of("9" * 40), float)


def test_equality_is_that_of_json() -> None:
    assert equal({"a": [1, 2.0]}, {"a": [1.0, 2]})
    assert not equal(True, 1)
    assert not equal({"a": None}, {})
    assert same('{"a":1,"b":2}', '{ "b": 2, "a": 1.0 }')
    assert not same(None, "null")


def test_a_change_of_one_member_leaves_the_bytes_of_the_others() -> None:
    old = '{"one": {"n": 1.0, "big": 12345678901234567890}, "two": 2e0}'
    new = patched(old, {"one": {"n": 1, "big": 12345678901234567890.0}, "two": 3})
    assert members(new) == {"one": '{"n": 1.0, "big": 12345678901234567890}', "two": "3"}


def test_values_are_written_as_the_app_writes_them() -> None:
    document = {"a": text_of({"b": [1, "é"], "c": {}})}
    assert render(document) == '{\n  "a": {\n    "b": [\n      1,\n      "é"\n    ],\n    "c": {}\n  }\n}'
    assert text_of("\ud800") == '"\\ud800"'
