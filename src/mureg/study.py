"""One patient visit, and many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from mureg.attenuation.body import emission_outline
from mureg.attenuation.hu_scale import require_hu_scale
from mureg.attenuation.hu_to_mu import HuToMu, choose_conversion
from mureg.attenuation.maps import AttenuationMap, AttenuationMaps
from mureg.attenuation.vertebrae import VertebralSpacing, vertebral_spacing
from mureg.errors import UsageError
from mureg.geometry import Array, Grid, Quantity, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.spect.acquisition import Acquisition


@dataclass(frozen=True)
class Source:
    """Where an input came from, without a patient's name: kind, number of files, SHA-256 over their bytes."""

    kind: Literal["spect", "ct", "mu", "transform"]
    files: int
    sha256: str


@dataclass(frozen=True)
class PatientIdentity:
    """What a DICOM header says of who the patient is, as it stands there; never written to logs or results.

    Attributes:
        identifier, issuer: PatientID and IssuerOfPatientID.
        name: PatientName, its alphabetic part.
        birth_date: PatientBirthDate, YYYYMMDD.
        sex: PatientSex.
    """

    identifier: str = ""
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    sex: str = ""

    def __repr__(self) -> str:
        return "PatientIdentity(...)"


@dataclass(frozen=True)
class Ct:
    """A CT volume and what its header says of the tube.

    Attributes:
        volume: in HU, on its own grid; padding and truncated corners marked as outside.
        manufacturer, model: of the scanner, "" where unknown.
        kvp: tube voltage, None where unknown.
        notes: every guess made while reading, one sentence each.
        phantom: a test object and no chest, whose HU are not checked against those of a chest.
    """

    volume: Volume
    manufacturer: str = ""
    model: str = ""
    kvp: float | None = None
    notes: tuple[str, ...] = ()
    phantom: bool = False

    def __repr__(self) -> str:
        tube = "" if self.kvp is None else f", {self.kvp:.4g} kVp"
        scanner = " ".join(filter(None, (self.manufacturer, self.model)))
        return f"Ct({self.volume}{tube}{f', {scanner}' if scanner else ''})"

    def with_scale_checked(self) -> Ct:
        """The CT with what is odd about its scale among its notes; `UnitsError` where its values are not HU."""
        checked = require_hu_scale(self.volume, phantom=self.phantom)
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *checked))))

    def conversion(self) -> tuple[HuToMu, str]:
        """How HU become attenuation for this scanner and voltage, and a sentence on the guess made, "" for none."""
        return choose_conversion(self.manufacturer, self.model, self.kvp)


@dataclass(frozen=True)
class Study:
    """One patient visit: the emission and the attenuation side.

    Attributes:
        spect: projections, or a reconstructed uncorrected volume where no projections exist.
        attenuation: a CT, or a ready attenuation map in 1/cm.
        patient: pseudonym that keeps all visits of one person together in a split, "" where unknown.
        sources: what was read.
        notes: guesses made while reading that belong to neither side alone, one sentence each.
        spect_patient, attenuation_patient: who the headers of each side name; None where there are no headers.
    """

    spect: Acquisition | Volume
    attenuation: Ct | Volume
    patient: str = ""
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    spect_patient: PatientIdentity | None = None
    attenuation_patient: PatientIdentity | None = None

    def __repr__(self) -> str:
        """Text without names of patients and files."""
        return f"Study(spect={self.spect}, attenuation={self.attenuation})"

    @property
    def is_phantom(self) -> bool:
        """Whether the CT was given as one of a test object."""
        return isinstance(self.attenuation, Ct) and self.attenuation.phantom

    @property
    def attenuation_name(self) -> str:
        """What the attenuation side is called in sentences."""
        return "CT" if isinstance(self.attenuation, Ct) else "attenuation map"

    @property
    def attenuation_volume(self) -> Volume:
        """The CT in HU, or the map in 1/cm."""
        return self.attenuation.volume if isinstance(self.attenuation, Ct) else self.attenuation

    def __post_init__(self) -> None:
        if isinstance(self.attenuation, Volume) and self.attenuation.quantity is not Quantity.MU_PER_CM:
            raise UsageError(
                f"an attenuation map in {self.attenuation.quantity.unit}",
                "1/cm",
                "convert it, or pass a Ct in HU",
            )
        if isinstance(self.spect, Volume) and self.spect.quantity not in (Quantity.ACTIVITY, Quantity.COUNTS):
            raise UsageError(
                f"a SPECT volume in {self.spect.quantity.unit}",
                "counts or activity",
                "pass the emission image",
            )


@dataclass(frozen=True, eq=False)
class PreparedStudy:
    """A study as registrars, training, comparison and assessment take it; made by `mureg.pipeline.prepare`.

    Attributes:
        uncorrected: reconstruction without attenuation correction, or the volume that was given.
        maps: attenuation of body and table apart, 1/cm, at the scanner position, over the full extent of the CT.
        acquisition: the projections of `uncorrected`; None where a reconstructed volume was given.
        notes: on the way here, one sentence each.
    """

    uncorrected: Volume
    maps: AttenuationMaps
    acquisition: Acquisition | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        table = "no table" if self.maps.table is None else "a table"
        source = "no projections" if self.acquisition is None else repr(self.acquisition)
        return f"PreparedStudy(uncorrected={self.uncorrected}, body={self.body}, {table}, {source})"

    @classmethod
    def from_images(cls, uncorrected: Volume, body: Volume, acquisition: Acquisition | None = None) -> PreparedStudy:
        """From an uncorrected SPECT and a map of the body in 1/cm that is used as it is, without a table."""
        return cls(uncorrected, AttenuationMaps(body, None, AttenuationMap()), acquisition)

    @property
    def body(self) -> Volume:
        """The map of the body without the table."""
        return self.maps.body

    @cached_property
    def outline(self) -> Volume:
        """Label of where the emission comes from, on the grid of `uncorrected`."""
        return emission_outline(self.uncorrected)

    @cached_property
    def vertebrae(self) -> VertebralSpacing | None:
        """Distance of the vertebrae by the slice spacing of the map; None where they cannot be told apart."""
        return vertebral_spacing(self.body)


def attenuation_maps(
    attenuation: Ct | Volume,
    grid: Grid,
    settings: AttenuationMap = AttenuationMap(),  # noqa: B008
) -> tuple[AttenuationMaps, tuple[str, ...]]:
    """Body and table of a CT or ready map, averaged to half the voxels of `grid`, and every guess in a sentence.

    Raises `UnitsError` for a CT whose air and soft tissue do not lie where those of a chest in HU must.
    """
    notes: tuple[str, ...] = ()
    if isinstance(attenuation, Ct):
        attenuation = attenuation.with_scale_checked()
        conversion, note = attenuation.conversion()
        maps = settings.prepare(attenuation.volume, conversion)
        notes = (*attenuation.notes, *([note] if note else []))
    else:
        maps = settings.prepare(attenuation)
    return maps.coarsened(min(grid.spacing_mm) / 2), (*notes, *maps.notes)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known about a simulated case.

    Attributes:
        ct_from_spect: the rigid motion that carries the heart from where the emission saw it, on average, to where it
            lies in the CT.
        centre_mm: of the SPECT grid, the centre of the rigid parameters.
        heart_points_mm: points [n, 3] in SPECT space all over the heart, for the target registration error.
        heart_points_in_ct_mm: where the same tissue really lies in the CT.
        mu: attenuation at 140.5 keV averaged over the acquisition, patient table included, on the SPECT grid.
        activity: averaged over the acquisition, relative to normal left-ventricular myocardium = 1, on the SPECT grid.
        lv_wall: share of each voxel of the SPECT grid inside the left-ventricular wall, averaged over the acquisition.
        scatter: expected scattered counts of every window.
        liver_points_mm, liver_points_in_ct_mm: the same for the liver; None if unknown, as in cases that were
            stored before livers were.
    """

    ct_from_spect: RigidTransform
    centre_mm: Triple
    heart_points_mm: npt.NDArray[np.float64]
    heart_points_in_ct_mm: npt.NDArray[np.float64]
    mu: Volume
    activity: Volume
    lv_wall: Volume
    scatter: Float[Array, "window view row column"]
    liver_points_mm: npt.NDArray[np.float64] | None = None
    liver_points_in_ct_mm: npt.NDArray[np.float64] | None = None

    @property
    def remainder_mm(self) -> float:
        """Non-rigid residual of the heart, root mean square over its points (mm)."""
        residual = self.ct_from_spect.apply(self.heart_points_mm) - self.heart_points_in_ct_mm
        return float(np.sqrt((residual**2).sum(-1).mean()))


@dataclass(frozen=True, eq=False)
class Case:
    """One simulated study: what a hospital would have, and what only the simulation knows.

    Attributes:
        name: of the case inside its cohort.
        study: projections and CT as they enter from a hospital; `study.patient` says who it is.
        uncorrected: the projections reconstructed without attenuation correction.
        truth: what is known.
        facts: what was drawn and what came of it, by name, for cards and histograms.
        sources: version, seed and settings that made it, by name.
    """

    name: str
    study: Study
    uncorrected: Volume
    truth: Truth
    facts: Mapping[str, float | int | str | bool]
    sources: Mapping[str, str | int]
