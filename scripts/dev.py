#!/usr/bin/env python3
"""One way to do each chore. Standard library only: it makes its own environment.

    python3 scripts/dev.py demo       see a chat stream through the sidecar, no key needed
    python3 scripts/dev.py test       lint, types, the whole suite
    python3 scripts/dev.py lint | types | format | setup | lock
    python3 scripts/dev.py bench      every figure the README quotes
    python3 scripts/dev.py freeze     the single binary
    python3 scripts/dev.py generate   JSON Schema and TypeScript from protocol/
    python3 scripts/dev.py run ...    scalix-sidecar from this checkout
    python3 scripts/dev.py proxy      the LiteLLM proxy that tests talk to, and its database; they make it themselves

Further arguments go to the command (``test tests/rpc -k batch``).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
LOCK = ROOT / "requirements-dev.lock"
STAMP = VENV / ".installed"
PROXY_VENV = ROOT / ".venv-proxy"
PROXY_LOCK = ROOT / "requirements-proxy.lock"
PROXY_DATABASE = ROOT / "tests" / "litellm_proxy" / "database"
SUPPORTED = ((3, 11), (3, 14))
CANNOT_FREEZE = 3
"""What ``scripts/freeze.py`` says where PyInstaller cannot run."""
PRODUCT = ["sidecar", "protocol"]
CODE = [*PRODUCT, "tests", "scripts"]


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    commands: dict[str, Callable[[list[str]], int]] = {
        "setup": lambda _: 0,
        "demo": lambda rest: tool("python", "scripts/demo.py", *rest),
        "test": test,
        "lint": lint,
        "types": types,
        "format": lambda rest: tool("ruff", "format", *CODE) or tool("ruff", "check", "--fix", *CODE, *rest),
        "bench": lambda rest: tool("python", "scripts/bench.py", *rest),
        "freeze": lambda rest: tool("python", "scripts/freeze.py", *rest),
        "generate": lambda rest: tool("python", "scripts/generate.py", *rest),
        "lock": lock,
        "proxy": lambda _: 0 if proxy_database() else 1,
        "run": lambda rest: tool("scalix-sidecar", *rest),
    }
    if not arguments or arguments[0] not in commands:
        sys.stdout.write(__doc__ or "")
        return 0 if arguments in (["--help"], ["-h"]) else 2
    setup()
    return commands[arguments[0]](arguments[1:])


# --- commands ----------------------------------------------------------------------------------------------------


def test(rest: list[str]) -> int:
    """Lint, types, then the suite, with the frozen binaries in it; with arguments, only what they name.

    The binaries are built when dist/ is not of these sources. Usually a few sessions are replayed on them;
    ``--frozen``: every one, and the binaries are tested whatever else is named.
    """
    whole = "--frozen" in rest
    rest = [argument for argument in rest if argument != "--frozen"]
    environment = dict(os.environ)
    if not rest:
        for step in (lint, types):
            code = step([])
            if code:
                return code
    if whole or not rest:
        heading("freeze")
        code = tool("python", "scripts/freeze.py", "--if-changed")
        if code not in (0, CANNOT_FREEZE):
            return code
        if code == 0:
            environment["SCALIX_TEST_FROZEN"] = "whole" if whole else "smoke"
    heading("tests")
    return run([str(PYTHON), "-m", "pytest", *rest], environment)


def lint(rest: list[str]) -> int:
    """ruff, formatting and the import rules."""
    heading("lint")
    return (
        tool("ruff", "check", *CODE, *rest)
        or tool("ruff", "format", "--check", *CODE)
        or tool("lint-imports", "--no-cache")
    )


def types(rest: list[str]) -> int:
    """mypy, strict."""
    heading("types")
    return tool("mypy", *rest)


def lock(_: list[str]) -> int:
    """Resolve the lock files anew: names, versions, hashes; no registry address."""
    options = [
        "--universal",
        "--generate-hashes",
        "--no-emit-index-url",
        "--no-annotate",
        "--no-header",
        "--python-version",
        "3.11",
    ]
    product = tool("uv", "pip", "compile", "-q", *options, "pyproject.toml", "-o", "requirements.lock")
    development = product or tool(
        "uv", "pip", "compile", "-q", *options, "--group", "dev", "-c", "requirements.lock", "pyproject.toml",
        "-o", LOCK.name,
    )  # fmt: skip
    return development or tool("uv", "pip", "compile", "-q", *options, "--group", "proxy", "-o", PROXY_LOCK.name)


# --- environment -------------------------------------------------------------------------------------------------


def setup() -> None:
    """Create ``.venv`` and install exactly what the lock names; a moment when nothing has changed."""
    interpreter = suitable_python()
    wanted = hashlib.sha256(
        LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + interpreter.encode()
    ).hexdigest()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        compile_checkout()
        return
    started = time.monotonic()
    heading("setting up .venv")
    STAMP.unlink(missing_ok=True)
    if not PYTHON.exists():
        if interpreter == sys.executable:
            venv.create(VENV, with_pip=True, symlinks=os.name != "nt")
        else:
            check([interpreter, "-m", "venv", str(VENV)])
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory() as folder:
        installer = Path(folder) / "uv.txt"
        installer.write_text(locked("uv"))
        check([*pip, "--require-hashes", "--no-deps", "-r", str(installer)])
    uv = str(BIN / "uv")
    sync = [uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", str(PYTHON), str(LOCK)]
    check(sync)
    check([uv, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--python", str(PYTHON), "-e", "."])
    compile_checkout()
    STAMP.write_text(wanted)
    sys.stdout.write(f"ready in {time.monotonic() - started:.0f} s\n")


def proxy_python() -> Path:
    """The interpreter of ``.venv-proxy``, which is made at need: the real LiteLLM proxy wants other versions of our own
    packages, so it lives by itself. Raises ``SystemExit`` when it cannot be made."""
    python = PROXY_VENV / PYTHON.relative_to(VENV)
    stamp = PROXY_VENV / STAMP.name
    wanted = hashlib.sha256(PROXY_LOCK.read_bytes() + str(PYTHON.resolve()).encode()).hexdigest()
    if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
        heading("setting up .venv-proxy")
        stamp.unlink(missing_ok=True)
        check([str(PYTHON), "-m", "venv", "--without-pip", str(PROXY_VENV)])
        sync = [str(BIN / "uv"), "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(PROXY_LOCK)]
        check(sync)
        stamp.write_text(wanted)
    return python


def proxy_database() -> Path:
    """The folder with the programs of the proxy's database, installed at need with npm; the proxy's client for it is
    generated into ``.venv-proxy``. Raises ``SystemExit`` where that cannot be done: without Node, for example."""
    python = proxy_python()
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SystemExit("Node 20 or newer, with npm, is needed for the proxy's database.")
    stamp = PROXY_VENV / ".database"
    locks = (PROXY_VENV / STAMP.name).read_bytes() + (PROXY_DATABASE / "package-lock.json").read_bytes()
    wanted = hashlib.sha256(locks).hexdigest()
    if not ((PROXY_DATABASE / "node_modules").exists() and stamp.exists() and stamp.read_text() == wanted):
        heading("setting up the proxy's database")
        stamp.unlink(missing_ok=True)
        check([npm, "ci", "--prefix", str(PROXY_DATABASE), "--no-audit", "--no-fund", "--ignore-scripts"])
        packages = site_packages(python)
        schema, client = packages / "litellm" / "proxy" / "schema.prisma", packages / "prisma"
        wish = [node, str(PROXY_DATABASE / "generator-request.mjs"), str(schema), str(client)]
        asked = subprocess.run(wish, check=True, capture_output=True)
        generator = python.with_name("prisma-client-py")
        invoked = {**os.environ, "PRISMA_GENERATOR_INVOCATION": "1"}
        done = subprocess.run([generator], input=asked.stdout, env=invoked, check=False, capture_output=True)
        if b'"error"' in done.stderr or done.returncode:  # it answers on stderr, errors too
            raise SystemExit(done.stderr.decode(errors="replace"))
        check([str(python), "-m", "compileall", "-q", str(client)])
        stamp.write_text(wanted)
    return PROXY_DATABASE


def site_packages(python: Path) -> Path:
    """Where the packages of this interpreter are."""
    command = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def compile_checkout() -> None:
    """Byte code of the sidecar's own modules; a moment when it is up to date.

    With ``PYTHONDONTWRITEBYTECODE`` in the environment every start would compile every module anew: 0.2 s.
    """
    run([str(PYTHON), "-m", "compileall", "-q", *PRODUCT])


def locked(name: str) -> str:
    """The lock file's entry of one package, hashes included."""
    match = re.search(rf"^{name}==.*?(?=^\S|\Z)", LOCK.read_text(), re.MULTILINE | re.DOTALL)
    if match is None:
        raise SystemExit(f"{LOCK.name} does not name {name}")
    return match.group()


def suitable_python() -> str:
    """This interpreter when it is supported, else another one on the path."""
    if SUPPORTED[0] <= sys.version_info[:2] < SUPPORTED[1]:
        return sys.executable
    for minor in range(SUPPORTED[1][1] - 1, SUPPORTED[0][1] - 1, -1):
        if found := shutil.which(f"python3.{minor}"):
            return found
    raise SystemExit("Python 3.11, 3.12 or 3.13 is needed.")


def tool(name: str, *arguments: str) -> int:
    """Run a program of the environment."""
    return run([str(BIN / name), *arguments])


def run(command: list[str], environment: dict[str, str] | None = None) -> int:
    """Run in the checkout; its exit code."""
    sys.stdout.flush()
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def check(command: list[str]) -> None:
    """Run; stop everything when it fails."""
    code = run(command)
    if code:
        raise SystemExit(code)


def heading(text: str) -> None:
    """Say what comes."""
    sys.stdout.write(f"== {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
