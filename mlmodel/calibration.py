"""From a logit to a calibrated probability, by the parameters that a version carries. Needs the standard library alone.

The parameters are plain JSON in the artifact's metadata, `calibration`; `mlmodel.evaluation.calibrators` fits them:

- `none`: the logistic function of the logit;
- `temperature`: {"temperature": T > 0}, sigmoid(z / T) (Guo et al., On Calibration of Modern Neural Networks, ICML 2017);
- `platt`: {"slope": a > 0, "intercept": b}, sigmoid(a z + b) (Platt, Probabilistic Outputs for SVMs, 1999);
- `isotonic`: {"logits": [...], "probabilities": [...]}, straight lines between the knots (Zadrozny & Elkan, KDD 2002);
- `beta`: {"a": a >= 0, "b": b >= 0, "c": c}, sigmoid(a ln s - b ln(1 - s) + c) with s = sigmoid(z) (Kull et al., AISTATS 2017).

Each is monotone in the logit, and none says 0 or 1: no film makes pneumonia certain or impossible.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from mlmodel.types import ArtifactIncompatibleError

FLOOR = 1e-9
# A share of the plain logistic function within the isotonic one keeps films apart that lie on one of its steps
ISOTONIC_BLEND = 1e-3


def calibrate(logit: float, calibration: Mapping[str, Any]) -> float:
    """Probability of pneumonia, in (0, 1), for a logit. Raises `ArtifactIncompatibleError` for a method or parameters that this
    code does not know."""
    method = _METHODS.get(str(calibration.get("method")))
    if method is None:
        raise ArtifactIncompatibleError(f"This code knows no calibration {calibration.get('method')!r}.")
    try:
        probability = method(logit, calibration)
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise ArtifactIncompatibleError(f"The calibration {calibration['method']!r} lacks a parameter: {error!r}") from error
    return min(max(probability, FLOOR), 1 - FLOOR)


def sigmoid(logit: float) -> float:
    """The logistic function."""
    # Written for both signs, or exp overflows
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def _none(logit: float, given: Mapping[str, Any]) -> float:
    return sigmoid(logit)


def _temperature(logit: float, given: Mapping[str, Any]) -> float:
    return sigmoid(logit / _at_least(given["temperature"], 1e-6))


def _platt(logit: float, given: Mapping[str, Any]) -> float:
    return sigmoid(_at_least(given["slope"], 1e-6) * logit + float(given["intercept"]))


def _beta(logit: float, given: Mapping[str, Any]) -> float:
    log_yes, log_no = -_softplus(-logit), -_softplus(logit)
    return sigmoid(_at_least(given["a"], 0) * log_yes - _at_least(given["b"], 0) * log_no + float(given["c"]))


def _isotonic(logit: float, given: Mapping[str, Any]) -> float:
    knots, values = given["logits"], given["probabilities"]
    if len(knots) != len(values) or any(one > other for line in (knots, values) for one, other in pairwise(line)):
        raise ValueError("knots that do not rise")
    place = bisect_right(knots, logit)
    if place in {0, len(knots)}:
        inner = float(values[0] if place == 0 else values[-1])
    else:
        left, right = knots[place - 1], knots[place]
        inner = values[place - 1] + (values[place] - values[place - 1]) * (logit - left) / (right - left)
    return (1 - ISOTONIC_BLEND) * inner + ISOTONIC_BLEND * sigmoid(logit)


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def _at_least(value: Any, lowest: float) -> float:
    if not float(value) >= lowest:
        raise ValueError(f"{value!r} is less than {lowest}")
    return float(value)


_METHODS: dict[str, Callable[[float, Mapping[str, Any]], float]] = {
    "none": _none,
    "temperature": _temperature,
    "platt": _platt,
    "isotonic": _isotonic,
    "beta": _beta,
}
