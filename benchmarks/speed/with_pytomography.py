"""PyTomography's side of the comparison; runs in .venv-peers.

Its object axes are (-x, -y, +z) of DICOM patient space, its angles are ours, its projections are
[view, column, row] with row 0 at the feet. Found by projecting single voxels and off-centre absorbers; the
referee test and the projection error printed by `compare.py` fail if any of it is wrong.
"""

from __future__ import annotations

import warnings
from importlib.metadata import version

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytomography
    from pytomography.algorithms import OSEM
    from pytomography.likelihoods import PoissonLogLikelihood
    from pytomography.metadata.SPECT import SPECTObjectMeta, SPECTProjMeta, SPECTPSFMeta
    from pytomography.projectors.SPECT import SPECTSystemMatrix
    from pytomography.transforms.SPECT import SPECTAttenuationTransform, SPECTPSFTransform

import numpy as np
import torch
from torch import Tensor
from worker import Array, Case, serve


def to_object(values: Array) -> Tensor:
    return torch.from_numpy(values[::-1, ::-1].copy())


def from_object(values: Tensor) -> Array:
    return values.numpy()[::-1, ::-1].copy()


def to_projections(counts: Array) -> Tensor:
    return torch.from_numpy(counts[:, ::-1].transpose(0, 2, 1).copy())


def from_projections(counts: Tensor) -> Array:
    return counts.numpy().transpose(0, 2, 1)[:, ::-1].copy()


def system_matrix(case: Case) -> SPECTSystemMatrix:
    voxel_cm = [case.voxel_mm / 10] * 3
    _, rows, columns = case.counts.shape
    transforms = [SPECTAttenuationTransform(to_object(case.mu))]
    if case.blurred:
        intrinsic_cm, at_face_cm = case.blur_mm[:2] / 10
        blur = SPECTPSFMeta(
            (intrinsic_cm, at_face_cm, case.blur_mm[2]),
            sigma_fit=lambda distance_cm, i, f, g: np.sqrt(i**2 + (f + g * distance_cm) ** 2),
        )
        transforms.append(SPECTPSFTransform(blur))
    radii_cm = np.full(len(case.angles_deg), case.radius_mm / 10)
    return SPECTSystemMatrix(
        transforms, [],
        SPECTObjectMeta(voxel_cm, list(case.activity.shape)),
        SPECTProjMeta([columns, rows], voxel_cm, case.angles_deg, radii_cm),
    )  # fmt: skip


class PyTomography:
    name = "pytomography"
    versions = {name: version(name) for name in ("pytomography", "torch", "kornia")}  # noqa: RUF012

    def project(self, case: Case) -> Array:
        return from_projections(system_matrix(case).forward(to_object(case.activity)))

    def load_counts(self, case: Case) -> Tensor:
        return to_projections(case.counts)

    def reconstruct(self, case: Case, counts: Tensor) -> Tensor:
        algorithm = OSEM(PoissonLogLikelihood(system_matrix(case), counts))
        return algorithm(n_iters=case.iterations, n_subsets=case.subsets)

    def image(self, reconstruction: Tensor) -> Array:
        return from_object(reconstruction)


if __name__ == "__main__":
    pytomography.set_device(torch.device("cpu"))
    torch.set_num_threads(1)
    serve(PyTomography())
