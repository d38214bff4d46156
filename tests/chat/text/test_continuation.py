"""Joining a continuation to the partial answer without a seam."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.chat.text.continuation import CONTINUE_PROMPT, GO_ON_PROMPT, OverlapTrimmer

OPEN = '<scalix-write path="src/a.ts" description="d">\n'
BODY = 'import { b } from "./b";\n\nexport const answer = 42;\nexport const quest'
PARTIAL = f"Here it is.\n{OPEN}{BODY}"
REST = 'ion = "why";\n</scalix-write>\nDone.'


def join(partial: str, continuation: str, size: int = 1_000_000) -> str:
    trimmer = OverlapTrimmer(partial)
    pieces = [continuation[at : at + size] for at in range(0, len(continuation), size)]
    return partial + "".join(map(trimmer.feed, pieces)) + trimmer.finish()


SIZES = pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])


@SIZES
@pytest.mark.parametrize(
    "repeated",
    [
        "",
        "export const quest",
        "export const answer = 42;\nexport const quest",
        BODY,
        OPEN + BODY,
        PARTIAL,
        "```ts\n",
        "\n```ts\nexport const quest",
        OPEN,
        f"```\n{OPEN}```ts\n{BODY}",
        f"\n{OPEN}\n{BODY}",
        '<scalix-write path="src/a.ts">\n',
    ],
)
def test_what_the_model_repeats_is_removed(repeated: str, size: int) -> None:
    assert join(PARTIAL, repeated + REST, size) == PARTIAL + REST


@SIZES
@pytest.mark.parametrize(
    ("partial", "continuation"),
    [
        (f"{OPEN}if (a) {{\n  b();\n}}\n", "}\n}\n</scalix-write>"),
        (f"{OPEN}        </div>\n", "      </div>\n    </div>\n</scalix-write>"),
        (f"{OPEN}</section>\n</section>\n", "</section>\n</section>\n</main>"),
        (f"{OPEN}const a = `", "`;\n</scalix-write>"),
        (f"{OPEN}x = 1", "1;\n</scalix-write>"),
        (f"{OPEN}----", "----\n</scalix-write>"),
        (f"{OPEN}data", "data\n</scalix-write>"),
        (f"{OPEN}## --", "## --\n</scalix-write>"),
        (f"{OPEN}a\n", '<scalix-write path="other.ts">b</scalix-write>'),
        ('<scalix-write path="README.md">\nRun:\n', "```sh\nnpm start\n```\n</scalix-write>"),
        ("Some prose that goes on", "```ts\ncode\n```"),
        ("Steps:\n1", "1. The eleventh"),
        ("A rule:\n-", "--\n"),
        (PARTIAL, "  \n"),
        (PARTIAL, ""),
    ],
)
def test_what_only_looks_repeated_stays(partial: str, continuation: str, size: int) -> None:
    assert join(partial, continuation, size) == partial + continuation


@SIZES
def test_a_repeated_short_line_is_a_repetition(size: int) -> None:
    assert join(f"{OPEN}a: 1,\nb: 22,\n", "b: 22,\nc: 3,\n", size) == f"{OPEN}a: 1,\nb: 22,\nc: 3,\n"


@SIZES
@pytest.mark.parametrize("begun", ["export { ", "  if (a", "a + bc"])
def test_a_repeated_beginning_of_a_line_is_a_repetition(begun: str, size: int) -> None:
    assert join(f"{OPEN}f();\n{begun}", f"{begun}d }};\n", size) == f"{OPEN}f();\n{begun}d }};\n"


@SIZES
@pytest.mark.parametrize(("begun", "sent"), [("Step 3 of", ""), ("Step 3 of ", "Step 3 of"), ("<sca", ""), ("S", "")])
def test_a_line_begun_anew_is_a_repetition(begun: str, sent: str, size: int) -> None:
    """However short: models like to start the line they were in again."""
    rest = " three\n" if begun.startswith("St") else 'lix-write path="b.ts">'
    assert join(f"Steps:\n{begun}", (sent or begun) + rest, size) == f"Steps:\n{begun.rstrip()}{rest}"


@SIZES
@pytest.mark.parametrize(
    ("end", "continuation", "joined"),
    [
        ("f();\n", "\n  g();\n", "f();\n  g();\n"),
        ("f();\n", "\n\n  g();\n", "f();\n\n  g();\n"),
        ("f();\n  ", "\n  g();\n", "f();\n  g();\n"),
        ("f();\n", "g();\n", "f();\ng();\n"),
        ("f();", "\ng();\n", "f();\ng();\n"),
    ],
)
def test_white_space_the_model_did_not_see_is_not_doubled(end: str, continuation: str, joined: str, size: int) -> None:
    assert join(OPEN + end, continuation, size) == OPEN + joined


@SIZES
@pytest.mark.parametrize("end", ["", "\n"])
def test_the_line_break_after_a_reopened_tag_is_there_once(end: str, size: int) -> None:
    assert join(OPEN.rstrip() + end, OPEN + BODY, size) == OPEN + BODY
    assert join(f"{OPEN}<div>", f"{OPEN}<div>\n</div>", size) == f"{OPEN}<div>\n</div>"


@SIZES
def test_thinking_after_the_cut_does_not_hide_the_repetition(size: int) -> None:
    partial = f"<think>a</think>{PARTIAL}<think>was I done?</think>"
    assert join(partial, f"export const answer = 42;\nexport const quest{REST}", size) == partial + REST


@SIZES
def test_a_file_written_anew_and_differently_stands_as_a_second_element(size: int) -> None:
    anew = 'import { b } from "./b";\n\nexport const answer = 43;\n</scalix-write>'
    assert join(PARTIAL, OPEN + anew, size) == f"{PARTIAL}\n</scalix-write>\n{OPEN}{anew}"


@SIZES
def test_a_long_file_written_anew_is_recognised_beyond_the_limit_of_the_tail(size: int) -> None:
    partial = OPEN + "".join(f"export const value{number} = {number};\n" for number in range(200))
    assert join(partial, f"{partial}// end\n</scalix-write>", size) == f"{partial}// end\n</scalix-write>"


@given(st.text("ab \n<`", max_size=40), st.text("ab \n<`", max_size=40), st.integers(1, 5))
def test_the_result_does_not_depend_on_how_the_continuation_is_cut(body: str, rest: str, size: int) -> None:
    for partial in (OPEN + body, body):
        assert join(partial, rest, size) == join(partial, rest)
        assert join(partial, OPEN + rest, size) == join(partial, OPEN + rest)


@given(st.text(min_size=1, max_size=60).filter(lambda text: not text.isspace()))
def test_deltas_pass_at_once_when_the_start_is_decided(later: str) -> None:
    trimmer = OverlapTrimmer(PARTIAL)
    assert trimmer.feed('ion = "why";') == 'ion = "why";'
    assert trimmer.feed(later) == later
    assert trimmer.finish() == ""


def test_the_request_says_what_happened() -> None:
    assert "did not finish completely" in CONTINUE_PROMPT
    assert "did not finish completely" in GO_ON_PROMPT
    assert "file" not in GO_ON_PROMPT
