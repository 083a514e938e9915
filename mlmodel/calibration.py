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
from typing import Any, TypeAlias

from mlmodel.types import ArtifactIncompatibleError

FLOOR = 1e-9
# A share of the plain logistic function within the isotonic one keeps films apart that lie on one of its steps
ISOTONIC_BLEND = 1e-3

Calibrator: TypeAlias = Callable[[float], float]


def make_calibrator(calibration: Mapping[str, Any]) -> Calibrator:
    """The function from a logit to the probability of pneumonia, in (0, 1). Raises `ArtifactIncompatibleError` for a method or
    parameters that this code does not know."""
    make = _METHODS.get(str(calibration.get("method")))
    if make is None:
        raise ArtifactIncompatibleError(f"This code knows no calibration {calibration.get('method')!r}.")
    try:
        inner = make(calibration)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactIncompatibleError(f"The calibration {calibration['method']!r} lacks a parameter: {error!r}") from error
    return lambda logit: min(max(inner(logit), FLOOR), 1 - FLOOR)


def sigmoid(logit: float) -> float:
    """The logistic function."""
    # Written for both signs, or exp overflows
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def _make_none(given: Mapping[str, Any]) -> Calibrator:
    return sigmoid


def _make_temperature(given: Mapping[str, Any]) -> Calibrator:
    temperature = _number(given["temperature"], above=0)
    return lambda logit: sigmoid(logit / temperature)


def _make_platt(given: Mapping[str, Any]) -> Calibrator:
    slope, intercept = _number(given["slope"], above=0), _number(given["intercept"])
    return lambda logit: sigmoid(slope * logit + intercept)


def _make_beta(given: Mapping[str, Any]) -> Calibrator:
    # A hair below zero, which is allowed: one of the two may have no say
    a, b, c = _number(given["a"], above=-1e-12), _number(given["b"], above=-1e-12), _number(given["c"])
    return lambda logit: sigmoid(b * _softplus(logit) - a * _softplus(-logit) + c)


def _make_isotonic(given: Mapping[str, Any]) -> Calibrator:
    knots, values = ([_number(value) for value in given[name]] for name in ("logits", "probabilities"))
    if not knots or len(knots) != len(values):
        raise ValueError(f"{len(knots)} logits and {len(values)} probabilities")
    if any(one >= other for one, other in pairwise(knots)) or any(one > other for one, other in pairwise(values)):
        raise ValueError("knots that do not rise")

    def between(logit: float) -> float:
        place = bisect_right(knots, logit)
        if place in {0, len(knots)}:
            return values[min(place, len(knots) - 1)]
        share = (logit - knots[place - 1]) / (knots[place] - knots[place - 1])
        return values[place - 1] + share * (values[place] - values[place - 1])

    return lambda logit: (1 - ISOTONIC_BLEND) * between(logit) + ISOTONIC_BLEND * sigmoid(logit)


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def _number(value: Any, above: float = -math.inf) -> float:
    if not math.isfinite(value) or not value > above:
        raise ValueError(f"{value!r} is no number above {above}")
    return float(value)


_METHODS: dict[str, Callable[[Mapping[str, Any]], Calibrator]] = {
    "none": _make_none,
    "temperature": _make_temperature,
    "platt": _make_platt,
    "isotonic": _make_isotonic,
    "beta": _make_beta,
}
