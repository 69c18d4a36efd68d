"""The names that users rely on, and the tree of refusals."""

from __future__ import annotations

import ast
import inspect
import os
import pydoc
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import mureg
from mureg import errors
from mureg.errors import UnreadableInputError, UsageError

TREE = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.MuregError)]


@pytest.mark.parametrize("name", mureg.__all__)
def test_every_public_name_is_there(name) -> None:
    assert getattr(mureg, name) is not None


def test_completion_and_help_show_the_public_names_and_no_others() -> None:
    assert dir(mureg) == sorted(mureg.__all__)
    text = pydoc.plain(pydoc.render_doc(mureg))
    assert [name for name in mureg.__all__ if name not in text and name != "__version__"] == []
    assert mureg.__version__ in text


def test_a_path_may_be_text_in_every_public_function(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    volume = mureg.Volume.from_numpy(np.eye(4)[None], mureg.Grid.centred((1, 4, 4), (2, 2, 2)), mureg.Quantity.COUNTS)
    assert mureg.write_nifti(volume, "a.nii.gz") == Path("a.nii.gz")
    read, source = mureg.read_spect("a.nii.gz")
    np.testing.assert_array_equal(read, volume)
    assert source.files == 1
    assert len(mureg.inspect("a.nii.gz").found) == 1
    pose = mureg.RigidTransform.from_six((1.0, 2.0, 3.0), (4.0, -5.0, 6.0), (7.0, 8.0, 9.0))
    assert mureg.write_transform(pose, "pose.tfm", (1.0, 2.0, 3.0)) == Path("pose.tfm")
    np.testing.assert_allclose(mureg.read_transform("pose.tfm").ct_from_spect.matrix, pose.matrix, atol=1e-9)
    itk = sitk.ReadTransform("pose.tfm")
    np.testing.assert_allclose(itk.TransformPoint((10.0, 20.0, 30.0)), pose.apply((10.0, 20.0, 30.0)), atol=1e-6)
    assert mureg.NetworkRegistrar("w.onnx") == mureg.NetworkRegistrar(Path("w.onnx"))
    assert mureg.NearHeart(weights=Path("w.onnx")) == mureg.NearHeart(weights="w.onnx")
    for read_one in (mureg.read_ct, mureg.read_mu, lambda path: mureg.read_study(path, ct=path)):
        with pytest.raises(UnreadableInputError, match="nothing"):
            read_one("nothing")


def test_a_transform_under_a_name_that_itk_does_not_know_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"pose\.json; expected a name that ends in \.tfm"):
        mureg.write_transform(mureg.RigidTransform.identity(), tmp_path / "pose.json")


def test_what_type_checkers_are_told_is_what_is_loaded() -> None:
    source = ast.parse(Path(mureg.__file__).read_text("utf-8"))
    (block,) = (node for node in source.body if isinstance(node, ast.If) and isinstance(node.body[0], ast.ImportFrom))
    told = {node.names[0].asname: node.module for node in block.body if isinstance(node, ast.ImportFrom)}
    assert told == mureg._PUBLIC


USER = """
import mureg
study = mureg.read_study("spect.dcm", ct="ct/")
settings = mureg.StudySettings(mureg.NetworkRegistrar(weights="best.onnx", passes=2))
answer = mureg.examine(study, settings)
reveal_type(study)
reveal_type(answer.move.rms_mm)
reveal_type(mureg.Volume.from_sitk)
mureg.regsiter(study)
"""


@pytest.mark.slow
def test_the_script_of_a_user_sees_types(tmp_path) -> None:
    """With the package installed as any other: through a path file, where only `py.typed` makes it count."""
    import mypy

    place = tmp_path / "env"
    venv.create(place, symlinks=os.name != "nt")
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    (packages,) = (path for path in place.rglob("site-packages"))
    libraries = Path(mypy.__file__).parents[1]
    (packages / "mureg.pth").write_text(f"{Path(mureg.__file__).parents[1]}\n{libraries}\n")
    (tmp_path / "user.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--python-executable", str(python), "user.py"]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment).stdout
    assert 'Revealed type is "mureg.study.Study"' in said
    assert 'Revealed type is "float"' in said.replace("builtins.float", "float")
    assert "quantity: mureg.geometry.volume.Quantity" in said
    assert said.count("error:") == 1, said
    assert 'Module has no attribute "regsiter"' in said


def test_another_name_is_missing_as_python_says_it() -> None:
    with pytest.raises(AttributeError, match="module 'mureg' has no attribute 'no_such_name'"):
        _ = mureg.no_such_name


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, mureg; print([m for m in ('torch', 'numpy', 'SimpleITK', 'scipy') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.mark.parametrize("error", TREE)
def test_a_refusal_says_what_was_found_what_was_expected_and_what_to_do(error) -> None:
    refusal = error("a 7.5 mm gap", "2.5 mm", "export the complete series")
    assert str(refusal) == "a 7.5 mm gap; expected 2.5 mm; export the complete series."
    assert refusal.exit_code in (1, 2, 3, 4)
    assert (refusal.exit_code == 1) is (error is errors.MuregError)
