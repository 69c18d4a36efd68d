"""The path of the data, straight down one page: from a study to a registered map and a corrected heart."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mureg
from mureg.errors import RefusedError
from mureg.geometry import Grid, RigidTransform, Volume
from mureg.recon import Osem, Reconstructor
from mureg.registration import NearHeart, Registrar, Registration
from mureg.spect import Acquisition, Physics
from mureg.spect.attenuation import AttenuationMap, AttenuationMaps, extended_share
from mureg.spect.body import emission_outline
from mureg.spect.patient_motion import largest_jump
from mureg.spect.physics import WITHOUT
from mureg.study import Ct, Source, Study

Progress = Callable[[str], None]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Provenance:
    """What made a result: enough to make it again."""

    versions: dict[str, str]
    settings: dict[str, Settings]
    sources: tuple[Source, ...]
    seconds: dict[str, float]
    device: str
    weights_sha256: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    """All of one run.

    Attributes:
        registration: where the map belongs, and how sure that is.
        mu_header: attenuation map on the SPECT grid by the headers alone, 1/cm.
        mu_registered: attenuation map on the SPECT grid after registration, 1/cm.
        spect_uncorrected: reconstruction without attenuation, or the volume that was given.
        spect_corrected: reconstruction with `mu_registered`; None where it was not asked for or cannot be made.
        warnings: what a reader should know, one sentence each.
        provenance: versions, settings, input hashes, seconds.
        maps: body and table as they were registered, for what is made afterwards.
        outline: label of where the emission comes from, for the same.
    """

    registration: Registration
    mu_header: Volume
    mu_registered: Volume
    spect_uncorrected: Volume
    spect_corrected: Volume | None
    warnings: tuple[str, ...]
    provenance: Provenance
    maps: AttenuationMaps
    outline: Volume

    @property
    def uncorrected_scale(self) -> float | None:
        """Factor that brings the uncorrected image to the total of the corrected one, so that the two compare.

        Both are in counts per voxel and view, but without correction only what got out of the body is seen.
        """
        if self.spect_corrected is None:
            return None
        return float(self.spect_corrected.values.sum() / self.spect_uncorrected.values.sum().clamp_min(1e-30))


def run(
    study: Study,
    registrar: Registrar = NearHeart(),  # noqa: B008 (frozen settings)
    reconstructor: Reconstructor = Osem(),  # noqa: B008
    physics: Physics = Physics(),  # noqa: B008
    attenuation: AttenuationMap = AttenuationMap(),  # noqa: B008
    *,
    correct: bool = True,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Outcome:
    """Register the attenuation map of a study to its SPECT and reconstruct the corrected image.

    Args:
        study: one visit.
        registrar: how to find the pose; mutual information and a network at the heart by default.
        reconstructor: how to reconstruct; OSEM, 12 iterations of 10 subsets, by default.
        physics: which effects of the camera the corrected reconstruction models.
        attenuation: how the map is made from the CT, and what stands where the CT does not reach.
        correct: reconstruct with the registered map as well; otherwise stop after the registration.
        device: where reconstructions run.
        progress: told the name of each step as it begins.

    Raises:
        RegistrationError: no transform that could be trusted was found.
    """
    clock = _Clock(progress)
    acquisition = study.spect.to(device) if isinstance(study.spect, Acquisition) else None

    clock.begin("uncorrected SPECT")
    uncorrected = _uncorrected(study.spect, acquisition, reconstructor)

    clock.begin("attenuation map")
    grid, outline = uncorrected.grid, emission_outline(uncorrected)
    maps, notes = attenuation_maps(study.attenuation, grid, attenuation)

    clock.begin("registration")
    registration = registrar.register(uncorrected, maps.body, acquisition, maps)
    ct_from_spect = registration.ct_from_spect
    header = maps.on_spect(grid, outline=outline)
    registered = maps.on_spect(grid, ct_from_spect, outline)

    corrected = None
    if correct and acquisition is not None:
        clock.begin("corrected SPECT")
        corrected, said = corrected_at(ct_from_spect, acquisition, maps, outline, reconstructor, physics)
        notes = (*notes, *said)

    clock.end()
    return Outcome(
        registration,
        header,
        registered,
        uncorrected,
        corrected,
        (*study.notes, *notes, *_warnings(study, uncorrected, maps.body, registered, correct), *registration.warnings),
        Provenance(
            versions(),
            {
                "registrar": _settings(registrar),
                "reconstructor": _settings(reconstructor),
                "physics": asdict(physics),
                "attenuation": asdict(attenuation),
            },
            study.sources,
            clock.seconds,
            str(device),
            registration.weights_sha256,
        ),
        maps,
        outline,
    )


def register(
    spect: Acquisition | Volume,
    attenuation: Ct | Volume,
    registrar: Registrar = NearHeart(),  # noqa: B008
) -> Registration:
    """Find ``ct_from_spect`` and nothing else.

    Args:
        spect: projections, or an uncorrected reconstruction.
        attenuation: a CT, or an attenuation map in 1/cm.
        registrar: mutual information and a network at the heart by default.
    """
    return run(Study(spect, attenuation), registrar, correct=False).registration


def reconstruct(
    acquisition: Acquisition,
    mu: Volume | None = None,
    reconstructor: Reconstructor = Osem(),  # noqa: B008
    physics: Physics = Physics(),  # noqa: B008
) -> Volume:
    """Reconstruct projections, with attenuation correction where a map is given.

    Args:
        acquisition: the projections; their device is used.
        mu: attenuation map in 1/cm on any grid in SPECT space, already registered.
        reconstructor: OSEM, 12 iterations of 10 subsets, by default.
        physics: which other effects to model.

    Returns:
        Activity on `acquisition.grid()`, in main memory.
    """
    return reconstruct_and_say(acquisition, mu, reconstructor, physics)[0]


def reconstruct_and_say(
    acquisition: Acquisition, mu: Volume | None, reconstructor: Reconstructor, physics: Physics
) -> tuple[Volume, tuple[str, ...]]:
    """`reconstruct`, and what had to be assumed about the camera, one sentence each."""
    grid = acquisition.grid()
    on_grid = None if mu is None else mu if _fits(mu.grid, grid) else finer_than(mu, grid).resampled(onto=grid)
    system, notes = physics.system(acquisition, on_grid)
    return reconstructor.reconstruct(acquisition, system).to("cpu"), notes


def corrected_at(
    ct_from_spect: RigidTransform,
    acquisition: Acquisition,
    maps: AttenuationMaps,
    outline: Volume,
    reconstructor: Reconstructor,
    physics: Physics,
) -> tuple[Volume, tuple[str, ...]]:
    """The SPECT corrected with the map at a pose, and what had to be assumed; `outline` as for `AttenuationMaps`."""
    # what lies beside the emission field absorbs as well
    grid = maps.attenuation_grid(acquisition.grid(), ct_from_spect)
    return reconstruct_and_say(acquisition, maps.on_spect(grid, ct_from_spect, outline), reconstructor, physics)


def attenuation_maps(
    attenuation: Ct | Volume,
    grid: Grid,
    settings: AttenuationMap = AttenuationMap(),  # noqa: B008
) -> tuple[AttenuationMaps, tuple[str, ...]]:
    """Body and table of a CT or ready map, averaged to half the voxels of `grid`, and every guess in a sentence."""
    notes: tuple[str, ...] = ()
    if isinstance(attenuation, Ct):
        conversion, note = attenuation.conversion()
        maps = settings.prepare(attenuation.volume, conversion)
        notes = (*attenuation.notes, *([note] if note else []))
    else:
        maps = settings.prepare(attenuation)
    return maps.coarsened(min(grid.spacing_mm) / 2), (*notes, *maps.notes)


def finer_than(mu: Volume, grid: Grid) -> Volume:
    """Average a fine map to about half the voxels of `grid`, so that sampling it there does not pick single voxels."""
    return mu.coarsened(min(grid.spacing_mm) / 2)


def _fits(mu: Grid, grid: Grid) -> bool:
    """Whether a map can be used as it is: on the emission grid, or on a wider one with the same slices."""
    alike = mu.along_patient_axes and np.allclose(mu.spacing_mm, grid.spacing_mm, rtol=1e-6)
    return alike and mu.shape[2] == grid.shape[2] and abs(mu.centre_mm[2] - grid.centre_mm[2]) < 1e-6


def versions() -> dict[str, str]:
    """Versions of what takes part in every result."""
    return {
        "mureg": mureg.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _settings(algorithm: Registrar | Reconstructor) -> Settings:
    """The settings of an algorithm; a path by its file's name alone, for where it lies tells of a machine."""
    table = asdict(algorithm)  # type: ignore[call-overload]
    return {name: value.name if isinstance(value, Path) else value for name, value in table.items()}


def _uncorrected(spect: Acquisition | Volume, acquisition: Acquisition | None, reconstructor: Reconstructor) -> Volume:
    if acquisition is None:
        assert isinstance(spect, Volume)
        return spect
    if float(acquisition.photopeak_counts.sum()) == 0.0:
        raise RefusedError(
            "the photopeak window holds no counts",
            "projections of an emission study",
            "check that the right series was given",
        )
    return reconstruct(acquisition, None, reconstructor, WITHOUT)


def _warnings(study: Study, spect: Volume, mu: Volume, registered: Volume, correct: bool) -> list[str]:
    warnings = list(study.spect.notes) if isinstance(study.spect, Acquisition) else []
    jump = largest_jump(study.spect) if isinstance(study.spect, Acquisition) else None
    if jump is not None and jump.is_motion:
        warnings.append(f"the patient seems to have moved during the scan: the projections jump {jump.words()}")
    given = "attenuation map" if isinstance(study.attenuation, Volume) else "CT"
    frames = (spect.grid.frame_of_reference, mu.grid.frame_of_reference)
    if all(frames) and frames[0] != frames[1]:
        warnings.append(
            f"SPECT and {given} name different frames of reference: their header positions need not agree before "
            "registration"
        )
    if registered.outside is not None:
        counts = float(spect.values[registered.outside].sum() / spect.values.sum().clamp_min(1e-30))
        warnings.append(
            f"the {given} does not reach {100 * (1 - registered.known_share):.0f} % of the SPECT field, from which "
            f"{100 * counts:.0f} % of the counts come; {100 * extended_share(registered):.0f} % of the map's "
            f"attenuation is an extension of the {given}"
        )
    if correct and isinstance(study.spect, Volume):
        warnings.append("no corrected reconstruction: it needs projections, and a reconstructed SPECT volume was given")
    return warnings


class _Clock:
    """Seconds spent in each step."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress, self._step, self._since = progress, "", 0.0

    def begin(self, step: str) -> None:
        self.end()
        self._step, self._since = step, time.perf_counter()
        if self._progress is not None:
            self._progress(step)

    def end(self) -> None:
        if self._step:
            self.seconds[self._step] = round(time.perf_counter() - self._since, 3)
