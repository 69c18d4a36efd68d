"""Results of mureg 0.1.0 have no marker: they are recognised where nothing else is in the folder, and else refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mureg import RESEARCH_USE_ONLY
from mureg.errors import UsageError
from mureg.results import check_folder

OURS = {"ct_from_spect": [], "use": RESEARCH_USE_ONLY}


def result(folder: Path, table: object, *others: str) -> Path:
    folder.mkdir()
    (folder / "registration.json").write_text(json.dumps(table))
    for name in ("spect_nac.nii.gz", "settings.toml", *others):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    return folder


def test_nothing_but_results_may_be_replaced(tmp_path) -> None:
    check_folder(result(tmp_path / "a", OURS, "dicom/nac.dcm"), overwrite=True)
    with pytest.raises(UsageError, match="a exists already; expected a new output"):
        check_folder(tmp_path / "a", overwrite=False)


@pytest.mark.parametrize(
    ("table", "others"),
    [
        (OURS, ["notes.txt"]),
        (OURS, ["dicom/another.dcm"]),
        ({"ct_from_spect": []}, []),
        ({"use": RESEARCH_USE_ONLY}, []),
        ([], []),
    ],
)
def test_what_might_be_somebody_elses_is_refused(table, others, tmp_path) -> None:
    with pytest.raises(UsageError, match="holds other things"):
        check_folder(result(tmp_path / "a", table, *others), overwrite=True)
