#!/usr/bin/env python3
"""The frozen sidecar: ``dist/scalix-sidecar`` (one file), ``dist/onedir/scalix-sidecar/``, ``dist/manifest.json``.

python3 scripts/dev.py freeze                build both
python3 scripts/dev.py freeze --if-changed   build both unless dist/ is of these sources; exit code 3: impossible here
python3 scripts/dev.py freeze --check        build twice and compare every byte
python3 scripts/dev.py freeze --measure      start-up, size and memory of what is in dist/, beside the checkout
python3 scripts/dev.py freeze --variants     build and time the one file in the ways that were compared
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
BUILD = ROOT / "build" / "freeze"
SUFFIX = ".exe" if os.name == "nt" else ""
NAME = f"scalix-sidecar{SUFFIX}"
ONEFILE = DIST / NAME
ONEDIR = DIST / "onedir" / "scalix-sidecar" / NAME
EPOCH = "315532800"
"""Time stamps in the bundle (1980-01-01, the earliest a zip file can hold), unless SOURCE_DATE_EPOCH says another."""
VARIANTS = {
    "as shipped": {},
    "start set compressed": {"stored": False},
    "everything unpacked at start": {"late": False, "stored": False},
}
INPUTS = ["pyinstaller.spec", "scripts/freeze.py", "scripts/hooks", "requirements.lock", "sidecar", "protocol"]
CANNOT = 3
"""Exit code of ``--if-changed`` where this machine has not what PyInstaller needs."""
PROBE = """
import json, sys
import sidecar.observability  # first, as in the real start
from sidecar.app import Application

def report(self):
    start = set(sys.modules)
    from sidecar.certificates import import_client
    import_client()
    print("MODULES", json.dumps([sorted(start), sorted(set(sys.modules) - start)]), file=sys.stderr, flush=True)

Application._start_background = report
from sidecar.__main__ import main
main()
"""
"""A sidecar that tells what is imported when ``initialize`` is answered, and what a first chat adds to that."""


def main(arguments: list[str]) -> int:
    """Build or measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="build twice and compare every byte")
    parser.add_argument("--if-changed", action="store_true", help="build only what is not of these sources")
    parser.add_argument("--measure", action="store_true", help="measure what is in dist/")
    parser.add_argument("--variants", action="store_true", help="build and time the compared ways")
    parser.add_argument("--runs", type=int, default=15, metavar="N", help="starts per program (default 15)")
    options = parser.parse_args(arguments)
    if options.measure:
        from measure_start import measure

        measure(
            {"source": [sys.executable, "-m", "sidecar"], "onedir": [str(ONEDIR)], "onefile": [str(ONEFILE)]},
            options.runs,
        )
        return 0
    if options.variants:
        return _variants(options.runs)
    if options.if_changed:
        if (reason := reason_not_to_build()) is not None:
            sys.stdout.write(f"skipped: the binaries are neither built nor tested here: {reason}\n")
            return CANNOT
        if is_current():
            sys.stdout.write(f"build {build_id()} is there\n")
            return 0
    _write_manifest(build(DIST))
    return _check() if options.check else 0


# --- whether to build ------------------------------------------------------------------------------------------------


def is_current() -> bool:
    """Whether dist/ holds both binaries of exactly these sources."""
    try:
        built = json.loads((DIST / "manifest.json").read_text())["build"]
    except (OSError, ValueError, KeyError):
        return False
    return built == build_id() and ONEFILE.is_file() and ONEDIR.is_file()


def reason_not_to_build() -> str | None:
    """What PyInstaller needs and this machine has not; None when it can build."""
    try:
        from PyInstaller.depend.bindepend import get_python_library_path
        from PyInstaller.exceptions import PythonLibraryNotFoundError
    except ImportError as error:
        return f"PyInstaller cannot be imported ({error})"
    try:
        get_python_library_path()
    except PythonLibraryNotFoundError:
        return "this Python has no shared library (build it with --enable-shared)"
    tools = ("ldd", "objdump", "objcopy", "strip") if sys.platform.startswith("linux") else ()
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return f"{', '.join(missing)} not installed" if missing else None


# --- building ------------------------------------------------------------------------------------------------------


def build(dist: Path, *, late: bool = True, stored: bool = True) -> str:
    """Freeze into ``dist``; returns the build id. ``late`` and ``stored`` are what docs/packaging.md compares."""
    identity = build_id()
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    stamp = BUILD / "_frozen_build.py"
    stamp.write_text(f'"""Written by scripts/freeze.py."""\n\nBUILD_ID = "{identity}"\n')
    plan = BUILD / "plan.json"
    plan.write_text(json.dumps({"build": str(stamp), "late": late, "stored": stored, **imported_modules()}))
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", EPOCH),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNODEBUGRANGES": "1",  # tracebacks name lines; the columns are a sixth of the code
        "PYINSTALLER_CONFIG_DIR": str(ROOT / "build" / "cache"),
        "SCALIX_FREEZE_PLAN": str(plan),
    }
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"]
    command += ["--distpath", str(dist), "--workpath", str(BUILD / "work"), str(ROOT / "pyinstaller.spec")]
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        raise SystemExit("PyInstaller failed")
    if build_id() != identity:
        sys.stderr.write("The sources changed while they were frozen: build again before anything is shipped.\n")
    return identity


def build_id() -> str:
    """Sixteen hex digits over everything the bundle is made from, and by which Python on which platform."""
    digest = hashlib.sha256(f"{sys.version} {sys.platform}".encode())
    for path in _inputs():
        digest.update(f"\0{path.relative_to(ROOT).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _inputs() -> Iterator[Path]:
    for name in INPUTS:
        place = ROOT / name
        files = [place] if place.is_file() else place.rglob("*")
        yield from sorted(
            path
            for path in files
            if path.is_file() and "__pycache__" not in path.parts and "typescript" not in path.parts
        )


def imported_modules() -> dict[str, list[str]]:
    """Module names: ``needed_at_start``, imported until ``initialize`` is answered, and ``needed_soon``, which a first
    chat adds. Asked of the checkout itself."""
    line = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}\n'
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROBE, "serve", "--user-data", folder]
        done = subprocess.run(command, cwd=ROOT, input=line, capture_output=True, text=True, timeout=60, check=False)
    for said in done.stderr.splitlines():
        if said.startswith("MODULES "):
            start, soon = json.loads(said.removeprefix("MODULES "))
            return {"needed_at_start": start, "needed_soon": soon}
    raise SystemExit(f"the checkout does not start: {done.stderr[-2000:]}")


# --- what came out -------------------------------------------------------------------------------------------------


def _write_manifest(identity: str) -> None:
    packages: dict[str, Counter[str]] = {}
    for package, part, size in _contents(ONEFILE):
        packages.setdefault(package, Counter())[part] += size
    total = {name: sum(sizes.values()) for name, sizes in packages.items()}
    folder = [path for path in ONEDIR.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    manifest: dict[str, Any] = {
        "build": identity,
        "onefile": {"bytes": ONEFILE.stat().st_size, "sha256": _sha256(ONEFILE)},
        "onedir": {
            "bytes": sum(path.stat().st_size for path in folder),
            "files": len(folder),
            "sha256": _tree(ONEDIR.parent),
        },
        "packages": {
            name: {"bytes": total[name], **dict(sorted(packages[name].items()))}
            for name in sorted(total, key=lambda name: (-total[name], name))
        },
    }
    (DIST / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    sys.stdout.write(
        f"build {manifest['build']}\n{ONEFILE.relative_to(ROOT)}  {_mb(ONEFILE.stat().st_size)}\n"
        f"{ONEDIR.parent.relative_to(ROOT)}  {_mb(manifest['onedir']['bytes'])} in {len(folder)} files\n"
    )


def _contents(executable: Path) -> Iterator[tuple[str, str, int]]:
    """(package, part, bytes in the one file) of everything in it."""
    from PyInstaller.archive.readers import CArchiveReader

    reader = CArchiveReader(str(executable))
    for name, (_, length, _, _, code) in reader.toc.items():
        if code == "z":
            modules = reader.open_embedded_archive(name).toc
            for module, (_, _, size) in modules.items():
                yield module.partition(".")[0], "modules", size
            continue
        place = name.rpartition("!")[2].replace("\\", "/")
        package = place.partition("/")[0] if "/" in place else "(interpreter)"
        if "lib-dynload" in place:
            package = "(interpreter)"
        yield package.partition("-")[0], "late" if code == "L" else "at_start", length


def _check() -> int:
    first = json.loads((DIST / "manifest.json").read_text())
    _write_manifest(build(DIST))
    second = json.loads((DIST / "manifest.json").read_text())
    if first == second:
        sys.stdout.write("two builds, the same bytes\n")
        return 0
    sys.stdout.write(f"the builds differ: {first['onefile']} {second['onefile']}\n")
    return 1


def _variants(runs: int) -> int:
    from measure_start import measure

    with tempfile.TemporaryDirectory() as folder:
        programs = {}
        for number, (title, options) in enumerate(VARIANTS.items()):
            place = Path(folder) / str(number)
            build(place, **options)
            programs[title] = [str(place / NAME)]
        measure(programs, runs)
    return 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tree(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()}\0{_sha256(path)}\0".encode())
    return digest.hexdigest()


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
