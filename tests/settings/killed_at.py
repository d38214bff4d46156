"""A change of the settings, killed at each system call in which it writes. Linux.

``python -m tests.settings.killed_at CHANGE TEMPLATE FOLDER`` makes the change in a copy of ``TEMPLATE`` again and
again, each time in a child under ptrace that is killed as it enters one more of its writing calls, and prints the
name of each copy's last call; of the copy whose child came to its end, ``done``.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import anyio

from tests.settings.installation import Installation

_WRITING: Final = {
    "x86_64": {
        1: "write", 18: "pwrite64", 20: "writev", 74: "fsync", 75: "fdatasync", 76: "truncate", 77: "ftruncate",
        82: "rename", 86: "link", 87: "unlink", 90: "chmod", 91: "fchmod", 92: "chown", 263: "unlinkat",
        264: "renameat", 285: "fallocate", 316: "renameat2",
    },
    "aarch64": {
        34: "mkdirat", 35: "unlinkat", 37: "linkat", 38: "renameat", 45: "truncate", 46: "ftruncate",
        47: "fallocate", 52: "fchmod", 53: "fchmodat", 54: "fchownat", 64: "write", 66: "writev", 68: "pwrite64",
        82: "fsync", 83: "fdatasync", 276: "renameat2",
    },
}  # fmt: skip
"""Number and name of the calls that change something on a disk, per machine."""

CALLS: Final = _WRITING.get(platform.machine(), {}) if sys.platform == "linux" else {}
"""Those of this machine; empty where this cannot be done."""

CANNOT_TRACE: Final = 77
"""Exit code: this machine does not let a process trace its child."""

_TRACEME, _CONTINUE, _SYSCALL, _SET_OPTIONS, _GET_SYSCALL_INFO = 0, 7, 24, 0x4200, 0x420E
_SYSGOOD, _CLONE, _EXIT_KILL = 1, 8, 0x100000
_ALL_THREADS = 0x40000000
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_ENTRY = 1


class _SyscallInfo(ctypes.Structure):
    """The beginning of ``struct ptrace_syscall_info``; ``rest`` are the arguments."""

    _fields_ = [
        ("op", ctypes.c_uint8),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 8),
    ]


def _ptrace(request: int, pid: int, address: int = 0, data: Any = 0) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    found: int = libc.ptrace(request, pid, address, data)
    return found


def may_trace() -> bool:
    """Whether this machine lets a process trace its child."""
    if not CALLS:
        return False
    pid = os.fork()
    if pid == 0:
        os._exit(0 if _ptrace(_TRACEME, 0) == 0 else 1)
    return os.waitpid(pid, 0)[1] == 0


def run_until(call: int, work: Any) -> str | None:
    """Run ``work`` in a child that is killed as it enters its writing call number ``call``; the call's name.

    None when it came to its end before.
    """
    pid = os.fork()
    if pid == 0:
        _ptrace(_TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        work()
        os._exit(0)
    os.waitpid(pid, _ALL_THREADS)
    _ptrace(_SET_OPTIONS, pid, 0, _SYSGOOD | _CLONE | _EXIT_KILL)
    _ptrace(_SYSCALL, pid)
    for thread, name in _writing_calls(pid):
        if call == 0:
            os.kill(pid, signal.SIGKILL)
            _reap(pid)
            return name
        call -= 1
        _ptrace(_SYSCALL, thread)
    return None


def _writing_calls(pid: int) -> Iterator[tuple[int, str]]:
    """The writing calls of a process, each while its thread is stopped at the entry; the caller lets it go on."""
    info = _SyscallInfo()
    while True:
        thread, status = os.waitpid(-1, _ALL_THREADS)
        if not os.WIFSTOPPED(status):
            if thread != pid:
                continue
            if status:
                raise RuntimeError(f"the change failed: {status}")
            return
        number = os.WSTOPSIG(status)
        if number == _SYSCALL_STOP:
            _ptrace(_GET_SYSCALL_INFO, thread, ctypes.sizeof(info), ctypes.addressof(info))
            if info.op == _ENTRY and info.number in CALLS:
                yield thread, CALLS[info.number]
                continue
        quiet = number in {_SYSCALL_STOP, signal.SIGTRAP, signal.SIGSTOP}
        _ptrace(_SYSCALL, thread, 0, 0 if quiet else number)


def _reap(pid: int) -> None:
    """Take leave of every thread of a killed process."""
    while True:
        thread, status = os.waitpid(-1, _ALL_THREADS)
        if os.WIFSTOPPED(status):
            _ptrace(_CONTINUE, thread)
        elif thread == pid:
            return


async def _set(folder: Path) -> None:
    async with Installation(folder, database=False).store() as store:
        shown = await store.get_for_host()
        providers = {**shown["providerSettings"], "google": {"apiKey": {"value": "new"}}}
        await store.set({"providerSettings": providers, "unknown": 2})


async def _migrate(folder: Path) -> None:
    async with Installation(folder, database=False).store() as store:
        await store.migrate()


CHANGES: Final = {"set": _set, "migrate": _migrate}


def main(change: str, template: Path, folder: Path) -> None:
    """See the module's docstring."""
    if not may_trace():
        sys.exit(CANNOT_TRACE)
    call = 0
    while True:
        copy = folder / str(call)
        shutil.copytree(template, copy)
        name = run_until(call, lambda copy=copy: anyio.run(CHANGES[change], copy))  # type: ignore[misc]
        sys.stdout.write(f"{name or 'done'}\n")
        sys.stdout.flush()
        if name is None:
            return
        call += 1


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
