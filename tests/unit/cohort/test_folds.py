"""The folds: every anatomy in one and only one, all of them covered, phases of a patient together."""

from __future__ import annotations

from collections import Counter

import pytest

from mureg.cohort.folds import fold_of, load_folds
from mureg.cohort.mixture import MixedRange
from mureg.cohort.settings import SHIPPED, load_settings
from mureg.errors import UsageError
from mureg.simulate.ct_anatomy import load_landmarks, patient_of


def test_no_anatomy_is_in_two_folds_and_all_are_in_one() -> None:
    folds = load_folds()
    assert len(folds) == 4
    counts = Counter(name for fold in folds for name in fold.anatomies)
    assert set(counts.values()) == {1}
    assert set(counts) == {patient_of(name) for name in load_landmarks()}
    assert len(counts) == 13


def test_all_phases_of_the_4d_patient_are_one_anatomy() -> None:
    phases = [name for name in load_landmarks() if name.startswith("popi")]
    assert len(phases) == 10
    assert {patient_of(name) for name in phases} == {"popi_4dct"}
    assert len({fold_of(name) for name in phases}) == 1


def test_each_fold_has_ventricles_placed_by_contrast_and_by_the_shadow() -> None:
    seen = {patient_of(name): marks.seen_by for name, marks in load_landmarks().items()}
    for fold in load_folds():
        assert {seen[name] for name in fold.anatomies} == {"contrast", "shadow"}


def test_torsos_are_divided_by_the_seed_of_their_population() -> None:
    seeds = [seed for fold in load_folds() for seed in fold.torso_seeds]
    assert len(set(seeds)) == len(seeds) == 4
    assert load_settings("population").seed == seeds[0]
    assert not {load_settings(name).seed for name in SHIPPED if name != "population"} & set(seeds)
    assert [fold_of(f"population-{seed}-patient-000017") for seed in seeds] == [0, 1, 2, 3]


def test_what_is_in_no_fold_is_refused() -> None:
    for patient in ("clinical-20220918-patient-000001", "another_ct", "popi_4dct_61x"):
        with pytest.raises(UsageError, match="in 0 folds"):
            fold_of(patient)


def test_every_ct_of_the_population_belongs_to_a_fold() -> None:
    anatomy = load_settings("population").anatomy
    assert isinstance(anatomy, MixedRange)
    assert anatomy.real.cts is not None
    assert Counter(fold_of(name) for name in anatomy.real.cts) == {0: 3, 1: 4, 2: 3, 3: 3}
