"""What a pose does to the heart: the image corrected with the map there, in few iterations, and what it shows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mureg.assessment.mismatch import mismatch_percent, myocardium
from mureg.errors import MuregError, UsageError
from mureg.geometry import RigidTransform, Volume
from mureg.heart.polar import polar_map
from mureg.heart.ventricle import LeftVentricle
from mureg.pipeline import StudySettings
from mureg.recon import Osem
from mureg.recon.images import reconstruct_and_say, wide_map
from mureg.registration.likelihood.profile import rebinned
from mureg.spect import Acquisition, SystemModel
from mureg.study import PreparedStudy

_ITERATIONS = 2
"""Of the picture while the map is being moved; the result that is written uses all of them. Chosen for its time."""
_PIXEL_MM = 6.8
"""Of the picture while the map is being moved, at most: a usual cardiac SPECT of 64 pixels. Finer pixels are added up
to it, since an image of 128 pixels takes eight times as long."""
_KEPT = 8
"""Poses of the reader whose images are kept, for undo and redo: 1 MB each; chosen."""

Check = Callable[[], None]
"""Raises an exception where the answer is no longer wanted."""


@dataclass(frozen=True)
class PoseImage:
    """What one pose does to the heart.

    Attributes:
        image: the SPECT corrected with the map there.
        mismatch: index in percent, None where it is not known.
        segments: 17 values in percent of the brightest, None without an axis or uptake.
    """

    image: Volume
    mismatch: float | None
    segments: list[float] | None


class CorrectedImages:
    """Images of one study, all made alike. What no pose changes is made once and kept.

    Args:
        prepared: the study, with projections.
        settings: of the result; its iterations are cut.
        ventricle: None where no axis was found.
        compared: poses by name whose images every answer holds; they are kept while the study is open.

    Raises:
        UsageError: a study without projections.
    """

    def __init__(
        self,
        prepared: PreparedStudy,
        settings: StudySettings,
        ventricle: LeftVentricle | None,
        compared: Mapping[str, RigidTransform],
    ) -> None:
        if prepared.acquisition is None:
            raise UsageError("a reconstructed SPECT", "projections", "only the map can be moved")
        self._prepared, self._ventricle, self._compared = prepared, ventricle, dict(compared)
        self._acquisition = _coarse(prepared.acquisition)
        self._settings = few_iterations(settings)
        self._lasting: dict[bytes, PoseImage] = {}
        self._recent: OrderedDict[bytes, PoseImage] = OrderedDict()
        self._uncorrected = _segments(prepared.uncorrected, ventricle)

    def at(self, pose: RigidTransform, check: Check) -> dict[str, PoseImage]:
        """The images of the compared poses by name, and that of `pose` as "own".

        Args:
            pose: ``ct_from_spect``.
            check: asked between the steps of the image at `pose`; what it raises ends the work.
        """
        images = {}
        for name, compared in self._compared.items():
            key = compared.matrix.tobytes()
            if key not in self._lasting:  # every answer needs it: not given up for a newer pose
                self._lasting[key] = self._made(compared, _never)
            images[name] = self._lasting[key]
        key = pose.matrix.tobytes()
        own = self._lasting.get(key) or self._recent.get(key)
        if own is None:
            check()
            own = self._recent[key] = self._made(pose, check)
        if key in self._recent:
            self._recent.move_to_end(key)
        while len(self._recent) > _KEPT:
            self._recent.popitem(last=False)
        return images | {"own": own}

    @property
    def uncorrected(self) -> list[float] | None:
        """Segments of the uncorrected image."""
        return self._uncorrected

    def _made(self, pose: RigidTransform, check: Check) -> PoseImage:
        prepared = self._prepared
        mu = wide_map(pose, self._acquisition, prepared.maps, prepared.outline)
        check()
        reconstructor = self._settings.reconstructor
        if isinstance(reconstructor, Osem):
            reconstructor = _Interruptible(reconstructor, check)
        image, _ = reconstruct_and_say(self._acquisition, mu, reconstructor, self._settings.physics)
        check()
        index = None
        if self._ventricle is not None:
            index = mismatch_percent(myocardium(image, self._ventricle), mu.part(image.grid))
        return PoseImage(image, index, _segments(image, self._ventricle))


@dataclass(frozen=True)
class _Interruptible:
    """A reconstruction that is given up between two iterations where `check` raises an exception."""

    osem: Osem
    check: Check
    kind: str = "osem"

    def reconstruct(self, acquisition: Acquisition, system: SystemModel) -> Volume:
        """See `Osem.reconstruct`."""
        return self.osem.reconstruct(acquisition, system, lambda _: self.check())


def few_iterations(settings: StudySettings) -> StudySettings:
    """The same settings with a reconstruction that takes less than a second."""
    osem = settings.reconstructor
    if not isinstance(osem, Osem):
        return settings
    return replace(settings, reconstructor=replace(osem, iterations=min(_ITERATIONS, osem.iterations)))


def _coarse(acquisition: Acquisition) -> Acquisition:
    factor = max(1, int(_PIXEL_MM / min(acquisition.pixel_mm) + 0.1))  # rounding of decimal strings
    return acquisition if factor == 1 else rebinned(acquisition, factor, 1)


def _segments(image: Volume, ventricle: LeftVentricle | None) -> list[float] | None:
    if ventricle is None:
        return None
    try:
        return [round(float(value), 2) for value in polar_map(image, ventricle).relative]
    except MuregError:
        return None


def _never() -> None:
    """Nothing is given up."""
