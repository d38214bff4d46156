"""Entry point of the console script and of the frozen binary.

Speaking the protocol, the host's descriptors are claimed before anything else is imported, so that nothing printed at
import time can reach the host. Commands for people (``chat``, ``doctor``, ``replay`` ...) keep the terminal.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run; returns the exit code of the process."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] == "serve":
        return _serve(arguments[1:])
    if not arguments or (arguments[0].startswith("--") and arguments[0] not in _FOR_PEOPLE):
        if arguments or not os.isatty(0):
            return _serve(arguments)
        arguments = ["--help"]
    from sidecar.cli import run

    return run(arguments)


_FOR_PEOPLE = {"--help", "--version"}


def _serve(arguments: list[str]) -> int:
    from sidecar.transport.descriptors import claim_stdio

    parent = os.getppid()
    descriptors = claim_stdio()
    from sidecar.server import serve_stdio

    code = serve_stdio(descriptors, arguments)
    # Library threads (a blocked reader of stdin, litellm's) must not delay or abort the exit.
    sys.stderr.flush()
    from sidecar.unpacked import remove_if_orphaned

    remove_if_orphaned(parent)
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
