"""Where the probability becomes a yes: the threshold, by a rule that is stated and kept with the version.

`truth` is 1 for pneumonia; `probability` is the calibrated one; a film is positive where `probability >= threshold`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_curve

RULES = ("sensitivity", "cost", "youden", "accuracy")
DEFAULT_RULE: Mapping[str, Any] = {"rule": "sensitivity", "sensitivity": 0.95}


def choose_operating_point(
    truth: ArrayLike, probability: ArrayLike, rule: Mapping[str, Any] = DEFAULT_RULE, *, calibrated_at: float | None = None
) -> dict[str, Any]:
    """The rule with its `threshold`, as it is kept in the artifact.

    - {"rule": "sensitivity", "sensitivity": 0.95}: the highest threshold that finds this share of the diseased;
    - {"rule": "cost", "cost_ratio": r, "prevalence": p}: the least expected cost where a missed pneumonia costs r times a false
      alarm;
    - {"rule": "youden"}: the greatest sensitivity + specificity;
    - {"rule": "accuracy", "prevalence": p}: the most films called rightly.

    `prevalence` is that of the place where the model will work; `calibrated_at`, its default, is the one that the probability
    assumes, by default that of the films given. Raises `ValueError` for a rule that is none of these, or whose numbers cannot
    be.
    """
    name = rule.get("rule")
    if name == "sensitivity":
        wanted = _number(rule, "sensitivity", 0.95, most=1.0)
        return {"rule": name, "target_sensitivity": wanted, "threshold": choose_threshold(truth, probability, wanted)}
    if name == "youden":
        return {"rule": name, "threshold": best_threshold(truth, probability, prevalence=0.5)}
    here = calibrated_at or float(np.mean(np.asarray(truth)))
    if name == "cost":
        ratio, there = _number(rule, "cost_ratio", 1.0), _number(rule, "prevalence", here, most=1.0)
        return {"rule": name, "cost_ratio": ratio, "prevalence": there, "threshold": cost_threshold(ratio, here, there)}
    if name == "accuracy":
        there = _number(rule, "prevalence", here, most=1.0)
        return {"rule": name, "prevalence": there, "threshold": best_threshold(truth, probability, prevalence=there)}
    raise ValueError(f"The rule of the operating point is one of {', '.join(RULES)}. Received: {name!r}")


def choose_threshold(truth: ArrayLike, probability: ArrayLike, sensitivity: float) -> float:
    """The highest threshold at which `probability >= threshold` finds at least the share `sensitivity` of the diseased.

    It lies midway to the next lower film, or films like the last one found would fall out by rounding.
    """
    found, scores = np.asarray(truth, bool), np.asarray(probability, np.float64)
    _, rates, thresholds = roc_curve(found, scores, drop_intermediate=False)
    return _between(scores, float(thresholds[np.argmax(rates >= sensitivity)]))


def cost_threshold(ratio: float, calibrated_at: float, prevalence: float) -> float:
    """The threshold of least expected cost, 1 / (1 + ratio), for a probability that is calibrated (Elkan, The Foundations of
    Cost-Sensitive Learning, IJCAI 2001), carried from the prevalence it was calibrated at to another one.

    It needs no search, and so follows no chance of a few films near the threshold. Raises `ValueError`.
    """
    if not 0 < calibrated_at < 1 or not 0 < prevalence < 1:
        raise ValueError(f"A prevalence lies between 0 and 1. Received: {calibrated_at!r} and {prevalence!r}")
    odds = (calibrated_at / (1 - calibrated_at)) / (prevalence / (1 - prevalence)) / ratio
    return odds / (1 + odds)


def best_threshold(truth: ArrayLike, probability: ArrayLike, *, prevalence: float) -> float:
    """The threshold of the highest accuracy at a prevalence, the highest of several; at one half it is that of the greatest
    index of Youden (Cancer 1950)."""
    sick, scores = np.asarray(truth, bool), np.asarray(probability, np.float64)
    false_rates, true_rates, thresholds = roc_curve(sick, scores, drop_intermediate=False)
    gain = prevalence * true_rates - (1 - prevalence) * false_rates
    return _between(scores, float(thresholds[np.argmax(gain)]))


def _between(scores: NDArray[np.float64], chosen: float) -> float:
    """Midway from the lowest film that is called positive to the next lower one."""
    highest = float(scores.max())
    chosen = min(chosen, highest)
    lower = scores[scores < chosen]
    return (chosen + float(lower.max())) / 2 if len(lower) else chosen / 2


def _number(rule: Mapping[str, Any], name: str, default: float, most: float = float("inf")) -> float:
    value = rule.get(name, default)
    if not isinstance(value, int | float) or not 0 < value <= most:
        raise ValueError(f"{name} of the operating point lies above 0 and is at most {most:g}. Received: {value!r}")
    return float(value)
