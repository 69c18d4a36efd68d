"""The DICOM objects that a study was read from, for what is written beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mureg.errors import RefusedError, UsageError
from mureg.io.dicom.archives import unpacked
from mureg.io.dicom.ct_read import choose_ct_series
from mureg.io.dicom.files import DicomFile, patient_of
from mureg.io.input_paths import require_path
from mureg.io.maps import choose_map_objects
from mureg.io.nifti import is_nifti
from mureg.io.nm.choose import PROJECTIONS, choose_spect, nm_kind


@dataclass(frozen=True, eq=False)
class DicomInputs:
    """What a study was read from.

    Attributes:
        spect: the NM object, projections or a reconstruction.
        attenuation: the slices of the CT, or the objects of a ready map.
        from_ct: whether `attenuation` is a CT.
    """

    spect: DicomFile
    attenuation: tuple[DicomFile, ...]
    from_ct: bool

    @property
    def from_projections(self) -> bool:
        """Whether the SPECT was reconstructed here, not given as a volume."""
        return nm_kind(self.spect.header) in PROJECTIONS


def dicom_inputs(
    spect: Path | str,
    *,
    ct: Path | str | None = None,
    mu: Path | str | None = None,
    spect_series: str | None = None,
    ct_series: str | None = None,
) -> DicomInputs:
    """Find the objects that `read_study` reads with the same arguments, from headers alone.

    Objects in a ZIP file are there only as long as the caller keeps it unpacked
    (`mureg.io.dicom.archives.kept_unpacked`).

    Raises:
        UsageError: neither or both of `ct` and `mu`; or one of the inputs is NIfTI, which holds no patient, study and
            frame of reference that results could belong to.
        RefusedError: SPECT and CT name different patients.
        UnreadableInputError: as `read_study`.
    """
    attenuation = ct if ct is not None else mu
    if attenuation is None or (ct is not None and mu is not None):
        raise UsageError("not exactly one CT or attenuation map", "exactly one", "give --ct or --mu")
    with unpacked(Path(spect)) as spect_place, unpacked(Path(attenuation)) as place:
        return _find(spect_place, place, spect_series, ct_series, from_ct=ct is not None)


def _find(
    spect: Path, attenuation: Path, spect_series: str | None, ct_series: str | None, *, from_ct: bool
) -> DicomInputs:
    for path in (spect, attenuation):
        require_path(path)
        if path.is_file() and is_nifti(path):
            raise UsageError(
                f"DICOM results asked for and {path.name} is NIfTI, which names no patient and no study",
                "SPECT and CT as DICOM",
                "give the DICOM series, or leave --dicom out",
            )
    if not from_ct:
        inputs = DicomInputs(
            choose_spect(spect, spect_series), choose_map_objects(attenuation, ct_series).files, from_ct=False
        )
    else:
        series, _ = choose_ct_series(attenuation, ct_series)
        inputs = DicomInputs(choose_spect(spect, spect_series), series.files, from_ct=True)
    _refuse_two_patients(inputs)
    return inputs


def _refuse_two_patients(inputs: DicomInputs) -> None:
    """Refuse inputs of different patients; missing identifiers prove nothing."""
    patients = {patient_of(file) for file in (inputs.spect, *inputs.attenuation)} - {""}
    if len(patients) > 1:
        raise RefusedError(
            f"SPECT and {'CT' if inputs.from_ct else 'map'} name {len(patients)} different patients (PatientID)",
            "one patient",
            "check that both series belong together, or leave --dicom out",
        )
