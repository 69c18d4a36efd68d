"""From what a reader decides to a row of the trail and, where a pose was accepted, to a whole result."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.assessment.move import Move
from mureg.assessment.review import Review
from mureg.errors import UsageError
from mureg.files.settings import read_json
from mureg.geometry import RigidTransform
from mureg.io import dicom_inputs
from mureg.io.acquired import ct_acquired_at, spect_acquired_at
from mureg.io.results import FOLDER
from mureg.pipeline import examine, versions
from mureg.registration import PoseByHand
from mureg.report.occasion import Occasion
from mureg.results import AsDicom, AsReport, write_folder
from mureg.service.review.bench import Bench
from mureg.service.review.settings import settings_of
from mureg.service.review.studies import RESULT, REVIEWED, ReviewStudy
from mureg.service.trail import Trail
from mureg.service.trail_entry import TrailEntry, TrailRow, utc_now

REASONS = (
    "the map does not fit the heart",
    "liver or bowel beside the wall",
    "the patient moved during the scan",
    "wrong series or wrong patient",
    "the CT does not cover the heart",
    "poor counts",
    "other",
)
"""That a reader picks from."""

_NO_CONTROLS = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
"""Tabs and ends of lines alone: what else controls a terminal or a printer has no place in reports and headers."""
_NAME = r"^[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f\s][^\x00-\x1f\x7f]*$"
"""More than spaces, in one line."""
Words = Annotated[str, Field(max_length=2000, pattern=_NO_CONTROLS)]
Sixteen = Annotated[tuple[float, ...], Field(min_length=16, max_length=16)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class DecisionRequest:
    """What the page sends.

    Attributes:
        decision: which pose is accepted, or none.
        reader: name or initials.
        pose: ``ct_from_spect`` row by row, for the decision "own".
        seen: number of the last decision on this study that the page knew of, 0 for none.
        reasons: of `REASONS`.
        comment: free text.
        seconds: since the study was opened.
    """

    decision: Literal["found", "own", "scanner", "rejected"]
    reader: Annotated[str, Field(min_length=1, max_length=80, pattern=_NAME)]
    seen: Annotated[int, Field(ge=0)]
    pose: Sixteen | None = None
    reasons: Annotated[tuple[Words, ...], Field(max_length=len(REASONS))] = ()
    comment: Words = ""
    seconds: Annotated[float, Field(ge=0, le=1e6)] | None = None


def record(study: ReviewStudy, trail: Trail, request: DecisionRequest, *, blinded: bool) -> TrailRow:
    """Write a decision into the trail.

    Raises:
        AlreadyDecidedError: another decision stands there that the page did not show.
        UsageError: no pose, a reason that is not on the list, or no reason for a rejection.
        GeometryError: a pose that is not rigid.
    """
    pose = _accepted(study, request)
    unknown = [reason for reason in request.reasons if reason not in REASONS]
    if unknown or not (request.reasons or request.comment or request.decision != "rejected"):
        raise UsageError(
            f'the reason "{unknown[0]}"' if unknown else "a rejection without a reason",
            "one of the reasons on the page, or a comment",
            "choose one",
        )
    before = trail.decisions().get(study.key)
    return trail.append(
        TrailEntry(
            "decide",
            study.name,
            study.fingerprint,
            request.reader.strip(),
            request.decision,
            _flat(study.found) if before is None else before.entry.pose_after,
            _flat(pose),
            _flat(study.found),
            change_words(study, pose),
            request.reasons,
            request.comment,
            blinded,
            request.seconds,
            versions(),
            str((study.table.get("provenance") or {}).get("weights_sha256", "")),
        ),
        expected=request.seen,
    )


def write_result(bench: Bench, row: TrailRow, trail: Trail) -> TrailRow:
    """Write the whole result of an accepted pose into `REVIEWED` beside the found one, and say so in the trail.

    Raises:
        MuregError: the study cannot be read any more, or the place cannot be written.
    """
    study, entry = bench.study, row.entry
    inputs = study.inputs
    if inputs is None or entry.decision == "rejected":
        raise UsageError("a decision without a result to write", "an accepted pose, and the study", "give --studies")
    folder = place_of_result(study)
    _, read = bench.prepared()
    pose = PoseByHand.at(RigidTransform(np.asarray(entry.pose_after).reshape(4, 4)))
    axis = study.ventricle
    by_hand = axis if axis is not None and study.table["perfusion"]["axis"]["by_hand"] else None
    assessment = examine(
        read,
        settings_of(study.table, pose),
        correct="spect_ac.nii.gz" in {path.name for path in study.folder.iterdir()},
        axis=None if by_hand is None else (by_hand.centre_mm, by_hand.apex_direction),
        allow_different_patients=True,
    )
    review = Review(
        entry.reader, entry.utc, entry.decision, entry.words, entry.reasons, entry.comment, row.number, row.sha256
    )
    now = datetime.now()
    dicom = None
    if (study.folder / FOLDER).is_dir():
        found = dicom_inputs(
            inputs.spect, ct=inputs.ct, mu=inputs.mu, spect_series=inputs.spect_series, ct_series=inputs.ct_series
        )
        dicom = AsDicom(found, now)
    label = str((study.table.get("study") or {}).get("label") or study.name)
    occasion = Occasion(
        label,
        spect_acquired_at(inputs.spect, inputs.spect_series),
        ct_acquired_at(inputs.ct, inputs.mu, inputs.ct_series),
        now,
    )
    write_folder(
        assessment.with_review(review), folder, dicom, AsReport(read, occasion=occasion), overwrite=folder.exists()
    )
    sha256 = hashlib.sha256((folder / RESULT).read_bytes()).hexdigest()
    return trail.append(replace(entry, action="write", result=sha256, utc=utc_now()))


def place_of_result(study: ReviewStudy) -> Path:
    """Where the result of an accepted pose is written: a new folder, or one that holds an earlier reviewed result.

    Raises:
        UsageError: a link, which may lead to another result, or a result that no reader accepted.
    """
    folder = study.folder / REVIEWED
    if folder.resolve() != study.folder.resolve() / REVIEWED or folder.is_symlink():
        raise UsageError(f"{REVIEWED} is a link to another place", "a folder inside the result", "remove the link")
    if (folder / RESULT).exists() and not read_json(folder / RESULT).get("review"):
        raise UsageError(f"{REVIEWED} holds a result that no reader accepted", "a reviewed result", "move it away")
    return folder


def change_words(study: ReviewStudy, pose: RigidTransform) -> str:
    """How a pose moves the map from where the program put it, at the heart."""
    change = Move.of(study.found.inverse() @ pose, study.heart_mm)
    return f"{change.rms_mm:.1f} mm: {change.components()}" if change.rms_mm > 0.0 else "none"


def _accepted(study: ReviewStudy, request: DecisionRequest) -> RigidTransform:
    if request.decision == "own":
        if request.pose is None:
            raise UsageError("a pose of your own without a pose", "16 numbers", "move the map, and save again")
        return RigidTransform(np.asarray(request.pose, dtype=np.float64).reshape(4, 4))
    return RigidTransform.identity() if request.decision == "scanner" else study.found


def _flat(pose: RigidTransform) -> tuple[float, ...]:
    return tuple(float(value) for value in pose.matrix.ravel())
