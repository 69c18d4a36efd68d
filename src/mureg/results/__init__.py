"""The result of one study on disk: folder, JSON, NIfTI, DICOM."""
