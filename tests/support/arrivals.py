"""Small DICOM files of patients that arrive in a folder, and a registration that costs nothing."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mureg.errors import GeometryError
from mureg.io.worklist.entry import WorklistEntry
from mureg.service.store.database import connected
from mureg.service.store.folder import Store
from mureg.service.store.queue import Queue
from mureg.service.watch.watch import Manners, Watch
from support.dicom import change, chest_like, detector, rotation, tomo_vectors, uid, write_ct, write_nm

VIEWS = 4


def spect(folder: Path, patient: str = "Miller", *, name: str = "nm.dcm", visit: str = "one", at: str = "0900") -> Path:
    """Projections of a visit; `at` is hhmm."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{patient}-{visit}-{name}"  # scanners name files after patients
    write_nm(
        made,
        np.ones((VIEWS, 16, 12), dtype=np.uint16),
        tomo_vectors(VIEWS),
        detectors=[detector(0.0)],
        rotations=[rotation(0.0, 360.0 / VIEWS, VIEWS)],
        SeriesDescription=name.partition(".")[0],
    )
    belongs_to(made, patient, visit, at, sop=f"{patient} {visit} {name}", series=f"{patient} {visit} {name}")
    return made


def ct(
    folder: Path, patient: str = "Miller", *, name: str = "ct", visit: str = "one", at: str = "0905", slices: int = 6
) -> list[Path]:
    """Slices of a CT of a visit."""
    made = write_ct(folder / f"{patient}-{visit}-{name}", chest_like((slices, 8, 10)), series=name)
    for k, file in enumerate(made):
        belongs_to(file, patient, visit, at, sop=f"{patient} {visit} {name} {k}", series=f"{patient} {visit} {name}")
    return made


def belongs_to(file: Path, patient: str, visit: str, at: str, *, sop: str, series: str) -> None:
    """Give a file its patient, DICOM study, frame of reference and time."""
    change(
        file,
        PatientName=f"{patient}^Secret",
        PatientID=f"ID-{patient}",
        StudyInstanceUID=uid(patient, visit),
        FrameOfReferenceUID=uid(patient, visit, "frame"),
        SOPInstanceUID=uid(sop),
        SeriesInstanceUID=uid("series", series),
        AcquisitionDate="20310506",
        AcquisitionTime=f"{at}00",
    )


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Pretend:
    """A registration that notes what it was given.

    Attributes:
        seen: per call, name and how many CT files.
        accidents: names of studies, each fails so often by a full disk.
        bad: all studies are refused as unreadable.
    """

    seen: list[tuple[str, int]] = field(default_factory=list)
    accidents: int = 0
    bad: bool = False

    def __call__(self, entry: WorklistEntry, folder: Path, unwanted: threading.Event) -> None:
        assert entry.ct is not None
        n = len(list(entry.ct.iterdir())) if entry.ct.is_dir() else 1
        self.seen.append((entry.name, n))
        (folder / "half.nii.gz").write_bytes(b"half")
        if self.accidents:
            self.accidents -= 1
            raise OSError(28, "No space left on device")
        if self.bad:
            raise GeometryError("a gap after slice 3", "equal steps", "export the complete series")
        (folder / "registration.json").write_text(json.dumps({"decision": "review", "reason": f"{n} slices"}))


@dataclass
class Node:
    """A watch with a clock of its own."""

    store: Store
    source: Path
    run: Pretend = field(default_factory=Pretend)
    clock: Clock = field(default_factory=Clock)
    quiet_s: float = 60.0
    least_free: int = 0

    def __post_init__(self) -> None:
        self.source.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Begin, as after a kill: nothing of an earlier watch is in memory."""
        self.claim = self.store.claimed([self.source])
        self.queue = Queue(self.claim.__enter__())
        manners = Manners(self.quiet_s, least_free=self.least_free)
        self.watch = Watch(self.store, self.queue, [self.source], self.run, manners, self.clock)

    def end(self) -> None:
        self.watch.close()
        self.claim.__exit__(None, None, None)

    def after(self, seconds: float) -> None:
        """Let time pass, look, and wait until what was begun has ended."""
        self.clock.now += seconds
        self.watch.step()
        while self.watch.running:
            for _, future in list(self.watch._running.values()):
                future.exception(timeout=60)
            self.watch.step()

    def settle(self) -> None:
        """Look, and again after the quiet time."""
        self.after(0)
        self.after(self.quiet_s)

    def queue_connection(self):
        return connected(self.queue.path)

    def results(self) -> dict[str, str]:
        """Reason of each result in the store."""
        return {
            folder.name: json.loads((folder / "registration.json").read_text())["reason"]
            for folder in sorted(self.store.studies.iterdir())
            if (folder / "registration.json").exists()
        }

    def waiting(self) -> list[str]:
        return [reason for reasons in self.queue.waiting().values() for reason in reasons]


def copies(source: Path, place: Path) -> None:
    """Copy files and folders as another program would."""
    shutil.copytree(source, place, dirs_exist_ok=True)
