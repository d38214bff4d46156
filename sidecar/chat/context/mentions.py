"""``@app:<name>``: other apps whose files the model may read (app contract 12)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol, TypeVar

_MENTION = re.compile(r"@app:([A-Za-z0-9_.-]+)")


class NamedApp(Protocol):
    """A row of ``apps``, as far as it matters here."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...


AppT = TypeVar("AppT", bound=NamedApp)


def mentioned_apps(prompt: str, apps: Iterable[AppT], *, current_app_id: int) -> list[AppT]:
    """The apps that ``prompt`` mentions, in the order of ``apps``, without the current one; case makes no difference.

    A name may hold dots, but a dot may as well end the sentence (upstream lessons 8): the longest reading that some
    app has wins, so ``@app:shop.`` and ``@app:shop.v2`` find ``shop`` and ``shop.v2``.
    """
    known = list(apps)
    names = {app.name.lower() for app in known}
    meant = {
        name
        for written in _MENTION.findall(prompt)
        if (name := next((reading for reading in _readings(written.lower()) if reading in names), None)) is not None
    }
    return [app for app in known if app.name.lower() in meant and app.id != current_app_id]


def _readings(written: str) -> list[str]:
    """``a.b.`` as ``a.b.``, ``a.b`` and ``a``, the longest first."""
    readings = [written]
    while "." in written:
        written = written.rpartition(".")[0]
        readings.append(written)
    return readings


def referenced_app_section(name: str, text: str) -> str:
    """One app's part of the referenced-apps message."""
    return f"\n\n=== Referenced App: {name} ===\n{text}"
