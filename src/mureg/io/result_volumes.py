"""The volumes of a run as NM objects: images before and after the display filter, and the registered map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from mureg import RESEARCH_USE_ONLY
from mureg.geometry import Volume
from mureg.io.dicom.build import fresh_uid, series_title
from mureg.io.inputs import DicomInputs
from mureg.io.nm.stored import StoredUnit
from mureg.io.nm.write_volume import write_nm_volume

VOLUMES = ("nac.dcm", "ac.dcm", "mu.dcm", "nac_filtered.dcm", "ac_header_filtered.dcm", "ac_filtered.dcm")

Code = tuple[str, str]
_RESAMPLED: Code = ("113085", "Spatial resampling")
_FILTERED: Code = ("113088", "Gaussian blur")
_ITERATIVE: Code = ("113963", "Iterative Reconstruction")
_WITHOUT: Code = ("122729", "No Attenuation Correction")
_BY_CT: Code = ("122728", "CT-based Attenuation Correction")
_BY_MAP: Code = ("122727", "NM Transmission Attenuation Correction")


_AT_SCANNER_POSITION = "map at the scanner position"
_NOT_REGISTERED = "map NOT reg."


@dataclass(frozen=True, eq=False)
class Reconstructions:
    """What was reconstructed from projections.

    Attributes:
        uncorrected: without attenuation; None where a reconstruction was given, which is there already.
        corrected: with the map at the pose that is given out; None where it was not made.
        how: algorithm and settings in a few words.
        corrections: terms of CorrectedImage for `corrected`.
        shown: the same images after the display filter, by "nac", "ac" (as `corrected`) and, where the map was moved,
            "ac_header" (map at the scanner position).
        display_filter: that filter in a few words.
    """

    uncorrected: Volume | None
    corrected: Volume | None
    how: str
    corrections: tuple[str, ...] = ("ATTN",)
    shown: Mapping[str, Volume] = field(default_factory=dict)
    display_filter: str = ""


@dataclass(frozen=True, eq=False)
class _Entry:
    """One object to write."""

    name: str
    volume: Volume
    number: int
    title: str
    derivation: str
    codes: tuple[Code, ...]
    corrections: tuple[str, ...] = ()
    is_map: bool = False
    from_map: bool = False


@dataclass(frozen=True)
class _Pose:
    """Where the map of the written objects lies, in words.

    Attributes:
        moved: whether it was moved from the scanner position.
        decision: in one word.
        how: the registration in a few words.
    """

    moved: bool
    decision: str
    how: str

    @property
    def title(self) -> str:
        """For a series description: never "registered" for a map that stays where the scanner had it."""
        if self.moved:
            return "map registered"
        return "map not moved" if self.decision == "aligned" else _NOT_REGISTERED

    @property
    def map_words(self) -> str:
        """Description of the map for a DICOM derivation."""
        return f"the {'registered map' if self.moved else _AT_SCANNER_POSITION} ({self.how})"


def write_result_volumes(
    folder: Path,
    inputs: DicomInputs,
    images: Reconstructions,
    mu: Volume,
    *,
    template: Dataset,
    frame: str,
    decision: str,
    moved: bool,
    how: str,
    made_at: datetime,
) -> tuple[Path, ...]:
    """Write the NM objects of a run, those of `VOLUMES` that there are; images share the unit of their stored values.

    Args:
        folder: an existing one.
        inputs: the objects that the study was read from.
        images: images.
        mu: map at the pose that is given out, on the SPECT grid, 1/cm.
        template: header of the SPECT object.
        frame: frame of reference, for volumes that name none.
        decision: first word of each series description.
        moved: whether the map was moved; otherwise it stays at the scanner position.
        how: the registration in a few words.
        made_at: date and time of the series.
    """
    pose = _Pose(moved, decision, how)
    entries = [*_images(inputs, images, template, pose), _map(mu, pose)]
    unit = StoredUnit.holding(*(entry.volume for entry in entries if not entry.is_map))
    attenuation = [file.path for file in inputs.attenuation]
    write = partial(
        write_nm_volume, template=inputs.spect.path, made_at=made_at, comment=RESEARCH_USE_ONLY, seed=fresh_uid()
    )
    return tuple(
        write(
            _in_frame(entry.volume, frame),
            folder / entry.name,
            kind="TRANSMISSION" if entry.is_map else "EMISSION",
            sources=attenuation if entry.from_map else (),
            series_uid=fresh_uid(),
            series_number=entry.number,
            description=series_title(decision, entry.title),
            derivation=entry.derivation,
            derivation_codes=entry.codes,
            corrections=entry.corrections,
            stored_unit=None if entry.is_map else unit,
        )
        for entry in entries
    )


def _images(inputs: DicomInputs, reconstructions: Reconstructions, template: Dataset, pose: _Pose) -> Sequence[_Entry]:
    before = _corrections_of(template)
    after = tuple(dict.fromkeys((*before, *reconstructions.corrections)))
    by = _BY_CT if inputs.from_ct else _BY_MAP
    without = (
        f"{reconstructions.how}, no attenuation correction"
        if inputs.from_projections
        else "reconstruction as it was given"
    )
    codes_without = (_ITERATIVE, _WITHOUT) if inputs.from_projections else ()
    header = f"{reconstructions.how}, attenuation corrected with the {_AT_SCANNER_POSITION}"
    given_out = f"{reconstructions.how}, attenuation corrected with {pose.map_words}"
    entries = []  # numbers of series: docs/reference/dicom.md, Results of a run
    if reconstructions.uncorrected is not None:
        title = "NAC research use only, no attenuation corr."
        entries.append(_Entry("nac.dcm", reconstructions.uncorrected, 901, title, without, codes_without, before))
    if reconstructions.corrected is not None:
        title = f"AC research use only, {pose.title}"
        entry = _Entry(
            "ac.dcm", reconstructions.corrected, 902, title, given_out, (_ITERATIVE, by), after, from_map=True
        )
        entries.append(entry)
    for name, number, title, words, codes, corrections in (
        ("nac", 907, "NAC research use only, filtered", without, codes_without, before),
        ("ac_header", 908, f"AC research use only, {_NOT_REGISTERED}, filtered", header, (_ITERATIVE, by), after),
        ("ac", 909, f"AC research use only, {pose.title}, filtered", given_out, (_ITERATIVE, by), after),
    ):
        if name in reconstructions.shown:
            derivation = f"{words}. Filtered for display: {reconstructions.display_filter}"
            volume, file, from_map = reconstructions.shown[name], f"{name}_filtered.dcm", name != "nac"
            entry = _Entry(file, volume, number, title, derivation, (*codes, _FILTERED), corrections, from_map=from_map)
            entries.append(entry)
    return entries


def _map(mu: Volume, pose: _Pose) -> _Entry:
    place = "registered" if pose.moved else "at the scanner position"
    words = f"attenuation map in 1/cm for 140.5 keV, {place} ({pose.how}), resampled onto the SPECT grid"
    title = f"MU research use only, {pose.title.removeprefix('map ')}, 1/cm x 100000"
    return _Entry("mu.dcm", mu, 903, title, words, (_RESAMPLED,), is_map=True, from_map=True)


def _in_frame(volume: Volume, frame: str) -> Volume:
    """The volume with the frame of reference of the SPECT object, which may have named none."""
    if volume.grid.frame_of_reference:
        return volume
    return Volume(volume.values, replace(volume.grid, frame_of_reference=frame), volume.quantity, volume.outside)


def _corrections_of(header: Dataset) -> tuple[str, ...]:
    """Corrections that the camera had applied already."""
    value = header.get("CorrectedImage") or []
    return tuple(str(v) for v in ([value] if isinstance(value, str) else value))
