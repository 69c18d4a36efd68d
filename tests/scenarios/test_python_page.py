"""docs/how-to/python.md does what it says, on the sample study."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

import mureg
from mureg.sample import sample_folder

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "python.md"


def test_its_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "spect.dcm").symlink_to(sample_folder() / "spect.dcm")
    (tmp_path / "ct").symlink_to(sample_folder() / "ct")
    monkeypatch.chdir(tmp_path)
    whole, quick = mureg.examine, mureg.StudySettings(mureg.MutualInformation(starts=1, finish=1))
    monkeypatch.setattr(mureg, "examine", lambda study: whole(study, quick, correct=False))
    scope: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M):
        exec(compile(block, PAGE.name, "exec"), scope)
    answer = scope["answer"]
    said = capsys.readouterr().out
    assert said.startswith(f"Assessment({answer.decision.upper()}: the pose found moves the map by")
    itk = sitk.ReadTransform("ct_from_spect.tfm")
    point = answer.heart.centre_mm
    np.testing.assert_allclose(itk.TransformPoint(point), answer.ct_from_spect.apply(point), atol=1e-6)
    assert "ITK transform" in said
