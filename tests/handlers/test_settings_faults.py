"""Settings that cannot be written, over the wire: what the user is told, and nothing changes (scenario C13)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.app_database import create_app_database
from tests.host import RpcError, memory_host, process_host

pytestmark = pytest.mark.anyio

SETTINGS = {"selectedModel": {"name": "auto", "provider": "auto"}, "thinkingBudget": "low", "telemetryUserId": "u"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    create_app_database(tmp_path / "sqlite.db")
    path = tmp_path / "user-settings.json"
    path.write_text(json.dumps(SETTINGS))
    return path


@contextmanager
def read_only(file: Path) -> Iterator[None]:
    """By its mode alone: root too is stopped, because the sidecar takes it for the owner's wish."""
    file.chmod(0o444)
    yield
    file.chmod(0o644)


@contextmanager
def folder_in_its_place(file: Path) -> Iterator[None]:
    aside = file.rename(file.with_name("aside"))
    file.mkdir()
    yield
    file.rmdir()
    aside.rename(file)


@pytest.mark.parametrize("migrated", [False, True])
@pytest.mark.parametrize(
    ("fault", "advice"),
    [(read_only, "Make the file and its folder writable"), (folder_in_its_place, "Check what is at that path")],
)
async def test_a_file_that_cannot_be_written_is_named_with_what_to_do(
    file: Path, fault: type[AbstractContextManager[None]], advice: str, migrated: bool
) -> None:
    async with memory_host(file.parent, {"SCALIX_NO_MIGRATION": "1"}, capabilities={}) as host:
        if migrated:
            await host.request("settings:migrate")
        with fault(file):
            with pytest.raises(RpcError, match=r"^-32000 Failed to write settings: ") as refused:
                await host.request("set-user-settings", {"thinkingBudget": "high"})
            assert str(file) in refused.value.message
            assert advice in refused.value.message
            assert refused.value.data["code"] == "SETTINGS_UNREADABLE"
            assert refused.value.data["path"] == str(file)
        assert (await host.request("get-user-settings"))["thinkingBudget"] == "low"
        await host.request("set-user-settings", {"thinkingBudget": "high"})
    assert json.loads(file.read_text())["thinkingBudget"] == "high"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a running process is set from outside")
async def test_a_full_disk_is_told_as_one(file: Path) -> None:
    import resource

    async with process_host(file.parent, {"SCALIX_NO_MIGRATION": "1"}, capabilities={}) as host:
        await host.request("get-user-settings")
        before = resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        with pytest.raises(RpcError, match=r"^-32000 Failed to write settings: ") as refused:
            await host.request("set-user-settings", {"thinkingBudget": "high"})
        resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE, before)
        assert str(file) in refused.value.message
        assert "Free some disk space" in refused.value.message
        assert refused.value.data["code"] == "SETTINGS_UNREADABLE"
        assert json.loads(file.read_text()) == SETTINGS
        assert [path.name for path in file.parent.iterdir() if path.suffix == ".tmp"] == []
        await host.request("set-user-settings", {"thinkingBudget": "high"})
    assert json.loads(file.read_text())["thinkingBudget"] == "high"
