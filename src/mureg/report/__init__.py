"""Figures and the files of a result."""

from mureg.report.dicom import AsDicom
from mureg.report.results import as_json, check_folder, describe, write_folder
from mureg.report.wishes import AsReport

__all__ = [
    "AsDicom",
    "AsReport",
    "as_json",
    "check_folder",
    "describe",
    "write_folder",
]
