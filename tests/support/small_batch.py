"""Studies that cost nothing to register: small DICOM files, and results that follow from the study's name."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mureg.errors import GeometryError, RegistrationError
from mureg.io.worklist.entry import WorklistEntry

DECISIONS = ("aligned", "moved", "review")


def pairs(base: Path, n: int) -> tuple[WorklistEntry, ...]:
    """`n` studies whose files hold nothing."""
    found = []
    for k in range(n):
        folder = base / f"s{k:02d}"
        (folder / "ct").mkdir(parents=True, exist_ok=True)
        for name in ("spect.dcm", "ct/1.dcm"):
            (folder / name).write_bytes(bytes(k + 1))
        found.append(WorklistEntry(folder.name, f"line {k + 2}", base, folder / "spect.dcm", folder / "ct"))
    return tuple(found)


@dataclass(frozen=True)
class Pretend:
    """Writes what a registration would leave; some studies go wrong, in ways that are named.

    Attributes:
        wrong: what happens to a study of that name: "refused", "unreadable", "bug", "killed".
        seconds: that each study takes.
    """

    wrong: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    def __call__(self, pair: WorklistEntry, folder: Path) -> None:
        time.sleep(self.seconds)
        (folder / "spect_ac.nii.gz").write_bytes(b"half a result")
        what = dict(self.wrong).get(pair.name, "")
        if what == "refused":
            raise RegistrationError("a map that fits nowhere", "a heart in the lung's hollow", "check the inputs")
        if what == "unreadable":
            raise GeometryError("a gap after slice 41", "equal steps", "export the complete series")
        if what == "bug":
            raise ZeroDivisionError("by nothing")
        if what == "killed":
            os.kill(os.getpid(), 9)
        write_result(pair.name, folder)


def write_result(name: str, folder: Path) -> None:
    """``registration.json`` and ``qc.png`` that follow from the name."""
    k = int(name[1:])
    chance = np.random.default_rng(k)
    found = {
        "decision": DECISIONS[k % 3],
        "reason": f"study {k} <&> as it is",
        "move_at_heart": {
            "rms_mm": 5.0 * k,
            "mean_mm": {"left": 3.0 * k, "back": -4.0 * k, "head": 0.0},
            "turn_deg": 0.5 * k,
        },
        "interval_90": {"heart_mm": 2.0, "calibrated": k > 3} if k % 2 else None,
        "mismatch_percent": {"header": 4.0, "registered": 1.0},
        "perfusion": {"changed": [7, 10]},
        "warnings": [{"rank": "changes the answer", "text": "one"}, {"rank": "for the record", "text": "two"}],
        "registrar": "pretended",
    }
    (folder / "registration.json").write_text(json.dumps(found))
    squares = chance.integers(0, 255, (13, 15, 3), dtype=np.uint8)  # noise in every pixel takes a second to write
    Image.fromarray(squares.repeat(100, axis=0).repeat(100, axis=1)).save(folder / "qc.png")
