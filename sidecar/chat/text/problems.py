"""The auto-fix loop's texts: the report shown in the answer and the prompt that asks for a fix (app contract 7.12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

_XML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


class ProblemLike(Protocol):
    """Anything with a problem's fields."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def code(self) -> int | str: ...
    @property
    def message(self) -> str: ...
    @property
    def snippet(self) -> str | None: ...


class Problem(msgspec.Struct, frozen=True):
    """One compile-time error as ``host:check-problems`` reports it. ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int
    code: int | str
    message: str
    snippet: str | None = None


def problem_report(problems: Sequence[ProblemLike]) -> str:
    """The ``<scalix-problem-report>`` element appended to the answer; attribute values and messages are escaped."""
    lines = "\n".join(
        f'<problem file="{problem.file.translate(_XML)}" line="{problem.line}" column="{problem.column}" '
        f'code="{problem.code}">{problem.message.translate(_XML)}</problem>'
        for problem in problems
    )
    return f'<scalix-problem-report summary="{len(problems)} problems">\n{lines}\n</scalix-problem-report>'


def fix_prompt(problems: Sequence[ProblemLike]) -> str:
    """The user message asking for a fix; ``Fix these <n> TypeScript compile-time error(s):`` is its first line."""
    count = len(problems)
    paragraphs = [f"Fix these {count} TypeScript compile-time error{'' if count == 1 else 's'}:", ""]
    for number, problem in enumerate(problems, start=1):
        code = str(problem.code).removeprefix("TS")
        paragraphs.append(f"{number}. {problem.file}:{problem.line}:{problem.column} - {problem.message} (TS{code})")
        if problem.snippet:
            fence = "`" * max(3, _longest_backtick_run(problem.snippet) + 1)
            paragraphs += [fence, problem.snippet, fence]
        paragraphs.append("")
    paragraphs.append("Correct all of them with as few changes as possible and keep the rest as it is.")
    return "\n".join(paragraphs)


def _longest_backtick_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest
