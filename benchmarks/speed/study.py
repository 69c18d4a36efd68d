"""Seconds and memory of `mureg register` in an earlier commit and in this version, in turns, on the same sample study.

    python benchmarks/speed/study.py --repeats 5 -o study.json
    python benchmarks/speed/study.py --modes batch --repeats 1

The sample study is that of the earlier commit, which is unpacked into a temporary folder. Each run is a process of its
own, as a user starts it: the start of Python and every import count. Each mode (default, `--fast`) runs in the earlier
commit and in this version, one after the other, as often as asked for; the ratio is that of the median seconds. Peak
memory is the largest that the process, or one that it waited for, held at a time. Both versions are told to use the
same processor cores, and both may keep the compiled modules of their first run, as an installed program does.

The mode `networks` is `--registrar near-heart`, the default of the earlier commit, without the likelihood.

The mode `batch` registers 20 copies of the sample study, each with an identity of its own, by `mureg batch` with a
process for each core. Its rows are in studies a minute as well.

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

import pydicom

ROOT = Path(__file__).resolve().parents[2]
MODES: dict[str, list[str]] = {
    "default": [],
    "networks": ["--registrar", "near-heart"],
    "fast": ["--fast"],
    "batch": [],
}


@dataclass(frozen=True)
class Version:
    """A version of the program.

    Attributes:
        name: in the table.
        source: of its files.
        python: interpreter with its libraries.
        compiled: folder for compiled modules.
    """

    name: str
    source: Path
    python: Path
    compiled: Path


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


def copies(sample: Path, n: int, folder: Path) -> Path:
    """A folder of copies of the sample study, each of another patient and with identifiers of its own."""
    for number in range(n):
        uids: dict[str, str] = {}
        for file in (sample / "spect.dcm", *sorted((sample / "ct").iterdir())):
            dataset = pydicom.dcmread(file)
            dataset.PatientID = dataset.PatientName = f"COPY{number:02d}"
            for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"):
                if name in dataset:
                    old = str(dataset[name].value)
                    setattr(dataset, name, uids.setdefault(old, pydicom.uid.generate_uid()))
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            place = folder / f"study{number:02d}" / file.relative_to(sample)
            place.parent.mkdir(parents=True, exist_ok=True)
            dataset.save_as(place)
    return folder


def run(version: Version, mode: str, turn: int, sample: Path, cores: list[int]) -> Row:
    """Register the sample study once, or a folder of studies, in a process of its own on some cores."""
    with tempfile.TemporaryDirectory() as folder:
        results = ["-o", Path(folder) / "results"]
        if mode == "batch":
            arguments = ["batch", sample, "--jobs", len(cores), *results]
        else:
            arguments = ["register", "--spect", sample / "spect.dcm", "--ct", sample / "ct", *results, *MODES[mode]]
        command = [version.python, "-m", "mureg.cli", *arguments]
        # with compiled modules in a place of each version, that installing it would leave beside the sources
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(version.source / "src"), "PYTHONPYCACHEPREFIX": str(version.compiled)}
        with (Path(folder) / "output.txt").open("wb+") as output:
            started = time.perf_counter()
            process = subprocess.Popen(
                [str(part) for part in command],
                env=environment,
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


def runs(
    versions: list[Version], modes: list[str], repeats: int, inputs: dict[str, Path], cores: list[int]
) -> Iterator[Row]:
    """Every version takes its turn in every mode; a first run of each, whose files may not be cached, is left out.

    A batch is long enough for its first study to be of no account, so that no run of it is left out.
    """
    for turn in range(repeats + 1):
        for mode in modes if turn else [mode for mode in modes if mode != "batch"]:
            for version in versions:
                row = run(version, mode, turn, inputs[mode], cores)
                if turn > 0:
                    yield row


def table(rows: list[Row], versions: list[Version], studies: int) -> str:
    """Medians and ratios, in Markdown."""
    lines = [
        "| mode | version | seconds | processor seconds | peak MB | share of the seconds before | studies a minute |",
        "|---|---|---|---|---|---|---|",
    ]
    for mode in dict.fromkeys(row.mode for row in rows):
        before = None
        for version in versions:
            of_version = [row for row in rows if (row.mode, row.version) == (mode, version.name)]
            seconds = statistics.median(row.seconds for row in of_version)
            processor = statistics.median(row.processor_seconds for row in of_version)
            peak = max(row.peak_mb for row in of_version)
            before = before or seconds
            share, rate = f"{seconds / before:.2f}", (studies if mode == "batch" else 1) * 60.0 / seconds
            figures = f"{seconds:.2f} | {processor:.2f} | {peak:.0f} | {share} | {rate:.1f}"
            lines.append(f"| {mode} | {version.name} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default="450a380", help="the earlier commit")
    parser.add_argument("--old-python", type=Path, default=Path(sys.executable), help="interpreter for that commit")
    parser.add_argument("--new-python", type=Path, default=Path(sys.executable), help="interpreter for this version")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=["default", "networks", "fast"])
    parser.add_argument("--studies", type=int, default=20, help="of a batch")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the rows")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[: arguments.cores]
    if len(cores) < arguments.cores:
        sys.exit(f"{len(cores)} processor cores may be used here, {arguments.cores} were asked for")
    with tempfile.TemporaryDirectory() as folder:
        source, *compiled = (Path(folder) / name for name in ("source", "compiled-before", "compiled-now"))
        old = Version(
            arguments.commit, unpacked(arguments.commit, source), arguments.old_python.absolute(), compiled[0]
        )
        versions = [old, Version("this version", ROOT, arguments.new_python.absolute(), compiled[1])]
        rows = []
        sample = old.source / "src/mureg/data/sample"
        inputs = dict.fromkeys(arguments.modes, sample)
        if "batch" in inputs:
            inputs["batch"] = copies(sample, arguments.studies, Path(folder) / "studies")
        for row in runs(versions, arguments.modes, arguments.repeats, inputs, cores):
            rows.append(row)
            print(f"{row.turn} {row.mode:8s} {row.version:13s} {row.seconds:7.2f} s {row.peak_mb:6.0f} MB", flush=True)
    print(table(rows, versions, arguments.studies))
    if arguments.output:
        answer = {"python": platform.python_version(), "cores": len(cores), "rows": [asdict(row) for row in rows]}
        arguments.output.write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
