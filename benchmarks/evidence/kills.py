"""Runs that are killed at random moments leave the old result whole or the new one, and nothing besides.

    python benchmarks/evidence/kills.py --kills 40 --seed 1

The sample study is registered once (``--fast``). Its result is then written again and again the way `mureg register`,
`mureg register --overwrite` and `mureg batch` (five studies) do it, in a process that is killed (SIGKILL) at a random
moment between the claim of the output and the end: only the computation, in which nothing is written, is left out.
Overwriting is done twice: as a system does that exchanges folders in one step, and in two steps. In the older result
lie files that a user added. After each kill the folder is compared with the old and the new result, byte for byte;
then the same command is given once more, and everything in the parent is compared. Prints one JSON object; exit code 1
where anything differs. How a batch of several processes goes on after kills is tested in
tests/unit/report/test_batch.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mureg.assessment.result import Assessment
from mureg.batch import run as batches
from mureg.files import atomic
from mureg.files.output import claimed
from mureg.io import read_study
from mureg.io.worklist.entry import WorklistEntry
from mureg.jobs.pool import JobResult
from mureg.pipeline import StudySettings, examine
from mureg.registration import NearHeart
from mureg.results import check_folder, write_folder
from mureg.sample import sample_folder

STUDIES = 5
NOTES = {"notes.txt": b"mine", "mine/more.txt": b"mine too"}
_BATCH_BOOKS = ("study.json", ".mureg")
"""Files of a study that hold seconds, and so differ from run to run."""

_LATEST = 1.5
"""The last moment to kill, from the start, in times that the work took alone: now and then it is done by then."""

Tree = dict[str, bytes]


@dataclass(frozen=True)
class Writer:
    """Writes results as the verbs do; the computation is done."""

    assessment: Assessment

    def __call__(self, pair: WorklistEntry, folder: Path) -> None:
        write_folder(self.assessment, folder, pictures=False)

    def register(self, out: Path, *, overwrite: bool = False, pictures: bool = False) -> None:
        with claimed(out, [sample_folder()]):
            check_folder(out, overwrite)
            write_folder(self.assessment, out, pictures=pictures, overwrite=overwrite)

    def batch(self, out: Path) -> None:
        spect, ct = sample_folder() / "spect.dcm", sample_folder() / "ct"
        pairs = [WorklistEntry(f"s{k}", f"line {k + 2}", sample_folder(), spect, ct) for k in range(STUDIES)]
        batches.all_done = _in_this_process
        batches.run_batch(batches.plan(pairs, out, {}), self)


def _in_this_process(work: batches.StudyJob, missing: list[int], *_: object) -> list[JobResult]:
    return [work(index) for index in missing]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    answer = kills(options.kills, options.seed)
    print(json.dumps(answer, indent=2))
    return 0 if all(not one["wrong"] for one in answer.values()) else 1


def kills(n: int, seed: int) -> dict[str, dict[str, object]]:
    """Every kind of run, killed `n` times."""
    study = read_study(sample_folder() / "spect.dcm", ct=sample_folder() / "ct")
    writer = Writer(examine(study, StudySettings(NearHeart().quick_mode()), correct=False, seek_axis=False))
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        return {
            "register": first(writer, place / "register", n, chance),
            "register --overwrite": again(writer, place / "overwrite", n, chance),
            "register --overwrite, in two steps": again(writer, place / "two", n, chance, two_steps=True),
            "batch": batch(writer, place / "batch", n, chance),
        }


def first(writer: Writer, place: Path, n: int, chance: random.Random) -> dict[str, object]:
    """Into a new folder: it is there whole, or not at all."""
    work = lambda out: writer.register(out)  # noqa: E731
    seconds = timed(work, place / "whole")
    new, outcomes, wrong = tree(place / "whole"), Counter[str](), []
    for k in range(n):
        parent = place / str(k)
        out = parent / "out"
        killed(work, out, chance.uniform(0, _LATEST * seconds))
        found = tree(out)
        outcomes["finished" if found == new else "not there" if not out.exists() else "broken"] += 1
        with claimed(parent / "another"):  # the next run, of whatever output
            pass
        if not out.exists():
            work(out)
        wrong += [] if tree(out) == new and names(parent) == ["out"] and found in ({}, new) else [k]
    return {"kills": n, "outcomes": dict(outcomes), "wrong": wrong, "seconds": round(seconds, 3)}


def again(writer: Writer, place: Path, n: int, chance: random.Random, *, two_steps: bool = False) -> dict[str, object]:
    """Over an older result: the old one whole, the new one whole, and a user's files in any case."""
    older = place / "older"
    writer.register(older, pictures=True)
    old, exchange = tree(older), atomic._exchanged
    if two_steps:
        atomic._exchanged = lambda _one, _other: False
    work = lambda out: writer.register(out, overwrite=True)  # noqa: E731
    seconds = timed(work, shutil.copytree(older, place / "whole"))
    new, outcomes, wrong = tree(place / "whole"), Counter[str](), []
    for k in range(n):
        parent = place / str(k)
        out = shutil.copytree(older, parent / "out")
        for name, content in NOTES.items():
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).write_bytes(content)
        killed(work, out, chance.uniform(0, _LATEST * seconds))
        with claimed(parent / "another"):  # the next run, of whatever output
            pass
        found = tree(out)
        outcomes["old" if found == old | NOTES else "new" if found == new | NOTES else "broken"] += 1
        whole = found in (old | NOTES, new | NOTES) and names(parent) == ["out"]
        work(out)
        wrong += [] if whole and tree(out) == new | NOTES and names(parent) == ["out"] else [k]
    atomic._exchanged = exchange
    return {"kills": n, "outcomes": dict(outcomes), "wrong": wrong, "seconds": round(seconds, 3)}


def batch(writer: Writer, place: Path, n: int, chance: random.Random) -> dict[str, object]:
    """Five studies: each is there whole, or not at all, and the next run makes the others."""
    seconds = timed(writer.batch, place / "whole")
    new, finished, wrong = batch_tree(place / "whole"), Counter[str](), []
    for k in range(n):
        parent = place / str(k)
        out = parent / "out"
        killed(writer.batch, out, chance.uniform(0, _LATEST * seconds))
        found = batch_tree(out)
        studies = {name.split("/")[1] for name in found if name.count("/") > 1 and "/." not in name}
        finished[f"{len(studies)} of {STUDIES}"] += 1
        whole = all(
            found.get(name) == content for name, content in new.items() if name.count("/") > 1
            and name.split("/")[1] in studies
        )  # fmt: skip
        writer.batch(out)
        wrong += [] if whole and batch_tree(out) == new and names(parent) == ["out"] else [k]
    return {"kills": n, "outcomes": dict(sorted(finished.items())), "wrong": wrong, "seconds": round(seconds, 3)}


def timed(work: Callable[[Path], None], out: Path) -> float:
    """Seconds that the work takes in a process of its own."""
    started = time.perf_counter()
    process = multiprocessing.get_context("fork").Process(target=work, args=(out,))
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.perf_counter() - started


def killed(work: Callable[[Path], None], out: Path, after_s: float) -> None:
    """Do the work in a process of its own, and kill it."""
    process = multiprocessing.get_context("fork").Process(target=work, args=(out,))
    process.start()
    process.join(after_s)
    process.kill()
    process.join()


def tree(folder: Path) -> Tree:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def batch_tree(folder: Path) -> Tree:
    """The same, without what differs from run to run."""
    books = ("summary.csv", "summary.html", *_BATCH_BOOKS)
    return {name: content if Path(name).name not in books else b"" for name, content in tree(folder).items()}


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


if __name__ == "__main__":
    sys.exit(main())
