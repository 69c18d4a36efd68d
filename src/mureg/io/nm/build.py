"""The parts that written nuclear medicine objects share (PS3.3 C.8.4)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from mureg.io.dicom.build import code_item, decimal

_LYING = {"S": ("40199007", "supine"), "P": ("1240000", "prone")}
_ENTERING = {"HF": ("102540008", "headfirst"), "FF": ("102541007", "feet-first")}


def energy_window(lower_kev: float, upper_kev: float, name: str) -> Dataset:
    """An item of EnergyWindowInformationSequence."""
    limits, window = Dataset(), Dataset()
    limits.EnergyWindowLowerLimit, limits.EnergyWindowUpperLimit = decimal(lower_kev), decimal(upper_kev)
    window.EnergyWindowRangeSequence = [limits]
    window.EnergyWindowName = name[:16]  # SH: 16 characters (PS3.5 6.2)
    return window


def radiopharmaceutical(nuclide: str) -> Dataset:
    """An item of RadiopharmaceuticalInformationSequence; Tc-99m where no nuclide is named."""
    item = Dataset()
    if not nuclide or nuclide.upper() in ("TC-99M", "TC99M", "99MTC"):
        item.RadionuclideCodeSequence = [code_item("72454003", "SCT", "^99m^Technetium")]
    else:
        item.RadionuclideCodeSequence = [code_item(nuclide[:16], "99MUREG", nuclide)]
    return item


def set_patient_position(dataset: Dataset, position: str) -> None:
    """Fill the NM/PET patient orientation module from HFS, FFS, HFP or FFP; empty sequences for anything else."""
    is_coded = position[:2] in _ENTERING and position[2:] in _LYING
    dataset.PatientOrientationCodeSequence = []
    dataset.PatientGantryRelationshipCodeSequence = []
    if is_coded:
        modifier, entering = _LYING[position[2:]], _ENTERING[position[:2]]
        lying = code_item("102538003", "SCT", "recumbent")
        lying.PatientOrientationModifierCodeSequence = [code_item(modifier[0], "SCT", modifier[1])]
        dataset.PatientOrientationCodeSequence = [lying]
        dataset.PatientGantryRelationshipCodeSequence = [code_item(entering[0], "SCT", entering[1])]
