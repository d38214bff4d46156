"""Every figure the sidecar is judged by, in one run on one scripted loopback provider.

    python3 scripts/dev.py bench [--quick] [--only start,stream,...] [--json FILE]

Prints tables and writes ``bench/report.json`` and ``bench/report.html``. The sidecar and its peers take turns, so that
a busy machine is unfair to none; figures are medians with their spread. Targets are printed beside their figures; the
exit code is 0 whether they were met or not. A full run takes about half an hour, a quick one about 6 minutes.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402
from rich.console import Console  # noqa: E402

from scripts.bench import accounts, faults, lasting, memory, moments, page, start, stream, terminal  # noqa: E402
from scripts.bench.figures import Report, Section  # noqa: E402
from scripts.bench.processes import Provider  # noqa: E402
from scripts.bench.run import Run  # noqa: E402
from sidecar import __version__  # noqa: E402

MEASUREMENTS: dict[str, Callable[[Run, dict[str, str]], list[Section]]] = {
    "start": lambda run, _: [start.measure(run)],
    "stream": stream.measure,
    "growth": lambda run, _: lasting.growth(run),
    "backpressure": lambda run, _: [lasting.backpressure(run)],
    "cancel": lambda run, _: [moments.cancel(run)],
    "faults": lambda run, _: [faults.measure(run)],
    "counting": lambda run, _: [accounts.counting(run)],
    "recommending": lambda run, _: [accounts.recommending(run)],
    "analytics": lambda run, _: [accounts.analytics(run)],
    "memory": lambda run, _: [memory.memory(run), memory.litellm(run)],
    "context": lambda run, _: [moments.context(run)],
    "settings": lambda run, _: [moments.settings(run)],
    "sizes": lambda run, _: [moments.sizes(run)],
}


def main() -> int:
    """Measure and report; returns 0."""
    options = arguments()
    console = Console(width=None if sys.stdout.isatty() else 150)
    report = Report(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        quick=options.quick,
        machine=machine(),
        versions={
            "sidecar": f"sidecar {__version__}",
            "python": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        },
    )
    with closing(Provider()) as provider, console.status("") as status:
        run = Run(provider, options.quick, status.update)
        for name in options.only:
            try:
                sections = MEASUREMENTS[name](run, report.versions)
            except (RuntimeError, TimeoutError, OSError) as error:
                # one broken measurement must not cost the others
                sections = [Section(name, name, "", skipped=[f"{name} broke off: {error or type(error).__name__}"])]
            report.sections += sections
            for section in sections:
                terminal.show_section(console, section)
    report.machine["load now"] = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "?"
    write(report, options.json)
    console.print()
    terminal.show_report(console, Report(report.started, report.quick, report.machine, report.versions))
    console.print(f"{options.json}\n{ROOT / 'bench' / 'report.html'}")
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter waits")
    parser.add_argument(
        "--only", type=names, default=list(MEASUREMENTS), metavar="NAMES", help=f"some of {','.join(MEASUREMENTS)}"
    )
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "report.json", metavar="FILE")
    return parser.parse_args()


def names(text: str) -> list[str]:
    """A list of measurements."""
    wanted = text.split(",")
    if unknown := [name for name in wanted if name not in MEASUREMENTS]:
        raise argparse.ArgumentTypeError(f"there is no measurement {unknown[0]!r}")
    return wanted


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    return {
        "system": platform.platform(terse=True),
        "processor": f"{processor()}, {psutil.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
    }


def processor() -> str:
    """Its name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write(report: Report, target: Path) -> None:
    """The JSON where it is wanted, the page beside the other reports."""
    folder = ROOT / "bench"
    folder.mkdir(exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(report.as_json())
    (folder / "report.html").write_text(page.html_page(report), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
