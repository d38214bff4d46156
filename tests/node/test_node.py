"""The TypeScript client: installed from its lock, built, and tested by Node's own runner against this checkout."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "protocol" / "typescript"
STAMP = PACKAGE / "node_modules" / ".installed-from"
OLDEST = 20


def missing() -> str:
    """Why these tests cannot run here; empty when they can."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node and npm are not on the path: the TypeScript client is not tested"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < OLDEST:
        return f"node {version.strip()} is too old: the TypeScript client needs {OLDEST}"
    return ""


REASON = missing()
pytestmark = [pytest.mark.node, pytest.mark.skipif(bool(REASON), reason=REASON), pytest.mark.timeout(420)]


def npm(*arguments: str) -> None:
    """Run npm in the package; its output is the failure's text."""
    command = [shutil.which("npm") or "npm", *arguments]
    environment = {**os.environ, "SCALIX_PYTHON": sys.executable, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=PACKAGE, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"npm {' '.join(arguments)}\n{done.stdout[-12_000:]}\n{done.stderr[-4_000:]}", pytrace=False)


@pytest.fixture(scope="module")
def installed() -> None:
    """``npm ci``, unless what is there came from this very lock."""
    wanted = hashlib.sha256((PACKAGE / "package-lock.json").read_bytes()).hexdigest()
    if not STAMP.exists() or STAMP.read_text() != wanted:
        npm("ci", "--no-audit", "--no-fund")
        STAMP.write_text(wanted)


def test_the_client_builds_and_passes_its_tests_against_this_sidecar(installed: None) -> None:
    npm("test")


def test_the_package_needs_nothing_at_run_time_and_names_no_registry() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    assert "dependencies" not in package
    lock = (PACKAGE / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert re.search(r"regist\w*\.\w+", lock) is None
    packages = json.loads(lock)["packages"]
    assert [name for name, entry in packages.items() if name and "integrity" not in entry] == []
    assert [name for name, entry in packages.items() if name and not entry.get("dev")] == []
