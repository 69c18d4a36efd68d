"""The tables of the DICOM standard that ship with highdicom, in the form that dicom-validator wants them.

dicom-validator fetches the standard over the network; tests may not. highdicom's tables say which modules an object
has, which attributes a module has and of which type they are; conditions are not in them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from dicom_validator.validator.dicom_info import DicomInfo
from highdicom import _standard_utils as tables
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.uid import (
    CTImageStorage,
    NuclearMedicineImageStorage,
    SecondaryCaptureImageStorage,
    SpatialRegistrationStorage,
)

CLASSES = (CTImageStorage, NuclearMedicineImageStorage, SecondaryCaptureImageStorage, SpatialRegistrationStorage)


@cache
def dicom_info() -> DicomInfo:
    """Dictionary, objects and modules for the kinds of object that are written."""
    names = {str(uid): tables.get_sop_class_iod_map()[uid] for uid in CLASSES}
    of_object = {name: tables.get_iod_module_map()[name] for name in names.values()}
    iods = {
        uid: {
            "title": name,
            "modules": {m["key"]: {"ref": m["key"], "use": m["usage"]} for m in of_object[name]},
            "group_macros": {},
        }
        for uid, name in names.items()
    }
    wanted = {module["key"] for modules in of_object.values() for module in modules}
    dictionary = {_written(tag): {"name": entry[2], "vr": entry[0]} for tag, entry in DicomDictionary.items()}
    return DicomInfo(dictionary, iods, {name: _attributes(name) for name in wanted})


def _attributes(module: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in tables.get_module_attribute_map().get(module, []):
        tags = [tag_for_keyword(keyword) for keyword in (*attribute["path"], attribute["keyword"])]
        if None in tags:  # repeating groups and retired attributes
            continue
        level = found
        for tag in tags[:-1]:
            level = level[_written(tag)].setdefault("items", {})
        level[_written(tags[-1])] = {"name": attribute["keyword"], "type": attribute["type"]}
    return found


def _written(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
