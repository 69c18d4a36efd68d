"""The result of one study on disk: folder, JSON, NIfTI, DICOM."""

from mureg.results.as_json import as_json
from mureg.results.dicom import AsDicom
from mureg.results.folder import check_folder, describe, load_what_writes, write_folder
from mureg.results.options import AsReport

__all__ = ["AsDicom", "AsReport", "as_json", "check_folder", "describe", "load_what_writes", "write_folder"]
