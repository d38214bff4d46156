"""Context globs (app contract 11.3)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.chat.context.globs import MAX_BRACE_ALTERNATIVES, GlobSet, expand_braces
from sidecar.chat.context.notes import Notes


def matches(pattern: str, path: str, *, ignore_case: bool = False) -> bool:
    return GlobSet([pattern], Notes(), ignore_case=ignore_case).matches(path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("src/**/*.ts", "src/a.ts", True),
        ("src/**/*.ts", "src/deep/er/a.ts", True),
        ("src/**/*.ts", "src/a.tsx", False),
        ("src/**", "src/a/b.css", True),
        ("src/**", "srcs/a", False),
        ("src/**", "src/.hidden/a.ts", False),
        ("src/**", "src/.hidden", False),
        ("**/*.ts", "a.ts", True),
        ("**", "a/b/c", True),
        ("**/**/a.ts", "a.ts", True),
        ("*", ".env", False),
        ("*.ts", "a/b.ts", False),
        ("?.ts", "a.ts", True),
        ("?.ts", ".ts", False),
        (".*", ".eslintrc", True),
        (".github/**", ".github/workflows/ci.yml", True),
        ("src", "src", True),
        ("src/", "src", False),
        ("./src/a.ts", "src/a.ts", True),
        ("/src/a.ts", "src/a.ts", True),
        ("src/x/../a.ts", "src/a.ts", True),
        ("../other/*.ts", "other/a.ts", False),
        ("*.{ts,tsx}", "a.tsx", True),
        ("{src,lib}/**/*.{c,m}ss", "lib/x/a.mss", True),
        ("a{1..3}.ts", "a2.ts", True),
        ("a{1..3}.ts", "a4.ts", False),
        ("a{b}.ts", "a{b}.ts", True),
        ("[abc].ts", "b.ts", True),
        ("[!abc].ts", "d.ts", True),
        ("[!abc].ts", "a.ts", False),
        ("[z-a].ts", "[z-a].ts", True),
        ("app/[id]/page.tsx", "app/[id]/page.tsx", True),
        ("app/\\[id\\]/*.tsx", "app/[id]/page.tsx", True),
        ("ab*b", "ab", False),
        ("ab*b", "abb", True),
        ("a*b*c", "aXbXbXc", True),
        ("*a*a", "a", False),
        ("a+(b).ts", "a+(b).ts", True),
        ("a.ts", "abts", False),
        ("A.ts", "a.ts", False),
    ],
)
def test_a_pattern_means_what_node_glob_makes_of_it(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, path) is expected


def test_case_makes_no_difference_where_the_file_system_has_none() -> None:
    assert matches("SRC/*.TS", "src/a.ts", ignore_case=True)


def test_what_cannot_be_used_is_told() -> None:
    notes = Notes()
    GlobSet(["../x/*", "+(a|b).ts", "{1..999}", "**/a/**/b/**/c/**/d/**"], notes)
    assert len(notes.sentences()) == 4


def test_a_hostile_pattern_does_not_hold_the_interpreter() -> None:
    started = time.perf_counter()
    assert not matches("*a" * 60 + "*b", "a" * 250)
    assert time.perf_counter() - started < 0.5


def test_alternatives_are_bounded() -> None:
    assert len(expand_braces("{a,b}" * 40)) == MAX_BRACE_ALTERNATIVES + 1


@given(st.text("ab*?[]!{},.\\/(1)-", max_size=25), st.text("ab./", min_size=1, max_size=20))
def test_any_pattern_compiles_and_a_path_matches_itself(pattern: str, path: str) -> None:
    assert GlobSet([pattern, path], Notes(), ignore_case=False).matches(path)


@given(st.text("ab*", max_size=12), st.text("ab", min_size=1, max_size=12))
def test_stars_match_as_a_backtracking_matcher_would(pattern: str, name: str) -> None:
    def naive(want: str, have: str) -> bool:
        if not want:
            return not have
        if want[0] == "*":
            return naive(want.lstrip("*"), have) or (have != "" and naive(want, have[1:]))
        return have[:1] == want[0] and naive(want[1:], have[1:])

    if "**" in pattern:
        return
    assert matches(pattern, name) is (pattern != "" and naive(pattern, name))
