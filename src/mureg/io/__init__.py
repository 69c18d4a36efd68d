"""Reading and writing studies: DICOM and NIfTI outside, LPS+ millimetres and checked units inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mureg.errors import UsageError
from mureg.geometry import Volume
from mureg.io.dicom.access import reading
from mureg.io.dicom.archives import unpacked
from mureg.io.dicom.ct_read import choose_ct_series, read_ct_series
from mureg.io.dicom.ct_write import write_ct_series
from mureg.io.dicom.derived import require_original, spect_notes
from mureg.io.dicom.files import DicomFile
from mureg.io.dicom.patient_identity import identity_of
from mureg.io.dicom.times import time_notes
from mureg.io.input_paths import require_path
from mureg.io.inputs import DicomInputs, dicom_inputs
from mureg.io.inspection import InspectedImage, Inspection, inspect
from mureg.io.maps import choose_map_objects, load_map
from mureg.io.nifti import is_nifti, read_nifti, read_nifti_with_notes, write_nifti
from mureg.io.nm.choose import PROJECTIONS, choose_nm, choose_spect, load_gates, load_nm
from mureg.io.nm.write_tomo import write_nm_tomo
from mureg.io.nm.write_volume import write_nm_volume
from mureg.io.results import DicomResult, write_dicom_results
from mureg.io.sources import source_of
from mureg.io.transforms import read_transform, write_transform
from mureg.spect.acquisition import Acquisition
from mureg.study import Ct, Source, Study

__all__ = [
    "DicomInputs",
    "DicomResult",
    "InspectedImage",
    "Inspection",
    "dicom_inputs",
    "inspect",
    "read_ct",
    "read_gates",
    "read_mu",
    "read_nifti",
    "read_spect",
    "read_study",
    "read_transform",
    "write_ct_series",
    "write_dicom_results",
    "write_nifti",
    "write_nm_tomo",
    "write_nm_volume",
    "write_transform",
]


def read_spect(path: Path | str, series: str | None = None) -> tuple[Acquisition | Volume, Source]:
    """Read projections or a reconstructed SPECT volume.

    Args:
        path: a DICOM file or a folder with DICOM files, or a NIfTI file; recognised by content.
        series: which DICOM series, where there are several: UID or its end, number or description.

    Returns:
        An `Acquisition`, or a `Volume` of counts, and the fingerprint of the files used.

    Raises:
        UnreadableInputError, GeometryError, UnitsError: one sentence on what was found, expected and can be done.
    """
    with unpacked(Path(path)) as place:
        spect, _, source, _ = _read_spect(place, series)
    return spect, source


def read_gates(path: Path | str, series: str | None = None) -> tuple[Acquisition, ...]:
    """Read each gate of gated projections (GATED TOMO) as an acquisition of its own; `read_spect` gives their sum.

    Args: as for `read_spect`; DICOM only.

    Returns:
        The gates by R-R interval and time slot, all on the same orbit; their counts add up to those of `read_spect`.

    Raises:
        As `read_spect`, and UnreadableInputError where the study is not gated.
    """
    with unpacked(Path(path)) as place:
        require_path(place)
        return load_gates(choose_nm(place, series, PROJECTIONS, maps=False))


def read_ct(path: Path | str, series: str | None = None, *, phantom: bool = False) -> tuple[Ct, Source]:
    """Read a CT: a folder with a DICOM series, or a NIfTI file in HU (then without tube voltage and scanner).

    Args:
        path, series: as for `read_spect`.
        phantom: it shows a test object and no chest, which may lack air or soft tissue.

    Raises:
        As `read_spect`, and UnitsError where air and soft tissue are not where those of a chest in HU must be.
    """
    with unpacked(Path(path)) as place:
        return _read_ct(place, series, phantom=phantom)[:2]


def read_mu(path: Path | str, series: str | None = None) -> tuple[Volume, tuple[str, ...], Source]:
    """Read a ready attenuation map: a reconstructed NM object, CT images that hold one, or NIfTI; its unit detected.

    In a folder, maps whose ImageType says TRANSMISSION go before other reconstructions, and these before CT images.

    Args, refusals: as for `read_spect`.

    Returns:
        The map in 1/cm, every guess in a sentence, and the fingerprint of the files used.
    """
    with unpacked(Path(path)) as place:
        volume, notes, source, _ = _read_mu(place, series)
    return volume, notes, source


def read_study(
    spect: Path | str,
    *,
    ct: Path | str | None = None,
    mu: Path | str | None = None,
    spect_series: str | None = None,
    ct_series: str | None = None,
    phantom: bool = False,
    allow_corrected_spect: bool = False,
    allow_derived: bool = False,
) -> Study:
    """Read one patient visit: the SPECT, and either a CT or a ready attenuation map.

    The study carries whom each header names; `mureg.examine` refuses two different patients. Where SPECT and
    attenuation were acquired more than an hour apart, a note gives both times.

    Args:
        spect: projections or an uncorrected reconstruction, DICOM or NIfTI.
        ct, mu: exactly one of them.
        spect_series: which SPECT series of its folder.
        ct_series: which CT or map series of its folder.
        phantom: the CT shows a test object and no chest; see `read_ct`.
        allow_corrected_spect: take a SPECT that says it is corrected for attenuation already.
        allow_derived: take a series that this program wrote, where it is named or alone.

    Raises:
        UsageError: not exactly one of `ct` and `mu`.
        RefusedError: a SPECT that is corrected already, or a series that this program wrote, and that was not allowed.
        UnreadableInputError, GeometryError, UnitsError: as `read_spect` and `read_ct`.
    """
    if (ct is None) == (mu is None):
        raise UsageError(
            "both a CT and an attenuation map" if ct is not None else "neither a CT nor an attenuation map",
            "exactly one of them",
            "give --ct or --mu",
        )
    attenuation_path = ct if ct is not None else mu
    assert attenuation_path is not None
    with unpacked(Path(spect)) as spect_place, unpacked(Path(attenuation_path)) as place:
        emission, notes, emission_source, emission_file = _read_spect(spect_place, spect_series)
        with reading("the SPECT"):
            notes += spect_notes(emission_file, allow_corrected=allow_corrected_spect, allow_derived=allow_derived)
        attenuation: Ct | Volume
        if ct is not None:
            attenuation, source, files = _read_ct(
                place, ct_series, phantom=phantom, in_registration=True, allow_derived=allow_derived
            )
        else:
            attenuation, notes_of_map, source, files = _read_mu(place, ct_series)
            own = require_original(next(iter(files), None), "attenuation map", allowed=allow_derived)
            notes += (*own, *notes_of_map)
    spect_files = () if emission_file is None else emission_file.objects
    if spect_files and files:
        what = "CT" if ct is not None else "attenuation map"
        notes += time_notes(spect_files[0].header, files[0].header, what)
    return Study(
        emission,
        attenuation,
        sources=(emission_source, source),
        notes=notes,
        spect_patient=identity_of(spect_files),
        attenuation_patient=identity_of(files),
    )


# each of these also returns the DICOM files, none for NIfTI


def _read_spect(
    path: Path, series: str | None
) -> tuple[Acquisition | Volume, tuple[str, ...], Source, DicomFile | None]:
    """`read_spect`, and the guesses made on a volume (an acquisition carries its own)."""
    require_path(path)
    if _nifti(path):
        volume, notes = read_nifti_with_notes(path, "spect")
        return volume, notes, source_of("spect", [path]), None
    file = choose_spect(path, series)
    spect, notes = load_nm(file)
    notes = notes if isinstance(spect, Volume) else ()
    return spect, notes, source_of("spect", file.paths), file


def _read_ct(
    path: Path, series: str | None, *, phantom: bool, in_registration: bool = False, allow_derived: bool = False
) -> tuple[Ct, Source, Sequence[DicomFile]]:
    require_path(path)
    if _nifti(path):
        volume, notes = read_nifti_with_notes(path, "ct")
        ct = Ct(volume, notes=notes, phantom=phantom).with_scale_checked()
        return ct, source_of("ct", [path]), ()
    chosen_series, notes = choose_ct_series(path, series)
    own = require_original(chosen_series.files[0], "CT", allowed=allow_derived) if in_registration else ()
    source = source_of("ct", sorted({place for file in chosen_series.files for place in file.paths}))
    ct = replace(read_ct_series(chosen_series, (*own, *notes)), phantom=phantom).with_scale_checked()
    return ct, source, chosen_series.files


def _read_mu(path: Path, series: str | None) -> tuple[Volume, tuple[str, ...], Source, Sequence[DicomFile]]:
    require_path(path)
    if _nifti(path):
        volume, notes = read_nifti_with_notes(path, "mu")
        return volume, notes, source_of("mu", [path]), ()
    objects = choose_map_objects(path, series)
    volume, notes = load_map(objects)
    return volume, notes, source_of("mu", objects.paths), objects.files


def _nifti(path: Path) -> bool:
    """Whether the path is a NIfTI file; a folder with NIfTI files only is refused, for it holds no series."""
    if path.is_dir():
        return False
    return is_nifti(path)
