"""One pose of several registrars: closed forms, directions, and a rule that is found again from drawn errors."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration.combination.indicators import bright_wall, cut_share, lung_share
from mureg.registration.combination.rule import (
    MethodErrors,
    PoseEstimate,
    Rule,
    combined,
    covariance_of,
    shipped_rule,
    weighted_mean,
)
from mureg.training.combination import KnownStudy, fit_rule

HEART = (35.0, -40.0, 12.0)
NEARLY_NORMAL = 1e6
SOME = RigidTransform.from_six((12.0, -7.0, 15.0), (4.0, -3.0, 6.0), (0.0, 0.0, 0.0))
NETWORKS, LIKELIHOOD, TRANSVERSE = "near-heart", "projection", "mutual-information-across"


def rule(degrees: float = NEARLY_NORMAL, factor: float = 1.0, **changes: MethodErrors) -> Rule:
    methods = {NETWORKS: MethodErrors(1.0, 4.0, 1.0), LIKELIHOOD: MethodErrors(2.0, 2.0, 1.0, noise_factor=1.0)}
    return Rule({**methods, **{name.replace("_", "-"): errors for name, errors in changes.items()}}, degrees, factor)


def estimate(kind: str, six: tuple[float, ...], own: np.ndarray | None = None, **indicators: float) -> PoseEstimate:
    """The pose that is SOME after a small motion about the heart."""
    return PoseEstimate(kind, SOME @ RigidTransform.from_six(six[:3], six[3:], HEART), own, indicators)


def motion(pose: RigidTransform) -> np.ndarray:
    return np.concatenate((SOME.inverse() @ pose).six(HEART))


def test_two_poses_are_weighted_by_their_inverse_variances() -> None:
    """Along z the variances are 16 and 4: four fifths of the way to the likelihood; across 1 and 4: one fifth."""
    answer = combined(
        rule(factor=2.0),
        [estimate(NETWORKS, (0.0,) * 6), estimate(LIKELIHOOD, (5.0, -5.0, 10.0, 0.0, 0.0, 0.0))],
        HEART,
    )
    np.testing.assert_allclose(motion(answer.ct_from_spect), [1.0, -1.0, 8.0, 0.0, 0.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(np.diag(answer.covariance)[:3], 2.0 * np.array([0.8, 0.8, 3.2]), rtol=1e-3)
    assert answer.weights[LIKELIHOOD] == pytest.approx(0.8, abs=1e-3)
    assert sum(answer.weights.values()) == pytest.approx(1.0)


def test_the_order_of_the_estimates_hardly_matters() -> None:
    """Differences are taken in the frame of the first pose, which is turned by 3 degrees against the other."""
    estimates = [
        estimate(NETWORKS, (1.0, 2.0, -9.0, 1.0, 0.0, 2.0)),
        estimate(LIKELIHOOD, (-2.0, 0.0, 4.0, 0.0, 2.0, 0.0)),
    ]
    one, other = (combined(rule(6.0), order, HEART) for order in (estimates, estimates[::-1]))
    assert np.linalg.norm(np.subtract(one.ct_from_spect.apply(HEART), other.ct_from_spect.apply(HEART))) < 0.5


def test_noise_of_the_likelihood_takes_weight_from_it() -> None:
    own = np.diag([0.0, 0.0, 12.0, 0.0, 0.0, 0.0])
    answer = combined(rule(), [estimate(NETWORKS, (0.0,) * 6), estimate(LIKELIHOOD, (0, 0, 10.0, 0, 0, 0), own)], HEART)
    assert motion(answer.ct_from_spect)[2] == pytest.approx(5.0, abs=1e-3)  # 16 against 4 + 12


def test_an_indicator_takes_weight_from_its_method() -> None:
    with_cut = rule(projection=MethodErrors(2.0, 2.0, 1.0, log_variance={"cut": 10.0}))
    still = estimate(NETWORKS, (0.0,) * 6)
    whole, cut = (
        combined(with_cut, [still, estimate(LIKELIHOOD, (0, 0, 10.0, 0, 0, 0), cut=share)], HEART)
        for share in (0.0, 0.3)
    )
    assert motion(whole.ct_from_spect)[2] == pytest.approx(8.0, abs=1e-3)
    assert motion(cut.ct_from_spect)[2] == pytest.approx(10.0 * 16 / (16 + 4 * np.exp(3.0)), abs=1e-3)
    assert cut.covariance[2, 2] > whole.covariance[2, 2]


def test_what_lies_far_from_two_others_has_little_weight() -> None:
    three = rule(4.0, gradient_fields=MethodErrors(1.0, 4.0, 1.0))
    poses = [
        estimate(NETWORKS, (0.0, 0.0, 1.0, 0.0, 0.0, 0.0)),
        estimate(LIKELIHOOD, (0.0, 0.0, 60.0, 0.0, 0.0, 0.0)),
        estimate("gradient-fields", (0.0, 0.0, -1.0, 0.0, 0.0, 0.0)),
    ]
    assert abs(motion(combined(three, poses, HEART).ct_from_spect)[2]) < 4.0


def test_what_says_nothing_of_the_axial_position_moves_it_nowhere() -> None:
    """Across, variances 1 and 1: half of the way. Along, 16 against a million."""
    flat = rule(mutual_information_across=MethodErrors(1.0, 1000.0, 1.0))
    answer = combined(flat, [estimate(NETWORKS, (0.0,) * 6), estimate(TRANSVERSE, (4.0, -6.0, 30.0, 0, 0, 0))], HEART)
    np.testing.assert_allclose(motion(answer.ct_from_spect), [2.0, -3.0, 0.0, 0.0, 0.0, 0.0], atol=1e-2)
    assert answer.weights[TRANSVERSE] < 1e-4


def test_one_estimate_alone_is_the_answer() -> None:
    answer = combined(rule(), [estimate(NETWORKS, (1.0, 2.0, 3.0, 1.0, -1.0, 0.5))], HEART)
    np.testing.assert_allclose(motion(answer.ct_from_spect), [1.0, 2.0, 3.0, 1.0, -1.0, 0.5], atol=1e-6)
    assert answer.covariance[2, 2] == pytest.approx(16.0, rel=1e-4)


def test_a_method_without_precision_takes_no_part() -> None:
    offsets = np.zeros((1, 2, 6))
    offsets[0, 1] = 99.0
    precisions = np.stack([np.eye(6), np.zeros((6, 6))])[None]
    middle, total, weights = weighted_mean(offsets, precisions, 5.0)
    np.testing.assert_allclose(middle[0], 0.0, atol=1e-12)
    assert weights[0, 1] == 0.0
    assert total.shape == (1, 6, 6)


def drawn_studies(n: int, seed: int) -> list[KnownStudy]:
    """Errors of known size: the networks are four times worse along z where their answers differ."""
    chance = np.random.default_rng(seed)
    studies = []
    for index in range(n):
        dispersion = float(chance.uniform(0.0, 2.0))
        scale = np.array([1.5, 1.5, 3.0, 0.8, 0.8, 0.8]) * np.exp(0.35 * dispersion)
        errors = {NETWORKS: scale * chance.standard_normal(6)}
        errors[LIKELIHOOD] = np.array([2.0, 2.0, 1.5, 1.0, 1.0, 1.0]) * chance.standard_normal(6)
        first = errors[NETWORKS]
        offsets = {kind: error - first for kind, error in errors.items()}
        estimates = tuple(
            PoseEstimate(kind, RigidTransform.identity(), None, {"log_dispersion": dispersion}) for kind in errors
        )
        studies.append(KnownStudy(f"patient {index // 4}", offsets, -first, estimates))
    return studies


def test_the_rule_of_drawn_errors_is_found_and_its_intervals_hold() -> None:
    learned = fit_rule(drawn_studies(240, seed=3))
    networks, likelihood = learned.methods[NETWORKS], learned.methods[LIKELIHOOD]
    assert networks.log_variance["log_dispersion"] == pytest.approx(0.7, abs=0.25)
    assert networks.axial_mm / networks.across_mm == pytest.approx(2.0, rel=0.25)
    assert likelihood.axial_mm / likelihood.across_mm == pytest.approx(0.75, rel=0.25)
    distances, errors, before = [], [], []
    for study in drawn_studies(400, seed=4):
        precisions = np.array(
            [np.linalg.inv(covariance_of(learned.methods[one.kind], None, one.indicators)) for one in study.estimates]
        )
        offsets = np.array([study.offsets[one.kind] for one in study.estimates])
        middle, total, _ = weighted_mean(offsets[None], precisions[None], learned.degrees_of_freedom)
        error = study.truth - middle[0]
        distances.append(error @ (total[0] / learned.variance_factor) @ error)
        errors.append(abs(error[2]))
        before.append(abs(study.truth[2]))
    assert np.mean(np.array(distances) < 10.645) == pytest.approx(0.9, abs=0.06)  # chi-square, six degrees, 90 %
    assert np.mean(errors) < 0.6 * np.mean(before)


def test_the_shipped_rule_knows_every_registrar() -> None:
    shipped = shipped_rule()
    assert set(shipped.methods) == {NETWORKS, "gradient-fields", LIKELIHOOD, TRANSVERSE}
    assert shipped.methods[TRANSVERSE].axial_mm == 1000.0
    assert set(shipped.calibrated_for) == {"registrar", "weights", "attenuation", "reconstructor"}
    assert shipped.trained_on["real anatomies"] == 13


def body(width_mm: float, field_mm: float) -> Volume:
    grid = Grid.centred((60, 60, 6), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0))
    x, y = (
        grid.points(np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1))[..., k]
        for k in (0, 1)
    )
    values = np.where((np.abs(x) < width_mm / 2) & (np.abs(y) < 80.0), 0.15, 0.0).astype(np.float32)
    return Volume(values, grid, Quantity.MU_PER_CM, outside=np.hypot(x, y) > field_mm / 2)


def test_a_field_that_cuts_the_body_is_seen() -> None:
    assert cut_share(body(160.0, 290.0)) == 0.0
    assert cut_share(body(280.0, 220.0)) > 0.3


def test_myocardium_that_lies_in_lung_is_counted_at_the_pose() -> None:
    """A bright ball left of the middle; the map is lung on the left half: half of it lies there, all after a move."""
    grid = Grid.centred((40, 40, 20), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0))
    places = grid.points(np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1))
    spect = Volume((np.linalg.norm(places, axis=-1) < 25.0).astype(np.float32) + 0.01, grid, Quantity.ACTIVITY)
    mu = Volume(np.where(places[..., 0] > 0, 0.03, 0.15).astype(np.float32), grid, Quantity.MU_PER_CM)
    wall = bright_wall(spect, (0.0, 0.0, 0.0))
    assert lung_share(mu, wall, grid, RigidTransform.identity()) == pytest.approx(0.5, abs=0.05)
    to_the_left = RigidTransform.from_six((40.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    assert lung_share(mu, wall, grid, to_the_left) == pytest.approx(1.0)
    assert lung_share(mu, wall, grid, to_the_left.inverse()) == pytest.approx(0.0)
