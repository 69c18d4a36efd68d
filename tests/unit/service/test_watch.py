"""A watched folder: studies are put together when they are quiet, registered once, never lost, inputs never touched."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pydicom
import pytest

from mureg.errors import UsageError
from mureg.files import local_disk
from mureg.files.local_disk import network_kind, require_local_disk
from mureg.io.worklist.find import find_pairs
from mureg.service.store.folder import Store
from support.arrivals import Node, ct, spect
from support.dicom import change
from support.dicom_study import results, study


@pytest.fixture
def node(tmp_path):
    node = Node(Store(tmp_path / "store"), tmp_path / "in")
    yield node
    node.end()


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    return {
        str(path.relative_to(folder)): (*path.stat()[:2], path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }  # fmt: skip


def test_a_study_waits_until_it_is_quiet(node) -> None:
    files = ct(node.source)
    late = files[-1].rename(node.source.parent / "late")
    spect(node.source)
    node.after(0)
    node.after(59)
    assert node.run.seen == []
    late.rename(files[-1])  # a slice comes in the last second
    node.after(0)
    node.after(59)
    assert node.run.seen == []
    node.after(1)
    assert [n for _, n in node.run.seen] == [6]
    node.after(1000)
    assert len(node.run.seen) == 1, "once"
    assert list(node.results().values()) == ["6 slices"]


def test_inputs_stay_as_they_are_and_no_name_leaves_the_files(node, caplog) -> None:
    caplog.set_level("INFO")
    spect(node.source)
    ct(node.source)
    ct(node.source, "Jones")
    before = snapshot(node.source)
    node.settle()
    assert len(node.results()) == 1
    assert snapshot(node.source) == before
    names = " ".join(str(path.relative_to(node.store.path)) for path in node.store.path.rglob("*"))
    for secret in ("Miller", "Jones", "Secret"):
        assert secret not in caplog.text
        assert secret not in names
        assert secret.encode() not in (node.store.path / "queue.sqlite").read_bytes().replace(
            str(node.source).encode() + f"/{secret}".encode(), b""
        ).replace(f"{secret}-one".encode(), b""), "but for the names of the files themselves"


def test_a_ct_that_is_ten_minutes_late_starts_the_study(node) -> None:
    spect(node.source)
    node.settle()
    assert node.run.seen == []
    (reason,) = node.waiting()
    assert "1 SPECT and no CT" in reason
    node.after(540)
    ct(node.source)
    node.settle()
    assert list(node.results().values()) == ["6 slices"]
    assert node.waiting() == []


def test_late_slices_make_a_new_version_and_the_old_one_stays(node) -> None:
    spect(node.source)
    files = ct(node.source, slices=8)
    held = [file.rename(node.source.parent / file.name) for file in files[5:]]
    node.settle()
    for file, place in zip(held, files[5:], strict=True):
        file.rename(place)
    node.settle()
    (first, second) = node.results().items()
    assert first[0].removesuffix("-v1") == second[0].removesuffix("-v2")
    assert (first[1], second[1]) == ("5 slices", "8 slices")


def test_stress_and_rest_are_two_studies(node) -> None:
    spect(node.source, name="stress.dcm", at="0900")
    ct(node.source, name="ct-stress", at="0903")
    spect(node.source, name="rest.dcm", at="1300")
    ct(node.source, name="ct-rest", at="1304", slices=7)
    node.settle()
    assert sorted(n for _, n in node.run.seen) == [6, 7]
    hours = []
    for entry in find_pairs(node.store.inputs):  # as mureg review --studies reads them
        files = (next(path for path in (entry.spect, *entry.spect.glob("*")) if path.is_file()), *entry.ct.iterdir())
        hours.append({pydicom.dcmread(file).AcquisitionTime[:2] for file in files})
    assert sorted(hours, key=str) == [{"09"}, {"13"}]


def test_two_patients_whose_files_mix_are_kept_apart(node) -> None:
    for patient, slices in (("Miller", 6), ("Jones", 9)):
        spect(node.source / "flat", patient)
        ct(node.source / "flat", patient, slices=slices)
    mixed = node.source / "mixed"
    mixed.mkdir()
    for k, file in enumerate(sorted((node.source / "flat").rglob("*.dcm"), key=lambda path: path.name)):
        file.rename(mixed / f"{k:03d}.dcm")
    shutil.rmtree(node.source / "flat")
    node.settle()
    assert sorted(n for _, n in node.run.seen) == [6, 9]


def test_a_ct_of_another_day_is_no_partner(node) -> None:
    spect(node.source)
    for file in ct(node.source, visit="old"):
        change(file, AcquisitionDate="20290101")
    node.settle()
    assert node.run.seen == []
    (reason,) = node.waiting()
    assert "hours apart" in reason


def test_copies_and_removed_files_start_nothing(node) -> None:
    spect(node.source)
    files = ct(node.source)
    node.settle()
    shutil.copy(files[0], node.source / "again.dcm")
    node.settle()
    assert len(node.run.seen) == 1
    for file in files[3:]:
        file.unlink()
    node.settle()
    for file in node.source.rglob("*.dcm"):
        file.unlink()
    node.settle()
    assert (len(node.run.seen), node.waiting()) == (1, [])


def test_two_objects_that_claim_one_uid_are_refused(node) -> None:
    spect(node.source)
    files = ct(node.source)
    shutil.copy(files[0], node.source / "other.dcm")
    change(node.source / "other.dcm", RescaleIntercept=-1000)
    node.settle()
    assert node.run.seen == []
    assert "claim to be the same object" in node.waiting()[0]
    (node.source / "other.dcm").unlink()
    node.settle()
    assert len(node.results()) == 1


def test_a_damaged_file_is_listed_and_others_go_on(node) -> None:
    spect(node.source)
    ct(node.source)
    (node.source / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\xff\xff garbage")
    node.settle()
    assert len(node.results()) == 1
    status = json.loads((node.store.path / "status.json").read_text())
    assert [Path(entry["file"]).name for entry in status["not_taken"]] == ["broken.dcm"]


def test_a_study_that_fails_says_why_and_new_files_try_again(node) -> None:
    node.run.bad = True
    spect(node.source)
    ct(node.source)
    node.settle()
    (version,) = node.queue.versions()
    assert (version.state, version.exit_code) == ("failed", 4)
    assert "a gap after slice 3" in version.problem
    assert {path.name for path in (node.store.studies / version.name).iterdir()} == {
        ".mureg", "failure.json", "study.json",
    }  # fmt: skip
    node.run.bad = False
    node.settle()
    assert len(node.run.seen) == 1
    ct(node.source, slices=7)
    node.settle()
    assert list(node.results().values()) == ["7 slices"]


def test_accidents_are_tried_again_with_longer_pauses(node) -> None:
    node.run.accidents = 2
    spect(node.source)
    ct(node.source)
    node.settle()
    assert len(node.run.seen) == 1
    node.after(9)
    assert len(node.run.seen) == 1
    node.after(1)
    assert len(node.run.seen) == 2
    node.after(19)
    assert len(node.run.seen) == 2
    node.after(1)
    assert list(node.results().values()) == ["6 slices"]
    assert "half" not in str(list(node.store.studies.iterdir()))


def test_nothing_begins_on_a_disk_without_room(tmp_path) -> None:
    node = Node(Store(tmp_path / "store"), tmp_path / "in", least_free=10**18)
    spect(node.source)
    ct(node.source)
    node.settle()
    assert node.run.seen == []
    assert [version.state for version in node.queue.versions()] == ["queued"]
    node.end()
    node.least_free = 0
    node.start()
    node.after(0)
    assert list(node.results().values()) == ["6 slices"]
    node.end()


def test_after_a_kill_nothing_is_lost_and_nothing_done_twice(node) -> None:
    spect(node.source)
    ct(node.source)
    node.settle()
    spect(node.source, "Jones")
    ct(node.source, "Jones")
    node.end()
    node.start()
    node.settle()
    assert len(node.run.seen) == 2
    # killed between the result and its note in the queue
    with node.queue_connection() as connection:
        connection.execute("UPDATE versions SET state = 'queued', decision = ''")
    node.end()
    node.start()
    node.settle()
    assert len(node.run.seen) == 2
    assert {(version.state, version.decision) for version in node.queue.versions()} == {("done", "review")}
    # the queue is moved away
    node.end()
    for name in ("queue.sqlite", "queue.sqlite-wal", "queue.sqlite-shm"):
        (node.store.path / name).unlink(missing_ok=True)
    node.start()
    node.settle()
    assert len(node.run.seen) == 2
    assert len(node.results()) == 2


def test_a_share_that_stumbles_loses_nothing(node, monkeypatch) -> None:
    spect(node.source)
    ct(node.source)
    node.settle()
    away = node.source.rename(node.source.with_name("away"))
    node.after(10)
    assert node.queue.files(), "what cannot be listed is not gone"
    away.rename(node.source)
    node.settle()
    assert len(node.run.seen) == 1


def test_store_and_folder_may_not_overlap(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for store in (tmp_path / "in" / "store", tmp_path):
        with (
            pytest.raises(UsageError, match=r"lies inside the input|contains the input"),
            Store(store).claimed([tmp_path / "in"]),
        ):
            pass
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").touch()
    with pytest.raises(UsageError, match=r"holds other things \(thesis.doc\)"), Store(tmp_path / "other").claimed([]):
        pass


def test_a_store_on_a_network_disk_is_refused(tmp_path, monkeypatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
        f"28 27 0:50 / {str(tmp_path).replace(' ', chr(92) + '040')}/share rw - cifs //server/share rw\n"
        f"29 28 254:1 / {tmp_path}/share/disk rw - ext4 /dev/vdb rw\n"
    )
    monkeypatch.setattr(local_disk, "_MOUNTS", mounts)
    with pytest.raises(UsageError, match=r"network disk \(cifs\)"):
        require_local_disk(tmp_path / "share" / "store")
    require_local_disk(tmp_path / "share" / "disk" / "store")
    require_local_disk(tmp_path / "share2")
    assert network_kind(Path("\\\\server\\share\\store")) == "UNC path"
    assert os.name == "nt" or not network_kind(Path("//local"))


def test_results_that_an_archive_sends_back_are_no_studies(node, tmp_path) -> None:
    study(tmp_path / "study")
    results(tmp_path / "study", tmp_path / "results", moved_ct=True)
    shutil.copytree(tmp_path / "study", node.source / "study")
    shutil.copytree(tmp_path / "results", node.source / "results")
    node.settle()
    assert len(node.run.seen) == 1
    assert node.waiting() == []
