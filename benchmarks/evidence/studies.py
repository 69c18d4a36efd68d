"""A case of the confident-and-wrong benchmark as files: one CT series, one file of projections, and the truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from bodies import BODIES, CT_FOLDER, SAMPLE, Emission, simulated, turned_ct
from cases import OTHERS_OF_THE_SAMPLE, WrongCase

from mureg.cohort.export import export_case
from mureg.geometry import Grid, RigidTransform
from mureg.io import read_ct
from mureg.io.dicom.ct_write import write_ct_series
from mureg.study import Ct

Points = npt.NDArray[np.float64]
NOBODY = {"empty": ("", ""), "anonymous": ("ANON", "ANON")}


@dataclass(frozen=True, eq=False)
class Truth:
    """Places of the heart: in SPECT space (average over the scan), and where that tissue lies by the CT's headers."""

    in_spect_mm: Points
    in_ct_mm: Points

    def error_mm(self, ct_from_spect: npt.ArrayLike) -> float:
        """Root mean square distance over the heart's points."""
        off = RigidTransform(np.asarray(ct_from_spect, dtype=np.float64)).apply(self.in_spect_mm) - self.in_ct_mm
        return float(np.sqrt((off**2).sum(-1).mean()))


@dataclass(frozen=True)
class Identity:
    """Who a header names."""

    identifier: str
    name: str
    birth: str = ""
    sex: str = ""

    def write(self, path: Path) -> None:
        """Into every file at `path`."""
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            header = pydicom.dcmread(file)
            header.PatientID, header.PatientName = self.identifier, self.name
            header.PatientBirthDate, header.PatientSex = self.birth, self.sex
            header.save_as(file)


def identity(body: str) -> Identity:
    """An invented name for each body."""
    number = [*BODIES, SAMPLE, *OTHERS_OF_THE_SAMPLE].index(body)
    return Identity(f"B{1000 + number}", f"{body.upper()}^PAT", f"19{40 + number}0315", "FM"[number % 2])


def identities(case: WrongCase) -> tuple[Identity, Identity]:
    """Who the headers of SPECT and CT name."""
    own = Identity(*NOBODY[case.header]) if case.header in NOBODY else identity(case.body)
    return own, identity(case.other) if case.header == "another" else own


def source(emission: Emission | None, store: Path) -> tuple[Path, Path, Truth]:
    """CT series, projections and truth of an emission, simulated once and kept in `store`; None for the sample."""
    if emission is None:
        with as_file(files("mureg") / "data" / "sample") as folder:
            said = json.loads((folder / "truth.json").read_text("utf-8"))
            points = np.asarray(said["heart_points_mm"])
            truth = Truth(points, RigidTransform(np.asarray(said["ct_from_spect"])).apply(points))
            return folder / "ct", folder / "spect.dcm", truth
    folder = store / emission.name
    if not folder.exists():
        store.mkdir(parents=True, exist_ok=True)
        export_case(simulated(emission), folder)
    said = json.loads((folder / "truth.json").read_text("utf-8"))
    points = np.asarray(said["heart_points_mm"])
    return (
        folder / "ct",
        folder / "spect.dcm",
        Truth(points, RigidTransform(np.asarray(said["ct_from_spect"])).apply(points)),
    )


def write_study(case: WrongCase, store: Path, folder: Path) -> Truth:
    """Write ``ct/`` and ``spect.dcm`` of a case into an empty folder."""
    ct_path, spect, truth = source(case.emission, store)
    ct, truth = _changed(case, read_ct(ct_path)[0], truth, store)
    shutil.copy(spect, folder / "spect.dcm")
    header = pydicom.dcmread(spect, stop_before_pixels=True)
    # another patient's CT from another study; where nobody is named, nothing else must tell either
    same = (
        {}
        if case.header == "another"
        else {"study_uid": str(header.StudyInstanceUID), "frame_of_reference": str(header.FrameOfReferenceUID)}
    )
    write_ct_series(
        ct,
        folder / "ct",
        patient_id=case.body,
        kvp=ct.kvp or 120.0,
        description="CT ATTENUATION",
        seed=case.name,
        **same,
    )
    for who, name in zip(identities(case), ("spect.dcm", "ct"), strict=True):
        who.write(folder / name)
    return truth


def _changed(case: WrongCase, ct: Ct, truth: Truth, store: Path) -> tuple[Ct, Truth]:
    heart = truth.in_ct_mm.mean(0)
    if case.other in BODIES:
        ct_path, _, other = source(Emission(case.other), store)
        return read_ct(ct_path)[0], Truth(truth.in_spect_mm, truth.in_ct_mm - heart + other.in_ct_mm.mean(0))
    if case.other:
        ct, _ = read_ct(CT_FOLDER / f"{case.other}.nii.gz")
        shift = np.eye(4)
        shift[:3, 3] = ventricle_of_the_sample(store) - OTHERS_OF_THE_SAMPLE[case.other]
        return _relabelled(replace(ct, manufacturer="GE MEDICAL SYSTEMS", kvp=120.0), shift), truth
    matrix = case.ct_from_ct(heart, np.asarray(ct.volume.grid.centre_mm))
    moved = Truth(truth.in_spect_mm, truth.in_ct_mm @ matrix[:3, :3].T + matrix[:3, 3])
    if any(case.turn_deg):
        return turned_ct(case.body, RigidTransform(matrix)), moved
    return _mirrored(_relabelled(ct, _without_mirror(matrix, case)), case.mirrored), moved


def ventricle_of_the_sample(store: Path) -> Points:
    """Where the middle of its left-ventricular wall lies in its CT."""
    ct, _, _ = source(None, store)
    said = json.loads((ct.parent / "truth.json").read_text("utf-8"))
    return RigidTransform(np.asarray(said["ct_from_spect"])).apply(said["lv_wall_centroid_mm"])


def _without_mirror(matrix: Points, case: WrongCase) -> Points:
    """What the headers alone change: pixels in the wrong order leave them as they are."""
    return np.eye(4) if case.mirrored else matrix


def _relabelled(ct: Ct, matrix: Points) -> Ct:
    """The same pixels at other places."""
    grid = Grid(ct.volume.grid.shape, matrix @ ct.volume.grid.affine)
    return replace(ct, volume=replace(ct.volume, grid=grid))


def _mirrored(ct: Ct, axes: Iterable[str]) -> Ct:
    """The pixels in the wrong order along these axes of the patient, headers unchanged."""
    turned = [int(np.argmax(np.abs(ct.volume.grid.affine["xyz".index(axis), :3]))) for axis in axes]
    if not turned:
        return ct
    volume = ct.volume
    outside = None if volume.outside is None else np.flip(volume.outside, turned)
    return replace(ct, volume=replace(volume, values=np.flip(volume.values, turned), outside=outside))
