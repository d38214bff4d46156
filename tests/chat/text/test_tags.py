"""Reading and stripping elements, with the app's behaviour and in linear time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from sidecar.chat.text import tags
from sidecar.chat.text.cleaning import clean_full_response
from sidecar.chat.text.tags import RenameTag, WriteTag

WRITE = '<scalix-write path="a.ts">x</scalix-write>'


@pytest.mark.parametrize(
    ("given_text", "cleaned"),
    [
        ('<scalix-write path="a" description="use <a> tags">', '<scalix-write path="a" description="use ＜a＞ tags">'),
        ('<scalix-write a="<" b=">" />x', '<scalix-write a="＜" b="＞" />x'),
        ('<scalix-write\n  a="x\n>"\n>b', '<scalix-write\n  a="x\n＞"\n>b'),
        ('<div title="a > b">', '<div title="a > b">'),
        ('a < b > c "<>"', 'a < b > c "<>"'),
        ('<scalix-write a="<', '<scalix-write a="<'),
        ('<scalix-write a="<b> c', '<scalix-write a="<b> c'),
        ("<scalix-write a='<b>'>", "<scalix-write a='<b>'>"),
    ],
)
def test_brackets_in_attribute_values_are_replaced_and_nothing_else(given_text: str, cleaned: str) -> None:
    assert clean_full_response(given_text) == cleaned
    assert clean_full_response(cleaned) == cleaned


@pytest.mark.parametrize(
    ("given_text", "stripped"),
    [
        ("<think>a\nb</think>\n\nHi <think>c</think>there ", "Hi there"),
        ("Hi <think>cut off", "Hi"),
        ("<think>", ""),
        ("a </think> b", "a </think> b"),
        ("\ufeff a \u2028", "a"),
    ],
)
def test_thinking_is_stripped_also_when_it_never_closes(given_text: str, stripped: str) -> None:
    assert tags.strip_thinking(given_text) == stripped


def test_problem_reports_and_thinking_are_not_essential() -> None:
    report = '<scalix-problem-report summary="1 problems">\n<problem>p</problem>\n</scalix-problem-report>'
    assert tags.strip_non_essential(f"<think>x</think>{WRITE}{report}") == WRITE


def test_all_scalix_tags_go_whatever_closes_them() -> None:
    assert tags.strip_all_scalix_tags(f"a {WRITE} b <scalix-x>c</scalix-y> <b>d</b> <scalix-z>") == (
        "a  b  <b>d</b> <scalix-z>"
    )


@pytest.mark.parametrize(
    ("text", "unclosed"),
    [
        ("", False),
        ("no tags", False),
        (WRITE, False),
        ('<scalix-write path="a">x', True),
        ('<scalix-write path="a" description="d">', True),
        (f'{WRITE}\n<scalix-write path="b">y', True),
        (f'<scalix-write path="b">y {WRITE}', False),
        ('<scalix-write path="a', False),
        (f'{WRITE}<scalix-write path="cut', False),
        ("</scalix-write>", False),
    ],
)
def test_a_write_is_unclosed_when_nothing_closes_the_last_one(text: str, unclosed: bool) -> None:
    assert tags.has_unclosed_write(text) is unclosed


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("a <scalix-chat-summary>\n  Add a\nbutton \n</scalix-chat-summary>", "Add a\nbutton"),
        ("<scalix-chat-summary>one</scalix-chat-summary><scalix-chat-summary>two</scalix-chat-summary>", "one"),
        ("<scalix-chat-summary> </scalix-chat-summary>", None),
        ("<scalix-chat-summary>cut", None),
        ("none", None),
    ],
)
def test_the_summary_is_the_first_one_trimmed(text: str, summary: str | None) -> None:
    assert tags.chat_summary(text) == summary


def test_writes_are_read_with_their_fences_dropped() -> None:
    text = (
        '<scalix-write path="src\\a.ts" description="first">\n```ts\nlet a;\n```\n</scalix-write>'
        "<scalix-write>no path</scalix-write>"
        '<SCALIX-WRITE description="" path="b.ts">\n  b\n</SCALIX-WRITE>'
        '<scalix-write path="c.ts">cut'
    )
    assert tags.write_tags(text) == [WriteTag("src/a.ts", "let a;", "first"), WriteTag("b.ts", "b")]


def test_renames_and_deletes_are_read_with_slashes() -> None:
    text = (
        '<scalix-rename from="a\\b" to="c"></scalix-rename><scalix-rename from="x"></scalix-rename>'
        '<scalix-delete path="d\\e"></scalix-delete>'
    )
    assert tags.rename_tags(text) == [RenameTag("a/b", "c")]
    assert tags.delete_tags(text) == ["d/e"]


def test_packages_are_split_on_spaces_and_a_body_with_a_tag_does_not_count() -> None:
    text = (
        '<scalix-add-dependency packages="a @b/c"></scalix-add-dependency>'
        '<scalix-add-dependency packages="no"><scalix-add-dependency packages="d">why</scalix-add-dependency>'
    )
    assert tags.add_dependency_packages(text) == ["a", "@b/c", "d"]
    assert tags.has_add_dependency(text)
    assert not tags.has_add_dependency('<scalix-add-dependency packages="a">')


READERS: list[Callable[[str], object]] = [
    clean_full_response,
    tags.strip_thinking,
    tags.strip_problem_reports,
    tags.strip_all_scalix_tags,
    tags.has_unclosed_write,
    tags.chat_summary,
    tags.write_tags,
    tags.rename_tags,
    tags.delete_tags,
    tags.add_dependency_packages,
    tags.tag_attributes,
]
HOSTILE = [
    '<scalix-write path="',
    "<scalix-write >",
    "<scalix-x></scalix-",
    "<think>",
    "<scalix-chat-summary>",
    "<scalix-problem-report>",
    "<scalix-problem-report></scalix-problem-report",
    '<scalix-add-dependency packages="a">b',
    "<scalix-execute-sql></scalix-execute-sql",
    '<scalix-a ">',
    '<scalix-a "" "',
    "a-",
    "```\n",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_hostile_text_is_read_in_well_under_a_second(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    for reader in READERS:
        for hostile in (text, f"<scalix-write a {text}", f"{text}></scalix-write>"):
            started = time.process_time()
            reader(hostile)
            assert time.process_time() - started < 1.0, reader
