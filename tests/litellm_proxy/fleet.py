"""The real LiteLLM proxy as a team runs it: with a database of keys, users, teams and what they have spent.

The proxy, its migrations and Prisma's query engine are the published ones; Postgres is PGlite, which is Postgres
compiled to WebAssembly (``database/`` says how they come together). Everything is set up by the proxy's own admin API.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scripts.dev import site_packages
from tests.litellm_proxy.proxy import HERE, MASTER_KEY, LitellmProxy, NotAvailable, end, proxy_process

MIGRATIONS = Path("litellm_proxy_extras") / "migrations"


@dataclass
class Fleet:
    """The running proxy and its database."""

    proxy: LitellmProxy
    database: Postgres
    _admin: httpx.Client

    def make(self, what: str, **fields: Any) -> dict[str, Any]:
        """Asks the admin API for a ``key/generate``, ``team/new``, ``user/new``, ``budget/new`` and so on."""
        answer = self._admin.post(f"/{what}", json=fields)
        assert answer.is_success, f"{what}: {answer.status_code} {answer.text}"
        made: dict[str, Any] = answer.json()
        return made

    def key(self, **fields: Any) -> str:
        """A new virtual key."""
        key: str = self.make("key/generate", **fields)["key"]
        return key


class Postgres:
    """The database's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        words = self._said().split()
        if words[:1] != ["port"]:
            raise NotAvailable("the database did not start")
        self.url = f"postgresql://postgres:postgres@127.0.0.1:{words[1]}/postgres"

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Nobody reaches it in here; afterwards it has what it had."""
        self._tell("down")
        try:
            yield
        finally:
            self._tell("up")

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._said() == word

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def running_fleet(python: Path, programs: Path, folder: Path) -> Iterator[Fleet]:
    """Starts database, proxy and upstream. ``python`` is the proxy's interpreter, ``programs`` where the database's
    programs are. Raises ``NotAvailable`` when something does not come up."""
    with subprocess.Popen(
        ["node", "postgres.mjs", str(site_packages(python) / MIGRATIONS)],
        cwd=programs,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
    ) as process:
        try:
            database = Postgres(process)
            environ = {
                "CONFIG_FILE_PATH": str(HERE / "fleet.yaml"),
                "DATABASE_URL": database.url,
                "PRISMA_AUTH_RECONNECT_TIMEOUT_SECONDS": "10",  # a busy machine starts the engine anew in more than 2
                "PRISMA_QUERY_ENGINE_BINARY": str(programs / "query-engine.mjs"),
            }
            # not `litellm`, which calls Prisma's command line first: that downloads engines from outside the registries
            command = [str(python), "-m", "uvicorn", "litellm.proxy.proxy_server:app"]
            with (
                proxy_process(command, folder, environ) as proxy,
                httpx.Client(base_url=proxy.base_url, headers={"authorization": f"Bearer {MASTER_KEY}"}) as admin,
            ):
                yield Fleet(proxy, database, admin)
        finally:
            end(process)
