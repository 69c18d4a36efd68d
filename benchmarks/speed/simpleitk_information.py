"""Mutual information by SimpleITK, as mureg used it before its own: the other side of `classical.py`."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

import numpy as np
import SimpleITK as sitk
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.registration.base import nothing_found, refuse_result, refuse_unusable
from mureg.registration.mutual_information import start_shifts, without_hot_spots
from mureg.study import PreparedStudy

Image = Any  # SimpleITK ships no types
Optimum = tuple[float, RigidTransform]

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

    def pose(self, study: PreparedStudy) -> RigidTransform:
        """``ct_from_spect``; the projections are not used. Two runs give the same numbers."""
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
        finished: list[Optimum] = []
        for _, spot in _distinct(optima, centre_mm)[: self.finish]:
            try:
                climbed = self._climb(fixed_image, moving_image, centre_mm, spot, slice(-1, None))
                finished.append((self._mutual_information(smooth, climbed), climbed))
            except RuntimeError as problem:
                failures.append(_reason(problem))
        if not finished:
            raise nothing_found(f"none of {self.starts} starts led to an optimum ({failures[0]})")
        metric, best = max(finished, key=lambda pair: pair[0])
        moved = metric > self._mutual_information(smooth, RigidTransform.identity())
        pose = best if moved else RigidTransform.identity()
        refuse_result(pose, fixed, moving, self.largest_shift_mm, self.largest_angle_deg)
        return pose

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
            raise nothing_found(f"no optimum near the start ({_reason(problem)})") from problem

    def _images(self, fixed: Volume, moving: Volume) -> tuple[Image, Image]:
        # after smoothing by 8 mm and more nothing is lost on voxels as coarse as those of the SPECT
        dimmed = without_hot_spots(fixed, self.brightest).coarsened(self.voxel_mm)
        return dimmed.to_sitk(), moving.coarsened(min(dimmed.grid.spacing_mm)).to_sitk()

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
        for shift_mm in itertools.islice(start_shifts(self.start_shift_mm), self.starts):
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


def _to_rigid(transform: Image) -> RigidTransform:
    """The same map of points (fixed to moving) as one matrix."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return RigidTransform(matrix)
