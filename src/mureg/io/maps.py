"""An attenuation map, whatever object it is stored in: a nuclear medicine volume, or slices stored as CT images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.uid import ParametricMapStorage

from mureg.errors import UnitsError
from mureg.geometry import Quantity, Volume
from mureg.io.dicom.access import reading, text
from mureg.io.dicom.ct_read import series_of_slices
from mureg.io.dicom.derived import choose_original, without_own
from mureg.io.dicom.files import DicomFile, DicomSeries, search
from mureg.io.dicom.real_world import rescale_agrees
from mureg.io.dicom.series_choice import named
from mureg.io.dicom.slice_stack import SliceStack, read_slices
from mureg.io.input_paths import called
from mureg.io.nm.choose import VOLUMES, choose_map, load_nm_map, nm_kind, nm_objects
from mureg.io.units import mu_per_cm


@dataclass(frozen=True, eq=False)
class MapObjects:
    """The objects of one attenuation map.

    Attributes:
        files: the one NM object, or the slices.
        slices: the series of slices, None for an NM object.
        notes: what was decided when the slices were chosen.
    """

    files: tuple[DicomFile, ...]
    slices: DicomSeries | None = None
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of all files of the map."""
        return tuple(path for file in self.files for path in file.paths)


def choose_map_objects(path: Path, series: str | None = None) -> MapObjects:
    """The attenuation map at a path: a reconstructed NM object; where none fits, a series of CT images or a map object.

    Whether a series of CT images holds attenuation is decided by its values when it is read.

    Raises `UnreadableInputError` where there is neither, or several and no choice.
    """
    with reading(called(path)):
        search_result = search(path)
        volumes = [o for o in nm_objects(search_result.series) if nm_kind(o.files[0].header) in VOLUMES]
        slices = series_of_slices(search_result.series)
        if series is None:
            in_nm, in_slices = bool(without_own(volumes)[0]), bool(slices)
        else:
            in_nm, in_slices = bool(named(volumes, series)), bool(named(slices, series))
        if in_slices and not in_nm:
            chosen_series, notes = choose_original(slices, series, "series of CT images")
            return MapObjects(chosen_series.files, chosen_series, (*search_result.notes, *notes))
        return MapObjects((choose_map(path, series),))


def load_map(objects: MapObjects) -> tuple[Volume, tuple[str, ...]]:
    """Read the map in 1/cm, with every guess in a sentence.

    Raises `UnitsError` where the values are no attenuation at 140.5 keV, as those of a CT in HU.
    """
    if objects.slices is None:
        return load_nm_map(objects.files[0])
    stack = read_slices(objects.slices, "attenuation map", is_map=True)
    real, decided = _agreed(stack)
    if not np.isfinite(real).all():
        raise UnitsError("map values that are not finite", "1/cm", "check the rescale values and export again")
    values, note = mu_per_cm(np.where(stack.padding, np.float32(0.0), real))
    outside = stack.padding if stack.padding.any() else None
    is_parametric = text(objects.files[0].header, "SOPClassUID") == ParametricMapStorage
    kind = f"the attenuation map is stored as {'a Parametric Map' if is_parametric else 'CT images'}"
    notes = (*objects.notes, *stack.notes, *decided, *((note,) if note else ()), kind)
    return Volume.from_numpy(values, stack.grid, Quantity.MU_PER_CM, outside), notes


def _agreed(stack: SliceStack) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """The values of a map by its rescale values, or by its real-world mapping where its tissue decides for that."""
    if stack.mapped is None:
        return stack.values, ()
    sentence = "rescale values and real-world mapping of the attenuation map differ"
    known_values = [np.where(stack.padding, np.float32(0.0), values) for values in (stack.values, stack.mapped)]
    by_rescale = rescale_agrees(known_values[0], known_values[1], sentence)
    if by_rescale is None:
        return stack.values, ()
    preferred = "rescale values" if by_rescale else "mapping"
    return (stack.values if by_rescale else stack.mapped), (f"{sentence}; its tissue decides for the {preferred}",)
