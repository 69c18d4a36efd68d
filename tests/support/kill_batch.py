"""A batch to be killed by a test: ``python -m support.kill_batch STUDIES N FOLDER JOBS``."""

from __future__ import annotations

import sys
from pathlib import Path

from mureg.batch.run import plan, run_batch
from support.small_batch import Pretend, pairs

if __name__ == "__main__":
    studies, n, folder, jobs = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    run_batch(plan(pairs(studies, n), folder, {"a": 1}), Pretend((("s01", "bug"),), 0.3), jobs=jobs)
