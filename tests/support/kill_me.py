"""A run of a small cohort to be killed by a test: ``python -m support.kill_me FOLDER N JOBS``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from mureg.cohort.run import simulate_cohort
from support.small_cases import slow_case, small_settings

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    folder, n, jobs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    simulate_cohort(small_settings(), n, folder, jobs=jobs, simulate=slow_case, dicom=True)
