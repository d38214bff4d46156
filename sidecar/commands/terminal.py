"""Where the commands for people print."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def terminal(*, width: int | None = None) -> Console:
    """A console that shows what it is given: no colours by guess, and ``:1234:`` is no emoji. ``[bold]`` is markup."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, width=width)
