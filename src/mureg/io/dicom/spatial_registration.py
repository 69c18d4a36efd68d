"""Reading a DICOM Spatial Registration: each item maps the frame of its images into the registered frame (C.20.2)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, NuclearMedicineImageStorage, SpatialRegistrationStorage

from mureg.errors import GeometryError, UnreadableInputError
from mureg.io.dicom.access import items, numbers, read_dataset, reading, text
from mureg.io.dicom.ct_frames import ENHANCED

_SPECT, _CT = (NuclearMedicineImageStorage,), (CTImageStorage, *ENHANCED)

Matrix = npt.NDArray[np.float64]


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def matrix_from_registration(path: Path, frames: tuple[str, str] | None = None) -> tuple[Matrix, str]:
    """``ct_from_spect``, and a sentence on its origin.

    Args:
        path: of the object.
        frames: frames of reference of SPECT and CT, which identify items without image references if the two differ.

    With item matrices ``registered_from_spect`` and ``registered_from_ct`` it is
    ``registered_from_ct^-1 @ registered_from_spect``. The items are identified by the images they name (NM or CT).
    An item of unknown origin is the other one; a frame of reference that only one object names is mapped by identity.

    Raises:
        UnreadableInputError: another object, or items that do not say which is SPECT and which is CT.
        GeometryError: matrices that are not rigid, or several whose order would matter.
    """
    name = path.name
    with reading(name):
        dataset = read_dataset(path)
        if text(dataset, "SOPClassUID") != SpatialRegistrationStorage:
            raise UnreadableInputError(
                f"{name} is a DICOM object of another kind ({text(dataset, 'Modality') or 'unknown'})",
                "a Spatial Registration (REG)",
                "give the registration object",
            )
        listed = items(dataset, "RegistrationSequence")
        spect = [item for item in listed if _names(item, _SPECT)]
        ct = [item for item in listed if _names(item, _CT)]
        other_items = [item for item in listed if not items(item, "ReferencedImageSequence")]
        named = "images"
        if not spect and not ct and frames is not None and frames[0] != frames[1]:
            named = "frames of reference"
            spect, ct = ([item for item in listed if _is_of(item, frame)] for frame in frames)
            other_items = [item for item in listed if not any(_is_of(item, frame) for frame in frames)]
        if len(listed) == 1 and len(spect) + len(ct) == 1:
            other_items = [Dataset()]  # the registered frame itself, where its images need no item
        if not spect and len(ct) == len(other_items) == 1:
            spect = other_items
        elif not ct and len(spect) == len(other_items) == 1:
            ct = other_items
        if len(spect) != 1 or len(ct) != 1 or spect[0] is ct[0]:
            raise UnreadableInputError(
                f"{name} has {len(listed)} items, of which {len(spect)} name SPECT and {len(ct)} CT images",
                "one item for each of the two",
                "export a registration that names its images, or write the transform as .tfm",
            )
        registered_from_spect, registered_from_ct = _matrix(spect[0], name), _matrix(ct[0], name)
    note = f"{name} is a DICOM Spatial Registration; identified by the {named} it names, read as SPECT to CT"
    return np.linalg.inv(registered_from_ct) @ registered_from_spect, note


def _names(item: Dataset, kinds: tuple[str, ...]) -> bool:
    return any(text(image, "ReferencedSOPClassUID") in kinds for image in items(item, "ReferencedImageSequence"))


def _is_of(item: Dataset, frame: str) -> bool:
    return bool(frame) and text(item, "FrameOfReferenceUID") == frame


def _matrix(item: Dataset, name: str) -> Matrix:
    """``registered_from_item``, identity where the item holds none."""
    matrices = []
    for registration in items(item, "MatrixRegistrationSequence"):
        for matrix in items(registration, "MatrixSequence"):
            kind = text(matrix, "FrameOfReferenceTransformationMatrixType")
            values = numbers(matrix, "FrameOfReferenceTransformationMatrix", 16)
            if kind not in ("RIGID", "") or values is None:
                raise GeometryError(
                    f"{name} holds a matrix of type {kind or 'unknown'}", "RIGID", "export the rigid alignment"
                )
            matrices.append(np.array(values, dtype=np.float64).reshape(4, 4))
    # 1e-9 and 1e-6: rounding of products in double precision, and of decimal strings
    moving = [matrix for matrix in matrices if not np.allclose(matrix, np.eye(4), atol=1e-9)]
    if any(not np.allclose(a @ b, b @ a, atol=1e-6) for a, b in pairwise(moving)) or len(moving) > 2:
        raise GeometryError(
            f"{name} moves one frame by {len(moving)} matrices in a row", "one matrix", "export their product"
        )
    product = np.eye(4)
    for each in moving:
        product = each @ product
    return product
