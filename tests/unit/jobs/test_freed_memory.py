"""Memory that a process has freed serves the next array."""

from __future__ import annotations

import subprocess
import sys

import pytest

PAGES_OF = """
import resource
import sys
import threading
import numpy as np
from mureg.jobs.cores import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2_500_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

counts = [pages() for _ in range(3)]
thread = threading.Thread(target=lambda: counts.append(pages()))
thread.start()
thread.join()
print(counts[2], counts[3])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the GNU C library is on Linux")
def test_the_next_array_takes_no_new_pages_whichever_thread_makes_it() -> None:
    """20 MB are 4883 pages of 4 KB, or ten of 2 MB, which count as one each."""
    counts = {}
    for way in ("keep", "leave"):
        done = subprocess.run([sys.executable, "-c", PAGES_OF, way], capture_output=True, text=True, check=True)
        counts[way] = [int(number) for number in done.stdout.split()]
    if max(counts["leave"]) < 100:
        pytest.skip("large pages hide what is counted here")
    assert max(counts["keep"]) < max(counts["leave"]) / 10
