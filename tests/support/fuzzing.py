"""Spoiled files through the doors for DICOM and NIfTI, in a process of their own: counts, findings, offenders."""

from __future__ import annotations

import json
import multiprocessing
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mureg.errors import MuregError
from mureg.geometry import Volume
from mureg.io import inspect, read_ct, read_gates, read_mu, read_spect
from mureg.io.worklist.entry import WorklistEntry, require_name
from mureg.io.worklist.find import find_pairs
from mureg.jobs.cores import set_thread_count
from mureg.spect.acquisition import Acquisition
from mureg.study import Ct
from support.mutations import seeds, spoiled

DOORS = ("nm", "ct", "nifti")


def pair_up(path: Path) -> tuple[WorklistEntry, ...]:
    """What a batch finds in the folder of a file, each with the fingerprint that it would keep."""
    found = find_pairs(path if path.is_dir() else path.parent)
    for pair in found:
        pair.fingerprint()
    return found


_READERS: dict[str, tuple[Callable[[Path], Any], ...]] = {
    "nm": (read_spect, read_mu, read_gates, inspect, pair_up),
    "ct": (read_ct, inspect, pair_up),
    "nifti": (read_spect, read_ct, read_mu, inspect),
}


class TooSlow(BaseException):
    """Raised by the alarm; no reader may swallow it."""


@dataclass(frozen=True)
class Limits:
    """What one file may cost: seconds of a processor, and MiB of memory beyond what was there before."""

    seconds: float = 5.0
    memory_mb: float = 300.0


@dataclass
class Tally:
    """What came of a run."""

    executions: int = 0
    read: int = 0
    refused: int = 0
    findings: list[dict[str, Any]] = field(default_factory=list)
    damage: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    memory_mb: float = 0.0

    def add(self, other: dict[str, Any]) -> None:
        self.executions += other["executions"]
        self.read += other["read"]
        self.refused += other["refused"]
        self.findings += other["findings"]
        self.damage.update(other["damage"])
        self.slowest_s = max(self.slowest_s, other["slowest_s"])
        self.memory_mb = max(self.memory_mb, other["memory_mb"])


def fuzz(minutes: float, seed: int, keep: Path, scratch: Path, limits: Limits = Limits(), batch: int = 400) -> Tally:
    """Spoil and read for some minutes; each batch in a fresh process, its chance drawn from (seed, batch number).

    Args:
        minutes: how long.
        seed: of all chance.
        keep: folder for the offending files.
        scratch: folder for the files being read.
        limits: for each file.
        batch: executions in one process.

    A process that dies is a finding; the file it died on is kept.
    """
    tally, until, number = Tally(), time.monotonic() + 60 * minutes, 0
    keep.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("fork")
    while time.monotonic() < until:
        answer = scratch / "answer.json"
        answer.unlink(missing_ok=True)
        worker = context.Process(target=_batch, args=(seed, number, batch, scratch, keep, until, limits))
        worker.start()
        worker.join()
        if answer.exists():
            tally.add(json.loads(answer.read_text()))
        else:
            last = next(iter((scratch / "last").iterdir()), None)
            where = keep / f"{seed}-{number}-died"
            if last is not None:
                where.write_bytes(last.read_bytes())
            tally.findings.append({"what": f"process died ({worker.exitcode})", "file": where.name, "where": ""})
        number += 1
    return tally


def _batch(seed: int, number: int, size: int, scratch: Path, keep: Path, until: float, limits: Limits) -> None:
    set_thread_count(1)
    rng = np.random.default_rng([seed, number])
    tally = Tally()
    base = scratch / "seeds"
    if not base.exists():
        base.mkdir()
        seeds(base)
    files = seeds(base)
    last = scratch / "last"
    last.mkdir(exist_ok=True)
    spared = _address_space() + int(4 * limits.memory_mb * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (spared, resource.getrlimit(resource.RLIMIT_AS)[1]))
    signal.signal(signal.SIGPROF, _too_slow)
    signal.signal(signal.SIGALRM, _too_slow)
    for k in range(size):
        if time.monotonic() > until:
            break
        door = DOORS[rng.choice(3, p=[0.5, 0.25, 0.25])]
        name, content = spoiled(door, files[door], rng)
        for old in last.iterdir():
            old.unlink()
        target = (base / "ct" / "002.dcm") if door == "ct" else last / name
        target.write_bytes(content)
        if door == "ct":
            (last / "002.dcm").write_bytes(content)
        read = _READERS[door][rng.integers(len(_READERS[door]))]
        finding = _one(read, target.parent if door == "ct" else target, limits, tally)
        if finding:
            kept = keep / f"{seed}-{number}-{k}-{read.__name__}-{name}"
            kept.write_bytes(content)
            tally.findings.append({**finding, "file": kept.name})
    answer = vars(tally) | {"damage": dict(tally.damage)}
    (scratch / "answer.tmp").write_text(json.dumps(answer))
    (scratch / "answer.tmp").rename(scratch / "answer.json")


def _one(read: Callable[[Path], Any], path: Path, limits: Limits, tally: Tally) -> dict[str, str] | None:
    """Read one file; the finding, or None where it was refused in a sentence or read as it should be."""
    tally.executions += 1
    before_mb, begun = _peak_mb(), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)
    signal.setitimer(signal.ITIMER_REAL, 20 * limits.seconds)  # for what waits and does not work
    finding = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = read(path)
        wrong = _wrong(result)
        tally.read += 1
        if wrong:
            finding = {"what": wrong, "where": read.__name__}
    except MuregError as refusal:
        tally.refused += 1
        sentence = str(refusal)
        cause = refusal.__cause__
        if len(sentence.splitlines()) != 1 or not sentence.isprintable():
            finding = {"what": f"not one printable sentence: {sentence!r}", "where": read.__name__}
        if cause is not None:
            tally.damage[f"{type(cause).__name__} {_place(cause)}"] += 1
        if isinstance(cause, MemoryError):
            finding = {"what": "out of memory", "where": _place(cause)}
    except TooSlow as slow:
        finding = {"what": "too slow", "where": _place(slow)}
    except BaseException as error:  # noqa: BLE001, RUF100 (that is what is looked for)
        finding = {"what": f"{type(error).__name__}: {error}"[:300], "where": _place(error)}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    tally.slowest_s = max(tally.slowest_s, time.process_time() - begun)
    grown_mb = _peak_mb() - before_mb
    tally.memory_mb = max(tally.memory_mb, grown_mb)
    if grown_mb > limits.memory_mb and finding is None:
        finding = {"what": f"{grown_mb:.0f} MiB", "where": read.__name__}
    return finding


def _wrong(result: Any) -> str:
    """What is wrong with something that was read, "" for nothing."""
    values = result if isinstance(result, tuple) else (result,)
    for value in values:
        volume = value.volume if isinstance(value, Ct) else value
        if isinstance(volume, Volume):
            if not np.isfinite(volume.values).all():
                return "a volume with values that are not finite"
            if not np.isfinite(volume.grid.affine).all():
                return "a grid that is not finite"
        if isinstance(value, Acquisition):
            parts = [value.angles_deg, *(p for p in (value.radii_mm, value.view_weights) if p is not None)]
            if not all(np.isfinite(p).all() for p in (*parts, value.centre_mm, value.pixel_mm, value.seconds_per_view)):
                return "an acquisition with numbers that are not finite"
        if isinstance(value, WorklistEntry):
            require_name(value.name, value.where)
            if not (value.where + value.problem).isprintable():
                return f"a study that cannot be printed: {value!r}"
        for line in getattr(value, "notes", ()):
            if not line.isprintable():
                return f"a note that cannot be printed: {line!r}"
        if hasattr(value, "as_dict"):
            json.dumps(value.as_dict(), allow_nan=False)
    return ""


def _too_slow(*_: object) -> None:
    raise TooSlow


def _place(error: BaseException) -> str:
    """Where an error arose: the innermost line of the package, and the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/mureg/" in f.filename]
    chosen = [*ours[-1:], *frames[-1:]]
    return " < ".join(dict.fromkeys(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in chosen))


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "linux" else peak / 2**20


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
