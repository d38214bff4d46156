"""``.gitignore`` as git reads it. The table's answers are those of ``git check-ignore``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sidecar.chat.context.ignore import IgnoreRules
from sidecar.chat.context.notes import Notes


def rules(text: str, folder: str = "", parent: IgnoreRules | None = None) -> IgnoreRules:
    return IgnoreRules(folder, text, parent, Notes())


FILES = ["a.log", "keep.log", "src/x.md", "src/y.ts", "foo/z.ts", "sub/foo", "dir/one.ts", "dir/keep/two.ts", "a/k.ts"]
CASES = [
    "*.log\n!keep.log\n",
    "*\n!*/\n!*.ts\n",
    "foo/\n",
    "/foo\n",
    "dir/*\n!dir/keep/\n",
    "dir/\n!dir/keep/\n",
    "a/**\n!a/k.ts\n",
    "**/keep\n",
    "# comment\n\\#x\n\nsrc/*.md  \n",
    "sub/foo\r\n",
    "\ufefffoo\n",
    "foo\n!foo/\n",
]


def kept(text: str) -> set[str]:
    found = rules(text)
    result = set()
    for file in FILES:
        folders = file.split("/")[:-1]
        above = ["/".join(folders[: depth + 1]) for depth in range(len(folders))]
        if not any(found.ignored(folder, True) for folder in above) and not found.ignored(file, False):
            result.add(file)
    return result


@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git itself")
@pytest.mark.parametrize("text", CASES)
def test_git_agrees(text: str, tmp_path: Path) -> None:
    for file in FILES:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / ".gitignore").write_text(text, newline="")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    command = ["git", "-C", str(tmp_path), "ls-files", "-o", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert kept(text) == set(listed) - {".gitignore"}


def test_a_nested_file_overrules_the_one_above_and_speaks_only_of_its_folder() -> None:
    root = rules("*.tmp\n")
    nested = rules("!keep.tmp\n/local\n", "src/", root)
    assert root.ignored("keep.tmp", False)
    assert not nested.ignored("src/keep.tmp", False)
    assert nested.ignored("src/other.tmp", False)
    assert nested.ignored("src/local", True)
    assert not nested.ignored("src/deep/local", True)


def test_a_line_that_cannot_be_read_or_is_too_slow_is_told_and_the_rest_counts() -> None:
    notes = Notes()
    found = IgnoreRules("", "foo\\\n*a*a*a*a*a*a*b\n*.log\n", None, notes)
    assert found.ignored("x.log", False)
    assert not found.ignored("a" * 60, False)
    assert len(notes.sentences()) == 2 and all(".gitignore" in sentence for sentence in notes.sentences())
