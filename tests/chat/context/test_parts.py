"""Mentions, components, rules file, tokens, joining."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.chat import SelectedComponent
from sidecar.chat.context import (
    AiRules,
    FileCache,
    check_components,
    component_text,
    mentioned_apps,
    read_ai_rules,
    read_snippets,
    referenced_app_section,
)
from sidecar.chat.context.components import NOT_AVAILABLE, snippet
from sidecar.chat.context.join import PLAIN_JOIN_CHARS, join, widest
from sidecar.errors import InvalidParams
from sidecar.lengths import estimate_tokens, utf16_length

pytestmark = pytest.mark.anyio


class App(msgspec.Struct, frozen=True):
    id: int
    name: str


APPS = [
    App(1, "Shop"),
    App(2, "shop"),
    App(3, "site.v2"),
    App(4, "blog"),
    App(5, "site"),
    App(6, "my-app_2"),
    App(7, "über"),
]


@pytest.mark.parametrize(
    ("prompt", "ids"),
    [
        ("@app:SHOP", [1, 2]),
        ("@app:blog @app:shop @app:blog", [1, 2, 4]),
        ("like @app:site.v2.", [3]),
        ("like @app:site. And", [5]),
        ("like @app:site.v3", [5]),
        ("@app:current @app:nobody", []),
        ("see @app:my-app_2! @app:blogger", [6]),
        ("@App:shop @app: blog @app:über", []),
    ],
)
def test_mentioned_apps_are_found_whatever_their_case(prompt: str, ids: list[int]) -> None:
    assert [app.id for app in mentioned_apps(prompt, [*APPS, App(9, "current")], current_app_id=9)] == ids


def test_a_referenced_app_has_a_heading() -> None:
    assert referenced_app_section("Shop", "TEXT") == "\n\n=== Referenced App: Shop ===\nTEXT"


# --- components ------------------------------------------------------------------------------------------------------

SOURCE = "l1\nl2\nl3\nl4\n\nl6\nl7\nl8"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (1, "l1 // <-- EDIT HERE\nl2\nl3\nl4"),
        (3, "l2\nl3 // <-- EDIT HERE\nl4\n\nl6"),
        (5, "l4\n\nl6\nl7\nl8"),
        (8, "l7\nl8 // <-- EDIT HERE"),
        (9, NOT_AVAILABLE),
        (0, NOT_AVAILABLE),
        (-3, NOT_AVAILABLE),
    ],
)
def test_a_snippet_is_one_line_before_and_three_after(line: int, expected: str) -> None:
    assert snippet(SOURCE, line) == expected
    assert snippet(SOURCE.replace("\n", "\r\n"), line) == expected


async def test_snippets_come_from_inside_of_the_app_only(tmp_path: Path) -> None:
    app = tmp_path / "app"
    (app / "src").mkdir(parents=True)
    (tmp_path / "secret.ts").write_text("SECRET")
    (app / "src/a.tsx").write_text("x")
    (app / "out.tsx").symlink_to(tmp_path / "secret.ts")
    (app / ".env").write_text("SECRET")
    names = ["src/a.tsx", "out.tsx", ".env", "missing.tsx", "src"]
    components = [SelectedComponent(name="C", relative_path=name, line_number=1) for name in names]
    assert await read_snippets(app, components, cache=FileCache()) == ["x // <-- EDIT HERE", *[NOT_AVAILABLE] * 4]


def test_a_component_is_described_after_the_prompt() -> None:
    component = SelectedComponent(name="Button", relative_path="src/a.tsx", line_number=1)
    assert component_text(component, "x") == (
        "\n\nSelected component: Button (file: src/a.tsx)\n\nSnippet:\n```\nx\n```\n"
    )


@pytest.mark.parametrize(
    ("components", "path"),
    [
        ([SelectedComponent(name="n", relative_path="a", line_number=1)] * 257, "selectedComponents"),
        ([SelectedComponent(name="n" * 4097, relative_path="a", line_number=1)], "selectedComponents[0].name"),
        ([SelectedComponent(name="n", relative_path="../a", line_number=1)], "selectedComponents[0].relativePath"),
        ([SelectedComponent(name="n", relative_path="C:\\a", line_number=1)], "selectedComponents[0].relativePath"),
    ],
)
def test_bad_components_are_refused_with_the_field(components: list[SelectedComponent], path: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        check_components(components)
    assert caught.value.path == path


def test_good_components_give_their_paths() -> None:
    component = SelectedComponent(name="n", relative_path="src\\a.tsx", line_number=1)
    assert check_components([component] * 256) == ("src/a.tsx",) * 256


# --- AI_RULES.md -----------------------------------------------------------------------------------------------------


async def test_the_rules_file_is_read_as_it_is(tmp_path: Path) -> None:
    cache = FileCache()
    assert await read_ai_rules(tmp_path, cache=cache) == AiRules(None)
    (tmp_path / "AI_RULES.md").write_text("Use $& and $1.\n")
    assert (await read_ai_rules(tmp_path, cache=cache)).text == "Use $& and $1.\n"


async def test_a_bad_rules_file_is_told(tmp_path: Path) -> None:
    cache = FileCache()
    rules = tmp_path / "AI_RULES.md"
    rules.write_bytes(b"caf\xe9")
    found = await read_ai_rules(tmp_path, cache=cache)
    assert found.text == "caf\ufffd" and "UTF-8" in found.warnings[0]
    rules.write_bytes(b"x" * 1_024_001)
    found = await read_ai_rules(tmp_path, cache=cache)
    assert found.text is None and "1,024,000" in found.warnings[0]
    rules.unlink()
    rules.mkdir()
    found = await read_ai_rules(tmp_path, cache=cache)
    assert found.text is None and len(found.warnings) == 1
    rules.rmdir()
    rules.symlink_to("/etc/passwd")
    found = await read_ai_rules(tmp_path, cache=cache)
    assert found.text is None and "link" in found.warnings[0]


# --- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("😀😀", 1), ("é😀😀", 2)])
def test_four_utf16_units_are_a_token(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_a_long_text_is_counted_in_slices() -> None:
    assert utf16_length("a😀" * 400_000) == 1_200_000


# --- joining ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", ["", "é", "→", "😀"])
def test_a_large_join_is_the_same_text(extra: str) -> None:
    parts = ["x" * 300_001] * 7 + [extra, "end"]
    assert sum(map(len, parts)) > PLAIN_JOIN_CHARS
    joined = join(parts, max(map(widest, parts)))
    assert joined == "".join(parts) and hash(joined) == hash("".join(parts))


@given(st.text(max_size=20))
def test_the_class_of_a_text_is_that_of_its_largest_character(text: str) -> None:
    largest = max(map(ord, text), default=0)
    assert widest(text) == next(limit for limit in (0x7F, 0xFF, 0xFFFF, 0x10FFFF) if largest <= limit)
