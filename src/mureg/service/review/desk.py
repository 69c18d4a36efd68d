"""What a review holds while it runs: studies, trail, what is being written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np

from mureg.assessment.move import HEART_RADIUS_MM, heart_points_mm
from mureg.errors import MuregError, UsageError
from mureg.geometry import RigidTransform
from mureg.service.review.bench import Bench
from mureg.service.review.decide import (
    REASONS,
    DecisionRequest,
    change_words,
    record,
    write_result,
)
from mureg.service.review.drawing import MoveQuery
from mureg.service.review.standing import is_written, superseded
from mureg.service.review.studies import ReviewStudy
from mureg.service.trail import Trail
from mureg.service.trail_entry import StudyKey, TrailRow

LOG = logging.getLogger("mureg.review")


@dataclass
class Desk:
    """A review of several studies.

    Attributes:
        studies: worst first; the page names them by their place here.
        trail: of all decisions.
        reader: name that the page begins with.
        blinded: hide pose and decision of the program, and those of other readers, until this reader's are stored.
        names: show the names of the studies.
        signed_in: the reader is a user who has signed in, and decides under no other name.
    """

    studies: Sequence[ReviewStudy]
    trail: Trail
    reader: str = ""
    blinded: bool = False
    names: bool = False
    signed_in: bool = False
    _benches: dict[int, Bench] = field(default_factory=dict, repr=False)
    _writing: dict[int, Future[TrailRow]] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "writer"), repr=False)

    def of_user(self, name: str) -> Desk:
        """The same review as a user who has signed in sees it."""
        return replace(self, reader=name, signed_in=True)

    def bench(self, index: int) -> Bench:
        """The bench of a study."""
        with self._lock:
            if index not in self._benches:
                for other in list(self._benches)[:-_OPEN]:  # the memory of studies that are no longer looked at
                    del self._benches[other]
                self._benches[index] = Bench(self.studies[index])
            return self._benches[index]

    def name(self, index: int) -> str:
        """What the page calls a study."""
        return self.studies[index].name if self.names else f"Study {index + 1}"

    def is_open(self, index: int) -> bool:
        """Whether what the program found may be shown."""
        return not self.blinded or self.studies[index].key in self._shown()

    def worklist(self) -> list[dict[str, Any]]:
        """One entry for each study, worst first."""
        decisions, rows = self._shown(), self.trail.rows()
        entries = []
        for index, study in enumerate(self.studies):
            row = decisions.get(study.key)
            is_open = not self.blinded or row is not None
            entries.append(
                {
                    "index": index,
                    "name": self.name(index),
                    "phantom": study.is_phantom,
                    "decision": study.decision if is_open else "hidden",
                    "move": f"{study.move_found.rms_mm:.1f} mm" if is_open else "",
                    "reason": str(study.table.get("reason", "")) if is_open else "",
                    "reviewed": None if row is None else row.entry.decision,
                    "reader": "" if row is None else row.entry.reader,
                    "superseded": superseded(study, rows) if is_open else "",
                }
            )
        return entries

    def study(self, index: int) -> dict[str, Any]:
        """All that the page needs to show one study, but for its volumes."""
        study, bench = self.studies[index], self.bench(index)
        heart, ventricle, is_open = study.heart_mm, study.ventricle, self.is_open(index)
        spect = bench.spect()
        answer: dict[str, Any] = {
            "index": index,
            "count": len(self.studies),
            "name": self.name(index),
            "heart_mm": list(heart),
            "heart_points_mm": heart_points_mm(heart).tolist(),
            "heart_radius_mm": HEART_RADIUS_MM,
            "axes": None if ventricle is None else ventricle.axes.tolist(),
            "ventricle_mm": None if ventricle is None else list(ventricle.centre_mm),
            "spect": spect.header(),
            "pixel_mm": min(spect.grid.spacing_mm),
            "can_reconstruct": study.inputs is not None,
            "reasons": list(REASONS),
            "reader": self.reader,
            "signed_in": self.signed_in,
            "phantom": study.is_phantom,
            "blinded": self.blinded,
            "open": is_open,
            "start": _flat(study.found if is_open else RigidTransform.identity()),
            "limits": {"mismatch_percent": (study.table.get("limits") or {}).get("mismatch_percent", 3.0)},
        }
        if is_open:
            answer |= {
                "decision": study.decision,
                "given_out": bool(study.table.get("pose_found_given_out")),
                "reasons_found": [str(reason) for reason in study.table.get("reasons", ())],
                "warnings": [f"{w['text']} ({w['rank']})" for w in study.table.get("warnings", ()) if "text" in w],
                "found": _flat(study.found),
                "interval": study.table.get("interval_90"),
            }
        return answer | self.state(index)

    def state(self, index: int) -> dict[str, Any]:
        """How far the review of a study is."""
        study = self.studies[index]
        row, last = self._shown().get(study.key), self.trail.decisions().get(study.key)
        rows = self.trail.rows()
        future = self._writing.get(index)
        problem = None
        if future is not None and future.done() and future.exception() is not None:
            error = future.exception()
            problem = str(error) if isinstance(error, MuregError) else f"a fault in mureg ({type(error).__name__})"
        return {
            "seen": 0 if last is None else last.number,
            "reviewed": None if row is None else _row(row),
            "writing": future is not None and not future.done(),
            "written": row is not None and is_written(study, rows),
            "superseded": superseded(study, rows) if not self.blinded or row is not None else "",
            "problem": problem,
        }

    def at_pose(self, index: int, pose: RigidTransform, tab: int = 0) -> dict[str, Any]:
        """See `Bench.at_pose`; of a blinded study without what the program found."""
        bench = self.bench(index)
        answer = bench.at_pose(pose, bench.newest(tab))
        if not self.is_open(index):
            for part in (answer["mismatch"], answer["segments"] or {}):
                part.pop("found", None)
        return answer

    def planes(self, index: int, move: MoveQuery) -> bytes:
        """Three planes with the map moved, as a PNG."""
        return self.bench(index).planes(move)

    def words(self, index: int, pose: RigidTransform) -> dict[str, Any]:
        """The move of a pose, and how it differs from the pose found."""
        words = self.bench(index).words(pose)
        return words | ({"change": change_words(self.studies[index], pose)} if self.is_open(index) else {})

    def decide(self, index: int, request: DecisionRequest) -> dict[str, Any]:
        """Store a decision, and begin to write its result."""
        study = self.studies[index]
        self._refuse_other_reader(request.reader.strip())
        row = record(study, self.trail, request, blinded=not self.is_open(index))
        LOG.info("study %d: %s, row %d of the trail", index + 1, request.decision, row.number)
        if request.decision != "rejected" and study.inputs is not None:
            self._write(index, row)
        return self.state(index)

    def write_again(self, index: int) -> dict[str, Any]:
        """Write the result of the last decision, where that was not completed."""
        row = self.trail.decisions().get(self.studies[index].key)
        state = self.state(index)
        if row is not None and not state["written"] and not state["writing"] and row.entry.decision != "rejected":
            self._write(index, row)
        return self.state(index)

    @property
    def is_writing(self) -> bool:
        """Whether a result is being written."""
        return any(not future.done() for future in self._writing.values())

    def close(self) -> None:
        """Wait until every result is written."""
        self._writer.shutdown(wait=True)

    def _refuse_other_reader(self, reader: str) -> None:
        if self.signed_in and reader != self.reader:
            raise UsageError(f"a decision by {reader}", f"one by {self.reader}, who has signed in", "sign in again")
        if self.blinded and reader != self.reader:
            raise UsageError(
                f"a decision by {reader}, on a page that is blinded for {self.reader}",
                "one reader for each blinded page",
                "start mureg review again with --reader",
            )

    def _shown(self) -> dict[StudyKey, TrailRow]:
        """The last decision on each study; on a blinded page of this reader alone."""
        if not self.blinded:
            return self.trail.decisions()
        rows = (row for row in self.trail.rows() if row.entry.action == "decide" and row.entry.reader == self.reader)
        return {row.entry.key: row for row in rows}

    def _write(self, index: int, row: TrailRow) -> None:
        self._writing[index] = self._writer.submit(write_result, self.bench(index), row, self.trail)


_OPEN = 4
"""Studies that are kept prepared beside the newest one: about 100 MB each; a round value."""


def _flat(pose: RigidTransform) -> list[float]:
    return [float(value) for value in np.asarray(pose.matrix).ravel()]


def _row(row: TrailRow) -> dict[str, Any]:
    entry = row.entry
    return {"decision": entry.decision, "reader": entry.reader, "at": entry.utc, "words": entry.words,
            "pose": list(entry.pose_after), "comment": entry.comment, "number": row.number}  # fmt: skip
