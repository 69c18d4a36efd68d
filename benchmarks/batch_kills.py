"""A batch that is killed at random again and again says in the end what an uninterrupted one says.

    python benchmarks/batch_kills.py --cases COHORT/cases --n 20 --jobs 2 --kills 5 --seed 1

Simulated cases are exported as a hospital has them, and one more whose SPECT is cut short. `mureg batch` registers them
all in one go, and then in another folder, where the whole process group is killed (SIGKILL) at random moments and the
same command given again. Compared are ``summary.html`` byte for byte and ``summary.csv`` byte for byte without its
column of times; that no finished study was done again is seen from its files. Prints one JSON object; exit code 1 where
anything differs.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mureg.cohort.export import export_case
from mureg.io.store import read_case
from mureg.report.batch.page import CSV, HTML, TIMES

QUICK = (
    "--near-heart.coarse.starts",
    "1",
    "--near-heart.coarse.finish",
    "1",
    "--no-reconstruction",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True, help="cases/ of a cohort that mureg simulate made")
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        answer = scenario(Path(scratch), options)
    print(json.dumps(answer, indent=2))
    return 0 if answer["page_equal"] and answer["table_equal"] and not answer["done_again"] else 1


def scenario(place: Path, options: argparse.Namespace) -> dict[str, object]:
    """Export, run once in one go and once with kills, compare."""
    studies = place / "studies"
    for folder in sorted(options.cases.iterdir())[: options.n]:
        export_case(read_case(folder), studies / folder.name)
    broken = export_case(read_case(min(options.cases.iterdir())), studies / "cut-short")
    (broken / "spect.dcm").write_bytes((broken / "spect.dcm").read_bytes()[:20000])

    whole, killed = place / "whole", place / "killed"
    started = time.monotonic()
    code = begun(studies, whole, options.jobs).wait()
    seconds = time.monotonic() - started
    assert code == 5, f"one study is cut short, and yet the batch ended with {code}"

    chance, kills, done_again, started = random.Random(options.seed), [], [], time.monotonic()
    for k in range(options.kills):
        before, run = finished(killed), begun(studies, killed, options.jobs)
        wait = chance.uniform(0.3, 1.2) * seconds / options.kills
        try:
            run.wait(wait)
            break  # it was faster than we
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        after = finished(killed)
        done_again += [name for name, made in before.items() if after.get(name) != made]
        kills.append({"after_s": round(wait, 1), "finished": len(after), "of": options.n + 1})
        print(f"kill {k + 1} after {wait:.1f} s: {len(after)} finished", file=sys.stderr, flush=True)
    before = finished(killed)
    last = begun(studies, killed, options.jobs).wait()
    after = finished(killed)
    done_again += [name for name, made in before.items() if after.get(name) != made]
    return {
        "studies": options.n,
        "cut_short": 1,
        "jobs": options.jobs,
        "kills": kills,
        "exit_codes": [code, last],
        "seconds": {"whole": round(seconds, 1), "killed": round(time.monotonic() - started, 1)},
        "done_again": done_again,
        "leftovers": len(list((killed / "studies").glob(".*"))),
        "table_equal": table(whole) == table(killed),
        "page_equal": (whole / HTML).read_bytes() == (killed / HTML).read_bytes(),
        "page_bytes": (whole / HTML).stat().st_size,
        "page_sha256": [hashlib.sha256((folder / HTML).read_bytes()).hexdigest() for folder in (whole, killed)],
    }


def begun(studies: Path, output: Path, jobs: int) -> subprocess.Popen[bytes]:
    """The command, as the head of a process group of its own."""
    command = [sys.executable, "-m", "mureg.cli", "batch", str(studies), "-o", str(output), "--jobs", str(jobs), *QUICK]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def finished(output: Path) -> dict[str, int]:
    """When each finished or failed study was written."""
    files = [*(output / "studies").glob("[!.]*/study.json"), *(output / "studies").glob("[!.]*/failure.json")]
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


def table(output: Path) -> str:
    """The summary's table without its columns of times."""
    with (output / CSV).open(newline="") as file:
        lines = list(csv.reader(file))
    kept = [k for k, name in enumerate(lines[0]) if name not in TIMES]
    return "\n".join(",".join(line[k] for k in kept) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
