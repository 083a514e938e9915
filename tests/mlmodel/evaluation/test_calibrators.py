"""Fitting calibrations, and choosing one that holds for other patients."""

import json

import numpy as np
import pytest

from mlmodel.calibration import make_calibrator
from mlmodel.evaluation.calibrators import METHODS, apply, fit_best
from mlmodel.evaluation.measures import expected_calibration_error
from tests.mlmodel.evaluation.drawn import draw_logits, sigmoid


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_too_extreme_or_too_timid_logits_are_put_right(spread: float) -> None:
    truth, logits, patients = draw_logits(1200, spread=spread)
    fitted = fit_best(logits, truth, patients)
    fresh_truth, fresh_logits, _ = draw_logits(4000, seed=1, spread=spread)
    before = expected_calibration_error(fresh_truth, sigmoid(fresh_logits))
    after = expected_calibration_error(fresh_truth, apply(fitted, fresh_logits))
    assert after < 0.035 < before


def test_where_one_number_is_enough_the_simplest_method_is_kept() -> None:
    truth, logits, patients = draw_logits(1000, spread=2, prevalence=0.5)
    fitted = fit_best(logits, truth, patients)
    assert fitted["method"] == "temperature"
    assert fitted["temperature"] == pytest.approx(2, rel=0.15)


def test_a_shift_that_no_temperature_can_mend_needs_an_intercept() -> None:
    truth, logits, patients = draw_logits(2500)
    fitted = fit_best(logits + 2, truth, patients)
    assert fitted["method"] == "platt"
    assert (fitted["slope"], fitted["intercept"]) == pytest.approx((1, -2), abs=0.25)


def test_a_curve_that_no_line_can_follow_is_followed() -> None:
    generator = np.random.default_rng(0)
    logits = generator.uniform(-6, 6, 1500)
    truth = (generator.random(1500) < np.select([logits < -2, logits < 2], [0.1, 0.5], 0.6)).astype(float)
    assert fit_best(logits, truth, range(1500))["method"] in {"isotonic", "beta"}


def test_every_method_is_compared_and_recorded_as_plain_json() -> None:
    truth, logits, patients = draw_logits(400)
    fitted = json.loads(json.dumps(fit_best(logits, truth, patients)))
    assert set(fitted["compared"]) == {"none", *METHODS}
    assert [name for name, row in fitted["compared"].items() if row["kept"]] == [fitted["method"]]
    assert (fitted["films"], fitted["patients"]) == (400, 200)
    assert 0 < make_calibrator(fitted)(0.3) < 1


def test_isotonic_regression_is_not_judged_on_what_it_was_fitted_to() -> None:
    """In-sample its score is the best of all; on other patients its steps are chance."""
    truth, logits, patients = draw_logits(80)
    compared = fit_best(logits, truth, patients)["compared"]
    assert compared["isotonic"]["nll"] > compared["temperature"]["nll"]


def test_a_stated_prevalence_is_what_the_probability_assumes() -> None:
    truth, logits, patients = draw_logits(1500, prevalence=0.8)
    fitted = fit_best(logits, truth, patients, prevalence=0.5)
    assert fitted["prevalence"] == pytest.approx(0.5)
    # As the films would be, were half of them diseased
    weights = np.where(truth == 1, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    assert np.average(apply(fitted, logits), weights=weights) == pytest.approx(0.5, abs=0.03)


def test_classes_without_overlap_leave_a_finite_calibration() -> None:
    logits = np.r_[np.full(30, -3.0), np.full(30, 3.0)]
    fitted = fit_best(logits, (logits > 0).astype(float), range(60))
    assert 0.5 < make_calibrator(fitted)(3) < 1


def test_a_single_patient_of_a_class_is_not_compared() -> None:
    fitted = fit_best(np.array([-1.0, 0.5, 1.0]), np.array([0.0, 1, 1]), ["a", "b", "c"])
    assert (fitted["method"], fitted["compared"]) == ("temperature", {})


def test_the_same_seed_keeps_the_same() -> None:
    truth, logits, patients = draw_logits(200)
    assert fit_best(logits, truth, patients, seed=4) == fit_best(logits, truth, patients, seed=4)
