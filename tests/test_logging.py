"""Where the log goes (protocol page 9), and what becomes of it when it cannot go there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host import clean_environment

SECRET = "the-words-of-a-secret-7f3a"
SAY = f"""
import logging, os
from sidecar.observability import configure_logging
configure_logging(os.environ)
from sidecar.redaction import register_secret
from sidecar.secret import SecretText
register_secret(SecretText("{SECRET}"))
for _ in range(2):
    logging.getLogger("aiohttp").warning("a header: %s", "{SECRET}")
"""


def _logged(**environment: str) -> list[str]:
    """The lines on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", SAY], env={**clean_environment(), **environment}, capture_output=True, check=True
    )
    assert done.stdout == b""
    return done.stderr.decode().splitlines()


def test_a_log_file_gets_what_stderr_gets(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.log"
    shown = _logged(SCALIX_LOG_FILE=str(file))
    assert shown == ["a header: ***"] * 2
    assert file.read_text("utf-8").splitlines() == shown


def test_a_log_file_that_cannot_be_made_is_said_once(tmp_path: Path) -> None:
    file = tmp_path / "missing" / "sidecar.log"
    first, *rest = _logged(SCALIX_LOG_FILE=str(file))
    assert json.loads(first)["event"] == f"SCALIX_LOG_FILE is not used: {file} (No such file or directory)"
    assert rest == ["a header: ***"] * 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a disk that is always full")  # noqa: PTH110
def test_a_disk_that_is_full_costs_the_file_and_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "sidecar.log").symlink_to("/dev/full")
    assert _logged(SCALIX_LOG_FILE=str(tmp_path / "sidecar.log")) == ["a header: ***"] * 2


def test_a_level_that_is_none_is_told(tmp_path: Path) -> None:
    first, *rest = _logged(SCALIX_LOG_LEVEL="loud")
    assert json.loads(first)["event"] == (
        "SCALIX_LOG_LEVEL is 'loud', which is none of debug, info, warning, error, critical; warning is used."
    )
    assert len(rest) == 2
