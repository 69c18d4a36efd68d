"""Which DICOM results a run writes, and what is refused before any work."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

from mureg.cli import main as command_line
from mureg.io import dicom_inputs
from mureg.io.dicom.secondary_capture import Pages
from mureg.io.results import require_ct
from mureg.report.pictures.chest import smoothed
from mureg.results import AsDicom
from support.assessments import drawn_assessment
from support.dicom import change, chest_like
from support.dicom_study import WHEN, study
from support.enhanced import ENHANCED_CT, LEGACY_CT, write_enhanced


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return study(tmp_path_factory.mktemp("source") / "study")


def objects(folder):
    return {path.relative_to(folder).as_posix(): pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))}


@pytest.mark.parametrize("sop_class", [ENHANCED_CT, LEGACY_CT, "1.2.840.10008.5.1.4.1.1.2"])
def test_a_ct_of_many_frames_is_not_asked_to_move_before_any_work(sop_class, source, tmp_path, capsys) -> None:
    """Enhanced and classic multi-frame CT: refused by the command line before anything is read or written."""
    whole = write_enhanced(tmp_path / "ct.dcm", chest_like(), sop_class=sop_class)
    if not sop_class.startswith(ENHANCED_CT):
        change(whole, ImagePositionPatient=[v for k in range(6) for v in (-10, -20, 2.5 * k)])
    change(whole, PatientID=str(pydicom.dcmread(source / "spect.dcm").PatientID))
    given = ["--spect", str(source / "spect.dcm"), "--ct", str(whole), "-o", str(tmp_path / "out")]
    assert command_line(["register", *given, "--moved-ct", "--threads", "1"]) == 2
    said = capsys.readouterr()
    assert "holds its slices as frames of one object; expected one CT object for each slice" in said.err
    assert "register" not in said.out
    assert not (tmp_path / "out").exists()
    require_ct(dicom_inputs(source / "spect.dcm", ct=whole), moved_ct=False)


@pytest.mark.parametrize("moved", [True, False])
def test_the_image_of_the_scanner_position_is_written_where_the_map_was_moved(moved, source, tmp_path) -> None:
    """Pose given out elsewhere: three filtered series; at the scanner position: NAC and AC alone, released or not."""
    given = drawn_assessment(decision="moved" if moved else "review", released=True)
    if not moved:
        header = given.examination.header
        given = replace(given, examination=replace(given.examination, found=header))
    blank = np.zeros((4, 5, 3), dtype=np.uint8)
    document = SimpleNamespace(pages=lambda assessment: Pages((blank,)))
    wish = AsDicom(dicom_inputs(source / "spect.dcm", ct=source / "ct"), WHEN)
    wish.write(given, tmp_path, document)
    written = objects(tmp_path / "dicom")
    assert ("ac_header_filtered.dcm" in written) is moved
    assert {"nac_filtered.dcm", "ac_filtered.dcm"} <= set(written)
    if moved:
        header, found = (written[f"{name}_filtered.dcm"].pixel_array.astype(float) for name in ("ac_header", "ac"))
        images = [smoothed(image).values for image in (given.spect_header, given.spect_corrected)]
        np.testing.assert_allclose(header.sum() / found.sum(), images[0].sum() / images[1].sum(), rtol=1e-3)
        assert header.sum() > 1.05 * found.sum(), "the defect is in the registered image alone"
