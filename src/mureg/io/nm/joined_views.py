"""Projections whose views are objects of their own, or spread over several, as the one object they should have been."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import items, number, numbers, read_dataset, text, words
from mureg.io.dicom.character_set import keep_character_set_note
from mureg.io.dicom.files import DicomFile
from mureg.io.nm.numbered_views import NumberedView, numbered_views, start_angle_deg
from mureg.io.nm.slices import OF_PIXELS, joined_values

_VECTORS = (
    "EnergyWindowVector",
    "DetectorVector",
    "RotationVector",
    "AngularViewVector",
    "RRIntervalVector",
    "TimeSlotVector",
)
_BY_VIEW = ("RadialPosition", "ActualFrameDuration")

Notes = tuple[str, ...]


def read_joined_views(file: DicomFile) -> tuple[Dataset, Notes]:
    """Projections in several objects as one, with its pixels, its vectors and one description of the orbit.

    What the objects say of camera, windows and rotation must agree; radius and duration may be those of each view.

    Raises:
        UnreadableInputError: descriptions that differ, the same view twice, or views that cannot be put in order.
        UnitsError: as `mureg.io.dicom.real_world.settle_real_world`, for objects of different scale.
    """
    datasets = [read_dataset(part.path) for part in file.parts]
    _require_one_description(datasets)
    views, notes = numbered_views(datasets)
    names = [f"object {k} of the projections" for k in range(1, len(datasets) + 1)]
    values, of_values, value_notes = joined_values(datasets, names, as_map=False)
    order = sorted(range(len(views)), key=lambda k: views[k].key)
    ordered = [views[k] for k in order]
    first = datasets[ordered[0].part]
    whole = Dataset()  # a fresh one, for the encoding of the first object must not be taken for that of the frames
    left_out = (*OF_PIXELS, *of_values)
    whole.update({tag: element for tag, element in first.items() if keyword_for_tag(tag) not in left_out})
    keep_character_set_note(first, whole)
    whole.NumberOfFrames, whole.BitsAllocated = len(order), 64
    used = [axis for axis in range(len(_VECTORS)) if axis < 4 or any(view.key[axis] > 1 for view in ordered)]
    whole.FrameIncrementPointer = [tag_for_keyword(_VECTORS[axis]) for axis in used]
    for axis in used:
        setattr(whole, _VECTORS[axis], [view.key[axis] for view in ordered])
    _set_orbit(whole, datasets, ordered)
    total = [number(dataset, "CountsAccumulated") for dataset in datasets]
    if "CountsAccumulated" in whole:
        whole.CountsAccumulated = str(round(sum(v or 0.0 for v in total))) if None not in total else None
    whole.DoubleFloatPixelData = values[order].astype("<f8").tobytes()
    return whole, (*notes, *value_notes)


def _set_orbit(whole: Dataset, datasets: Sequence[Dataset], ordered: Sequence[NumberedView]) -> None:
    """The items of the first view of each detector, with the start angle, and what belongs to each view."""
    passes: dict[int, list[NumberedView]] = {}
    for view in ordered:
        window, detector, rotation, _, *gates = view.key
        if window == rotation == 1 and set(gates) == {1}:
            passes.setdefault(detector, []).append(view)
    if not passes:
        return
    heads = {detector: _copied(_detector(datasets[v[0].part], detector)) for detector, v in sorted(passes.items())}
    described = [_copied(item) for item in items(whole, "DetectorInformationSequence")]
    for detector, views in passes.items():
        start_deg, of_first = views[0].start_deg, start_angle_deg(whole, min(passes))
        if start_deg is None and detector > min(passes):  # an object may state it for its own detector alone
            start_deg = start_angle_deg(datasets[views[0].part], detector)
            start_deg = None if start_deg == of_first else start_deg
        if start_deg is not None:
            heads[detector].StartAngle = f"{start_deg:.8g}"
        for keyword in _BY_VIEW:
            _set_by_view(whole, heads[detector], keyword, datasets, views)
    numbered_on = range(1, max(*heads, len(described)) + 1) if len(heads) > 1 else range(1, len(described) + 1)
    listed = [heads.get(detector) or described[min(detector, len(described)) - 1] for detector in numbered_on]
    whole.DetectorInformationSequence = Items(listed or list(heads.values()))
    turns = [_copied(item) for item in items(whole, "RotationInformationSequence")]
    first = passes[min(passes)][0]
    for turn in turns:
        if first.start_deg is not None and len(turns) == 1:
            turn.StartAngle = f"{first.start_deg:.8g}"
        if not number(turn, "AngularStep") and first.step_deg is not None:
            turn.AngularStep = f"{first.step_deg:.8g}"
        if 0 < (number(turn, "NumberOfFramesInRotation") or 0) < max(map(len, passes.values())):
            turn.NumberOfFramesInRotation = max(map(len, passes.values()))
        for keyword in _BY_VIEW:
            if keyword in turn and any(keyword in head for head in heads.values()):
                del turn[keyword]
    whole.RotationInformationSequence = Items(turns)


def _set_by_view(
    whole: Dataset, head: Dataset, keyword: str, datasets: Sequence[Dataset], views: list[NumberedView]
) -> None:
    """One value of each view in the detector's item, where the objects do not all say the same."""
    stated_values = [_stated_values(datasets[view.part], view.key[1], keyword) for view in views]
    if len(set(stated_values)) == 1:
        return
    each = [values[0] for values in stated_values if values is not None and len(values) == 1]
    if len(each) != len(views) or len({view.part for view in views}) != len(views):
        raise _do_not_fit(keyword)
    setattr(head, keyword, [f"{value:.10g}" for value in each])
    if keyword in whole:
        del whole[keyword]


def _stated_values(dataset: Dataset, detector: int, keyword: str) -> tuple[float, ...] | None:
    rotation = next(iter(items(dataset, "RotationInformationSequence")), Dataset())
    for place in (_detector(dataset, detector), rotation, dataset):
        values = numbers(place, keyword)
        if values and any(values):
            return values
    return None


def _require_one_description(datasets: Sequence[Dataset]) -> None:
    for what, described in _DESCRIPTIONS.items():
        if len({described(dataset) for dataset in datasets}) > 1:
            raise _do_not_fit(what)


def _do_not_fit(what: str) -> UnreadableInputError:
    return UnreadableInputError(
        f"the objects that hold the views of one series differ in {what}",
        "one description of camera, energy windows and rotation",
        "export the acquisition as one object, or give the objects that belong together in a folder of their own",
    )


def _energy(dataset: Dataset) -> tuple[Any, ...]:
    return tuple(
        (number(item, "EnergyWindowLowerLimit"), number(item, "EnergyWindowUpperLimit"))
        for window in items(dataset, "EnergyWindowInformationSequence")
        for item in items(window, "EnergyWindowRangeSequence")
    )


def _nuclide(dataset: Dataset) -> tuple[Any, ...]:
    return tuple(
        text(code, "CodeMeaning")
        for item in items(dataset, "RadiopharmaceuticalInformationSequence")
        for code in items(item, "RadionuclideCodeSequence")
    )


def _rotation(dataset: Dataset) -> tuple[Any, ...]:
    keywords = ("AngularStep", "ScanArc")
    return tuple(
        (text(item, "RotationDirection"), *(number(item, keyword) for keyword in keywords))
        for item in items(dataset, "RotationInformationSequence")
    )


def _collimator(dataset: Dataset) -> tuple[Any, ...]:
    return tuple(
        sorted(
            {
                (*(text(item, k) for k in ("CollimatorType", "CollimatorGridName")), numbers(item, "ZoomCenter"))
                for item in items(dataset, "DetectorInformationSequence")
            },
            key=str,
        )
    )


_DESCRIPTIONS: dict[str, Callable[[Dataset], tuple[Any, ...]]] = {
    "their energy windows": _energy,
    "their nuclide": _nuclide,
    "their rotation (direction, step or arc)": _rotation,
    "their collimator": _collimator,
    "PixelSpacing": lambda dataset: numbers(dataset, "PixelSpacing") or (),
    "CorrectedImage": lambda dataset: tuple(sorted(words(dataset, "CorrectedImage"))),
    "the camera": lambda dataset: (text(dataset, "Manufacturer"), text(dataset, "ManufacturerModelName")),
}


def _detector(dataset: Dataset, detector: int) -> Dataset:
    """Item of a detector; an object of one detector has a single item, whatever its number."""
    listed = items(dataset, "DetectorInformationSequence")
    return listed[min(detector, len(listed)) - 1] if listed else Dataset()


def _copied(item: Dataset) -> Dataset:
    return Dataset(dict(item.items()))
