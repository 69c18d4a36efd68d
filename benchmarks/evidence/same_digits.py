"""Print hashes of pose, maps, images and decision of stored virtual patients and of a study, to compare two versions.

    PYTHONPATH=src python benchmarks/evidence/same_digits.py --cases DIR --n 10 --spect FILE --ct FOLDER > new.txt

Run it with the sources of each version; equal output means equal results to the last digit.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

import mureg
from mureg.jobs.cores import set_thread_count


def _read_case(folder: Path) -> Any:
    try:
        from mureg.cohort.store.cohort import read_case
    except ImportError:  # before the store moved
        from mureg.io.store import read_case  # type: ignore[import-not-found, no-redef]
    return read_case(folder)


def _examined(study: Any) -> Any:
    return mureg.examine(study) if hasattr(mureg, "examine") else mureg.run(study)


def line(name: str, study: Any) -> str:
    """Decision, move, and hashes of the pose found, the maps and the images."""
    answer = _examined(study)
    examination = answer.examination
    parts = [examination.registration.ct_from_spect.matrix, answer.registration.covariance, answer.spect_uncorrected]
    parts += [part for at in (examination.header, examination.found) for part in (at.mu, at.spect)]
    digest = hashlib.sha256()
    for part in parts:
        values = part.values if hasattr(part, "values") else np.asarray(part)
        digest.update(np.ascontiguousarray(values).tobytes())
    return f"{name} {answer.decision} {answer.move_found.rms_mm!r} {digest.hexdigest()[:24]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--spect", type=Path)
    parser.add_argument("--ct", type=Path)
    options = parser.parse_args()
    set_thread_count(1)
    if options.spect is not None:
        print(line("study", mureg.read_study(options.spect, ct=options.ct)), flush=True)
    for folder in sorted(options.cases.iterdir())[: options.n]:
        print(line(folder.name, _read_case(folder).study), flush=True)


if __name__ == "__main__":
    main()
