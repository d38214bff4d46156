"""The commands for people. ``serve``, which speaks the protocol, never comes here (``sidecar.__main__``)."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import anyio
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

UserData = Annotated[
    Path | None, typer.Option("--user-data", file_okay=False, help="Folder of sqlite.db and user-settings.json.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Need(Enum):
    """What ``models recommend`` may be asked for; the wire passes over words it does not know."""

    VISION = "vision"
    REASONING = "reasoning"
    LONG_CONTEXT = "long-context"


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


def _something(prompt: str) -> str:
    if not prompt.strip():
        raise typer.BadParameter("the prompt is empty")
    return prompt


def _reference(model: str | None) -> str | None:
    provider, _, name = (model or "auto").partition("/")
    if provider != "auto" and not (provider and name):
        raise typer.BadParameter(f"{model!r} is not of the form provider/name; `scalix-sidecar models` lists them")
    return model


@app.command()
def chat(
    prompt: Annotated[str, typer.Argument(callback=_something, help="What to ask.")],
    model: Annotated[str | None, typer.Option(callback=_reference, help="provider/name; `auto` picks one.")] = None,
    chat_id: Annotated[
        int | None, typer.Option("--chat", help="Go on in this chat of the app; both messages are kept there.")
    ] = None,
    user_data: UserData = None,
    as_json: AsJson = False,
) -> int:
    """Stream one answer. Ctrl-C stops it; what came so far stays."""
    from sidecar.commands.chat import chat as stream

    async def ask() -> int:
        return await stream(prompt, model, chat_id=chat_id, user_data=user_data, as_json=as_json)

    return anyio.run(ask)


models = typer.Typer(help="List the models, or recommend one.", invoke_without_command=True)
app.add_typer(models, name="models")


@models.callback()
def _models(
    context: typer.Context,
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    user_data: UserData = None,
    as_json: AsJson = False,
) -> int:
    """List the models, built-in and custom; `models recommend` says which is best."""
    from sidecar.commands.models import list_models

    if context.invoked_subcommand is not None:
        return 0
    return anyio.run(list_models, provider, user_data, as_json)


@models.command()
def recommend(
    prompt: Annotated[str | None, typer.Option(help="What will be asked.")] = None,
    chat_id: Annotated[int | None, typer.Option("--chat", help="In which chat of the app.")] = None,
    needs: Annotated[list[Need] | None, typer.Option("--need", help="What it must be able to do; repeatable.")] = None,
    user_data: UserData = None,
    as_json: AsJson = False,
) -> int:
    """Say which model is best, by what was measured here, and why."""
    from sidecar.commands.models import recommend as advise

    params = {"prompt": prompt, "chatId": chat_id, "needs": [need.value for need in needs or ()] or None}
    given = {name: value for name, value in params.items() if value is not None}
    return anyio.run(advise, given, user_data, as_json)


@app.command()
def report(
    since: Annotated[str | None, typer.Option(help="A date, a time, or an age: 2026-01-31, 48h, 7d, 4w.")] = None,
    until: Annotated[str | None, typer.Option(help="As --since; now by default.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one self-contained page with plots.")] = None,
    user_data: UserData = None,
    as_json: AsJson = False,
) -> int:
    """Say what was asked, what it cost, how long it took and who stood in for whom."""
    from sidecar.commands.report import report as tell

    async def ask() -> int:
        return await tell(since=since, until=until, html=html, user_data=user_data, as_json=as_json)

    return anyio.run(ask)


@app.command()
def doctor(user_data: UserData = None, as_json: AsJson = False) -> int:
    """Say whether a chat could work here, and what to do if not. Exit code 1 if it could not."""
    from sidecar.commands.doctor import doctor as examine

    return anyio.run(examine, user_data, as_json)


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
