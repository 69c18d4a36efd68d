from __future__ import annotations

import numpy as np
import pydicom
import pytest

from mureg.errors import GeometryError, MuregError, UnitsError, UnreadableInputError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io import write_nifti
from mureg.io.nifti import read_nifti_with_notes
from mureg.io.nm.choose import choose_spect, load_nm, read_nm
from mureg.notes import Rank
from support.dicom import change, item, write_nm

ORIGIN = (-20.0, -30.0, 50.0)


def place(orientation=(1, 0, 0, 0, 1, 0), origin=ORIGIN):
    return item(ImagePositionPatient=list(origin), ImageOrientationPatient=list(orientation))


def recon(path, values, *, spacing=4.0, order=None, detectors=None, **elements):
    """A RECON TOMO of values [slice, row, column] with 3 mm pixels; `order` shuffles the frames."""
    order = np.arange(len(values)) if order is None else np.asarray(order)
    if spacing is not None:
        elements["SpacingBetweenSlices"] = spacing
    elements.setdefault("kind", "RECON TOMO")
    return write_nm(
        path / "recon.dcm",
        values[order],
        elements.pop("vectors", {"SliceVector": (order + 1).tolist()}),
        detectors=[place()] if detectors is None else detectors,
        pixel=3.0,
        SliceThickness=9.0,
        **elements,
    )


def blob(shape=(6, 5, 7)):
    values = np.zeros(shape, dtype=np.uint16)
    values[4, 1, 2] = 90
    return values


@pytest.mark.parametrize("spacing", [4.0, -4.0])
def test_sign_of_spacing_stacks_behind_or_in_front(tmp_path, spacing):
    # axial rows to the left, columns to the back: row x column points to the head, "behind" for the viewer
    volume = read_nm(recon(tmp_path, blob(), spacing=spacing, order=[3, 1, 0, 5, 2, 4]))
    values = volume.values
    hot = volume.grid.points(np.unravel_index(values.argmax(), values.shape))
    assert np.allclose(hot, np.add(ORIGIN, (2 * 3, 1 * 3, 4 * spacing)))
    assert volume.quantity is Quantity.COUNTS


def test_coronal_slices_stack_to_the_back(tmp_path):
    # rows to the left, columns to the feet: row x column = (0, 1, 0), to the back
    volume = read_nm(recon(tmp_path, blob(), detectors=[place((1, 0, 0, 0, 0, -1))]))
    values = volume.values
    hot = volume.grid.points(np.unravel_index(values.argmax(), values.shape))
    assert np.allclose(hot, np.add(ORIGIN, (2 * 3, 4 * 4.0, -1 * 3)))


def test_gated_volumes_are_summed(tmp_path):
    values = np.concatenate([blob(), 2 * blob()])
    vectors = {
        "RRIntervalVector": [1] * 12,
        "TimeSlotVector": [1] * 6 + [2] * 6,
        "SliceVector": list(range(1, 7)) * 2,
    }
    volume = read_nm(recon(tmp_path, values, vectors=vectors, kind="RECON GATED TOMO"))
    assert float(volume.values.max()) == 270
    assert volume.grid.shape == (7, 5, 6)


def test_transmission_maps_find_their_unit(tmp_path):
    values = np.zeros((6, 8, 8), dtype=np.uint16)
    values[:, 1:7, 1:7] = 1540
    path = recon(tmp_path, values, source="TRANSMISSION")
    volume = read_nm(path)
    assert volume.quantity is Quantity.MU_PER_CM
    assert float(volume.values.max()) == pytest.approx(0.154)
    ds = pydicom.dcmread(path)
    ds.PixelData = (values // 2).astype("<u2").tobytes()
    ds.add_new(0x00330010, "LO", "SIEMENS MED ECAT FILE INFO")
    ds.add_new(0x00331038, "DS", "5000")
    ds.save_as(path)
    assert float(read_nm(path).values.max()) == pytest.approx(0.154)
    change(path, RescaleSlope=3.0)
    with pytest.raises(UnitsError, match="soft tissue at"):
        read_nm(path)


@pytest.mark.parametrize(
    ("elements", "error", "words"),
    [
        ({"SpacingBetweenSlices": None}, GeometryError, "SliceThickness does not define it"),
        ({"DetectorInformationSequence": []}, GeometryError, "ImagePositionPatient of the reconstruction"),
        ({"SliceVector": [1, 2, 3, 4, 5]}, UnreadableInputError, "SliceVector has 5 values"),
        ({"SliceVector": [1, 2, 3, 4, 5, 5]}, UnreadableInputError, "two frames are both slice 5"),
        ({"SliceVector": [1, 2, 3, 4, 5, 7]}, UnreadableInputError, "slice 6 is missing"),
        ({"FrameIncrementPointer": [0x00540090]}, UnreadableInputError, "AngularViewVector, which is missing"),
        ({"DetectorInformationSequence": [place((1, 0, 0, 1, 0, 0))]}, GeometryError, "perpendicular"),
    ],
)
def test_broken_volumes_are_refused_by_name(tmp_path, elements, error, words):
    path = recon(tmp_path, blob())
    change(path, **elements)
    with pytest.raises(error, match=words):
        read_nm(path)


def test_several_objects_in_a_folder_are_listed_and_can_be_chosen(tmp_path):
    recon(tmp_path, blob()).rename(tmp_path / "a.dcm")
    path = recon(tmp_path, 2 * blob())
    change(path, SOPInstanceUID="1.2.3.4567", SeriesDescription="second")
    with pytest.raises(MuregError, match=r"2 NM objects.*second"):
        read_nm(tmp_path)
    assert float(read_nm(tmp_path, "second").values.max()) == 180
    assert float(read_nm(tmp_path, "3.4567").values.max()) == 180


@pytest.mark.parametrize("scale", [1e4, 1e5])
def test_a_map_typed_emission_and_given_as_spect_is_mentioned_first(tmp_path, scale):
    """A trunk with lungs in closed form is no emission; tracer around the same median is."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (24, 24, 20)), indexing="ij")
    lungs = ((np.abs(x) - 0.4) / 0.25) ** 2 + (y / 0.5) ** 2 + (z / 0.8) ** 2 < 1
    tissue = np.where(lungs, 0.04, 0.15) * (x**2 + (y / 0.8) ** 2 < 0.9)
    tissue += np.random.default_rng(4).normal(0, 0.004, tissue.shape) * (tissue > 0)
    tracer = np.exp(-((np.hypot(x, y) - 0.5) ** 2) / 0.05 - z**2) * 0.24
    for values, is_map in ((tissue, True), (tracer, False)):
        stored = np.rint(np.clip(values, 0, None) * scale).astype(np.uint16).transpose(2, 1, 0)
        path = recon(tmp_path, stored, ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"])
        volume = Volume.from_numpy(np.clip(values, 0, None), Grid.centred(values.shape, (4.0,) * 3), Quantity.ACTIVITY)
        write_nifti(volume, tmp_path / "a.nii")
        for notes in (load_nm(choose_spect(path))[1], read_nifti_with_notes(tmp_path / "a.nii", "spect")[1]):
            ranks = [note.rank for note in notes if "those of an attenuation map" in note]
            assert ranks == ([Rank.CHANGES_ANSWER] if is_map else [])
