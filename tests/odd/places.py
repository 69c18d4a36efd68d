"""Odd places: nothing there, links, pipes, names, folders full of other things."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pydicom

from odd.entry import Odd, chest, refused, tomo
from support.dicom import chest_like, write_ct

ct, spect = refused("ct"), refused("spect")


def _folder(root: Path) -> Path:
    (root / "empty").mkdir()
    return root / "empty"


def _texts(root: Path) -> Path:
    (root / "letters").mkdir()
    (root / "letters" / "a.txt").write_text("Dear colleague")
    (root / "letters" / "b.dcm").write_text("no image")
    return root / "letters"


def _link(root: Path, target: str) -> Path:
    (root / "link").symlink_to(root / target)
    return root / "link"


def _pipe(root: Path) -> Path:
    os.mkfifo(root / "pipe")
    return root / "pipe"


def _file(root: Path, name: str, content: bytes) -> Path:
    (root / name).write_bytes(content)
    return root / name


def _damaged(root: Path) -> Path:
    (root / "disk").mkdir()
    (root / "disk" / "a").write_bytes(b"\0" * 128 + b"DICM\x02\0\0\0UL")
    return root / "disk"


def dicomdir(folder: Path) -> Path:
    """An index as exporting software writes it, without the images."""
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def _dicomdir_alone(root: Path) -> Path:
    (root / "disk").mkdir()
    dicomdir(root / "disk")
    return root / "disk"


def _dicomdir_beside(root: Path) -> Path:
    dicomdir(chest(root))
    return root / "ct"


def _moved(root: Path, *names: str) -> Path:
    """The CT in a folder of another name."""
    target = root.joinpath(*names)
    target.parent.mkdir(parents=True, exist_ok=True)
    return chest(root).rename(target)


def _links_inside(root: Path) -> Path:
    files = sorted(chest(root).iterdir())
    (root / "ct" / "store").mkdir()
    for file in files[:3]:
        file.rename(root / "ct" / "store" / f"{file.stem}.img")
        file.symlink_to(root / "ct" / "store" / f"{file.stem}.img")
    (root / "ct" / "round").symlink_to(root / "ct")
    (root / "ct" / "dangling.dcm").symlink_to(root / "gone")
    return root / "ct"


def _mess(root: Path) -> Path:
    folder = chest(root)
    tomo(folder / "spect.dcm")
    (folder / "half.dcm").write_bytes((folder / "000.dcm").read_bytes()[:140])
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"\x00" * 200)
    shutil.copy(folder / "001.dcm", folder / "copy of 001.dcm")
    return folder


def _two_patients(root: Path) -> Path:
    write_ct(root / "both" / "1", chest_like(), series="one")
    for file in write_ct(root / "both" / "2", chest_like(), series="two"):
        ds = pydicom.dcmread(file)
        ds.PatientID = "T2"
        ds.save_as(file)
    return root / "both"


def _zipped(root: Path) -> Path:
    folder = chest(root)
    packed = Path(shutil.make_archive(str(root / "study"), "zip", folder))
    shutil.rmtree(folder)
    return packed


def _zip_slip(root: Path) -> Path:
    with zipfile.ZipFile(root / "study.zip", "w") as archive:
        archive.writestr("../../out.dcm", b"x")
    return root / "study.zip"


CHEST = {"matrix": [10, 8, 6], "range": [-1000.0, 700.0]}

PLACES = [
    ct("nothing at the path", "does not exist", lambda r: r / "nowhere"),
    ct("a file where a folder is named", "does not exist", lambda r: _file(r, "a", b"x") / "b"),
    ct("a name longer than names can be", "File name too long", lambda r: r / ("a" * 300)),
    ct("empty folder", "the folder 'empty' is empty", _folder),
    ct("folder without images", "'letters' holds no DICOM files", _texts),
    ct("link that leads nowhere", "'link' is a link that leads nowhere", lambda r: _link(r, "gone")),
    ct("link onto itself", "Too many levels of symbolic links", lambda r: _link(r, "link")),
    ct("named pipe", "'pipe' is a pipe or device", _pipe),
    ct("device", "'zero' is a pipe or device", lambda _: Path("/dev/zero")),
    ct("empty file", "neither a DICOM nor a NIfTI file", lambda r: _file(r, "a.dcm", b"")),
    ct("text named .dcm", "neither a DICOM nor a NIfTI file", lambda r: _file(r, "a.dcm", b"Dear colleague " * 20)),
    spect("text named .nii", "neither a DICOM nor a NIfTI file", lambda r: _file(r, "a.nii", b"Dear colleague " * 40)),
    spect("text named .nii.gz", "neither a DICOM nor a NIfTI file", lambda r: _file(r, "a.nii.gz", b"no zip")),
    ct(
        "DICOM cut short in its header",
        "ends or breaks before it says what it is",
        lambda r: _file(r, "a", b"\0" * 128 + b"DICM\x02\0\0\0UL"),
    ),
    ct("folder with damaged DICOM alone", "holds 1 damaged DICOM file(s)", _damaged),
    ct("name with a line break and an escape", "?[2J", lambda r: _file(r, "a\n\x1b[2Jb.dcm", b"no image")),
    ct("DICOMDIR alone", "holds a DICOMDIR, an index, and none of the images", _dicomdir_alone),
    ct("CTs of two patients in a folder", "2 CT series of 2 patients", _two_patients),
    Odd("DICOMDIR beside its images", "ct", _dicomdir_beside, facts=CHEST),
    Odd("folder named like a file", "ct", lambda r: _moved(r, "scan.dcm"), facts=CHEST),
    Odd("spaces and other scripts in the path", "ct", lambda r: _moved(r, "Ärzte & Co", "심장 CT (2)"), facts=CHEST),
    Odd("bytes in the path that are no text", "ct", lambda r: _moved(r, os.fsdecode(b"caf\xe9")), facts=CHEST),
    Odd("links inside the folder, one of them in a circle", "ct", _links_inside, facts=CHEST),
    Odd(
        "other files, copies and damaged ones among the slices", "ct", _mess, note="a damaged DICOM object", facts=CHEST
    ),
    Odd("ZIP file of a CT", "ct", _zipped, facts=CHEST),
    ct("ZIP file with a name that leads out", "a name that leads out of it", _zip_slip),
]
