"""Figures and the files of a result."""

from mureg.results.dicom import AsDicom
from mureg.results.folder import as_json, check_folder, describe, write_folder
from mureg.results.options import AsReport

__all__ = [
    "AsDicom",
    "AsReport",
    "as_json",
    "check_folder",
    "describe",
    "write_folder",
]
