"""``scalix-sidecar serve``: options, logging, and the event loop around one host."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sidecar.transport.descriptors import ClaimedDescriptors
from sidecar.transport.framing import MAX_LINE_BYTES

if TYPE_CHECKING:
    import argparse

THREAD_SWITCH_S = 0.001
"""How long another thread may go on computing while the event loop wants the interpreter. CPython's 5 ms are for equal
threads; here one talks to the host, and the others read files and rows for it."""

CANNOT_START = 2
"""Exit code for options that cannot be followed; argparse's own."""


class Options(NamedTuple):
    """What ``serve`` can be told."""

    user_data: Path | None = None
    record: Path | None = None
    max_line_bytes: int = MAX_LINE_BYTES


def serve_stdio(descriptors: ClaimedDescriptors, arguments: list[str]) -> int:
    """Speak the protocol over the claimed descriptors until the host is gone. Returns the exit code."""
    options = _options(arguments)
    from sidecar.observability import configure_logging

    configure_logging(os.environ)
    sys.setswitchinterval(THREAD_SWITCH_S)

    import anyio

    return anyio.run(_serve, descriptors, options)


async def _serve(descriptors: ClaimedDescriptors, options: Options) -> int:
    from sidecar.app import Application
    from sidecar.lifecycle import serve, wait_for_parent_to_vanish, wait_for_signal
    from sidecar.transport.base import Transport
    from sidecar.transport.stdio import StdioTransport

    transport: Transport = StdioTransport(descriptors.stdin, descriptors.stdout)
    if options.record is not None:
        from sidecar.replay.recorded import RecordedLines
        from sidecar.transport.recorder import RecordingTransport

        try:
            transport = RecordingTransport(transport, options.record, RecordedLines())
        except OSError as error:
            sys.stderr.write(f"scalix-sidecar serve: cannot record to {options.record}: {error.strerror}\n")
            return CANNOT_START
    application = Application(transport, os.environ, user_data=options.user_data, on_loaded=_spare_the_loaded)
    return await serve(
        transport,
        application,
        max_line_bytes=options.max_line_bytes,
        endings=(
            lambda: wait_for_parent_to_vanish(lambda: application.host_process_id),
            wait_for_signal,
        ),
    )


def _spare_the_loaded() -> None:
    """What the start has loaded is no garbage: nobody gets a word while the collector looks through it for some."""
    gc.freeze()


def _options(arguments: list[str]) -> Options:
    """Ends the process (code ``CANNOT_START``) with a sentence when they cannot be followed."""
    match arguments:  # what hosts say: argparse is 6 ms, and 0.3 MB that stay
        case []:
            return Options()
        case ["--user-data", folder] if not folder.startswith("-") and not Path(folder).is_file():
            return Options(Path(folder))
    return Options(**vars(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(prog="scalix-sidecar serve", description="Speak JSON-RPC over stdin and stdout.")
    parser.add_argument("--user-data", type=_folder, metavar="DIR", help="folder of sqlite.db and user-settings.json")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write every frame, secrets redacted, for replay")
    parser.add_argument(
        "--max-line-bytes", type=_positive, default=MAX_LINE_BYTES, metavar="N", help="longest line accepted"
    )
    # argparse prints to stdout, which the protocol owns: help and errors go to stderr.
    parser.print_help = lambda file=None: argparse.ArgumentParser.print_help(parser, file or sys.stderr)  # type: ignore[method-assign]
    return parser


def _folder(text: str) -> Path:
    """One that is not there yet is the app's to make."""
    from argparse import ArgumentTypeError

    if Path(text).is_file():
        raise ArgumentTypeError(f"{text} is a file, and must be a folder")
    return Path(text)


def _positive(text: str) -> int:
    from argparse import ArgumentTypeError

    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise ArgumentTypeError("must be a whole number, at least 1")
    return value
