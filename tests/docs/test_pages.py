"""What README and docs say is so: links lead somewhere, messages follow the contract, sentences are the program's."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from protocol.errors import ErrorCode
from protocol.methods import Direction, methods
from sidecar.chat.text.patches import Patch
from tests.docs.pages import PAGES, ROOT, Block, anchors, blocks, prose
from tests.renderer import apply_patch

SCHEMA = ROOT / "protocol" / "schema"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
CLIENT = ROOT / "protocol" / "typescript" / "src"
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())

CHECKED = {
    "console": "tests/docs/test_commands.py runs it",
    "ts": "protocol/typescript/test/docs.test.ts compiles it",
    "ndjson": "below",
    "yaml": "below",
    "": "a drawing",
}


@every_page
def test_every_block_is_of_a_kind_that_is_checked(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= CHECKED.keys()


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place), target


@every_page
def test_every_variable_is_one_that_the_program_reads(page: Path) -> None:
    readers = (*_sources(), *(CLIENT.parent / "test").glob("*.ts"))
    source = "".join(path.read_text(encoding="utf-8") for path in readers)
    named = set(re.findall(r"\bSCALIX_[A-Z0-9_]+\b", page.read_text(encoding="utf-8"))) - {"SCALIX_ATTACHMENT_0"}
    assert {name for name in named if name not in source} == set()


# --- messages --------------------------------------------------------------------------------------------------------


@cache
def _validator(file: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMA / file).read_text(encoding="utf-8")))


def _file(method: str, part: str) -> str:
    name = method.replace(":", ".").replace("$/", "")
    for direction in Direction:
        if method in {known.name for known in methods(direction)}:
            return f"{direction}/{name}{'' if 'notification' in direction else f'.{part}'}.json"
    raise AssertionError(f"the contract has no {method}")


def _messages(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == language]


@pytest.mark.parametrize("block", _messages("ndjson"), ids=lambda block: block.page.name)
def test_every_message_is_as_the_contract_has_it(block: Block) -> None:
    asked: dict[Any, str] = {}
    answered = set()
    for line in block.text.splitlines():
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        if "method" in message:
            _validator(_file(message["method"], "params")).validate(message.get("params", {}))
            if "id" in message:
                asked[message["id"]] = message["method"]
            continue
        answered.add(message["id"])
        if "error" in message:
            _validator("error-data.json").validate(message["error"]["data"])
        else:
            _validator(_file(asked[message["id"]], "result")).validate(message["result"])
    assert answered == asked.keys()


def test_the_patches_of_the_conversation_fit_each_other() -> None:
    text = ""
    for block in _messages("ndjson"):
        for line in block.text.splitlines():
            if patch := json.loads(line).get("params", {}).get("streamingPatch"):
                text = apply_patch(text, Patch(patch["offset"], patch["content"], patch.get("prefixHash")))
    assert text == "Hello"


@pytest.mark.parametrize("block", _messages("yaml"), ids=lambda block: block.page.name)
def test_every_yaml_block_is_yaml(block: Block) -> None:
    assert yaml.safe_load(block.text)


# --- troubleshooting -------------------------------------------------------------------------------------------------


def _section(code: str) -> str:
    page = TROUBLESHOOTING.read_text(encoding="utf-8")
    match = re.search(rf"^### {code}\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    assert match is not None, f"{code} has no entry in docs/troubleshooting.md"
    return match[1]


@pytest.mark.parametrize("code", [str(code) for code in ErrorCode])
def test_every_code_says_what_is_seen_why_and_what_to_do(code: str) -> None:
    seen, *why = [line for line in _section(code).splitlines() if line]
    assert "“" in seen or "The provider's sentence" in seen
    assert len(" ".join(why)) > 60


def test_every_error_of_the_client_has_its_entry() -> None:
    errors = (CLIENT / "errors.ts").read_text(encoding="utf-8")
    for code in set(re.findall(r'readonly code = "(\w+)"', errors)):
        assert _section(code)
    reasons = re.search(r"type StartFailure = ([^;]+);", errors)
    assert reasons is not None
    for reason in re.findall(r'"([\w-]+)"', reasons[1]):
        assert f"| `{reason}` |" in _section("START_FAILED")


@cache
def _sources() -> tuple[Path, ...]:
    python = [path for folder in ("sidecar", "protocol", "scripts") for path in (ROOT / folder).rglob("*.py")]
    return (*python, *CLIENT.rglob("*.ts"), ROOT / "pyinstaller.spec")


@cache
def _said() -> str:
    """Every text the program may say; neighbouring pieces of one text joined, what is filled in left out."""
    found = []
    for path in _sources():
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            strings = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant | ast.JoinedStr))
            found += [_text(node) for node in strings]
        elif path.suffix == ".ts":
            found.append(re.sub(r'"\s*\+\s*"', "", text))
    return "\n".join(found)


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(part.value if isinstance(part, ast.Constant) else "\n" for part in node.values)


def _quotes() -> list[str]:
    return re.findall(r"“([^”]{3,})”", TROUBLESHOOTING.read_text(encoding="utf-8"))


@pytest.mark.parametrize("sentence", _quotes())
def test_every_sentence_in_quotation_marks_is_one_the_program_says(sentence: str) -> None:
    pieces = [piece.strip() for piece in sentence.split("…")]
    assert [piece for piece in pieces if piece not in _said()] == []
