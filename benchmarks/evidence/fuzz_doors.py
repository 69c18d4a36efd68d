"""Spoil small valid DICOM and NIfTI files and read them: nothing but a result or a `MuregError` may come back.

    python benchmarks/evidence/fuzz_doors.py --minutes 60 --seed 1 --keep fuzz-findings

Each file is spoiled one to three times (bits, bytes, truncation, lengths, tags, header fields) and given to one of the
readers. A finding is any other exception, a warning, a result with numbers that are not finite, a sentence that is not
one printable line, more than 5 s or more than 300 MiB for one file, or a process that dies. Offending files are kept,
named by seed, batch and number. Linux only.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from support.fuzzing import Limits, fuzz  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for offending files")
    parser.add_argument("--seconds", type=float, default=5.0, help="limit for one file")
    parser.add_argument("--memory-mb", type=float, default=300.0, help="limit for one file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        limits = Limits(options.seconds, options.memory_mb)
        tally = fuzz(options.minutes, options.seed, options.keep, Path(scratch), limits)
    by_kind = Counter((f["what"][:60], f["where"]) for f in tally.findings)
    answer = {
        "minutes": options.minutes,
        "seed": options.seed,
        "executions": tally.executions,
        "read": tally.read,
        "refused": tally.refused,
        "findings": len(tally.findings),
        "kinds_of_findings": [{"n": n, "what": what, "where": where} for (what, where), n in by_kind.most_common()],
        "slowest_s": round(tally.slowest_s, 2),
        "largest_growth_mb": round(tally.memory_mb, 1),
        "refusals_from_errors": dict(tally.damage.most_common(40)),
    }
    print(json.dumps(answer, indent=2))
    (options.keep / f"findings-{options.seed}.json").write_text(json.dumps(tally.findings, indent=1))
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
