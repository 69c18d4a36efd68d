"""Rigid registration by normalised gradient fields (Haber and Modersitzki, MICCAI 2006, LNCS 4191:726-733).

Two images of the same anatomy have edges at the same places and in parallel directions, whatever their intensities. The
measure is the mean square of the scalar product of both normalised gradients. It ignores the sign of the edges.
"""

from __future__ import annotations

import time
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from scipy import ndimage

from mureg.errors import RegistrationError
from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.registration.base import Registration, nothing_found, refuse_result, refuse_unusable
from mureg.registration.levels import Level, noise_of_differences
from mureg.registration.mutual_information import COARSE, MutualInformation, without_hot_spots
from mureg.registration.rigid_search import Motions, Six, minimise, to_pose, to_six
from mureg.registration.sampling import Sampler, spread_points
from mureg.registration.starts import started_by
from mureg.study import PreparedStudy

Array = npt.NDArray[np.float64]

_AGREE_MM = 3.4
"""Starts agree up to half a pixel of a usual cardiac SPECT."""
_APART_MM = 3.0
"""Optima of the coarse level that lie closer are refined once: less than half a pixel of 6.8 mm; a round value."""
_BODY_SHARE = 0.2
"""Voxels above this share of the (clipped) maximum count as body for the mean gradient and the noise; chosen."""
_WEAK = 0.05
"""Points with a shorter normalised gradient are left out: their squares are below 0.3 % of a clear edge."""

_ROUNDING_PER_MM = 1e-6
"""Gradients below this share of the largest value are rounding errors of a uniform image."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class GradientFields:
    """Normalised gradient fields of the SPECT and the attenuation map, from several starting poses.

    Attributes:
        axial_starts_mm: starting shifts along z from the scanner position (mm).
        with_mutual_information: start also from the pose of mutual information.
        mutual_information: its settings.
        voxel_mm: voxel size to which both images are averaged, one value for each level (mm).
        smoothing_mm: sigma of the Gaussian smoothing of both images, one value for each level (mm).
        points: number of points of the SPECT field at which gradients are compared, one value for each level. Points
            without an edge cost no time.
        edge: edge parameter: a gradient as large as this multiple of the mean gradient in the body counts half.
        noise: multiple of the estimated noise of the gradients that is added to the edge parameter (root of squares).
        brightest: quantile of the SPECT values at which intensities are clipped (0.5 to 1).
        iterations: largest number of evaluations of each start in each level.
        farthest_axial_mm: a start that ends farther along z from where it began is discarded (mm): it slid along the
            body.
        margin: share by which the agreement of an end must be larger if it lies farther than `farthest_axial_mm` along
            z from the pose of mutual information.
        largest_shift_mm: refuse a result that shifts the map by more than this (mm).
        largest_angle_deg: refuse a result that rotates the map by more than this (degrees).
    """

    axial_starts_mm: tuple[float, ...] = (0.0, 20.0, -20.0)
    with_mutual_information: bool = True
    mutual_information: MutualInformation = COARSE
    voxel_mm: tuple[Annotated[float, Field(gt=0)], ...] = (13.6, 6.8)
    smoothing_mm: tuple[Annotated[float, Field(ge=0)], ...] = (12.0, 8.0)
    points: tuple[Annotated[int, Field(ge=100)], ...] = (3000, 8000)
    edge: Annotated[float, Field(gt=0)] = 0.5
    noise: Annotated[float, Field(ge=0)] = 0.0
    brightest: Annotated[float, Field(gt=0.5, le=1)] = 0.95
    iterations: Annotated[int, Field(ge=1)] = 60
    farthest_axial_mm: Annotated[float, Field(gt=0)] = 30.0
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.3
    largest_shift_mm: Annotated[float, Field(gt=0)] = 120.0
    largest_angle_deg: Annotated[float, Field(gt=0)] = 45.0
    kind: Literal["gradient-fields"] = "gradient-fields"

    @model_validator(mode="after")
    def _levels_match(self) -> GradientFields:
        if not self.voxel_mm or not len(self.voxel_mm) == len(self.smoothing_mm) == len(self.points):
            raise ValueError("voxel_mm, smoothing_mm and points need one value for each level, and at least one level")
        if not self.axial_starts_mm and not self.with_mutual_information:
            raise ValueError("at least one start is needed: give axial_starts_mm or with_mutual_information")
        return self

    def register(self, study: PreparedStudy) -> Registration:
        """See `Registrar.register`; the projections are not used. Two runs give the same digits, on any threads."""
        start = time.perf_counter()
        fixed, moving = study.uncorrected, study.body
        refuse_unusable(fixed, moving)
        centre_mm = fixed.grid.centre_mm
        starts, warnings = self._starts(study)
        measures = self._measures(fixed, moving, centre_mm)
        ends, values = _searched(measures, starts, self.iterations)
        near = np.abs(ends[:, 2] - starts[:, 2]) <= self.farthest_axial_mm
        weighted_values = np.where(near, values, np.inf)
        if self.with_mutual_information:  # the last start
            far = np.abs(ends[:, 2] - starts[-1, 2]) > self.farthest_axial_mm
            weighted_values = np.where(far, (1.0 - self.margin) * weighted_values, weighted_values)
        if not near.any():
            raise nothing_found(
                f"every one of {len(starts)} starts slid by more than {self.farthest_axial_mm:g} mm along z"
            )
        best = int(np.argmin(weighted_values))
        at_identity = float(-measures[-1](np.zeros((1, 6)))[0][0])
        pose = to_pose(ends[best], centre_mm)
        refuse_result(pose, fixed, moving, self.largest_shift_mm, self.largest_angle_deg)
        distances = np.linalg.norm(ends - ends[best], axis=1)
        evidence = {
            "gradient_agreement_at_identity": at_identity,
            "gradient_agreement_at_optimum": float(-values[best]),
            "starts": float(len(starts)),
            "starts_that_slid": float((~near).sum()),
            "starts_that_agree": float((distances <= _AGREE_MM).sum()),
            "spread_of_starts_mm": float(distances.max()),
        }
        return Registration(
            pose,
            centre_mm,
            self.kind,
            "moved",
            evidence,
            seconds=time.perf_counter() - start,
            notes=(_note(evidence),),
            warnings=(*warnings, *_warnings(evidence)),
        )

    def _starts(self, study: PreparedStudy) -> tuple[Six, tuple[str, ...]]:
        centre_mm = study.uncorrected.grid.centre_mm
        poses = [RigidTransform.from_six((0.0, 0.0, z), (0.0, 0.0, 0.0), centre_mm) for z in self.axial_starts_mm]
        warnings: tuple[str, ...] = ()
        if self.with_mutual_information:
            pose, warnings = started_by(self.mutual_information, study)
            poses.append(pose)
        return to_six(poses, centre_mm), warnings

    def _measures(self, fixed: Volume, moving: Volume, centre_mm: Triple) -> list[GradientAgreement]:
        """One for each level, coarse to fine."""
        dimmed = without_hot_spots(fixed, self.brightest)
        measures = []
        for voxel_mm, sigma_mm, n in zip(self.voxel_mm, self.smoothing_mm, self.points, strict=True):
            level, moving_level = (Level.of(image.coarsened(voxel_mm), sigma_mm) for image in (dimmed, moving))
            measures.append(GradientAgreement.of(level, moving_level, n, centre_mm, edge=self.edge, noise=self.noise))
        return measures


@plain_dataclass(frozen=True, eq=False)
class GradientAgreement:
    """Negative agreement of the gradients of a fixed image and a moved one, between -1 and 0; smaller is better.

    ``-sum (n_fixed . R^T n_moving(R p + t))^2 / sum |n_fixed|^2`` over points p. A point whose place in the moving
    image is unknown adds nothing to the upper sum, so that leaving the map gains nothing.

    Attributes:
        motions: of the points.
        fixed: normalised gradients of the fixed image at the points, [3, point].
        moving: sampler of those of the moving image, three channels.
    """

    motions: Motions
    fixed: Float[np.ndarray, "3 point"]
    moving: Sampler

    @classmethod
    def of(
        cls, fixed: Level, moving: Level, points: int, centre_mm: Triple, *, edge: float, noise: float
    ) -> GradientAgreement:
        """Normalise both gradient fields; `edge` and `noise` as in `GradientFields`."""
        places_mm = spread_points(fixed.grid, points)
        at_points = fixed.sampled(normalised_gradients(fixed, edge, noise), places_mm)
        clear = (at_points**2).sum(0) > _WEAK**2
        if not clear.any():
            raise RegistrationError(
                "the SPECT has no edges", "an image of the chest", "check that the right series was given"
            )
        gradients = normalised_gradients(moving, edge, noise) * _inner(moving.is_known)
        motions = Motions(places_mm[:, clear] - np.asarray(centre_mm)[:, None], centre_mm)
        sampler = Sampler.of(gradients, moving.grid, (0.0, 0.0, 0.0))
        return cls(motions, np.ascontiguousarray(at_points[:, clear], np.float32), sampler)

    def __call__(self, six: Six) -> tuple[Float[np.ndarray, " start"], Six]:
        """Value and gradient for each row of parameters (see `to_six`)."""
        moved, turns = self.motions.moved(six)
        rotation, fixed = turns[:, 0].astype(np.float32), self.fixed
        gradients = [
            rotation[:, c, 0, None] * fixed[0] + rotation[:, c, 1, None] * fixed[1] + rotation[:, c, 2, None] * fixed[2]
            for c in range(3)
        ]
        n, by_place = self.moving(moved)
        product = gradients[0] * n[0] + gradients[1] * n[1] + gradients[2] * n[2]
        total = float((fixed**2).sum(dtype=np.float64))
        value = (product * product).sum(-1, dtype=np.float64) / total
        slope = (gradients[0] * by_place[0] + gradients[1] * by_place[1] + gradients[2] * by_place[2]) * (2 * product)
        gradient = self.motions.gradient(slope, turns)
        weighted = 2 * product * n
        by_rotation = np.stack([(weighted * fixed[k]).sum(-1, dtype=np.float64) for k in range(3)], axis=-1)
        gradient[:, 3:] += np.einsum("skab,asb->sk", turns[:, 1:], by_rotation)
        return -value, -gradient / total


def normalised_gradients(level: Level, edge: float, noise: float) -> Float[np.ndarray, "3 x y z"]:
    """Gradients divided by ``sqrt(|gradient|^2 + eta^2)``.

    eta is `edge` times the mean size of the gradient in the body, and `noise` times the size that white noise of the
    strength of this image has in a gradient after its smoothing (root of squares).
    """
    gradient = level.gradient()
    size = np.sqrt((gradient**2).sum(0))
    body = (level.values > _BODY_SHARE * level.values.max()) & level.is_known
    typical = float(size[body].mean()) if body.any() else 0.0
    eta = float(np.hypot(edge * typical, noise * noise_of_gradients(level, body)))
    rounding = _ROUNDING_PER_MM * max(float(np.abs(level.values).max()), 1e-30)
    return np.asarray(gradient / np.sqrt(size**2 + max(eta, rounding) ** 2))


def noise_of_gradients(level: Level, body: Bool[np.ndarray, "x y z"]) -> float:
    """Root mean square size (per mm) that white noise of the unsmoothed voxels has in the gradient of a level.

    A Gaussian filter of s voxels leaves noise of ``1 / ((4 pi)^(3/4) s^(3/2))``, whose derivative along one axis is
    ``1 / (sqrt(2) s)`` of it.
    """
    spacing_mm = float(np.prod(level.grid.spacing_mm)) ** (1.0 / 3.0)
    voxels = max(level.sigma_mm / spacing_mm, 0.5)
    share = 1.0 / ((4.0 * np.pi) ** 0.75 * voxels**1.5 * np.sqrt(2.0) * voxels)
    return float(np.sqrt(3.0) * share * noise_of_differences(level.sharp, body) / spacing_mm)


def _inner(is_known: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Known voxels all of whose neighbours are known: the end of an image is no edge of the patient."""
    return np.asarray(ndimage.binary_erosion(is_known, border_value=0))


def _searched(
    measures: list[GradientAgreement], starts: Six, iterations: int
) -> tuple[Six, Float[np.ndarray, " start"]]:
    """Where each start ends and the cost there, on the finest level; starts that meet on a coarser one go on as one."""
    ends, owners = starts, np.arange(len(starts))
    values = np.zeros(len(starts))
    for number, measure in enumerate(measures):
        ends, values, _ = minimise(measure, ends, iterations=iterations)
        if number + 1 < len(measures):
            winners = list[int]()
            places = np.zeros(len(ends), dtype=np.intp)
            for k in np.argsort(values, kind="stable"):
                near = [j for j in winners if np.linalg.norm(ends[j] - ends[k]) <= _APART_MM]
                if not near:
                    winners.append(int(k))
                places[k] = winners.index(near[0] if near else int(k))
            ends, owners = ends[winners], places[owners]
    return ends[owners], values[owners]


def _note(evidence: dict[str, float]) -> str:
    return (
        f"agreement of gradients {evidence['gradient_agreement_at_identity']:.4f} at the scanner position, "
        f"{evidence['gradient_agreement_at_optimum']:.4f} at the optimum; "
        f"{evidence['starts_that_agree']:.0f} of {evidence['starts']:.0f} starts within {_AGREE_MM:g} mm of it, "
        f"the farthest {evidence['spread_of_starts_mm']:.1f} mm away"
    )


def _warnings(evidence: dict[str, float]) -> tuple[str, ...]:
    warnings = []
    if evidence["starts"] > 1 and evidence["starts_that_agree"] < 2:
        warnings.append("no second start reached the same optimum: check the overlay before using the map")
    if evidence["starts_that_slid"] > 0:
        warnings.append(f"{evidence['starts_that_slid']:.0f} of {evidence['starts']:.0f} starts slid axially")
    return tuple(warnings)
