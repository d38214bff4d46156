"""The commands for people. ``serve``, which speaks the protocol, never comes here (``sidecar.__main__``)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import anyio
import msgspec
import typer
from typer.exceptions import TyperException

from sidecar import __version__
from sidecar.build_info import build_id

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The language-model process of Scalix. With stdin not a terminal, or as `serve`, it speaks JSON-RPC.",
)

UserData = Annotated[Path | None, typer.Option("--user-data", help="Folder of sqlite.db and user-settings.json.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    from sidecar.observability import configure_logging

    configure_logging({"SCALIX_LOG_LEVEL": "error"})
    try:
        result: Any = app(arguments, prog_name="scalix-sidecar", standalone_mode=False)
    except typer.Exit as exit_:
        return exit_.exit_code
    except KeyboardInterrupt:
        return 130
    except TyperException as error:
        return _told(error)
    return result if isinstance(result, int) else 0


def _told(error: TyperException) -> int:
    """Say what is wrong with a call, with its usage where the error knows it; returns the exit code."""
    show: Any = getattr(error, "show", None)
    if show is None:
        sys.stderr.write(f"{error.format_message()}\n")
    else:
        show()
    return error.exit_code


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        sys.stdout.write(f"scalix-sidecar {__version__} ({build_id()})\n")
        raise typer.Exit


@app.command()
def serve() -> None:
    """Speak the protocol on stdin and stdout (options: --user-data, --record, --max-line-bytes)."""


@app.command()
def chat(
    prompt: Annotated[str, typer.Argument(help="What to ask.")],
    model: Annotated[str, typer.Option(help="provider/name; `auto` picks one.")] = "auto/auto",
    user_data: UserData = None,
    as_json: AsJson = False,
) -> int:
    """Stream one answer."""
    from sidecar.commands.chat import chat as stream

    provider, _, name = model.partition("/")
    reference = {"provider": provider, "name": name or "auto"}

    async def ask() -> int:
        return await stream(prompt, reference, user_data=user_data, as_json=as_json)

    return anyio.run(ask)


@app.command()
def models(
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    user_data: UserData = None,
    as_json: AsJson = False,
) -> int:
    """List the models, built-in and custom."""
    from sidecar.commands.local import local_sidecar

    async def ask() -> dict[str, list[dict[str, Any]]]:
        async with local_sidecar(user_data) as sidecar:
            found: dict[str, list[dict[str, Any]]] = await sidecar.request("get-language-models-by-providers")
            return found

    found = anyio.run(ask)
    if provider is not None:
        if provider not in found:
            sys.stderr.write(f'Provider with ID "{provider}" not found. There are: {", ".join(found)}\n')
            return 1
        found = {provider: found[provider]}
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "name", "context", "max output")
    for name, entries in found.items():
        for entry in entries:
            limits = (entry.get("contextWindow"), entry.get("maxOutputTokens"))
            cells = [f"{limit:,}" if limit else "" for limit in limits]
            table.add_row(f"{name}/{entry['apiName']}", entry["displayName"], *cells)
    Console().print(table)
    return 0


@app.command()
def doctor(user_data: UserData = None, as_json: AsJson = False) -> int:
    """Say whether a chat could work here, and what to do if not. Exit code 1 if it could not."""
    from sidecar.commands.doctor import diagnose

    found = anyio.run(diagnose, user_data)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return 0 if found.chat_could_work else 1
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    console.print(f"scalix-sidecar {found.version} ({found.build})")
    console.print(f"user data   {found.user_data}")
    database = found.database
    state = f"schema {database['schemaVersion']}" if database["exists"] else "missing"
    console.print(f"database    {database['path']}: {state}, {'writable' if database['writable'] else 'not writable'}")
    console.print(f"keys        {', '.join(f'{name} ({source})' for name, source in found.keys.items()) or 'none'}")
    console.print(f"TLS         {found.tls}")
    console.print(f"litellm     {found.litellm['version'] or 'not installed'}")
    for each in found.providers:
        mark = "reachable" if each.reachable else "not reachable"
        took = "" if each.ms is None else f", {each.ms:.0f} ms"
        console.print(f"{each.provider:11} {each.address or 'not asked'}: {mark}{took}", end="")
        console.print(f" ({escape(each.message)})" if each.message else "")
    for warning in found.settings_warnings:
        console.print(f"settings    {warning}")
    for advice in found.advice:
        console.print(f"[bold]→ {advice}[/bold]")
    return 0 if found.chat_could_work else 1


@app.command()
def replay(
    paths: Annotated[list[Path], typer.Argument(help="Sessions, folders of them, or files of `serve --record`.")],
    sidecar: Annotated[str | None, typer.Option(help="Command of the sidecar to test; this one by default.")] = None,
    as_json: AsJson = False,
) -> int:
    """Play sessions back and show the first difference. Exit code 1 if there is one, 2 if they cannot be played."""
    from sidecar.commands.replay import replay as play_back

    async def play() -> int:
        return await play_back(paths, sidecar=sidecar, json_output=as_json)

    return anyio.run(play)
