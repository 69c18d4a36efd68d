"""Seconds and memory of `mureg register` in an earlier commit and in this version, in turns, on the same sample study.

    python benchmarks/speed/study.py --repeats 5 -o study.json

The sample study is that of the earlier commit, which is unpacked into a temporary folder. Each run is a process of its
own, as a user starts it: the start of Python and every import count. Each mode (default, `--fast`) runs in the earlier
commit and in this version, one after the other, as often as asked for; the ratio is that of the median seconds. Peak
memory is the largest that the process, or one that it waited for, held at a time. Both versions are told to use the
same processor cores.

An environment of its own for each version is given by its interpreter: without `--new-python` the one that runs this
file serves both, so that libraries which only the earlier one imports must be installed in it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODES: dict[str, list[str]] = {"default": [], "fast": ["--fast"]}


@dataclass(frozen=True)
class Version:
    """A version of the program: its name in the table, its source and the interpreter with its libraries."""

    name: str
    source: Path
    python: Path


@dataclass(frozen=True)
class Row:
    """One run."""

    version: str
    mode: str
    turn: int
    seconds: float
    processor_seconds: float
    peak_mb: float


def unpacked(commit: str, folder: Path) -> Path:
    """The files of a commit, in a folder."""
    archive = subprocess.run(["git", "-C", ROOT, "archive", commit], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def run(version: Version, mode: str, turn: int, sample: Path, cores: list[int]) -> Row:
    """Register the sample study once, in a process of its own on some cores."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--spect", sample / "spect.dcm", "--ct", sample / "ct", "-o", Path(folder) / "results"]
        command = [version.python, "-m", "mureg.cli", "register", *options, *MODES[mode]]
        with (Path(folder) / "output.txt").open("wb+") as output:
            started = time.perf_counter()
            process = subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, "PYTHONPATH": str(version.source / "src")},
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                output.seek(0)
                sys.exit(f"{version.name}, {mode}: exit {process.returncode}\n{output.read().decode()[-2000:]}")
    return Row(version.name, mode, turn, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def runs(versions: list[Version], modes: list[str], repeats: int, sample: Path, cores: list[int]) -> Iterator[Row]:
    """Every version takes its turn in every mode; a first run of each, whose files may not be cached, is left out."""
    for turn in range(repeats + 1):
        for mode in modes:
            for version in versions:
                row = run(version, mode, turn, sample, cores)
                if turn > 0:
                    yield row


def table(rows: list[Row], versions: list[Version]) -> str:
    """Medians and ratios, in Markdown."""
    lines = [
        "| mode | version | seconds | processor seconds | peak MB | share of the seconds before |",
        "|---|---|---|---|---|---|",
    ]
    for mode in dict.fromkeys(row.mode for row in rows):
        before = None
        for version in versions:
            of_version = [row for row in rows if (row.mode, row.version) == (mode, version.name)]
            seconds = statistics.median(row.seconds for row in of_version)
            processor = statistics.median(row.processor_seconds for row in of_version)
            peak = max(row.peak_mb for row in of_version)
            before = before or seconds
            share = f"{seconds / before:.2f}"
            lines.append(f"| {mode} | {version.name} | {seconds:.2f} | {processor:.2f} | {peak:.0f} | {share} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default="450a380", help="the earlier commit")
    parser.add_argument("--old-python", type=Path, default=Path(sys.executable), help="interpreter for that commit")
    parser.add_argument("--new-python", type=Path, default=Path(sys.executable), help="interpreter for this version")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=list(MODES))
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the rows")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[: arguments.cores]
    if len(cores) < arguments.cores:
        sys.exit(f"{len(cores)} processor cores may be used here, {arguments.cores} were asked for")
    with tempfile.TemporaryDirectory() as folder:
        old = Version(arguments.commit, unpacked(arguments.commit, Path(folder)), arguments.old_python.absolute())
        versions = [old, Version("this version", ROOT, arguments.new_python.absolute())]
        rows = []
        sample = old.source / "src/mureg/data/sample"
        for row in runs(versions, arguments.modes, arguments.repeats, sample, cores):
            rows.append(row)
            print(f"{row.turn} {row.mode:8s} {row.version:13s} {row.seconds:7.2f} s {row.peak_mb:6.0f} MB", flush=True)
    print(table(rows, versions))
    if arguments.output:
        answer = {"python": platform.python_version(), "cores": len(cores), "rows": [asdict(row) for row in rows]}
        arguments.output.write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
