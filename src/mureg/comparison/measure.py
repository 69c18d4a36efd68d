"""One case: every method's pose, and every figure of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import mureg
from mureg.cohort.store.cohort import open_case, read_case
from mureg.comparison.images import Images, mean_normalised, nmae_percent, nmse_percent
from mureg.comparison.methods import KNOWN, ORACLE, Method, MethodPose, register
from mureg.comparison.metrics import mean_motion_errors, motion_errors
from mureg.comparison.rows import BALL, NOT_MEASURED, POINTS, SIX, Measurement, MethodRow
from mureg.errors import MuregError, RefusedError
from mureg.geometry import RigidTransform
from mureg.geometry.target_error import target_registration_error_mm
from mureg.heart.axis import axis_from_image, axis_from_wall
from mureg.heart.polar import PolarMap, polar_map, segment_error_percent
from mureg.heart.ventricle import LeftVentricle
from mureg.spect import Acquisition
from mureg.study import Case, PreparedStudy


@dataclass(frozen=True)
class Task:
    """What is to be measured of one case.

    Attributes:
        folder: of the case.
        cohort: its name.
        methods: all that the result shall have.
        stored_rows: rows that are there, by method.
        images: reconstruct the corrected images.
        measurement: settings.
        measured_with: beginning of their hash.
        python: that has the outside programs.
    """

    folder: Path
    cohort: str
    methods: tuple[Method, ...]
    stored_rows: Mapping[str, MethodRow]
    images: bool
    measurement: Measurement
    measured_with: str
    python: Path

    @property
    def open(self) -> bool:
        """Whether anything remains to be done."""
        return any(
            method.name not in self.stored_rows or (self.images and not self.stored_rows[method.name].images)
            for method in self.methods
        )


def measure(task: Task) -> list[MethodRow]:
    """The rows of a case that are new or have new figures."""
    case, settings = read_case(task.folder), task.measurement
    images: Images | None = None
    problem = ""
    try:
        images = Images.of(case, settings.attenuation, settings.reconstructor, settings.physics)
    except MuregError as refusal:
        problem = str(refusal)
    rows = []
    reference: _Reference | None = None
    for method in task.methods:
        row = task.stored_rows.get(method.name)
        if row is None:
            row = _posed(task, case, method, _find(method, case, images, problem, task.python))
            row = row if images is None else _with_map(row, case, images)
        elif not task.images or row.images:
            continue
        if task.images:
            try:
                reference = reference or _Reference.of(images, settings.axis)
                row = _with_corrected(row, case, reference)
            except MuregError as refusal:
                row = replace(row, images="failed", reason=row.reason or _line(str(refusal)))
        rows.append(row)
    return rows


def origin(folder: Path) -> str:
    """What makes a case the same wherever it lies: the settings of its cohort, seed included, and its number."""
    sources = open_case(folder).header["sources"]
    return f"{str(sources.get('settings_sha256', folder.parent.parent.name))[:12]}/{sources.get('index', folder.name)}"


def _find(method: Method, case: Case, images: Images | None, problem: str, python: Path) -> MethodPose:
    if method.name in KNOWN:
        version = f"mureg {mureg.__version__}"
        return MethodPose(
            case.truth.ct_from_spect if method.name == ORACLE else RigidTransform.identity(), 0.0, version
        )
    if images is None:
        return MethodPose(None, 0.0, f"mureg {mureg.__version__}", "refused", problem)
    projections = case.study.spect if isinstance(case.study.spect, Acquisition) else None
    return register(method, PreparedStudy(case.uncorrected, images.prepared.maps, projections), python)


def _posed(task: Task, case: Case, method: Method, answer: MethodPose) -> MethodRow:
    truth = case.truth
    pose = RigidTransform.identity() if answer.ct_from_spect is None else answer.ct_from_spect
    poses = pose.six(truth.centre_mm), motion_errors(pose, truth.ct_from_spect, truth.centre_mm)
    delta_t, delta_r = mean_motion_errors(pose, truth.ct_from_spect, truth.centre_mm)
    liver_points = truth.liver_points_mm
    liver = task.measurement.liver.points_mm(truth.heart_points_mm) if liver_points is None else liver_points
    heart_mm, liver_mm = (
        target_registration_error_mm(pose, truth.ct_from_spect, points) for points in (truth.heart_points_mm, liver)
    )
    found_six, off = (dict(zip(SIX, (*shift, *angles), strict=True)) for shift, angles in poses)
    figures = {
        **{f"found_{name}": value for name, value in found_six.items()},
        **off,
        "delta_t_mm": delta_t,
        "delta_r_deg": delta_r,
        "heart_mm": heart_mm,
        "liver_mm": liver_mm,
        "remainder_mm": truth.remainder_mm,
        "seconds": answer.seconds,
    }
    return MethodRow(
        cohort=task.cohort,
        case=task.folder.name,
        patient=case.study.patient,
        made_from=origin(task.folder),
        method=method.name,
        settings=method.settings,
        version=answer.version,
        measured_with=task.measured_with,
        status=answer.status,
        reason=_line(answer.reason),
        images="",
        liver_from=BALL if liver_points is None else POINTS,
        **{name: _figure(value) for name, value in figures.items()},
    )


def _with_map(row: MethodRow, case: Case, images: Images) -> MethodRow:
    registered, true = images.map_at(row.pose(case.truth.centre_mm)).values, case.truth.mu.values
    return replace(
        row, mu_nmse=_figure(nmse_percent(registered, true)), mu_nmae=_figure(nmae_percent(registered, true))
    )


@dataclass(frozen=True, eq=False)
class _Reference:
    """The image corrected with the true map, and its polar map where an axis was found."""

    images: Images
    ventricle: LeftVentricle | None
    polar: PolarMap | None

    @classmethod
    def of(cls, images: Images | None, axis: str) -> _Reference:
        if images is None:
            raise RefusedError("no attenuation map", "a CT that gives one", "see the reason of the registrations")
        image = images.reference()
        try:
            ventricle = (
                axis_from_wall(images.case.truth.lv_wall) if axis == "known" else axis_from_image(image).ventricle
            )
            return cls(images, ventricle, polar_map(image, ventricle))
        except MuregError:  # the figures of the images hold all the same
            return cls(images, None, None)


def _with_corrected(row: MethodRow, case: Case, reference: _Reference) -> MethodRow:
    image = reference.images.corrected_at(row.pose(case.truth.centre_mm))
    true = reference.images.reference()
    scaled, true_scaled = mean_normalised(image.values), mean_normalised(true.values)
    polar = NOT_MEASURED
    if reference.ventricle is not None and reference.polar is not None:
        polar = segment_error_percent(polar_map(image, reference.ventricle), reference.polar)
    return replace(
        row,
        images="done",
        ac_nmse=_figure(nmse_percent(image.values, true.values)),
        ac_nmae=_figure(nmae_percent(image.values, true.values)),
        ac_nmse_scaled=_figure(nmse_percent(scaled, true_scaled)),
        ac_nmae_scaled=_figure(nmae_percent(scaled, true_scaled)),
        polar=_figure(polar),
    )


def _figure(value: float) -> float:
    return float(np.round(value, 6))  # a millionth of a mm: below what two machines differ by


def _line(text: str) -> str:
    return " ".join(text.split())
