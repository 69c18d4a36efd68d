"""Slices of a CT, however exporters store them: where they lie and what they hold stays the same."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from mureg.errors import GeometryError, UnreadableInputError
from mureg.io import inspect, read_ct, read_mu, read_spect
from mureg.io.acquired import ct_acquired_at
from mureg.io.dicom.slice_line import fitted_line
from support.dicom import change, chest_like, item, uid, write_ct, write_nm
from support.enhanced import ENHANCED_CT, LEGACY_CT, WORD_CAPTURE, write_enhanced

pytestmark = pytest.mark.filterwarnings("error")
MARK = (-10 + 3 * 1.5, -20 + 2 * 2.0, -30 + 1 * 2.5)
"""Where the voxel of 700 HU of `chest_like` lies."""


def marked(volume) -> np.ndarray:
    values = volume.values
    return volume.grid.points(np.unravel_index(values.argmax(), values.shape))


class TestPositions:
    @pytest.mark.parametrize("spacing", [0.625, 1.25, 2.0833, 3.27])
    def test_rounded_to_a_tenth_of_a_millimetre(self, spacing, tmp_path) -> None:
        """The spacing is that of the fit: within 0.1 mm over the whole stack, so nearer than any single step."""
        n = 40
        values = np.repeat(chest_like()[:1], n, axis=0)
        values[17, 2, 3] = 900
        for k, file in enumerate(write_ct(tmp_path, values, spacing=(1.5, 2.0, spacing))):
            change(file, ImagePositionPatient=[-10.0, -20.0, round(-30 + k * spacing, 1)])
        volume = read_ct(tmp_path)[0].volume
        assert volume.grid.spacing_mm[2] == pytest.approx(spacing, abs=0.1 / (n - 1))
        assert marked(volume) == pytest.approx((-5.5, -16.0, -30 + 17 * spacing), abs=0.05)

    def test_a_slice_off_by_more_than_a_tenth_of_the_spacing_is_refused(self) -> None:
        positions = np.array([[0.0, 0.0, 2.5 * k] for k in range(20)])
        positions[9, 2] += 0.24
        assert fitted_line(positions, np.array([0, 0, 1.0])).step_mm[2] == pytest.approx(2.5, abs=0.01)
        positions[9, 2] += 0.2
        with pytest.raises(GeometryError, match="after slice 9"):
            fitted_line(positions, np.array([0, 0, 1.0]))

    @pytest.mark.parametrize("where", [3, 20, 38])
    def test_one_missing_slice_is_a_gap_wherever_it_is(self, where) -> None:
        positions = np.array([[0.0, 0.0, 0.625 * k] for k in range(40) if k != where])
        with pytest.raises(GeometryError, match=rf"1\.25 mm gap after slice {where} "):
            fitted_line(positions, np.array([0, 0, 1.0]))

    def test_thick_slabs_that_overlap_are_read(self, tmp_path) -> None:
        """Slabs of 5 mm each 0.6 mm: SpacingBetweenSlices says that these are millimetres."""
        files = write_ct(tmp_path, chest_like(), spacing=(1.5, 2.0, 0.6))
        for file in files:
            change(file, SliceThickness=5.0, SpacingBetweenSlices=0.6)
        ct = read_ct(tmp_path)[0]
        assert ct.volume.grid.spacing_mm[2] == pytest.approx(0.6)
        assert any("they overlap" in note for note in ct.notes)
        for file in files:
            change(file, SpacingBetweenSlices=None)
        with pytest.raises(GeometryError, match="perhaps in centimetres"):
            read_ct(tmp_path)


class TestManyFrames:
    @pytest.mark.parametrize("sop_class", [ENHANCED_CT, LEGACY_CT, WORD_CAPTURE, "1.2.840.10008.5.1.4.1.1.2"])
    def test_frames_lie_where_their_functional_groups_say(self, sop_class, tmp_path) -> None:
        """Frames in any order, each with its own slope."""
        write_enhanced(
            tmp_path / "a.dcm",
            chest_like(),
            sop_class=sop_class,
            order=[4, 0, 5, 1, 3, 2],
            slopes=[1, 2, 1, 2, 1, 4],
        )
        ct = read_ct(tmp_path)[0]
        assert marked(ct.volume) == pytest.approx(MARK)
        np.testing.assert_array_equal(ct.volume.values, chest_like().transpose(2, 1, 0))
        assert (ct.kvp, ct.model) == (120.0, "Optima CT540")
        (found,) = inspect(tmp_path).found
        assert (found.kind, found.facts["slices"], found.facts["matrix"]) == ("CT", 6, [10, 8, 6])

    def test_simpleitk_reads_the_same(self, tmp_path) -> None:
        path = write_enhanced(tmp_path / "a.dcm", chest_like())
        theirs, ours = sitk.ReadImage(str(path)), read_ct(path)[0].volume
        np.testing.assert_allclose(sitk.GetArrayFromImage(theirs).transpose(2, 1, 0), ours.values)
        assert theirs.GetSpacing() == pytest.approx(ours.grid.spacing_mm)
        assert theirs.GetOrigin() == pytest.approx(ours.grid.affine[:3, 3])

    def test_two_objects_of_one_series_are_one_stack(self, tmp_path) -> None:
        for name, part, z in (("a", slice(0, 3), 0), ("b", slice(3, 6), 3)):
            path = write_enhanced(tmp_path / f"{name}.dcm", chest_like()[part], origin=(-10, -20, -30 + 2.5 * z))
            change(path, SeriesInstanceUID=uid("both"))
        assert marked(read_ct(tmp_path)[0].volume) == pytest.approx(MARK)

    def test_three_numbers_a_frame_in_one_position_are_places(self, tmp_path) -> None:
        path = write_enhanced(tmp_path / "a.dcm", chest_like(), sop_class="1.2.840.10008.5.1.4.1.1.2", places=False)
        change(path, ImagePositionPatient=[v for k in range(6) for v in (-10, -20, -30 + 2.5 * k)])
        assert marked(read_ct(path)[0].volume) == pytest.approx(MARK)

    def test_frames_without_places_are_called_so(self, tmp_path) -> None:
        """One position and an unsigned distance would put the head at the feet half of the time."""
        path = write_enhanced(tmp_path / "a.dcm", chest_like(), sop_class="1.2.840.10008.5.1.4.1.1.2", places=False)
        with pytest.raises(GeometryError, match="holds 6 frames and does not say where each of them lies"):
            read_ct(path)


class TestOneSeriesEach:
    def test_a_ct_with_a_series_for_each_slice_is_joined(self, tmp_path) -> None:
        for k, file in enumerate(write_ct(tmp_path, chest_like(), order=[3, 0, 5, 1, 4, 2])):
            change(file, SeriesInstanceUID=uid("slice", k))
        ct, source = read_ct(tmp_path)
        assert marked(ct.volume) == pytest.approx(MARK)
        assert source.files == 6
        assert any(note.startswith("6 CT objects of one slice each joined") for note in ct.notes)

    def test_two_reconstructions_so_taken_apart_stay_two(self, tmp_path) -> None:
        for kernel in ("lung", "soft"):
            for k, file in enumerate(write_ct(tmp_path / kernel, chest_like(), series=kernel, description=kernel)):
                change(file, SeriesInstanceUID=uid(kernel, k), ConvolutionKernel=kernel)
        with pytest.raises(UnreadableInputError, match="2 CT series found"):
            read_ct(tmp_path)
        assert marked(read_ct(tmp_path, "soft")[0].volume) == pytest.approx(MARK)

    @pytest.mark.parametrize(
        "elements", [{"PatientID": "T2"}, {"FrameOfReferenceUID": "1.2.9"}, {"StudyInstanceUID": "1.2.8"}]
    )
    def test_what_differs_is_not_joined(self, elements, tmp_path) -> None:
        files = write_ct(tmp_path, chest_like())
        for k, file in enumerate(files):
            change(file, SeriesInstanceUID=uid("slice", k), **(elements if k > 2 else {}))
        with pytest.raises(UnreadableInputError, match="2 CT series"):
            read_ct(tmp_path)

    def test_no_message_lists_more_than_a_reader_can_read(self, tmp_path) -> None:
        """Sixty series that cannot be joined are counted, and six are named."""
        for k, file in enumerate(write_ct(tmp_path, np.repeat(chest_like()[:1], 60, axis=0))):
            change(
                file, SeriesInstanceUID=uid("slice", k), StudyInstanceUID=uid("study", k), SeriesDescription="x" * 60
            )
        with pytest.raises(UnreadableInputError, match="60 CT series") as refusal:
            read_ct(tmp_path)
        assert "and 54 more" in str(refusal.value)
        assert len(str(refusal.value)) < 1000
        long = UnreadableInputError("a" * 5000, "b" * 5000, "c" * 5000)
        assert len(str(long)) < 2500

    @pytest.mark.parametrize("step", [-4.0, 4.0])
    def test_a_reconstruction_with_an_object_for_each_slice_is_joined(self, step, tmp_path) -> None:
        """Both orders of the slices along the patient, each slice with its own slope."""
        for k in range(5):
            frame = np.full((6, 8), 10, dtype=np.uint16)
            if k == 1:
                frame[2, 3] = 90
            place = item(ImagePositionPatient=[-7, -9, 30 + k * step], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
            write_nm(
                tmp_path / f"{k}.dcm",
                frame[None] // (1 + k % 2),
                {"SliceVector": [1]},
                kind="RECON TOMO",
                detectors=[place],
                SpacingBetweenSlices=4,
                RescaleSlope=1 + k % 2,
                RescaleIntercept=0,
                SeriesInstanceUID=uid("nm slice", k),
            )
        spect, source = read_spect(tmp_path)
        assert spect.grid.shape == (8, 6, 5)
        assert marked(spect) == pytest.approx((-7 + 3 * 5, -9 + 2 * 5, 30 + step))
        assert (float(spect.values.max()), float(spect.values.min())) == (90, 10)
        assert source.files == 5
        (found,) = inspect(tmp_path).found
        assert (found.files, found.refusal) == (5, "")
        assert any("joined to one volume" in note for note in found.notes)


class TestMapsAsCtImages:
    """Values of 0.15 1/cm in tissue and 0 in air, stored as CT images, as some stations export their maps."""

    def stored(self, folder, *, slope: float, values: np.ndarray | None = None):
        tissue = np.where(chest_like() > 0, 0.15, 0.0) if values is None else values
        tissue[1, 2, 3] = 0.28
        for file, plane in zip(write_ct(folder, chest_like()), tissue, strict=True):
            ds = pydicom.dcmread(file)
            ds.PixelData = np.rint(plane / slope).astype("<i2").tobytes()
            ds.RescaleSlope, ds.RescaleIntercept = slope if slope != 1e-4 else 1, 0
            ds.save_as(file)
        return folder

    @pytest.mark.parametrize("slope", [1e-5, 1e-4])
    def test_it_is_read_as_a_map(self, slope, tmp_path) -> None:
        folder = self.stored(tmp_path / "map", slope=slope)
        volume, notes, source = read_mu(folder)
        assert marked(volume) == pytest.approx(MARK)
        assert float(volume.values.max()) == pytest.approx(0.28, abs=1e-4)
        assert any("stored as CT images" in note for note in notes)
        assert source.files == 6
        (found,) = inspect(folder).found
        assert (found.kind, found.refusal) == ("attenuation map", "")
        for file in folder.iterdir():
            change(file, AcquisitionDate="20260105", AcquisitionTime="0905")
        assert ct_acquired_at(None, folder) == "2026-01-05 09:05", "the report of such a study states the time"

    def test_no_two_sentences_send_the_user_in_a_circle(self, tmp_path) -> None:
        """Given as a CT, the map is said to be one; so given, it is read. The other way round the same holds."""
        folder = self.stored(tmp_path / "map", slope=1e-5)
        with pytest.raises(UnreadableInputError, match="pass it as a ready map"):
            read_ct(folder)
        read_mu(folder)
        write_ct(tmp_path / "ct", chest_like())
        with pytest.raises(UnreadableInputError, match="pass it as a CT"):
            read_mu(tmp_path / "ct")
        read_ct(tmp_path / "ct")

    def test_a_chosen_series_of_ct_images_goes_before_a_volume_that_was_not_named(self, tmp_path) -> None:
        self.stored(tmp_path / "map", slope=1e-5)
        place = item(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        frames = np.full((5, 6, 8), 900, dtype=np.uint16)
        write_nm(
            tmp_path / "nm.dcm",
            frames,
            {"SliceVector": [1, 2, 3, 4, 5]},
            kind="RECON TOMO",
            detectors=[place],
            SpacingBetweenSlices=4,
        )
        assert marked(read_mu(tmp_path, "chest")[0]) == pytest.approx(MARK)

    @pytest.mark.parametrize(("rescale", "mapping"), [(1e-5, 3e-5), (3e-5, 1e-5)])
    def test_two_lines_to_real_values_are_decided_by_tissue(self, rescale, mapping, tmp_path) -> None:
        """Stored values are 1e5 times 1/cm: the other line would give soft tissue of 0.45 1/cm."""
        for file in sorted(self.stored(tmp_path / "map", slope=1e-5).iterdir()):
            unit = item(CodeValue="cm-1", CodingSchemeDesignator="UCUM", CodeMeaning="cm-1")
            line = item(RealWorldValueSlope=mapping, RealWorldValueIntercept=0.0, MeasurementUnitsCodeSequence=[unit])
            change(file, RescaleSlope=rescale, RealWorldValueMappingSequence=[line])
        volume, notes, _ = read_mu(tmp_path / "map")
        assert float(volume.values.max()) == pytest.approx(0.28, abs=1e-4)
        decided = "rescale values" if rescale == 1e-5 else "mapping"
        assert any(note.endswith(f"its tissue decides for the {decided}") for note in notes)
