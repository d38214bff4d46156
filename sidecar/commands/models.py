"""``scalix-sidecar models`` and ``models recommend``: what there is, and what is best."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from sidecar.commands.local import CommandFailed, Json, local_sidecar

SHOWN: Final = 8
"""Candidates in the terminal."""


async def list_models(provider: str | None, user_data: Path | None, as_json: bool) -> int:
    """Print the models of every cloud and custom provider, or of one. Returns 0, or 1 for one that is not there."""
    async with local_sidecar(user_data) as sidecar:
        found: dict[str, list[Json]] = await sidecar.request("get-language-models-by-providers")
    if provider is not None:
        if provider not in found:
            sys.stderr.write(f'Provider with ID "{provider}" not found. There are: {", ".join(found)}\n')
            return 1
        found = {provider: found[provider]}
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return 0
    from rich.markup import escape
    from rich.table import Table

    from sidecar.commands.terminal import terminal

    table = Table("model", "name", "context", "max output")
    for name, entries in found.items():
        for entry in entries:
            limits = (entry.get("contextWindow"), entry.get("maxOutputTokens"))
            cells = [f"{limit:,}" if limit else "" for limit in limits]
            table.add_row(escape(f"{name}/{entry['apiName']}"), escape(entry["displayName"]), *cells)
    terminal().print(table)
    return 0


async def recommend(params: dict[str, Any], user_data: Path | None, as_json: bool) -> int:
    """Print the answer to ``models:recommend``. Returns 0, or 1 when no model can be recommended."""
    async with local_sidecar(user_data) as sidecar:
        try:
            advice: Json = await sidecar.request("models:recommend", params)
        except CommandFailed as error:
            sys.stderr.write(f"{error.message}\n")
            return 1
    if as_json:
        sys.stdout.write(msgspec.json.encode(advice).decode() + "\n")
    else:
        _print(advice)
    return 0 if advice["model_selection"]["recommended"] else 1


def _print(advice: Json) -> None:
    from rich.markup import escape
    from rich.table import Table

    from sidecar.commands.terminal import terminal

    console = terminal()
    selection = advice["model_selection"]
    if selection["recommended"] is not None:
        console.print(f"[bold]{escape(selection['recommended'])}[/bold]")
    console.print(escape(selection["reason"]))
    if not advice["candidates"]:
        return
    table = Table("", "model", "score", "why", box=None, header_style="dim", padding=(1, 2, 0, 0))
    table.columns[1].overflow = "fold"
    for number, each in enumerate(advice["candidates"][:SHOWN], 1):
        name = escape(f"{each['provider']}/{each['name']}")
        table.add_row(str(number), name, f"{each['score']:.3f}", f"[dim]{escape(', '.join(each['why']))}[/dim]")
    console.print(table)
    if (more := len(advice["candidates"]) - SHOWN) > 0:
        console.print(f"\n[dim]and {more} more: --json has them all[/dim]")
