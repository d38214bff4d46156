"""The user's choice of files, stored as JSON in ``apps.chat_context`` (app contract 11.4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

MAX_PATTERNS: Final = 1000


class ContextRule(msgspec.Struct, frozen=True):
    """Globs relative to the app's folder; all empty means every file.

    ``exact_paths`` are relative paths taken literally (a selected component: its name may hold glob characters, as in
    Next.js's ``app/[id]/page.tsx``); like ``context_paths`` they narrow the choice. ``warnings`` say what of a stored
    rule could not be used.
    """

    context_paths: tuple[str, ...] = ()
    auto_includes: tuple[str, ...] = ()
    exclude_paths: tuple[str, ...] = ()
    exact_paths: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def only(cls, paths: Iterable[str]) -> ContextRule:
        """Just these files (app contract 7.8, point 2: selected components)."""
        return cls(exact_paths=tuple(dict.fromkeys(paths)))


class _Glob(msgspec.Struct, rename="camel"):
    glob_path: str


class _Stored(msgspec.Struct, rename="camel"):
    context_paths: list[_Glob]
    smart_context_auto_includes: list[_Glob]
    exclude_paths: list[_Glob] = []


def parse_context_rule(stored: str | bytes | None) -> ContextRule:
    """The rule in ``stored``. NULL means all empty; so does an invalid one, with a warning."""
    if stored is None:
        return ContextRule()
    try:
        rule = msgspec.json.decode(stored, type=_Stored)
    except (msgspec.DecodeError, UnicodeError):
        rule = None
    if rule is None or max(map(len, (rule.context_paths, rule.smart_context_auto_includes, rule.exclude_paths))) > (
        MAX_PATTERNS
    ):
        return ContextRule(
            warnings=(
                "The app's context settings could not be read, so all of its files are used. Set them again to"
                " include or exclude files.",
            )
        )
    return ContextRule(
        context_paths=tuple(glob.glob_path for glob in rule.context_paths),
        auto_includes=tuple(glob.glob_path for glob in rule.smart_context_auto_includes),
        exclude_paths=tuple(glob.glob_path for glob in rule.exclude_paths),
    )
