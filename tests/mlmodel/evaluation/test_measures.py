"""Points and intervals: against scikit-learn, hand-worked cases, and simulated truth."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, recall_score, roc_auc_score

from mlmodel.evaluation.bootstrap import draw_weights, interval, resample_all, share
from mlmodel.evaluation.measures import (
    calibration_line,
    count_outcomes,
    expected_calibration_error,
    measure_all,
)
from tests.mlmodel.evaluation.drawn import draw_logits, sigmoid

TRUTH = np.array([0, 0, 0, 1, 1])
SAID = np.array([0.1, 0.6, 0.2, 0.9, 0.4])


def test_measures_are_those_of_a_case_worked_by_hand() -> None:
    assert count_outcomes(TRUTH, SAID >= 0.5) == [[2, 1], [1, 1]]
    found = measure_all(TRUTH, SAID, 0.5)
    assert (found["sensitivity"], found["specificity"], found["accuracy"]) == pytest.approx((1 / 2, 2 / 3, 3 / 5))
    assert (found["precision"], found["npv"], found["f1"]) == pytest.approx((1 / 2, 2 / 3, 1 / 2))
    assert found["auc"] == pytest.approx(5 / 6)
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.04 + 0.01 + 0.36) / 5)


def test_the_calibration_error_is_that_of_a_case_worked_by_hand() -> None:
    truth, said = np.array([0, 1, 1, 1]), np.array([0.2, 0.3, 0.8, 0.9])
    assert expected_calibration_error(truth, said, bins=2) == pytest.approx((abs(0.5 - 0.25) + abs(1 - 0.85)) / 2)
    assert expected_calibration_error(truth, said, bins=4, equal_width=True) == pytest.approx((0.2 + 0.7 + 0.3) / 4)


def test_a_class_without_films_leaves_what_it_defines_undefined() -> None:
    found = measure_all(np.ones(4), np.array([0.2, 0.6, 0.7, 0.8]), 0.5)
    assert np.isnan([found["auc"], found["specificity"], found["calibration_slope"]]).all()
    assert found["sensitivity"] == 0.75


def test_probabilities_that_are_too_extreme_have_a_slope_below_one() -> None:
    truth, logits, _ = draw_logits(4000, spread=2)
    slope, intercept = calibration_line(truth, sigmoid(logits))
    assert slope == pytest.approx(0.5, abs=0.04)
    assert intercept == pytest.approx(0, abs=0.12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(8, 60), st.integers(1, 3))
def test_a_resample_is_what_scikit_learn_says_of_weighted_films(seed: int, count: int, digits: int) -> None:
    truth, logits, patients = draw_logits(count, seed)
    truth[:2] = (0, 1)
    # Few digits make ties
    said = np.round(sigmoid(logits), digits).clip(0.01, 0.99)
    weights = draw_weights(patients, 3, seed)
    weights[:, :2] += 1
    found = resample_all(truth, said, 0.5, weights)
    for row, weight in enumerate(weights):
        expected = {
            "auc": roc_auc_score(truth, said, sample_weight=weight),
            "average_precision": average_precision_score(truth, said, sample_weight=weight),
            "sensitivity": recall_score(truth, said >= 0.5, sample_weight=weight),
            "f1": f1_score(truth, said >= 0.5, sample_weight=weight),
            "brier": brier_score_loss(truth, said, sample_weight=weight),
            "nll": log_loss(truth, said, sample_weight=weight),
        }
        assert {name: found[name][row] for name in expected} == pytest.approx(expected)


def test_every_measure_of_the_films_themselves_is_the_same_by_both_ways() -> None:
    truth, logits, _ = draw_logits(300)
    once = resample_all(truth, sigmoid(logits), 0.4, np.ones((1, 300), np.int32))
    assert {name: values[0] for name, values in once.items()} == pytest.approx(
        measure_all(truth, sigmoid(logits), 0.4), abs=1e-4
    )


def test_all_films_of_a_patient_are_drawn_together() -> None:
    _, _, patients = draw_logits(60, films_each=3)
    weights = draw_weights(patients, 50, seed=1)
    assert (weights.reshape(50, 20, 3).std(axis=2) == 0).all()
    assert (weights.sum(axis=1) == 60).all()
    assert (draw_weights(patients, 50, seed=1) == weights).all()


def test_the_interval_of_the_sensitivity_is_as_wide_as_the_binomial_one() -> None:
    truth, logits, patients = draw_logits(800, films_each=1)
    said = sigmoid(logits)
    found = interval(
        measure_all(truth, said, 0.5)["sensitivity"],
        resample_all(truth, said, 0.5, draw_weights(patients, 2000, seed=0))["sensitivity"],
    )
    assert found["value"] is not None
    assert found["low"] is not None
    assert found["high"] is not None
    width = 2 * 1.96 * np.sqrt(found["value"] * (1 - found["value"]) / truth.sum())
    assert found["high"] - found["low"] == pytest.approx(width, rel=0.1)


def test_films_of_one_patient_that_are_alike_widen_the_interval() -> None:
    truth, logits, _ = draw_logits(200, films_each=1)
    truth, said = np.repeat(truth, 4), np.repeat(sigmoid(logits), 4)

    def width(patients: list[str]) -> float:
        low, high = np.percentile(resample_all(truth, said, 0.5, draw_weights(patients, 1000, 0))["auc"], (2.5, 97.5))
        return high - low

    assert width([f"p{number // 4}" for number in range(800)]) > 1.5 * width([f"p{number}" for number in range(800)])


def test_an_interval_holds_its_value_and_knows_when_there_is_none() -> None:
    assert interval(0.01, np.array([0.02, 0.03])) == pytest.approx({"value": 0.01, "low": 0.01, "high": 0.02975})
    assert interval(float("nan"), np.array([0.1])) == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize("count", [1, 12, 300])
def test_a_share_without_an_exception_is_bounded_as_the_binomial_one_of_its_patients(count: int) -> None:
    films, patients = np.ones(2 * count, bool), [f"p{number // 2}" for number in range(2 * count)]
    weights = draw_weights(patients, 20, seed=0)
    bound = binomtest(count, count).proportion_ci(method="exact")
    assert share(films, patients, weights) == pytest.approx({"value": 1.0, "low": bound.low, "high": 1.0})
    assert share(~films, patients, weights) == pytest.approx({"value": 0.0, "low": 0.0, "high": 1 - bound.low})


def test_one_exception_more_never_narrows_a_share() -> None:
    """Not even towards the middle, and a share of 1 and one of 0 mirror each other."""
    patients = [f"p{number // 2}" for number in range(300)]
    weights = draw_weights(patients, 500, seed=0)
    lows = []
    for exceptions in range(6):
        holds = np.arange(300) >= exceptions
        found, mirrored = share(holds, patients, weights), share(~holds, patients, weights)
        assert found["low"] == pytest.approx(1 - mirrored["high"])  # type: ignore[operator]
        lows.append(found["low"])
    assert lows == sorted(lows, reverse=True)  # type: ignore[type-var]
    assert len(set(lows)) == 6


def test_a_share_among_some_films_is_of_those_alone() -> None:
    holds, among = np.array([True, True, False, False]), np.array([True, True, True, False])
    patients = ["a", "b", "c", "d"]
    weights = np.array([[1, 1, 1, 1], [0, 0, 2, 2], [2, 1, 0, 1]], np.int32)
    found = share(holds, patients, weights, among)
    assert found["value"] == pytest.approx(2 / 3)
    assert (found["low"], found["high"]) == pytest.approx((0, np.percentile([2 / 3, 0, 1], 97.5)))  # of three patients
    assert share(holds, patients, weights, np.zeros(4, bool)) == {"value": None, "low": None, "high": None}


def test_two_thousand_resamples_of_a_few_hundred_patients_take_seconds() -> None:
    truth, logits, patients = draw_logits(624)
    started = time.perf_counter()
    resample_all(truth, sigmoid(logits), 0.5, draw_weights(patients, 2000, 0))
    assert time.perf_counter() - started < 20
