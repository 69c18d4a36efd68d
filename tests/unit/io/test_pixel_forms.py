"""Pixels in every form that archives send: compressed by other programs, signed, of many frames, or floats."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import JPEGLosslessSV1, JPEGLSLossless

from mureg.errors import UnreadableInputError
from mureg.io import inspect, read_ct, read_mu, read_spect
from mureg.io.dicom.pixels import decoded_pixels
from support.dicom import (
    change,
    chest_like,
    coded,
    detector,
    item,
    project_point,
    rotation,
    tomo_vectors,
    write_ct,
    write_nm,
)
from support.enhanced import write_enhanced

pytestmark = pytest.mark.filterwarnings("error")
DCMTK = pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="dcmtk (dcmcjpeg) is not installed")
LS = pytest.mark.skipif(shutil.which("dcmcjpls") is None, reason="dcmtk (dcmcjpls) is not installed")


def compressed(path: Path, program: str, *options: str) -> None:
    """Compress a file with another program, in place."""
    out = path.with_suffix(".out")
    subprocess.run([program, *options, str(path), str(out)], check=True, capture_output=True)
    out.replace(path)


@pytest.fixture(params=["whatever is installed", "GDCM alone"])
def decoders(request, monkeypatch) -> None:
    """As on a PC where pydicom has no plug-in at all: only what comes with SimpleITK is left."""
    if request.param == "GDCM alone":
        own = pydicom.Dataset.pixel_array.fget

        def plain_alone(self):
            if self.file_meta.TransferSyntaxUID.is_compressed:
                raise RuntimeError("no decoder")
            return own(self)

        monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(plain_alone))


@pytest.mark.usefixtures("decoders")
class TestCompressed:
    @pytest.mark.parametrize("signed", [False, True])
    @pytest.mark.parametrize(
        ("program", "options"),
        [
            pytest.param("dcmcjpeg", ("+e1",), marks=DCMTK, id="JPEG lossless, first-order"),
            pytest.param("dcmcjpeg", ("+el",), marks=DCMTK, id="JPEG lossless"),
            pytest.param("dcmcjpls", (), marks=LS, id="JPEG-LS"),
        ],
    )
    def test_hounsfield_units_come_back_once_rescaled(self, program, options, signed, tmp_path) -> None:
        """Signed values with intercept 0 and unsigned ones with slope 2: neither is rescaled twice."""
        values = chest_like()
        values[2, 3, 4] = -999
        for file, plane in zip(write_ct(tmp_path, values), values, strict=True):
            ds = pydicom.dcmread(file)
            stored = plane if signed else (plane.astype(int) + 1024) // 2
            ds.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
            ds.PixelRepresentation = int(signed)
            ds.RescaleSlope, ds.RescaleIntercept = (1, 0) if signed else (2, -1024)
            ds.save_as(file)
            compressed(file, program, *options)
            assert pydicom.dcmread(file).file_meta.TransferSyntaxUID.is_compressed
        expected = values if signed else (values.astype(int) + 1024) // 2 * 2 - 1024
        np.testing.assert_array_equal(read_ct(tmp_path)[0].volume.values, expected.transpose(2, 1, 0))

    @DCMTK
    def test_projections_of_many_frames(self, tmp_path) -> None:
        """A point at the left, front and head side is seen where it was before compression, with its slope once."""
        angles = [225 - 6 * k for k in range(8)]
        frames = project_point((20, -10, 15), angles)
        path = write_nm(
            tmp_path / "tomo.dcm",
            frames,
            tomo_vectors(8),
            detectors=[detector(225)],
            rotations=[rotation(225, 6, 8, sense="CW")],
            RescaleSlope=3,
            RescaleIntercept=0,
        )
        plain = read_spect(path)[0]
        compressed(path, "dcmcjpeg", "+e1")
        packed = read_spect(path)[0]
        np.testing.assert_array_equal(packed.counts, plain.counts)
        assert float(packed.counts.max()) == 300

    def test_jpeg_2000_by_gdcm(self, tmp_path) -> None:
        """Compressed by SimpleITK, which takes the rescaled values: signed, 16 bits."""
        image = sitk.GetImageFromArray(chest_like()[:1].astype(np.int16))
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(tmp_path / "a.dcm"))
        writer.UseCompressionOn()
        writer.Execute(image)
        ds = pydicom.dcmread(tmp_path / "a.dcm")
        assert ds.file_meta.TransferSyntaxUID.is_compressed
        stored = decoded_pixels(ds, "a").reshape(8, 10)
        slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
        np.testing.assert_array_equal(stored * slope + intercept, chest_like()[0])


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless])
def test_a_damaged_stream_is_one_sentence_without_the_internet(syntax, tmp_path) -> None:
    file = write_ct(tmp_path, chest_like())[2]
    ds = pydicom.dcmread(file)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.save_as(file)
    with pytest.raises(UnreadableInputError, match=r"compressed as JPEG.*export it uncompressed") as refusal:
        read_ct(tmp_path)
    assert "install" not in str(refusal.value)


class TestFloats:
    @pytest.mark.parametrize(("keyword", "bits", "dtype"), [("Float", 32, "<f4"), ("DoubleFloat", 64, "<f8")])
    def test_a_ct_of_floats(self, keyword, bits, dtype, tmp_path) -> None:
        values = chest_like().astype(float) + 0.25
        for file, plane in zip(write_ct(tmp_path, chest_like()), values, strict=True):
            self.as_floats(file, plane, keyword, bits, dtype)
        np.testing.assert_array_equal(read_ct(tmp_path)[0].volume.values, values.transpose(2, 1, 0))

    def test_projections_of_floats(self, tmp_path) -> None:
        frames = project_point((20, -10, 15), [225 - 6 * k for k in range(8)]) * 0.5
        path = write_nm(
            tmp_path / "tomo.dcm",
            frames.astype(np.uint16),
            tomo_vectors(8),
            detectors=[detector(225)],
            rotations=[rotation(225, 6, 8, sense="CW")],
        )
        plain = read_spect(path)[0]
        self.as_floats(path, frames, "Float", 32, "<f4")
        np.testing.assert_array_equal(read_spect(path)[0].counts, plain.counts)

    @pytest.mark.parametrize(("keyword", "bits", "dtype"), [("Float", 32, "<f4"), ("DoubleFloat", 64, "<f8")])
    def test_a_reconstructed_map_of_floats(self, keyword, bits, dtype, tmp_path) -> None:
        """An NM map in 1/cm with fractions that no integer holds, one hot voxel off the middle."""
        values = np.zeros((6, 8, 8))
        values[:, 2:-2, 2:-2] = 0.1537
        values[1, 2, 3] = 0.1911
        place = item(ImagePositionPatient=[-7, -9, 30], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        path = write_nm(
            tmp_path / "map.dcm",
            values.astype(np.uint16),
            {"SliceVector": list(range(1, 7))},
            kind="RECON TOMO",
            source="TRANSMISSION",
            detectors=[place],
            SpacingBetweenSlices=-5,
        )
        self.as_floats(path, values, keyword, bits, dtype)
        mu = read_mu(path)[0]
        np.testing.assert_allclose(mu.values, values.transpose(2, 1, 0), rtol=1e-6)
        hot = np.unravel_index(mu.values.argmax(), mu.grid.shape)
        np.testing.assert_allclose(mu.grid.points(np.asarray(hot)), (-7 + 3 * 5, -9 + 2 * 5, 30 - 5))

    def test_floats_cut_short(self, tmp_path) -> None:
        file = write_ct(tmp_path, chest_like())[2]
        self.as_floats(file, chest_like()[2, :-1], "Float", 32, "<f4")
        with pytest.raises(UnreadableInputError, match="do not fit its header"):
            read_ct(tmp_path)

    def as_floats(self, file: Path, values, keyword: str, bits: int, dtype: str) -> None:
        """The object with its values as floats, which have no representation and no bits stored."""
        none = dict.fromkeys(("PixelData", "PixelRepresentation", "BitsStored", "HighBit"))
        rescale = {"RescaleSlope": 1, "RescaleIntercept": 0}
        change(file, **none, BitsAllocated=bits, **rescale)
        change(file, **{f"{keyword}PixelData": values.astype(dtype).tobytes()})


class TestParametricMaps:
    """Parametric Map Storage (PS3.3 A.75): frames of floats whose places stand in functional groups."""

    def written(self, path: Path, modality: str, keyword: str = "FloatPixelData") -> np.ndarray:
        values = np.zeros((6, 8, 10))
        values[:, 1:-1, 1:-1] = 0.1537
        values[1, 2, 3] = 0.1911
        write_enhanced(path, np.zeros((6, 8, 10)), sop_class="1.2.840.10008.5.1.4.1.1.30", order=[3, 0, 5, 1, 4, 2])
        ds = pydicom.dcmread(path)
        for gone in ("PixelData", "PixelRepresentation", "BitsStored", "HighBit"):
            del ds[gone]
        double = keyword.startswith("Double")
        ds.Modality, ds.BitsAllocated = modality, 64 if double else 32
        setattr(ds, keyword, values[[3, 0, 5, 1, 4, 2]].astype("<f8" if double else "<f4").tobytes())
        for group in ds.PerFrameFunctionalGroupsSequence:
            del group.PixelValueTransformationSequence
            line = item(RealWorldValueSlope=1.0, RealWorldValueIntercept=0.0)
            line.MeasurementUnitsCodeSequence = [coded("cm-1", "/Centimeter", "UCUM")]
            group.RealWorldValueMappingSequence = [line]
        ds.save_as(path)
        return values

    @pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
    @pytest.mark.parametrize("modality", ["NM", "CT", "OT"])
    def test_one_of_attenuation_is_read_as_a_map(self, keyword, modality, tmp_path) -> None:
        values = self.written(tmp_path / "map.dcm", modality, keyword)
        mu, notes, _ = read_mu(tmp_path / "map.dcm")
        np.testing.assert_allclose(mu.values, values.transpose(2, 1, 0), rtol=1e-6)
        assert "the attenuation map is stored as a Parametric Map" in notes
        hot = np.asarray(np.unravel_index(mu.values.argmax(), mu.grid.shape))
        np.testing.assert_allclose(mu.grid.points(hot), (-10 + 3 * 1.5, -20 + 2 * 2.0, -30 + 2.5))
        (found,) = inspect(tmp_path).found
        assert (found.kind, found.refusal) == ("attenuation map", "")

    @pytest.mark.parametrize("modality", ["NM", "CT", "OT"])
    @pytest.mark.parametrize("read", [read_ct, read_spect])
    def test_given_as_a_ct_or_spect_it_is_refused_by_its_kind(self, read, modality, tmp_path) -> None:
        """Not "holds only CT, expected a CT"."""
        self.written(tmp_path / "map.dcm", modality)
        with pytest.raises(UnreadableInputError, match=r"holds only objects of the kind Parametric Map Storage"):
            read(tmp_path)


def test_nothing_but_pixels_goes_to_the_other_decoder(tmp_path, monkeypatch) -> None:
    """No name, no number of a patient is written into the temporary file."""
    written = []
    original = sitk.ImageFileReader.SetFileName

    def spy(self, name):
        written.append(Path(name).read_bytes())
        original(self, name)

    monkeypatch.setattr(sitk.ImageFileReader, "SetFileName", spy)
    test_bytes = b"Secret"
    file = write_ct(tmp_path, chest_like())[0]
    ds = pydicom.dcmread(file)
    ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    ds.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    with pytest.raises(UnreadableInputError):
        decoded_pixels(ds, "a")
    assert written
    assert test_bytes not in written[0]
