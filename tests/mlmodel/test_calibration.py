"""Calibrated probabilities: monotone, never certain, and refused where this code does not know the method."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmodel.calibration import make_calibrator
from mlmodel.types import ArtifactIncompatibleError

ROOT = Path(__file__).resolve().parents[2]
ALL: list[dict[str, Any]] = [
    {"method": "none"},
    {"method": "temperature", "temperature": 1.7},
    {"method": "platt", "slope": 0.6, "intercept": -0.3},
    {"method": "isotonic", "logits": [-2.0, -0.5, 0.5, 3.0], "probabilities": [0.0, 0.2, 0.2, 1.0]},
    {"method": "beta", "a": 0.7, "b": 1.3, "c": 0.2},
]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize(
    ("calibration", "expected"),
    [
        (ALL[0], sigmoid(1.5)),
        (ALL[1], sigmoid(1.5 / 1.7)),
        (ALL[2], sigmoid(0.6 * 1.5 - 0.3)),
        (ALL[3], 0.999 * (0.2 + 0.8 * 1.0 / 2.5) + 0.001 * sigmoid(1.5)),
        (ALL[4], sigmoid(0.7 * math.log(sigmoid(1.5)) - 1.3 * math.log(1 - sigmoid(1.5)) + 0.2)),
    ],
    ids=lambda value: value["method"] if isinstance(value, dict) else "",
)
def test_each_method_does_what_its_paper_says(calibration: dict[str, Any], expected: float) -> None:
    assert make_calibrator(calibration)(1.5) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("calibration", ALL, ids=lambda given: given["method"])
@given(one=st.floats(-40, 40), other=st.floats(-40, 40))
def test_a_higher_logit_never_has_a_lower_probability(calibration: dict[str, Any], one: float, other: float) -> None:
    low, high = (make_calibrator(calibration)(logit) for logit in sorted((one, other)))
    assert low <= high


@pytest.mark.parametrize("calibration", ALL, ids=lambda given: given["method"])
@pytest.mark.parametrize("logit", [-1e6, -40.0, 0.0, 40.0, 1e6])
def test_no_probability_is_zero_or_one(calibration: dict[str, Any], logit: float) -> None:
    assert 0 < make_calibrator(calibration)(logit) < 1


def test_films_on_one_step_of_the_isotonic_curve_keep_their_order() -> None:
    assert make_calibrator(ALL[3])(-0.2) < make_calibrator(ALL[3])(0.2)


@pytest.mark.parametrize(
    "calibration",
    [
        {},
        {"method": "magic"},
        {"method": "temperature"},
        {"method": "temperature", "temperature": 0},
        {"method": "platt", "slope": -1, "intercept": 0},
        {"method": "platt", "slope": "steep", "intercept": 0},
        {"method": "isotonic", "logits": [0, 1], "probabilities": [0.5]},
        {"method": "isotonic", "logits": [0, 1], "probabilities": [0.9, 0.1]},
        {"method": "isotonic", "logits": [], "probabilities": []},
        {"method": "beta", "a": 1, "b": float("nan"), "c": 0},
    ],
)
def test_a_calibration_that_cannot_be_right_is_refused(calibration: dict[str, Any]) -> None:
    with pytest.raises(ArtifactIncompatibleError):
        make_calibrator(calibration)(0.3)


def test_serving_a_calibration_needs_no_numerical_library() -> None:
    code = "import sys, mlmodel.calibration; print([n for n in ('numpy', 'scipy', 'sklearn') if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
