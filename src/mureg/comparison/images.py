"""What a pose does to the images: the attenuation map on the SPECT grid, and the SPECT corrected with it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from mureg.attenuation.maps import AttenuationMap
from mureg.errors import UsageError
from mureg.geometry import Array, Grid, Quantity, RigidTransform, Volume
from mureg.pipeline import StudySettings, prepare
from mureg.recon import Osem, Reconstructor
from mureg.recon.images import corrected_at, reconstruct_and_say
from mureg.spect import Acquisition, Physics
from mureg.study import Case, PreparedStudy

Voxels = Float[Array, "x y z"]


def nmse_percent(image: Voxels, reference: Voxels) -> float:
    """Normalised mean squared error: sum of squared differences over sum of squares of the reference, in percent.

    The paper names the figure without an equation; this is the usual one. Over all voxels of the grid.

    Raises:
        UsageError: a reference that is 0 everywhere.
    """
    values, true = image.astype(np.float64), reference.astype(np.float64)
    return 100.0 * float(np.square(values - true).sum()) / _positive(float(np.square(true).sum()))


def nmae_percent(image: Voxels, reference: Voxels) -> float:
    """Normalised mean absolute error: sum of absolute differences over sum of the reference's magnitudes, in percent.

    See `nmse_percent`.
    """
    values, true = image.astype(np.float64), reference.astype(np.float64)
    return 100.0 * float(np.abs(values - true).sum()) / _positive(float(np.abs(true).sum()))


@dataclass(eq=False)
class Images:
    """Maps and corrected images of one case, each pose computed once.

    The path is that of `mureg.pipeline.examine`: body and table apart, the table at rest, one interpolation, and a map
    that is wider than the emission field for the reconstruction.

    Attributes:
        case: with projections and a CT.
        prepared: uncorrected SPECT, attenuation maps and outline.
        reconstructor, physics: of the corrected images.
    """

    case: Case
    prepared: PreparedStudy
    reconstructor: Reconstructor
    physics: Physics
    _maps: dict[RigidTransform, Volume] = field(default_factory=dict)
    _corrected: dict[RigidTransform, Volume] = field(default_factory=dict)
    _reference: list[Volume] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        case: Case,
        attenuation: AttenuationMap = AttenuationMap(),  # noqa: B008 (frozen settings)
        reconstructor: Reconstructor = Osem(),  # noqa: B008
        physics: Physics = Physics(),  # noqa: B008
    ) -> Images:
        """Prepare the maps of a case.

        Raises:
            UnreadableInputError: a CT that gives no map.
        """
        settings = StudySettings(reconstructor=reconstructor, physics=physics, attenuation=attenuation)
        prepared = prepare(case.study, settings, uncorrected=case.uncorrected)
        return cls(case, prepared, reconstructor, physics)

    @property
    def grid(self) -> Grid:
        """Grid of the uncorrected SPECT."""
        return self.case.uncorrected.grid

    def map_at(self, ct_from_spect: RigidTransform) -> Volume:
        """The attenuation map on the SPECT grid for a pose, 1/cm."""
        if ct_from_spect not in self._maps:
            self._maps[ct_from_spect] = self.prepared.maps.on_spect(self.grid, ct_from_spect, self.prepared.outline)
        return self._maps[ct_from_spect]

    def corrected_at(self, ct_from_spect: RigidTransform) -> Volume:
        """The SPECT reconstructed with the map of a pose."""
        if ct_from_spect not in self._corrected:
            parts = self.prepared.maps, self.prepared.outline, self.reconstructor, self.physics
            self._corrected[ct_from_spect] = corrected_at(ct_from_spect, self._acquisition, *parts)[0]
        return self._corrected[ct_from_spect]

    def reference(self) -> Volume:
        """The SPECT reconstructed with the true map, averaged over the acquisition.

        Beside the emission field, where the truth ends, stands the CT's map at the true pose.
        """
        if not self._reference:
            truth = self.case.truth
            pose = truth.ct_from_spect
            wide = self.prepared.maps.on_spect(
                self.prepared.maps.attenuation_grid(self.grid, pose), pose, self.prepared.outline
            )
            mu = _with_middle(wide, truth.mu)
            self._reference.append(reconstruct_and_say(self._acquisition, mu, self.reconstructor, self.physics)[0])
        return self._reference[0]

    @property
    def _acquisition(self) -> Acquisition:
        acquisition = self.case.study.spect
        if not isinstance(acquisition, Acquisition):
            raise UsageError("a case without projections", "projections to correct", "pass --images 0")
        return acquisition


def _with_middle(wide: Volume, middle: Volume) -> Volume:
    """A map whose part on a smaller grid of the same voxels is that of another."""
    start = wide.grid.indices(middle.grid.points((0.0, 0.0, 0.0))).round().astype(int)
    box = tuple(slice(int(a), int(a) + n) for a, n in zip(start, middle.grid.shape, strict=True))
    values = wide.values.copy()
    values[box] = middle.values
    return Volume(values, wide.grid, Quantity.MU_PER_CM)


def mean_normalised(image: Voxels) -> Voxels:
    """An image over its own mean, as the paper shows it."""
    return image / _positive(float(image.mean(dtype=np.float64)))


def _positive(total: float) -> float:
    if not total > 0.0:
        raise UsageError("a reference that is 0 everywhere", "an image", "check the truth of the case")
    return total
