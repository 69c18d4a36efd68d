"""The other side of `peers.py`: elastix and ANTs in a Python of their own, which need not have mureg.

Both are given what mureg's registrars are given: the uncorrected SPECT (fixed), the body's attenuation map (moving),
and no hint beyond the headers. ITK, elastix and ANTs are LPS like mureg, and each reports the map of points from
fixed to moving space, which is mureg's ``ct_from_spect``; `--self-check` of benchmarks/evidence/difficulty_levels.py
proves both on a known motion.

Run as a script. The first line out says which of the two are installed, and their versions. Then talk over stdin and
stdout: a line of JSON that ends with the size of an .npz, then that .npz; back comes one line.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Image:
    """Values [x, y, z] and the 4x4 matrix from voxel indices to mm, LPS+."""

    values: Array
    affine: Array

    @property
    def spacing_mm(self) -> Array:
        """Voxel spacing along the three indices, mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def directions(self) -> Array:
        """Unit vectors of the three indices, in columns."""
        return self.affine[:3, :3] / self.spacing_mm

    @property
    def centre_mm(self) -> Array:
        """Half-way between the first and the last voxel."""
        centre: Array = (self.affine @ np.array([*((np.array(self.values.shape) - 1) / 2), 1.0]))[:3]
        return centre

    def shifted(self, by_mm: Array) -> Image:
        """The same image elsewhere."""
        affine = self.affine.copy()
        affine[:3, 3] += by_mm
        return Image(self.values, affine)


@dataclass(frozen=True)
class ImagePair:
    """What is to be registered; the mask, of the fixed image, may be missing."""

    fixed: Image
    moving: Image
    mask: Image | None

    def shifted(self, by_mm: Array) -> ImagePair:
        """The pair with both origins (and that of the mask) shifted by `by_mm`."""
        mask = None if self.mask is None else self.mask.shifted(by_mm)
        return ImagePair(self.fixed.shifted(by_mm), self.moving.shifted(by_mm), mask)


def with_elastix(pair: ImagePair, settings: Settings) -> Array:
    """``ct_from_spect`` by elastix (Klein et al., IEEE Trans Med Imaging 2010)."""
    itk = import_module("itk")
    levels = len(settings["smoothing_mm"])
    parameter_map = {
        "Transform": ["EulerTransform"],
        "AutomaticTransformInitialization": ["false"],
        "AutomaticScalesEstimation": ["true"],
        "Registration": ["MultiResolutionRegistration"],
        "Metric": ["AdvancedMattesMutualInformation"],
        "NumberOfHistogramBins": [str(settings["bins"])],
        "Optimizer": ["AdaptiveStochasticGradientDescent"],
        "MaximumNumberOfIterations": [str(settings["iterations"])],
        "ASGDParameterEstimationMethod": ["DisplacementDistribution"],
        "ImageSampler": ["RandomCoordinate"],
        "NumberOfSpatialSamples": [str(settings["samples"])],
        "NewSamplesEveryIteration": ["true"],
        "CheckNumberOfSamples": ["true"],
        "RandomSeed": [str(settings["seed"])],
        "NumberOfResolutions": [str(levels)],
        # the only pyramid whose smoothing is in mm, so that it is the same for both images
        "FixedImagePyramid": ["FixedGenericImagePyramid"],
        "MovingImagePyramid": ["MovingGenericImagePyramid"],
        "FixedImagePyramidRescaleSchedule": _thrice(settings["shrink"]),
        "MovingImagePyramidRescaleSchedule": _thrice([1] * levels),
        "ImagePyramidSmoothingSchedule": _thrice(settings["smoothing_mm"]),
        "Interpolator": ["LinearInterpolator"],
        "ResampleInterpolator": ["FinalLinearInterpolator"],
        "Resampler": ["DefaultResampler"],
        "FixedInternalImagePixelType": ["float"],
        "MovingInternalImagePixelType": ["float"],
        "HowToCombineTransforms": ["Compose"],
        "ErodeMask": ["false"],
        "WriteResultImage": ["false"],
    }
    parameters = itk.ParameterObject.New()
    parameters.AddParameterMap(parameter_map)
    method = itk.ElastixRegistrationMethod.New(_to_itk(pair.fixed), _to_itk(pair.moving))
    if pair.mask is not None:
        method.SetFixedMask(_to_itk(pair.mask, np.uint8))
    method.SetParameterObject(parameters)
    method.SetLogToConsole(False)
    method.SetNumberOfThreads(1)
    method.UpdateLargestPossibleRegion()
    pose_parameters = method.GetTransformParameterObject().GetParameterMap(0)
    transform = itk.Euler3DTransform[itk.D].New()
    transform.SetComputeZYX(pose_parameters["ComputeZYX"][0] == "true")
    transform.SetCenter([float(value) for value in pose_parameters["CenterOfRotationPoint"]])
    angles_and_shift = itk.OptimizerParameters[itk.D](6)
    for index, value in enumerate(pose_parameters["TransformParameters"]):
        angles_and_shift[index] = float(value)
    transform.SetParameters(angles_and_shift)
    return _matrix(lambda point: transform.TransformPoint(point))


def with_ants(pair: ImagePair, settings: Settings) -> Array:
    """``ct_from_spect`` by ANTs (Avants et al., NeuroImage 2011)."""
    ants = import_module("ants")
    ants.config._random_seed = settings["seed"]
    with tempfile.TemporaryDirectory() as folder:
        answer = ants.registration(
            _to_ants(pair.fixed),
            _to_ants(pair.moving),
            type_of_transform="Rigid",
            initial_transform="Identity",
            outprefix=str(Path(folder) / "found"),
            mask=None if pair.mask is None else _to_ants(pair.mask),
            aff_metric="mattes",
            aff_sampling=settings["bins"],
            aff_random_sampling_rate=settings["sampling"],
            aff_iterations=tuple(settings["iterations"]),
            aff_shrink_factors=tuple(settings["shrink"]),
            aff_smoothing_sigmas=tuple(settings["smoothing_mm"]),
            smoothing_in_mm=True,
            singleprecision=False,
        )
        transform = ants.read_transform(answer["fwdtransforms"][0])
    return _matrix(transform.apply_to_point)


PROGRAMS = {"elastix": with_elastix, "ants": with_ants}
PACKAGES = {"elastix": "itk-elastix", "ants": "antspyx"}


def versions() -> dict[str, str]:
    """Versions of the installed programs, by name."""
    texts = {}
    for program, package in PACKAGES.items():
        try:
            texts[program] = f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return texts


def _thrice(levels: list[float]) -> list[str]:
    """One value for each axis of each level."""
    return [str(level) for level in levels for _ in range(3)]


def _to_itk(image: Image, kind: type = np.float32) -> Any:
    itk = import_module("itk")
    itk_image = itk.image_from_array(np.ascontiguousarray(image.values.transpose(2, 1, 0), dtype=kind))
    itk_image.SetSpacing(image.spacing_mm.tolist())
    itk_image.SetOrigin(image.affine[:3, 3].tolist())
    itk_image.SetDirection(image.directions)
    return itk_image


def _to_ants(image: Image) -> Any:
    return import_module("ants").from_numpy(
        image.values.astype(np.float32), image.affine[:3, 3].tolist(), image.spacing_mm.tolist(), image.directions
    )


def _matrix(move: Callable[[list[float]], Any]) -> Array:
    """An affine map of points as a 4x4 matrix, its upper part the rotation nearest to what was found."""
    far_mm = 100.0  # the size of a chest: what rounding there adds to the matrix moves no heart
    middle = np.array(move([0.0, 0.0, 0.0]))
    columns = [(np.array(move([far_mm * (a == axis) for a in range(3)])) - middle) / far_mm for axis in range(3)]
    u, stretch, v = np.linalg.svd(np.stack(columns, 1))
    # a thousandth is 0.1 mm at that distance
    if np.abs(stretch - 1).max() > 1e-3 or np.linalg.det(u @ v) < 0:
        raise ValueError(f"not rigid: stretches by {stretch}")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = u @ v, middle
    return matrix


def register(program: str, pair: ImagePair, settings: Settings) -> Array:
    """``ct_from_spect`` as a 4x4 matrix; both programs work about the middle of the SPECT, wherever that lies."""
    centre_mm = pair.fixed.centre_mm
    matrix = PROGRAMS[program](pair.shifted(-centre_mm), settings)
    matrix[:3, 3] += centre_mm - matrix[:3, :3] @ centre_mm
    return matrix


def read_pair(stream: BinaryIO, size: int) -> ImagePair:
    """Read the two images and the mask that a request names."""
    with np.load(io.BytesIO(stream.read(size))) as arrays:
        names = [name for name in ("fixed", "moving", "mask") if name in arrays]
        images = {name: Image(arrays[name], arrays[f"{name}_affine"]) for name in names}
    return ImagePair(images["fixed"], images["moving"], images.get("mask"))


def warm_up() -> None:
    """Run elastix once on tiny images: its first call loads libraries for many seconds, which must not be timed."""
    values = np.random.default_rng(1).random((24, 24, 24)).astype(np.float32)
    image = Image(values, np.diag([6.8, 6.8, 6.8, 1.0]))
    mask = Image(np.ones_like(values), image.affine)
    # the least that runs
    settings = {"bins": 16, "samples": 500, "iterations": 2, "shrink": [1], "smoothing_mm": [0.0], "seed": 1}
    with_elastix(ImagePair(image, image, mask), settings)


def main() -> None:
    """Serve requests until standard input closes."""
    replies = os.fdopen(os.dup(1), "w")  # what the programs print, from C++ as well, must not mix with the answers
    os.dup2(2, 1)
    print(json.dumps(program_versions := versions()), file=replies, flush=True)
    warm = "elastix" not in program_versions
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        pair = read_pair(sys.stdin.buffer, request["bytes"])
        if request["program"] == "elastix" and not warm:
            warm_up()
            warm = True
        start = time.process_time()
        try:
            answer: dict[str, Any] = {"matrix": register(request["program"], pair, request["settings"]).tolist()}
        except Exception as problem:
            answer = {"crashed": f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"}
        print(json.dumps({**answer, "seconds": time.process_time() - start}), file=replies, flush=True)


if __name__ == "__main__":
    main()
