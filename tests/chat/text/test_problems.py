"""The auto-fix loop's texts."""

from __future__ import annotations

from sidecar.chat.text.cleaning import clean_full_response
from sidecar.chat.text.problems import Problem, fix_prompt, problem_report
from sidecar.chat.text.tags import strip_problem_reports

WRONG_TYPE = Problem(
    file='src/a"b.ts', line=3, column=7, code=2322, message="Type 'A<B>' & more", snippet="let a: B = c;"
)
MISSING = Problem(file="src/c.ts", line=1, column=1, code="TS2307", message="Cannot find module 'x'.")


def test_a_report_is_escaped_and_says_how_many() -> None:
    report = problem_report([WRONG_TYPE, MISSING])
    assert report == (
        '<scalix-problem-report summary="2 problems">\n'
        '<problem file="src/a&quot;b.ts" line="3" column="7" code="2322">Type \'A&lt;B&gt;\' &amp; more</problem>\n'
        '<problem file="src/c.ts" line="1" column="1" code="TS2307">Cannot find module \'x\'.</problem>\n'
        "</scalix-problem-report>"
    )
    assert clean_full_response(report) == report
    assert strip_problem_reports(f"a{report}") == "a"


def test_the_prompt_names_each_problem_and_fences_its_snippet() -> None:
    lines = fix_prompt([WRONG_TYPE, MISSING]).split("\n")
    assert lines[0] == "Fix these 2 TypeScript compile-time errors:"
    assert "1. src/a\"b.ts:3:7 - Type 'A<B>' & more (TS2322)" in lines
    assert "2. src/c.ts:1:1 - Cannot find module 'x'. (TS2307)" in lines
    at = lines.index("let a: B = c;")
    assert lines[at - 1] == lines[at + 1] == "```"


def test_one_problem_is_one_error() -> None:
    assert fix_prompt([MISSING]).startswith("Fix these 1 TypeScript compile-time error:\n")


def test_a_snippet_cannot_close_its_fence() -> None:
    prompt = fix_prompt([Problem("a.md", 1, 1, 1, "m", snippet="```js\n```")])
    assert "\n````\n```js\n```\n````\n" in prompt
