"""Mutual information by SimpleITK, as mureg used it before its own: the other side of `classical.py`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import SimpleITK as sitk
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from mureg.errors import RegistrationError
from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.registration.base import Registration, refuse_result, refuse_unusable
from mureg.registration.mutual_information import without_hot_spots
from mureg.study import PreparedStudy

Image = Any  # SimpleITK ships no types
Optimum = tuple[float, RigidTransform]

_AGREE_MM = 3.4
"""Starts agree up to half a pixel of a usual cardiac SPECT."""
_SAME_MM = 1.0
_FREE, _ACROSS = (1.0,) * 6, (1.0, 1.0, 1.0, 1.0, 1.0, 0.0)
"""Weights of three angles and three shifts, as ITK orders them: all, or all but the axial shift."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SimpleItkInformation:
    """Regular-step gradient descent on Mattes mutual information, from several starting poses.

    Attributes:
        starts: number of starting poses: the scanner position first, then shifts along z, x and y.
        start_shift_mm: size of these shifts (mm).
        finish: number of distinct best optima of the coarser levels that are refined on the finest level.
        sampling: share of the SPECT voxels that the metric samples (0 to 1).
        bins: number of histogram bins.
        brightest: quantile of the SPECT values at which intensities are clipped (0.5 to 1). Gall bladder, gut and liver
            are much hotter than the chest; without clipping, body, lungs and air would share a bin.
        voxel_mm: voxel size to which both images are averaged first (mm); 0 for that of the SPECT.
        seed: seed of the random voxel sample.
        shrink_factors: shrink factor of the SPECT grid, one value for each level.
        smoothing_mm: sigma of the Gaussian smoothing of both images (mm), one value for each level.
        largest_shift_mm: refuse a result that shifts the map by more (mm).
        largest_angle_deg: refuse a result that rotates the map by more (degrees).
    """

    starts: Annotated[int, Field(ge=1, le=7)] = 5
    start_shift_mm: Annotated[float, Field(gt=0)] = 20.0
    finish: Annotated[int, Field(ge=1, le=7)] = 2
    sampling: Annotated[float, Field(gt=0, le=1)] = 0.2
    bins: Annotated[int, Field(ge=8, le=256)] = 32
    brightest: Annotated[float, Field(gt=0.5, le=1)] = 0.95
    voxel_mm: Annotated[float, Field(ge=0)] = 0.0
    seed: Annotated[int, Field(ge=1)] = 1
    shrink_factors: tuple[Annotated[int, Field(ge=1)], ...] = (4, 2, 1)
    smoothing_mm: tuple[Annotated[float, Field(ge=0)], ...] = (16.0, 10.0, 8.0)
    largest_shift_mm: Annotated[float, Field(gt=0)] = 120.0
    largest_angle_deg: Annotated[float, Field(gt=0)] = 45.0
    kind: Literal["mutual-information"] = "mutual-information"

    @model_validator(mode="after")
    def _levels_match(self) -> SimpleItkInformation:
        if len(self.shrink_factors) != len(self.smoothing_mm) or not self.shrink_factors:
            raise ValueError("shrink_factors and smoothing_mm need one value for each level, and at least one level")
        return self

    def register(self, study: PreparedStudy) -> Registration:
        """See `Registrar.register`; the projections are not used. Two runs give the same numbers."""
        started = time.perf_counter()
        fixed, moving = study.uncorrected, study.body
        refuse_unusable(fixed, moving)
        centre_mm = fixed.grid.centre_mm
        fixed_image, moving_image = self._images(fixed, moving)
        finest_mm = self.smoothing_mm[-1]
        smooth = [
            sitk.SmoothingRecursiveGaussian(image, finest_mm) if finest_mm > 0 else image
            for image in (fixed_image, moving_image)
        ]
        optima, failures = self._coarse_optima(fixed_image, moving_image, smooth, centre_mm)
        finished: list[tuple[float, RigidTransform, RigidTransform]] = []
        for _, spot in _distinct(optima, centre_mm)[: self.finish]:
            try:
                climbed = self._climb(fixed_image, moving_image, centre_mm, spot, slice(-1, None))
                finished.append((self._mutual_information(smooth, climbed), climbed, spot))
            except RuntimeError as problem:
                failures.append(_reason(problem))
        if not finished:
            raise RegistrationError(
                f"none of {self.starts} starts led to an optimum ({failures[0]})",
                "a SPECT and a CT of the same chest",
                "check that both belong to this patient and overlap",
            )
        finished.sort(key=lambda pair: -pair[0])
        metric, best, before_finish = finished[0]
        at_identity = self._mutual_information(smooth, RigidTransform.identity())
        moved = metric > at_identity
        ct_from_spect = best if moved else RigidTransform.identity()
        refuse_result(ct_from_spect, fixed, moving, self.largest_shift_mm, self.largest_angle_deg)
        meeting_point = before_finish.apply(
            centre_mm
        )  # starts are compared where all of them ended, on the coarser levels
        distances = [float(np.linalg.norm(spot.apply(centre_mm) - meeting_point)) for _, spot in optima]
        evidence = {
            "mutual_information_at_identity": at_identity,
            "mutual_information_at_optimum": metric,
            "starts": float(self.starts),
            "starts_failed": float(len(failures)),
            "starts_that_agree": float(sum(d <= _AGREE_MM for d in distances)),
            "spread_of_starts_mm": max(distances),
        }
        return Registration(
            ct_from_spect,
            centre_mm,
            self.kind,
            "moved" if moved else "left as it was",
            evidence,
            seconds=time.perf_counter() - started,
            notes=(_note(evidence),),
            warnings=_warnings(evidence, moved),
        )

    def across(self, fixed: Volume, moving: Volume, start: RigidTransform) -> RigidTransform:
        """The best pose near a start with a fixed axial shift, through every level.

        Mutual information is unreliable in the axial direction, above all at the ends of a scan, but not transversely.

        Args:
            fixed, moving: see `Registrar.register`.
            start: ``ct_from_spect``; its shift of the SPECT's centre along z stays.

        Raises:
            RegistrationError: the two do not overlap there.
        """
        images = self._images(fixed, moving)
        try:
            return self._climb(*images, fixed.grid.centre_mm, start, slice(None), along=False)
        except RuntimeError as problem:  # what SimpleITK raises for everything
            raise RegistrationError(
                f"no optimum near the start ({_reason(problem)})",
                "a SPECT and a CT of the same chest",
                "check that both belong to this patient and overlap",
            ) from problem

    def _images(self, fixed: Volume, moving: Volume) -> tuple[Image, Image]:
        # after smoothing by 8 mm and more nothing is lost on voxels as coarse as those of the SPECT
        dimmed = without_hot_spots(fixed, self.brightest).coarsened(self.voxel_mm)
        return _to_itk(dimmed), _to_itk(moving.coarsened(min(dimmed.grid.spacing_mm)))

    def _metric_method(self) -> Any:
        method = sitk.ImageRegistrationMethod()
        # the sum over voxels is split by work units: one of them gives the same digits on every machine
        method.SetNumberOfWorkUnits(1)
        method.SetMetricAsMattesMutualInformation(self.bins)
        method.SetInterpolator(sitk.sitkLinear)
        return method

    def _coarse_optima(
        self, fixed: Image, moving: Image, smooth: list[Image], centre_mm: Triple
    ) -> tuple[list[Optimum], list[str]]:
        """Where each start ends on the coarser levels, best first, and why others failed."""
        optima: list[Optimum] = []
        failures: list[str] = []
        coarse = slice(0, -1)
        for shift_mm in itertools.islice(_start_shifts(self.start_shift_mm), self.starts):
            spot = RigidTransform.from_six(shift_mm, (0.0, 0.0, 0.0), centre_mm)
            try:
                if self.shrink_factors[coarse]:
                    spot = self._climb(fixed, moving, centre_mm, spot, coarse)
                optima.append((self._mutual_information(smooth, spot), spot))
            except RuntimeError as problem:  # what SimpleITK raises for everything
                failures.append(_reason(problem))
        return sorted(optima, key=lambda pair: -pair[0]), failures

    def _climb(
        self,
        fixed: Image,
        moving: Image,
        centre_mm: Triple,
        start: RigidTransform,
        levels: slice,
        *,
        along: bool = True,
    ) -> RigidTransform:
        method = self._metric_method()
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(self.sampling, self.seed)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=4.0,
            minStep=1e-3,
            numberOfIterations=200,
            relaxationFactor=0.6,
            gradientMagnitudeTolerance=1e-8,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetOptimizerWeights(_FREE if along else _ACROSS)
        method.SetShrinkFactorsPerLevel(self.shrink_factors[levels])
        method.SetSmoothingSigmasPerLevel(self.smoothing_mm[levels])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
        transform = sitk.Euler3DTransform()
        transform.SetCenter(centre_mm)
        translation_mm, angles_deg = start.six(centre_mm)
        transform.SetComputeZYX(True)  # R = Rz Ry Rx, as RigidTransform.six has it
        transform.SetRotation(*np.radians(angles_deg).tolist())
        transform.SetTranslation(translation_mm)
        method.SetInitialTransform(transform, True)
        method.Execute(fixed, moving)
        return _to_rigid(transform)

    def _mutual_information(self, fixed_and_moving: list[Image], ct_from_spect: RigidTransform) -> float:
        """The metric over all voxels of the smoothed pair, larger is better (ITK's own sign is the opposite)."""
        method = self._metric_method()
        method.SetMetricSamplingStrategy(method.NONE)
        transform = sitk.AffineTransform(3)
        transform.SetMatrix(ct_from_spect.matrix[:3, :3].ravel().tolist())
        transform.SetTranslation(ct_from_spect.matrix[:3, 3].tolist())
        method.SetInitialTransform(transform)
        return -float(method.MetricEvaluate(*fixed_and_moving))


def _start_shifts(size_mm: float) -> Iterator[Triple]:
    """The headers' own position, then a shift either way along z (where motion and breathing act), x and y."""
    yield 0.0, 0.0, 0.0
    for direction in (2, 0, 1):
        for sign in (1.0, -1.0):
            shift = [0.0, 0.0, 0.0]
            shift[direction] = sign * size_mm
            yield shift[0], shift[1], shift[2]


def _distinct(optima: list[Optimum], centre_mm: Triple) -> list[Optimum]:
    """Optima without those that a better one stands for already."""
    kept: list[Optimum] = []
    for metric, spot in optima:
        place = spot.apply(centre_mm)
        if all(np.linalg.norm(place - other.apply(centre_mm)) > _SAME_MM for _, other in kept):
            kept.append((metric, spot))
    return kept


def _reason(problem: RuntimeError) -> str:
    return str(problem).strip().splitlines()[-1]


def _note(evidence: dict[str, float]) -> str:
    return (
        f"mutual information {evidence['mutual_information_at_identity']:.4f} at the scanner position, "
        f"{evidence['mutual_information_at_optimum']:.4f} at the optimum; "
        f"{evidence['starts_that_agree']:.0f} of {evidence['starts']:.0f} starts within {_AGREE_MM:g} mm of it, "
        f"the farthest {evidence['spread_of_starts_mm']:.1f} mm away"
    )


def _warnings(evidence: dict[str, float], moved: bool) -> tuple[str, ...]:
    warnings = []
    if evidence["starts"] > 1 and evidence["starts_that_agree"] < 2:
        warnings.append("no second start reached the same optimum: check the overlay before using the map")
    if evidence["starts_failed"] > 0:
        warnings.append(f"{evidence['starts_failed']:.0f} of {evidence['starts']:.0f} starts failed")
    if not moved:
        warnings.append("no position matched better than the headers' own: the map was left there")
    return tuple(warnings)


def _to_itk(volume: Volume) -> Image:
    """An ITK image in the same patient space: ITK, like DICOM, is LPS."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.asarray(volume).transpose(2, 1, 0)))
    image.SetSpacing(volume.grid.spacing_mm)
    image.SetOrigin(volume.grid.affine[:3, 3].tolist())
    image.SetDirection((volume.grid.affine[:3, :3] / np.asarray(volume.grid.spacing_mm)).ravel().tolist())
    return image


def _to_rigid(transform: Image) -> RigidTransform:
    """The same map of points (fixed to moving) as one matrix."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return RigidTransform(matrix)
