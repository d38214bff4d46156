"""Which messages a model sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.chat.history import HistoryRow, limit_history, model_messages, summary_prompt


def rows(*roles: str) -> list[HistoryRow]:
    names = {"u": "user", "a": "assistant", "s": "system"}
    return [HistoryRow(names[role], f"{role}{index}") for index, role in enumerate("".join(roles))]


def contents(messages: list[HistoryRow]) -> str:
    return " ".join(message.content for message in messages)


@pytest.mark.parametrize(
    ("roles", "max_turns", "kept"),
    [
        ("ua", 1, "u0 a1"),
        ("uaua", 1, "u0 a1 u2 a3"),
        ("uauaua", 1, "u2 a3 u4 a5"),
        ("uauauauaua", None, "u2 a3 u4 a5 u6 a7 u8 a9"),
        ("uauauauaua", 0, "u2 a3 u4 a5 u6 a7 u8 a9"),
        ("suaua", 1, "u1 a2 u3 a4"),
        ("uuauaa", 1, "u3 a4 a5"),
        ("uaaaaa", 1, ""),
        ("sssss", 1, ""),
        ("saaa", 1, "s0 a1 a2 a3"),
        ("", 3, ""),
    ],
)
def test_the_last_turns_stay_and_begin_with_a_user(roles: str, max_turns: int | None, kept: str) -> None:
    assert contents(limit_history(rows(roles), max_turns)) == kept


@given(st.text("uas", max_size=30), st.integers(1, 5))
def test_a_limited_history_is_never_longer_than_the_limit_and_ends_as_the_chat_does(roles: str, turns: int) -> None:
    given_rows = rows(roles)
    kept = limit_history(given_rows, turns)
    assert len(kept) <= 2 * (turns + 1)
    if len(given_rows) > 2 * (turns + 1) and kept:
        assert kept[0].role == "user"
        assert kept == [row for row in given_rows if row.role != "system"][-len(kept) :]


def test_the_model_does_not_see_thinking_reports_or_empty_rows() -> None:
    given_rows = [
        HistoryRow("user", " hello "),
        HistoryRow("assistant", "<think>hm</think>"),
        HistoryRow("assistant", '<think>hm</think>hi<scalix-problem-report summary="x">y</scalix-problem-report>'),
        HistoryRow("user", "more"),
        HistoryRow("assistant", ""),
    ]
    assert model_messages(given_rows) == [
        HistoryRow("user", "hello"),
        HistoryRow("assistant", "hi"),
        HistoryRow("user", "more"),
    ]


def test_in_ask_mode_no_scalix_tags_are_seen() -> None:
    row = HistoryRow("assistant", 'Done. <scalix-write path="a">b</scalix-write>')
    assert model_messages([row]) == [row]
    assert model_messages([row], ask_mode=True) == [HistoryRow("assistant", "Done.")]


def test_a_short_chat_is_summarised_whole() -> None:
    assert summary_prompt(rows("ua")) == (
        'Summarize the following chat: <message role="user">u0</message>\n<message role="assistant">a1</message>'
    )
    assert summary_prompt(rows("uauauaua")).count("<message ") == 8
    assert summary_prompt([]) == "Summarize the following chat: "


def test_a_long_chat_is_summarised_from_its_ends() -> None:
    lines = summary_prompt(rows("uauauauauau")).split("\n")
    assert len(lines) == 9
    assert lines[2] == '<message role="system">[... 3 messages omitted ...]</message>'
    assert lines[1].endswith(">a1</message>")
    assert lines[3].endswith(">a5</message>")
