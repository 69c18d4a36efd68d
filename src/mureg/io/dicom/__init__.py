"""DICOM objects: files and series, CT, pixels, and the objects that are written."""
