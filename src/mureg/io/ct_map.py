"""An attenuation map, whatever object it is stored in: a nuclear medicine volume, or slices stored as CT images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mureg.errors import UnitsError
from mureg.geometry import Quantity, Volume
from mureg.io.dicom_ct import read_slices, series_of_slices
from mureg.io.dicom_files import DicomFile, DicomSeries, choose, named, search
from mureg.io.dicom_nm import VOLUMES, choose_map, load_nm_map, nm_kind, nm_objects
from mureg.io.units import mu_per_cm


@dataclass(frozen=True, eq=False)
class MapObjects:
    """The objects of one attenuation map.

    Attributes:
        files: the one NM object, or the slices.
        slices: the series of slices, None for an NM object.
    """

    files: tuple[DicomFile, ...]
    slices: DicomSeries | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file."""
        return tuple(path for file in self.files for path in file.paths)


def choose_map_objects(path: Path, series: str | None = None) -> MapObjects:
    """The attenuation map at a path: a reconstructed NM object; where none fits, a series of CT images or a map object.

    Whether a series of CT images holds attenuation is decided by its values when it is read.

    Raises `UnreadableInputError` where there is neither, or several and no choice.
    """
    found = search(path).series
    volumes = [o for o in nm_objects(found) if nm_kind(o.files[0].header) in VOLUMES]
    slices = series_of_slices(found)
    in_nm = bool(volumes) if series is None else bool(named(volumes, series))
    in_slices = bool(slices) if series is None else bool(named(slices, series))
    if in_slices and not in_nm:
        chosen = choose(slices, series, "series of CT images")
        return MapObjects(chosen.files, chosen)
    return MapObjects((choose_map(path, series),))


def load_map(objects: MapObjects) -> tuple[Volume, tuple[str, ...]]:
    """Read the map in 1/cm, with every guess in a sentence.

    Raises `UnitsError` where the values are no attenuation at 140.5 keV, as those of a CT in HU.
    """
    if objects.slices is None:
        return load_nm_map(objects.files[0])
    stack = read_slices(objects.slices, "attenuation map", rescaled=False)
    if not np.isfinite(stack.values).all():
        raise UnitsError("map values that are not finite", "1/cm", "check the rescale values and export again")
    values, note = mu_per_cm(np.where(stack.padding, np.float32(0.0), stack.values))
    outside = stack.padding if stack.padding.any() else None
    notes = (*stack.notes, *((note,) if note else ()), "the attenuation map is stored as CT images")
    return Volume.from_numpy(values, stack.grid, Quantity.MU_PER_CM, outside), notes
