"""Misregistration of CT against SPECT: drawing it and applying it are two things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as settings

from mureg.geometry import Grid, RigidTransform, Volume

Triple = tuple[float, float, float]


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class MotionRange:
    """Rigid parameters, each uniform between minus and plus its limit.

    Attributes:
        translation_mm: largest translation along x, y, z (mm).
        angles_deg: largest rotation about x, y, z (degrees).
    """

    translation_mm: Triple
    angles_deg: Triple

    def draw(self, generator: np.random.Generator) -> PatientMotion:
        """Draw a motion uniformly within plus and minus the bounds."""
        translation = generator.uniform(-1.0, 1.0, 3) * self.translation_mm
        angles = generator.uniform(-1.0, 1.0, 3) * self.angles_deg
        return PatientMotion(_triple(translation), _triple(angles))


PAPER = MotionRange((54.4, 54.4, 27.2), (10.0, 10.0, 30.0))
"""8, 8 and 4 voxels of 6.8 mm, and 10, 10 and 30 degrees: Chen et al., MICCAI 2022."""
CLINICAL = MotionRange((20.0, 20.0, 20.0), (5.0, 5.0, 5.0))
"""Three pixels, chosen: 90 % of such studies are off by more than one, of patients' studies 73 % (Kennedy et al., J
Nucl Med 2009; docs/concepts/virtual-patients.md)."""


@dataclass(frozen=True)
class PatientMotion:
    """Rigid parameters of a misregistration: rotate about a centre (stated on use), then translate.

    Attributes:
        translation_mm: along x, y, z, LPS+.
        angles_deg: right-handed about the fixed axes x, then y, then z.
    """

    translation_mm: Triple = (0.0, 0.0, 0.0)
    angles_deg: Triple = (0.0, 0.0, 0.0)

    def ct_from_spect(self, centre_mm: Triple) -> RigidTransform:
        """The transform that says where SPECT anatomy lies in the moved CT; centre: of the SPECT grid."""
        return RigidTransform.from_six(self.translation_mm, self.angles_deg, centre_mm)


def moved(
    original: Volume,
    ct_from_spect: RigidTransform,
    onto: Grid,
    oversampling: tuple[int, int, int] = (1, 1, 1),
) -> Volume:
    """Move a CT that lies in the SPECT's frame: ``moved(p) = original(ct_from_spect^-1 p)``, from its full field.

    Args:
        original: registered with the emission; its grid is in the SPECT's space.
        ct_from_spect: where each point of the SPECT's space goes.
        onto: the grid of the moved CT.
        oversampling: samples per voxel along x, y, z that are averaged (a slice has a thickness); each is one
            interpolation of `original`.

    Returns:
        The moved CT; voxels touched by what lies outside `original` are marked as such.
    """
    factors = np.asarray(oversampling)
    affine = onto.affine.copy()
    affine[:3, 3] = onto.points((1 / factors - 1) / 2)
    affine[:3, :3] /= factors
    shape = np.asarray(onto.shape) * factors
    finer = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine, onto.frame_of_reference)
    fine = original.resampled(onto=finer, through=ct_from_spect.inverse())
    blocks = [part for n, factor in zip(onto.shape, oversampling, strict=True) for part in (n, factor)]
    values = fine.values.reshape(blocks).mean((1, 3, 5))
    outside = None if fine.outside is None else np.asarray(fine.outside.reshape(blocks).any((1, 3, 5)))
    return Volume(values, onto, original.quantity, outside)


def _triple(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z
