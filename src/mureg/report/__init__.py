"""Figures and the files of a result."""

from mureg.report.dicom import AsDicom
from mureg.report.document import AsReport
from mureg.report.figures import quality_picture, thumbnail
from mureg.report.results import as_json, check_folder, describe, write_folder

__all__ = [
    "AsDicom",
    "AsReport",
    "as_json",
    "check_folder",
    "describe",
    "quality_picture",
    "thumbnail",
    "write_folder",
]
