"""README and docs as tests read them: fenced blocks, commands, links, headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CLIENT_README: Final = ROOT / "protocol" / "typescript" / "README.md"
PAGES: Final = (ROOT / "README.md", CLIENT_README, *sorted((ROOT / "docs").glob("*.md")))


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks, without the indentation of a list they stand in."""
    found = []
    for match in re.finditer(
        r"^( *)```(\w*)\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        indent, language, text = match.groups()
        found.append(Block(page, language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)))
    return found


def commands(block: Block) -> list[str]:
    """The commands of a ``console`` block: what follows ``$``, continued lines joined, comments left out."""
    joined = block.text.replace("\\\n", " ")
    lines = [line[2:] for line in joined.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+# .*$", "", line).strip() for line in lines]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^( *)```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names that links to headings of the page use."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
