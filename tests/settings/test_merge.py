"""Who changed what: table and file against what both held when they last agreed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar.settings.merge import Row, merged, was_reset


def rows(ours: dict[str, Any], base: dict[str, Any] | None = None, at: int = 100) -> dict[str, Row]:
    agreed = ours if base is None else base
    return {
        key: Row(json.dumps(value), at, json.dumps(agreed[key]) if key in agreed else None)
        for key, value in ours.items()
    }


def result(table: dict[str, Row], file: dict[str, Any], changed_at: int = 200) -> dict[str, Any]:
    text = merged(table, {key: json.dumps(value) for key, value in file.items()}, changed_at)
    return {key: json.loads(value) for key, value in text.items()}


def test_a_change_in_the_file_is_taken() -> None:
    assert result(rows({"selectedTemplateId": "a"}), {"selectedTemplateId": "b"}) == {"selectedTemplateId": "b"}


def test_a_change_in_the_table_that_the_file_has_not_seen_stays() -> None:
    table = rows({"selectedTemplateId": "new"}, base={"selectedTemplateId": "old"})
    assert result(table, {"selectedTemplateId": "old"}) == {"selectedTemplateId": "new"}


def test_when_both_changed_the_later_one_wins() -> None:
    table = rows({"selectedTemplateId": "ours"}, base={"selectedTemplateId": "old"}, at=100)
    assert result(table, {"selectedTemplateId": "theirs"}, changed_at=101) == {"selectedTemplateId": "theirs"}
    assert result(table, {"selectedTemplateId": "theirs"}, changed_at=99) == {"selectedTemplateId": "ours"}
    assert result(table, {"selectedTemplateId": "theirs"}, changed_at=100) == {"selectedTemplateId": "theirs"}


def test_a_key_the_app_took_out_is_out_and_one_it_does_not_know_is_not() -> None:
    table = rows({"thinkingBudget": "low", "tomorrow": 1, "autoFallback": True})
    assert result(table, {}) == {"autoFallback": True, "tomorrow": 1}


def test_members_the_app_does_not_know_survive_its_writing_the_container() -> None:
    table = rows({"providerSettings": {"azure": {"apiKey": {"value": "k"}, "resourceName": "r"}}})
    file = {"providerSettings": {"azure": {"apiKey": {"value": "k2"}}}}
    assert result(table, file) == {"providerSettings": {"azure": {"apiKey": {"value": "k2"}, "resourceName": "r"}}}


def test_a_key_deleted_in_the_app_is_deleted_and_an_entry_that_vanished_is_not() -> None:
    table = rows({"providerSettings": {"a": {"apiKey": {"value": "1"}}, "b": {"apiKey": {"value": "2"}}}})
    assert result(table, {"providerSettings": {"a": {}}}) == {
        "providerSettings": {"a": {}, "b": {"apiKey": {"value": "2"}}}
    }


def test_two_providers_changed_on_two_sides_are_both_kept() -> None:
    base = {"providerSettings": {"a": {"apiKey": {"value": "1"}}, "b": {"apiKey": {"value": "2"}}}}
    ours = {"providerSettings": {"a": {"apiKey": {"value": "new"}}, "b": {"apiKey": {"value": "2"}}}}
    file = {"providerSettings": {"a": {"apiKey": {"value": "1"}}, "b": {"apiKey": {"value": "newer"}}}}
    assert result(rows(ours, base), file) == {
        "providerSettings": {"a": {"apiKey": {"value": "new"}}, "b": {"apiKey": {"value": "newer"}}}
    }


def _providers(**keys: str | None) -> dict[str, Any]:
    entries = {name: {} if key is None else {"apiKey": {"value": key}} for name, key in keys.items()}
    return {"providerSettings": entries}


def test_what_only_the_file_changed_is_taken_however_long_ago_that_was() -> None:
    """The row is younger than the file because another member of it was changed since."""
    base, ours = _providers(a="1", b="2", c="3"), _providers(a="1", b="2", c="new")
    changed = {**_providers(a="theirs", b=None, c="3", d="4"), "selectedTemplateId": "theirs"}
    table = rows({**ours, "selectedTemplateId": "old"}, {**base, "selectedTemplateId": "old"}, at=100)
    assert result(table, changed, changed_at=99) == {
        **_providers(a="theirs", b=None, c="new", d="4"),
        "selectedTemplateId": "theirs",
    }


def test_what_the_table_removed_since_stays_removed() -> None:
    base = _providers(a="1", b="2")
    table = rows(_providers(b="2"), base, at=100)
    assert result(table, _providers(a="theirs", b="2"), changed_at=99) == _providers(b="2")
    assert result(table, _providers(a="theirs", b="2"), changed_at=101) == _providers(a="theirs", b="2")


def test_a_file_whose_providers_are_all_gone_was_begun_anew_by_the_same_user() -> None:
    ours = {
        "selectedModel": {"name": "m", "provider": "p"},
        **_providers(a="1"),
        "telemetryUserId": "me",
        "releaseChannel": "beta",
    }
    file = {
        "selectedModel": {"name": "auto", "provider": "auto"},
        "providerSettings": {},
        "telemetryUserId": "me",
        "releaseChannel": "stable",
    }
    assert result(rows(ours), file) == ours


def test_a_file_replaced_by_defaults_removes_nothing() -> None:
    ours = {
        "selectedModel": {"name": "m", "provider": "p"},
        "providerSettings": {"a": {"apiKey": {"value": "1"}}},
        "githubAccessToken": {"value": "t"},
        "telemetryUserId": "me",
        "releaseChannel": "beta",
    }
    file = {
        "selectedModel": {"name": "auto", "provider": "auto"},
        "providerSettings": {},
        "telemetryUserId": "somebody else",
        "releaseChannel": "stable",
        "hasRunBefore": True,
    }
    assert was_reset(rows(ours), {key: json.dumps(value) for key, value in file.items()})
    assert result(rows(ours), file) == {**ours, "hasRunBefore": True}


def test_a_file_begun_anew_is_told_by_its_user_whatever_else_was_in_it() -> None:
    ours = {"telemetryUserId": "me", "githubAccessToken": {"value": "t"}, "releaseChannel": "beta"}
    anew = {"telemetryUserId": "somebody else", "releaseChannel": "stable", "providerSettings": {"a": {}}}
    assert result(rows(ours), anew) == {**ours, "providerSettings": {"a": {}}}
    same_user = {"telemetryUserId": "me", "releaseChannel": "stable"}
    assert result(rows(ours), same_user) == same_user


def test_a_file_that_is_gone_removes_nothing() -> None:
    ours = {"telemetryUserId": "me", "githubAccessToken": {"value": "t"}}
    assert merged(rows(ours), None, 200) == {key: json.dumps(value) for key, value in ours.items()}


KEYS = st.sampled_from(["selectedTemplateId", "lastShownReleaseNotesVersion", "tomorrow", "thinkingBudget"])
SIDE = st.dictionaries(KEYS, st.integers(0, 3), max_size=4)


@given(SIDE, SIDE, SIDE, st.integers(0, 200))
def test_merging_settles_after_one_round(
    base: dict[str, int], ours: dict[str, int], file: dict[str, int], at: int
) -> None:
    once = result(rows(ours, base), file, at)
    assert result(rows(once), once, at) == once


@given(SIDE, SIDE)
def test_a_side_that_did_not_change_never_wins(base: dict[str, int], other: dict[str, int]) -> None:
    changed_here = {**base, **other}
    assert result(rows(changed_here, base), base) == changed_here
    assert {**result(rows(base), changed_here)} == changed_here
