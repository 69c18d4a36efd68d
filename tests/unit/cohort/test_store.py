"""A case written and read is the same case; what was not asked for stays on disk; half a case does not exist."""

from __future__ import annotations

import pickle
from contextlib import contextmanager
from dataclasses import fields, replace

import numpy as np
import pytest

from mureg.cohort.store import case as store_case
from mureg.cohort.store.cohort import CASES, SHARES, Cohort, is_case, open_case, read_case, write_case
from mureg.errors import UnreadableInputError, UsageError
from mureg.geometry import Volume
from support.small_cases import files_of, small_case, small_settings

SETTINGS = small_settings()


@pytest.fixture
def case():
    return small_case(SETTINGS, 1)


@pytest.fixture
def folder(case, tmp_path):
    return write_case(case, tmp_path / case.name)


def same_volume(one: Volume, other: Volume, atol: float) -> None:
    assert one.grid == other.grid
    assert one.quantity is other.quantity
    assert one.values.dtype == np.float32
    np.testing.assert_allclose(one.values, other.values, atol=atol, rtol=0)
    assert (one.outside is None) == (other.outside is None)
    if one.outside is not None:
        assert np.array_equal(one.outside, other.outside)


def test_what_is_read_is_what_was_written(case, folder) -> None:
    found = read_case(folder)
    assert (found.name, dict(found.facts), dict(found.sources)) == (case.name, case.facts, case.sources)
    for name in ("patient", "sources", "notes"):
        assert getattr(found.study, name) == getattr(case.study, name)
    for field in fields(case.study.spect):
        one, other = getattr(found.study.spect, field.name), getattr(case.study.spect, field.name)
        np.testing.assert_array_equal(one, other) if field.name in ("counts", "angles_deg", "radii_mm") else None
        assert field.name in ("counts", "angles_deg", "radii_mm") or one == other, field.name
    for name in ("manufacturer", "model", "kvp", "notes"):
        assert getattr(found.study.attenuation, name) == getattr(case.study.attenuation, name)
    same_volume(found.study.attenuation.volume, case.study.attenuation.volume, atol=0.5)
    same_volume(found.uncorrected, case.uncorrected, atol=0)
    assert found.truth.ct_from_spect == case.truth.ct_from_spect
    assert found.truth.centre_mm == case.truth.centre_mm
    np.testing.assert_array_equal(found.truth.heart_points_mm, case.truth.heart_points_mm)
    assert found.truth.remainder_mm == case.truth.remainder_mm
    for name in ("mu", "activity", "lv_wall"):
        true = getattr(case.truth, name)
        same_volume(getattr(found.truth, name), true, atol=float(true.values.max()) / 2048)
    np.testing.assert_allclose(found.truth.scatter, case.truth.scatter, rtol=1 / 2048, atol=3e-8)


def test_what_is_written_again_is_the_same_bytes(case, folder, tmp_path) -> None:
    shuffled = replace(case, facts=dict(reversed(case.facts.items())))
    assert files_of(write_case(shuffled, tmp_path / "b")) == files_of(folder)
    assert files_of(write_case(read_case(folder), tmp_path / "c")) == files_of(
        folder
    )  # rounding twice is rounding once


def test_counts_that_are_not_whole_or_large_keep_their_value(case, tmp_path) -> None:
    for k, counts in enumerate((case.study.spect.counts + 0.25, case.study.spect.counts * 5000)):
        other = replace(case, study=replace(case.study, spect=replace(case.study.spect, counts=counts)))
        assert np.array_equal(read_case(write_case(other, tmp_path / f"{k}")).study.spect.counts, counts)


def test_a_truth_beyond_half_precision_keeps_its_value(case, tmp_path) -> None:
    truth = replace(case.truth, scatter=case.truth.scatter * 1e5)
    assert np.array_equal(
        read_case(write_case(replace(case, truth=truth), tmp_path / "x")).truth.scatter, truth.scatter
    )


def test_optional_parts_stay_away_or_come_back(case, tmp_path) -> None:
    n = case.study.spect.n_views
    weights, offsets = np.linspace(1, 0.9, n), np.full(n, 0.5)
    spect = replace(case.study.spect, view_weights=weights, column_offsets_mm=offsets, radii_mm=None)
    ct = replace(case.study.attenuation, kvp=None, volume=replace(case.study.attenuation.volume, outside=None))
    found = read_case(write_case(replace(case, study=replace(case.study, spect=spect, attenuation=ct)), tmp_path / "x"))
    assert found.study.spect.radii_mm is None
    np.testing.assert_array_equal(found.study.spect.view_weights, weights)
    np.testing.assert_array_equal(found.study.spect.column_offsets_mm, offsets)
    assert found.study.attenuation.kvp is None
    assert found.study.attenuation.volume.outside is None


def test_points_of_the_liver_come_back_and_a_case_without_them_still_opens(case, folder, tmp_path) -> None:
    assert read_case(folder).truth.liver_points_mm is None
    assert read_case(folder).truth.liver_points_in_ct_mm is None
    points = np.random.default_rng(2).normal(size=(2, 9, 3))
    truth = replace(case.truth, liver_points_mm=points[0], liver_points_in_ct_mm=points[1])
    found = read_case(write_case(replace(case, truth=truth), tmp_path / "x")).truth
    np.testing.assert_array_equal(found.liver_points_mm, points[0])
    np.testing.assert_array_equal(found.liver_points_in_ct_mm, points[1])


def test_opening_and_reading_one_array_asks_for_no_other(case, folder, monkeypatch) -> None:
    asked = []
    original = store_case.safe_open

    class Spy:
        def __init__(self, file) -> None:
            self.file = file

        def keys(self):
            return self.file.keys()

        def get_tensor(self, name):
            asked.append(name)
            return self.file.get_tensor(name)

        def get_slice(self, name):
            asked.append((name, "part"))
            return self.file.get_slice(name)

    @contextmanager
    def spying(*arguments, **options):
        with original(*arguments, **options) as file:
            yield Spy(file)

    monkeypatch.setattr(store_case, "safe_open", spying)
    stored = open_case(folder)
    assert (stored.name, stored.patient, stored.facts) == (case.name, case.study.patient, case.facts)
    assert stored.ct_from_spect == case.truth.ct_from_spect
    assert asked == []
    stored.volume("truth.mu")
    assert asked == ["truth.mu"]
    slab = stored.array("ct", (slice(None), slice(None), slice(4, 6)))
    assert asked[1:] == [("ct", "part")]
    np.testing.assert_array_equal(slab, stored.array("ct")[:, :, 4:6])


def test_an_array_is_read_though_the_others_are_ruined(case, folder) -> None:
    """The bytes of the other arrays are never looked at: with them overwritten, the one asked for is still right."""
    file = folder / "arrays.safetensors"
    content = bytearray(file.read_bytes())
    ct = open_case(folder).array("ct")
    start = bytes(content).index(ct.tobytes())
    body = 8 + int.from_bytes(content[:8], "little")
    content[body:start] = b"\xff" * (start - body)
    content[start + ct.nbytes :] = b"\xff" * (len(content) - start - ct.nbytes)
    file.write_bytes(content)
    np.testing.assert_array_equal(open_case(folder).array("ct"), ct)
    with pytest.raises(UnreadableInputError, match=r"damaged .* is not the file that case.toml describes"):
        read_case(folder)


def test_a_stored_case_travels_to_another_process(folder) -> None:
    stored = pickle.loads(pickle.dumps(open_case(folder)))
    assert np.array_equal(stored.uncorrected.values, read_case(folder).uncorrected.values)


class TestRefusals:
    def test_a_case_that_is_there(self, case, folder) -> None:
        before = files_of(folder)
        with pytest.raises(UsageError, match="exists already"):
            write_case(case, folder)
        assert files_of(folder.parent) == {f"{folder.name}/{name}": data for name, data in before.items()}

    def test_nothing_is_left_of_a_case_that_could_not_be_written(self, case, tmp_path, monkeypatch) -> None:
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(store_case, "save_file", full)
        with pytest.raises(UsageError, match="No space left"):
            write_case(case, tmp_path / "cases" / "x")
        assert list((tmp_path / "cases").iterdir()) == []

    def test_a_name_that_leads_elsewhere_or_no_patient(self, case, tmp_path) -> None:
        with pytest.raises(UsageError, match=r"named '\.\./x'"):
            write_case(replace(case, name="../x"), tmp_path / "a")
        with pytest.raises(UsageError, match="pseudonym"):
            write_case(replace(case, study=replace(case.study, patient="")), tmp_path / "a")
        assert list(tmp_path.iterdir()) == []

    def test_a_study_without_projections(self, case, tmp_path) -> None:
        with pytest.raises(UsageError, match="a Volume and a Ct"):
            write_case(replace(case, study=replace(case.study, spect=case.uncorrected)), tmp_path / "a")

    def test_no_case(self, tmp_path) -> None:
        with pytest.raises(UnreadableInputError, match="no case in nowhere"):
            open_case(tmp_path / "nowhere")
        assert not is_case(tmp_path)

    def test_a_newer_format(self, folder) -> None:
        header = folder / "case.toml"
        header.write_text(header.read_text().replace("format = 1", "format = 2", 1))
        with pytest.raises(UnreadableInputError, match="format 2; expected format 1 or older; use a newer mureg"):
            open_case(folder)

    @pytest.mark.parametrize("ruin", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\xff" * len(b)])
    @pytest.mark.parametrize("name", ["case.toml", "arrays.safetensors"])
    def test_ruined_files(self, name, ruin, folder) -> None:
        file = folder / name
        file.write_bytes(ruin(file.read_bytes()))
        with pytest.raises(UnreadableInputError, match="damaged"):
            read_case(folder)

    def test_a_table_or_an_array_that_is_missing(self, folder) -> None:
        with pytest.raises(UnreadableInputError, match="damaged"):
            open_case(folder).array("nothing")
        (folder / "case.toml").write_text('format = 1\nname = "a"\npatient = "b"\n')
        for read in (read_case, lambda f: open_case(f).ct, lambda f: open_case(f).truth, lambda f: open_case(f).facts):
            with pytest.raises(UnreadableInputError, match="damaged"):
                read(folder)


class TestCohort:
    @pytest.fixture
    def cohort(self, tmp_path) -> Cohort:
        for index in range(6):
            case = small_case(SETTINGS, index)
            write_case(case, tmp_path / CASES / case.name)
        (tmp_path / CASES / ".small-000009.0f.partial").mkdir()
        return Cohort.open(tmp_path)

    def test_names_patients_and_cases_in_order(self, cohort) -> None:
        assert cohort.names == tuple(f"small-{k:06d}" for k in range(6))
        assert cohort.patients == tuple(f"patient-{k // 2:04d}" for k in range(6))
        assert [case.name for case in cohort] == list(cohort.names)
        assert len(cohort) == 6
        assert cohort["small-000004"].patient == "patient-0002"

    def test_every_case_is_in_one_set(self, cohort) -> None:
        sets = cohort.split(seed=3)
        assert sorted(name for part in sets.values() for name in part.names) == list(cohort.names)

    def test_no_cases(self, tmp_path) -> None:
        with pytest.raises(UnreadableInputError, match="no cases in"):
            Cohort.open(tmp_path)

    def test_a_folder_that_is_no_case(self, cohort) -> None:
        (cohort.folder / CASES / "alien").mkdir()
        with pytest.raises(UnreadableInputError, match="no case in alien"):
            Cohort.open(cohort.folder)

    @pytest.mark.parametrize("shares", [{"a": 0.5, "b": 0.4}, {"a": 1.5, "b": -0.5}, {}])
    def test_shares_that_are_none(self, cohort, shares) -> None:
        with pytest.raises(UsageError, match="add up to 1"):
            cohort.split(shares)


def many(n_patients: int) -> Cohort:
    patients = tuple(f"patient-{k:05d}" for k in range(n_patients) for _ in range(3))
    return Cohort(None, tuple(f"case-{k:06d}" for k in range(len(patients))), patients)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_split_never_separates_a_patient_and_has_the_shares(seed) -> None:
    n = 4000
    sets = many(n).split(seed=seed)
    patients = {name: set(part.patients) for name, part in sets.items()}
    assert sum(map(len, patients.values())) == len(set.union(*patients.values())) == n
    for name, share in SHARES.items():
        assert abs(len(patients[name]) / n - share) < 4 * np.sqrt(share * (1 - share) / n), "four standard errors"


def test_growth_moves_nobody() -> None:
    few, more = many(50).split(), many(400).split()
    for name in SHARES:
        assert set(few[name].patients) <= set(more[name].patients)


def test_another_seed_is_another_division() -> None:
    assert many(50).split(seed=0)["test"].patients != many(50).split(seed=1)["test"].patients
