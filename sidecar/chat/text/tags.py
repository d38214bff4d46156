"""Reading and stripping the answer's elements (app contract 6 and 7.15). All linear in the text, whatever it holds.

The app reads tags with expressions that backtrack; here each search goes forward only. A text is expected to be
cleaned (``cleaning.clean_full_response``), so that a tag ends at its first ``>``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

# What JavaScript's trim removes; Python's strip removes another set.
_JS_SPACE = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))

# Looking behind and possessive, so that a long word is read once.
_ATTRIBUTE = re.compile(r'(?<![\w-])([\w-]++)="([^"]+)"')
_ADD_DEPENDENCY = re.compile(r"<scalix-add-dependency\s([^<>]*)>[^<]*</scalix-add-dependency>")


class WriteTag(msgspec.Struct, frozen=True):
    """``<scalix-write path= description=>``: the whole new content of a file, without a fence around it."""

    path: str
    content: str
    description: str | None = None


class RenameTag(msgspec.Struct, frozen=True):
    """``<scalix-rename from= to=>``; paths use slashes."""

    from_path: str
    to_path: str


def js_trim(text: str) -> str:
    """JavaScript's ``text.trim()``."""
    return text.strip(_JS_SPACE)


# --- stripping -----------------------------------------------------------------------------------------------------


def without_thinking(text: str) -> str:
    """Without ``<think>`` blocks. One that never closes is removed to the end (the app kept it)."""
    pieces: list[str] = []
    position = 0
    while (start := text.find("<think>", position)) >= 0:
        pieces.append(text[position:start])
        end = text.find("</think>", start)
        if end < 0:
            return "".join(pieces)
        position = end + len("</think>")
    pieces.append(text[position:])
    return "".join(pieces)


def strip_thinking(text: str) -> str:
    """``without_thinking``, trimmed."""
    return js_trim(without_thinking(text))


def strip_problem_reports(text: str) -> str:
    """Without ``<scalix-problem-report>`` elements, trimmed."""
    return _without(text, "<scalix-problem-report", "</scalix-problem-report")


def strip_non_essential(text: str) -> str:
    """Without thinking and problem reports, trimmed: what a model is shown of earlier answers."""
    return strip_problem_reports(strip_thinking(text))


def strip_all_scalix_tags(text: str) -> str:
    """Without any ``<scalix-x>...</scalix-y>``, trimmed; the names need not match (ask mode)."""
    return _without(text, "<scalix-", "</scalix-")


def _without(text: str, opening: str, closing: str) -> str:
    """Remove from each opening tag to the end of the first closing one after it; then trim."""
    pieces: list[str] = []
    position = 0
    while (start := text.find(opening, position)) >= 0:
        body = text.find(">", start)
        close = text.find(closing, body + 1) if body >= 0 else -1
        end = text.find(">", close) if close >= 0 else -1
        if end < 0:
            break
        pieces.append(text[position:start])
        position = end + 1
    pieces.append(text[position:])
    return js_trim("".join(pieces))


# --- reading -------------------------------------------------------------------------------------------------------


def open_write(text: str) -> int | None:
    """Index of the last opening ``<scalix-write ...>`` when no ``</scalix-write>`` follows it, else None.

    An opening tag that is itself cut before its ``>`` is not seen (app contract 6).
    """
    start = text.rfind("<scalix-write", 0, text.rfind(">") + 1)
    if start < 0:
        return None
    return None if "</scalix-write>" in text[text.find(">", start) :] else start


def has_unclosed_write(text: str) -> bool:
    """Whether the answer stopped inside a file."""
    return open_write(text) is not None


def chat_summary(text: str) -> str | None:
    """The first ``<scalix-chat-summary>``, trimmed, over several lines if need be; None when absent or empty."""
    start = text.find("<scalix-chat-summary>")
    if start < 0:
        return None
    start += len("<scalix-chat-summary>")
    end = text.find("</scalix-chat-summary>", start)
    return js_trim(text[start:end]) or None if end >= 0 else None


def write_tags(text: str) -> list[WriteTag]:
    """The files to write, in order. Tags without a path are left out; the name is read in any case of letters."""
    tags = []
    for attributes, body in _elements(text, "scalix-write"):
        if path := attributes.get("path"):
            content = _without_fence(js_trim(body))
            tags.append(WriteTag(_slashes(path), content, attributes.get("description")))
    return tags


def rename_tags(text: str) -> list[RenameTag]:
    """The renames, in order."""
    return [
        RenameTag(_slashes(attributes["from"]), _slashes(attributes["to"]))
        for attributes, _ in _elements(text, "scalix-rename")
        if "from" in attributes and "to" in attributes
    ]


def delete_tags(text: str) -> list[str]:
    """The paths to delete, in order."""
    return [_slashes(attributes["path"]) for attributes, _ in _elements(text, "scalix-delete") if "path" in attributes]


def add_dependency_packages(text: str) -> list[str]:
    """The packages of all ``<scalix-add-dependency packages="a b">``, in order. Elements holding ``<`` do not count."""
    packages: list[str] = []
    for found in _ADD_DEPENDENCY.finditer(text):
        packages += [package for package in tag_attributes(found[1]).get("packages", "").split(" ") if package]
    return packages


def has_add_dependency(text: str) -> bool:
    """Whether the answer asks for a package; then problems cannot be checked yet (app contract 7.12)."""
    return bool(add_dependency_packages(text))


def tag_attributes(tag: str) -> dict[str, str]:
    """The non-empty ``name="value"`` pairs of one opening tag; the first of a name wins."""
    attributes: dict[str, str] = {}
    for found in _ATTRIBUTE.finditer(tag):
        attributes.setdefault(found[1], found[2])
    return attributes


def _elements(text: str, name: str) -> Iterator[tuple[dict[str, str], str]]:
    """Attributes and body of each complete element of that name, from left to right."""
    opening = re.compile(rf"<{name}(?![\w-])", re.IGNORECASE | re.ASCII)
    closing = re.compile(rf"</{name}>", re.IGNORECASE | re.ASCII)
    position = 0
    while (start := opening.search(text, position)) is not None:
        end = text.find(">", start.end())
        close = closing.search(text, end + 1) if end >= 0 else None
        if close is None:
            return
        yield tag_attributes(text[start.end() : end]), text[end + 1 : close.start()]
        position = close.end()


def _without_fence(content: str) -> str:
    """Without a first and a last line that begin with three back-ticks."""
    lines = content.split("\n")
    if lines[0].startswith("```"):
        del lines[0]
    if lines and lines[-1].startswith("```"):
        del lines[-1]
    return "\n".join(lines)


def _slashes(path: str) -> str:
    return path.replace("\\", "/")
