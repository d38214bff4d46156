"""Where the app's files are, as Electron and Node work it out (app contract 15.3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.paths import temporary_folder


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, "/tmp"),
        ({"TMPDIR": "/var/folders/x/", "TMP": "/b", "TEMP": "/c"}, "/var/folders/x"),
        ({"TMPDIR": "", "TMP": "/b", "TEMP": "/c"}, "/b"),
        ({"TEMP": "/c"}, "/c"),
    ],
)
def test_temporary_files_go_where_node_puts_them(environ: dict[str, str], folder: str) -> None:
    assert temporary_folder(environ, platform="linux") == Path(folder)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"TEMP": "D:\\temp", "TMP": "D:\\tmp", "TMPDIR": "D:\\no"}, "D:\\temp"),
        ({"TMP": "D:\\tmp"}, "D:\\tmp"),
        ({"SYSTEMROOT": "D:\\Windows"}, "D:\\Windows\\temp"),
        ({}, "C:\\Windows\\temp"),
    ],
)
def test_on_windows_too(environ: dict[str, str], folder: str) -> None:
    assert str(temporary_folder(environ, platform="win32")) == folder
