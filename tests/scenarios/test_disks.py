"""Disks that are full or may not be written, terminals that cannot be: one sentence, and nothing half written."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mureg.cli import main as command_line
from mureg.errors import UsageError
from mureg.files.atomic import writing_folder
from mureg.geometry import RigidTransform
from mureg.io import read_ct
from mureg.io.transforms import write_transform
from mureg.sample import sample_folder
from support.dicom import chest_like, item, write_ct, write_nm

pytestmark = pytest.mark.slow

SPECT, CT = str(sample_folder() / "spect.dcm"), str(sample_folder() / "ct")


def ended(arguments: list[str], largest_file: int | None = None, **options) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process that may write no file larger than so many bytes: as if the disk were full."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    # Python 3.11 would keep compiled modules that it could only write in part
    command = [sys.executable, "-B", "-m", "mureg.cli", *arguments]
    return subprocess.run(command, text=True, stderr=subprocess.PIPE, preexec_fn=limit, **options)


@pytest.mark.parametrize("largest_file", [5_000, 100_000])
def test_a_disk_that_fills_up_leaves_no_half_result(tmp_path: Path, largest_file: int) -> None:
    quick = ["--registrar", "near-heart", "--set", "registrar.coarse.starts=1", "--set", "reconstructor.iterations=1"]
    quick += ["--threads", "1"]
    environment = os.environ | {"MPLCONFIGDIR": str(tmp_path / "fonts")}
    (tmp_path / "fonts").mkdir()
    out = tmp_path / "new" / "out"
    answer = ended(
        ["register", "--spect", SPECT, "--ct", CT, "-o", str(out), *quick],
        largest_file,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    assert answer.returncode == 2, answer.stderr
    assert "cannot write" in answer.stderr.splitlines()[-1]
    assert "File too large" in answer.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["fonts"]


def filling_up(folder: Path) -> None:
    with writing_folder(folder, kind="registration", overwrite=True) as scratch:
        (scratch / "a").write_text("new")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_an_older_result_as_it_was(tmp_path: Path) -> None:
    with writing_folder(tmp_path / "out", kind="registration") as scratch:
        (scratch / "a").write_text("old")
    with pytest.raises(UsageError, match=r"cannot write out \(No space left on device\)"):
        filling_up(tmp_path / "out")
    assert sorted(p.name for p in tmp_path.rglob("*")) == [".mureg", "a", "out"]
    assert (tmp_path / "out" / "a").read_text() == "old"


def test_a_transform_cut_short_by_a_full_disk_is_noticed(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; import numpy as np\n"
        "from mureg.errors import UsageError; from mureg.geometry import RigidTransform\n"
        "from mureg.io.transforms import write_transform\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))\n"
        "try: write_transform(RigidTransform.identity(), Path(sys.argv[1]), (1.0, 2.0, 3.0))\n"
        "except UsageError as refusal: sys.exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.tfm")]).returncode == 9
    assert list(tmp_path.iterdir()) == []
    write_transform(RigidTransform.identity(), tmp_path / "a.tfm", (1.0, 2.0, 3.0))


@pytest.mark.parametrize("where", ["/proc/nowhere/out", "/dev/full/out"])
def test_places_that_cannot_be_written(where: str, tmp_path: Path, capfd) -> None:
    quick = ["--registrar", "near-heart", "--set", "registrar.coarse.starts=1", "--set", "reconstructor.iterations=1"]
    quick += ["--threads", "1"]
    assert command_line(["register", "--spect", SPECT, "--ct", CT, "-o", where, *quick]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_an_answer_that_cannot_be_printed() -> None:
    with Path("/dev/full").open("w") as full:
        answer = ended(["--help"], stdout=full)
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert "No space left on device" in answer.stderr


def test_ten_thousand_files_in_a_folder(tmp_path: Path) -> None:
    """5,000 objects that are no CT, 4,994 files that are no DICOM, and the six slices."""
    write_ct(tmp_path / "all", chest_like())
    place = item(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    other = write_nm(
        tmp_path / "other.dcm", chest_like()[:1] + 1000, {"SliceVector": [1]}, kind="RECON TOMO", detectors=[place]
    ).read_bytes()
    own = other.index(b"\x08\x00\x18\x00UI") + 8
    for k in range(5000):
        (tmp_path / "all" / f"n{k}").write_bytes(other[: own + 20] + f"{k:06d}".encode() + other[own + 26 :])
    for k in range(4994):
        (tmp_path / "all" / f"t{k}.dcm").write_bytes(b"letters")
    begun = time.process_time()
    ct, _ = read_ct(tmp_path / "all")
    seconds = time.process_time() - begun
    print(f"{seconds:.1f} s for 10,000 files")
    assert ct.volume.grid.shape == (10, 8, 6)
    assert seconds < 60
