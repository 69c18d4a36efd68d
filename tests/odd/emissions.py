"""Odd projections, reconstructions and attenuation maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from odd.entry import ANGLES, Odd, box, edited, recoded, refused, tomo
from odd.scans import no_private, run_length
from support.dicom import chest_like, detector, item, project_point, rotation, tomo_vectors, uid, write_ct, write_nm
from support.enhanced import write_enhanced
from support.mutations import saved

spect, mu = refused("spect"), refused("mu")
TOMO = {"views": 8, "matrix": [12, 16], "counts": 800}


def _tomo(**elements: Any) -> Callable[[Path], Path]:
    return lambda root: tomo(root / "tomo.dcm", **elements)


def _head(angle: float | None = 225, **elements: Any) -> Callable[[Path], Path]:
    return _tomo(detectors=[detector(angle, **elements)])


def _turn(start: float | None = 225, **elements: Any) -> Callable[[Path], Path]:
    return _tomo(rotations=[rotation(start, 6, 8, sense=elements.pop("sense", "CW"), **elements)])


def _vectors(**changed: Any) -> Callable[[Path], Path]:
    """Projections whose vectors are changed, None to leave one out of the object though it is named."""

    def make(root: Path) -> Path:
        path = tomo(root / "tomo.dcm")
        return edited(path, **changed)

    return make


def _gated(named: bool) -> Callable[[Path], Path]:
    """Two gates, with the vector that tells them apart or without."""

    def make(root: Path) -> Path:
        frames = np.concatenate([project_point((5, 5, 5), ANGLES)] * 2)
        vectors = {k: v * 2 for k, v in tomo_vectors(8).items()}
        if named:
            vectors["TimeSlotVector"] = [1] * 8 + [2] * 8
        return tomo(root / "gated.dcm", frames=frames, vectors=vectors, kind="GATED TOMO")

    return make


def _windows(*ranges: tuple[float, float], **elements: Any) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        frames = np.concatenate([project_point((5, 5, 5), ANGLES)] * len(ranges))
        vectors = tomo_vectors(8, windows=len(ranges))
        return tomo(root / "tomo.dcm", frames=frames, vectors=vectors, windows=ranges, **elements)

    return make


def _second_window(ds: pydicom.Dataset) -> None:
    """Half of the views belong to a window that is not described."""
    ds.EnergyWindowVector, ds.AngularViewVector = [1] * 4 + [2] * 4, [1, 2, 3, 4] * 2
    del ds.RotationInformationSequence[0].NumberOfFramesInRotation


def _without_limits(root: Path) -> Path:
    def change(ds: pydicom.Dataset) -> None:
        del ds.EnergyWindowInformationSequence[1].EnergyWindowRangeSequence

    return recoded(_windows((126.5, 154.5), (114, 126))(root), change)


def _some_views(*views: int) -> Callable[[Path], Path]:
    """Only these views of the eight, numbered as they were."""
    vectors = {"AngularViewVector": list(views), "DetectorVector": [1] * len(views), "RotationVector": [1] * len(views)}
    frames = project_point((5, 5, 5), [ANGLES[v - 1] for v in views])
    return _tomo(frames=frames, vectors={"EnergyWindowVector": [1] * len(views), **vectors})


def _recoded(change: Callable[[pydicom.Dataset], None], **elements: Any) -> Callable[[Path], Path]:
    return lambda root: recoded(tomo(root / "tomo.dcm", **elements), change)


def _saved(**encoding: Any) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        path = tomo(root / "tomo.dcm")
        path.write_bytes(saved(path, **encoding))
        return path

    return make


def _cut(root: Path) -> Path:
    path = tomo(root / "tomo.dcm")
    path.write_bytes(path.read_bytes()[:-100])
    return path


def _two(root: Path) -> Path:
    tomo(root / "rest.dcm")
    tomo(root / "stress.dcm")
    return root


def volume(inside: float, *, source: str = "TRANSMISSION", **elements: Any) -> Callable[[Path], Path]:
    """A reconstruction with a block of one value in it."""

    def make(root: Path) -> Path:
        place = item(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        path = write_nm(
            root / "volume.dcm",
            box((6, 8, 8), 0, inside).astype(np.uint16),
            {"SliceVector": list(range(1, 7))},
            kind="RECON TOMO",
            source=source,
            detectors=[place],
            SpacingBetweenSlices=-5,
        )
        return edited(path, **elements)

    return make


def _views(**odd: Any) -> Callable[[Path], Path]:
    """Each view as an object of one series; the fourth is odd."""

    def make(root: Path) -> Path:
        for k, angle in enumerate(ANGLES):
            ones = {name: [1] for name in ("EnergyWindowVector", "DetectorVector", "RotationVector")}
            own: dict[str, Any] = {"SeriesInstanceUID": uid("acquisition"), "InstanceNumber": k + 1}
            tomo(
                root / f"{k}.dcm",
                frames=project_point((5, 5, 5), [angle]),
                vectors={**ones, "AngularViewVector": [k + 1]},
                **own,
                **(odd if k == 3 else {}),
            )
        return root

    return make


def parametric(root: Path) -> Path:
    """A map in 1/cm as Parametric Map Storage: floats, places in functional groups."""
    path = write_enhanced(root / "map.dcm", box((6, 8, 10), 0, 0), sop_class="1.2.840.10008.5.1.4.1.1.30")

    def change(ds: pydicom.Dataset) -> None:
        for keyword in ("PixelData", "PixelRepresentation", "BitsStored", "HighBit"):
            del ds[keyword]
        ds.BitsAllocated, ds.FloatPixelData = 32, box((6, 8, 10), 0, 0.15).astype("<f4").tobytes()
        for group in ds.PerFrameFunctionalGroupsSequence:
            del group.PixelValueTransformationSequence

    return recoded(path, change)


def _ct_as_spect(root: Path) -> Path:
    write_ct(root / "ct", chest_like())
    return root / "ct"


def _saturated() -> np.ndarray:
    """Views of a ball that is brighter than 8 bits can say."""
    y, x = np.mgrid[0:16, 0:12]
    ball = 400 * np.exp(-((y - 8) ** 2 + (x - 6) ** 2) / 18)
    return np.repeat(np.minimum(ball, 255).astype(np.uint16)[None], 8, axis=0)


def _in_utf_8(path: Path) -> Path:
    """The patient's name in another character set than the header declares."""
    path.write_bytes(path.read_bytes().replace(b"Secret^Name", "Secrét^Nam".encode()))
    return path


def _windows_as_rotations(root: Path) -> Path:
    frames = np.concatenate([project_point((5, 5, 5), ANGLES)] * 2)
    vectors = tomo_vectors(8, windows=2)
    vectors["RotationVector"], vectors["EnergyWindowVector"] = vectors["EnergyWindowVector"], [1] * 16
    turns = [rotation(225, 6, 8, sense="CW") for _ in range(2)]
    windows = ((126.5, 154.5), (114.0, 126.0))
    return tomo(root / "tomo.dcm", frames=frames, vectors=vectors, rotations=turns, windows=windows)


_POSITION = "ImagePositionPatient"
TILTED = item(ImageOrientationPatient=[1, 0, 0, 0, 0.5, -0.8660254], ImagePositionPatient=[0, 0, 0])
EMISSION = "EMISSION"
EMISSIONS = [
    spect("CT given as SPECT", "holds only CT", _ct_as_spect),
    spect("attenuation map given as SPECT", "RECON TOMO (transmission)", volume(1540)),
    spect("planar images", "holds only STATIC", _tomo(kind="STATIC")),
    spect("no ImageType", "holds only objects of unknown type", _tomo(ImageType=None)),
    spect("two acquisitions in a folder", "2 NM objects found", _two),
    spect(
        "a view for each object, one of another energy window",
        "differ in their energy windows",
        _views(windows=((114, 126),)),
    ),
    spect("a view for each object, one of them twice", "some are the same view", _views(AngularViewVector=[3])),
    spect(
        "a view for each object, one of another step",
        "differ in their rotation",
        _views(rotations=[rotation(225, 3, 8, sense="CW")]),
    ),
    spect("parametric map given as SPECT", "objects of the kind Parametric Map Storage", parametric),
    Odd("parametric map given as a CT", "ct", parametric, "objects of the kind Parametric Map Storage"),
    spect("0 views", "has 0 frames", _tomo(NumberOfFrames=0)),
    spect("number of views that is none", "NumberOfFrames holds 2 values", _tomo(NumberOfFrames=[1, 2])),
    spect("no FrameIncrementPointer", "FrameIncrementPointer is missing", _vectors(FrameIncrementPointer=None)),
    spect("vector missing", "names AngularViewVector, which is missing", _vectors(AngularViewVector=None)),
    spect(
        "vector too short", "AngularViewVector has 7 values from 1 for 8", _vectors(AngularViewVector=list(range(1, 8)))
    ),
    spect("vector that counts from 0", "has 8 values from 0", _vectors(AngularViewVector=list(range(8)))),
    spect("vectors of a dynamic study", "ordered by TimeSliceVector", _vectors(FrameIncrementPointer=0x00540100)),
    spect("gates without a time vector", "two frames are both", _gated(named=False)),
    spect("half of the views missing", "4 views of 8", _some_views(1, 2, 3, 4)),
    spect("65535 views claimed", "8 views of 65535", _turn(NumberOfFramesInRotation=65535)),
    spect("no start angle", "StartAngle is missing", _turn(None)),
    spect("start angle that is no number", "StartAngle holds no usable number", _turn(StartAngle="1e400")),
    spect("no direction of rotation", "RotationDirection is ''", _turn(RotationDirection=None)),
    spect("no angle between views", "AngularStep is missing", _turn(AngularStep=None)),
    spect(
        "no rotation described", "0 described in RotationInformationSequence", _tomo(RotationInformationSequence=None)
    ),
    spect("negative pixel spacing", "not positive", _tomo(PixelSpacing=[-5, -5])),
    spect("pixel spacing 0", "not positive", _tomo(PixelSpacing=[0, 0])),
    spect("pixel spacing in cm", "(perhaps centimetres)", _tomo(PixelSpacing=[0.68, 0.68])),
    spect("tilted detector", "tilted by 30 degrees", _tomo(detectors=[TILTED])),
    spect("fan-beam collimator", "through a FANB collimator", _tomo(detectors=[item(CollimatorType="FANB")])),
    spect("slant-hole collimator", "through a SLNT collimator", _tomo(detectors=[item(CollimatorType="SLNT")])),
    spect("astigmatic collimator", "through a ASTG collimator", _tomo(detectors=[item(CollimatorType="ASTG")])),
    spect("collimator named SMARTZOOM", "'SMARTZOOM'", _tomo(detectors=[item(CollimatorGridName="SMARTZOOM")])),
    spect(
        "focal distance of parallel holes",
        "FocalDistance 480 mm, converging",
        _tomo(detectors=[item(CollimatorType="PARA", FocalDistance=480)]),
    ),
    spect("zoomed field off its middle", "ZoomCenter 0 and 20 mm", _head(ZoomCenter=[0, 20])),
    spect(
        "start angle against the orientation, no position",
        "is 45.0 degrees but its orientation says 225.0",
        lambda root: recoded(_turn(45)(root), lambda ds: delattr(ds.DetectorInformationSequence[0], _POSITION)),
    ),
    spect("scan arc against step and views", "span 48 degrees but ScanArc says 96", _turn(ScanArc=96)),
    spect("step in rotation and detector", "AngularStep is 6 degrees in the rotation and 3", _head(AngularStep=3)),
    spect(
        "direction in rotation and detector",
        "RotationDirection is CW in the rotation and CC in the detector",
        _head(RotationDirection="CC"),
    ),
    spect("radius in rotation and detector", "RadialPosition is 200 mm in the rotation", _head(RadialPosition=230)),
    spect(
        "real-world values against rescale",
        "RescaleSlope says 1 (intercept 0) and the real-world mapping 0.5",
        _tomo(RescaleSlope=1, RescaleIntercept=0, RealWorldValueMappingSequence=[item(RealWorldValueSlope=0.5)]),
    ),
    spect(
        "spacing between slices against thickness and pixels",
        "side with the thickness",
        volume(900, source=EMISSION, SliceThickness=5, SpacingBetweenSlices=-10),
    ),
    Odd(
        "reconstruction that is corrected for attenuation",
        "spect",
        volume(900, source=EMISSION, CorrectedImage=["DECY", "ATTN"]),
        "already corrected for attenuation (CorrectedImage ATTN)",
        code=3,
    ),
    Odd(
        "reconstruction that mureg wrote",
        "spect",
        volume(900, source=EMISSION, Manufacturer="mureg", ManufacturerModelName="mureg"),
        "was written by mureg",
        code=3,
    ),
    spect("stationary camera", "without a rotating flat detector", _tomo(ManufacturerModelName="Discovery NM 530c")),
    spect(
        "positron nuclide", "no energy window holds the 140.5 keV line", _windows((435, 585), nuclide="^18^Fluorine")
    ),
    spect(
        "energy windows counted as rotations that are described alike, counts alike",
        "2 rotations that do not differ and of one energy window",
        _windows_as_rotations,
    ),
    spect("energy window without limits beside another", "energy window 2 of 2 has no limits", _without_limits),
    spect(
        "fewer windows described than counted",
        "frames of 2 energy windows but 1",
        _recoded(_second_window),
    ),
    spect("negative counts", "negative or non-finite counts", _tomo(RescaleSlope=-1, RescaleIntercept=0)),
    spect("absurd rescale slope", "values up to 1e+37", _tomo(RescaleSlope=1e35, RescaleIntercept=0)),
    spect("pixels cut short", "do not fit its header", _cut),
    spect("65535 x 65535 pixels claimed", "claims 65535 x 65535 pixels", _tomo(Rows=65535, Columns=65535)),
    spect(
        "volume without slice distance",
        "SpacingBetweenSlices is missing",
        volume(900, source=EMISSION, SpacingBetweenSlices=None),
    ),
    spect(
        "volume with a slice missing",
        "slice 6 is missing",
        volume(900, source=EMISSION, SliceVector=[1, 2, 3, 4, 5, 7]),
    ),
    mu("map for 511 keV", "attenuation at 511 keV", volume(960)),
    mu("map in no known unit", "soft tissue at 31", volume(31)),
    mu("empty map", "almost everywhere 0", volume(0)),
    mu("projections given as a map", "holds only TOMO", _tomo()),
    Odd(
        "big endian projections",
        "spect",
        _saved(implicit_vr=False, little_endian=False, syntax=pydicom.uid.ExplicitVRBigEndian),
        facts=TOMO,
    ),
    Odd("implicit VR projections", "spect", _saved(implicit_vr=True, little_endian=True), facts=TOMO),
    Odd("run-length encoded projections", "spect", _recoded(run_length), facts=TOMO),
    Odd("de-identified projections, without private tags", "spect", _recoded(no_private), facts=TOMO),
    Odd(
        "no energy windows",
        "spect",
        _tomo(EnergyWindowInformationSequence=None),
        note="no energy window limits",
        facts=TOMO,
    ),
    Odd(
        "unknown nuclide",
        "spect",
        _tomo(nuclide="Xyz"),
        note="names no known nuclide",
        facts={**TOMO, "nuclide": "Tc-99m"},
    ),
    Odd(
        "radius in cm",
        "spect",
        _turn(RadialPosition=22.5),
        note="taken for centimetres",
        facts={**TOMO, "radius_mm": [225.0, 225.0]},
    ),
    Odd(
        "radius that cannot be",
        "spect",
        _turn(RadialPosition=2.5),
        note="not plausible",
        facts={**TOMO, "radius_mm": None},
    ),
    Odd("opposite start angle", "spect", _turn(45), note="its position agrees with the orientation", facts=TOMO),
    Odd(
        "saturated pixels",
        "spect",
        _tomo(frames=_saturated()),
        note="pixels stand at 255, the largest number",
        facts={"views": 8},
    ),
    Odd(
        "UTF-8 under ISO_IR 100",
        "spect",
        lambda root: _in_utf_8(tomo(root / "tomo.dcm", SpecificCharacterSet="ISO_IR 100")),
        note="its text is in UTF-8 by its bytes",
        facts=TOMO,
    ),
    Odd("no radius", "spect", _turn(RadialPosition=None), note="no detector radius", facts=TOMO),
    Odd("negative angular step", "spect", _turn(AngularStep=-6), note="negative AngularStep", facts=TOMO),
    Odd("no orientation", "spect", _head(None), note="no orientation in the header", facts=TOMO),
    Odd(
        "one view missing", "spect", _some_views(1, 2, 3, 4, 6, 7, 8), note="view 5 of 8 is missing", facts={"views": 7}
    ),
    Odd("a view for each object", "spect", _views(), note="8 objects of projections joined", facts=TOMO),
    Odd("parametric map of floats", "mu", parametric, facts={"unit": "1/cm", "range": [0.0, 0.15]}),
    Odd("gated study", "spect", _gated(named=True), note="2 gates summed", facts={"views": 8, "counts": 1600}),
    Odd(
        "map as whole numbers, times 10,000",
        "mu",
        volume(1540),
        note="10,000",
        facts={"unit": "1/cm", "range": [0.0, 0.154]},
    ),
    Odd("map in 1/mm", "mu", volume(154, RescaleSlope=1e-4, RescaleIntercept=0), note="1/mm", facts={"unit": "1/cm"}),
]
