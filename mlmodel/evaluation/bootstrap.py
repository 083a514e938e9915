"""Uncertainty by resampling patients, all resamples at once.

A resample draws as many patients as there are, with replacement; each film counts as often as its patient was drawn. Films of
one patient are alike, so that resampling films would make the intervals too narrow (Field & Welsh, J. R. Stat. Soc. B 2007).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlmodel.evaluation.measures import BINS, bin_by_mass, bin_by_width

RESAMPLES = 2000
LEVELS = (2.5, 97.5)
CERTAIN = 0.025  # the chance of seeing no exception, at the bound of a share that has none
CELLS = 2_000_000  # of a block of resamples by films: some 16 MB for each intermediate array

Weights = NDArray[np.float64]


def draw_weights(patients: Sequence[str], resamples: int, seed: int) -> NDArray[np.int32]:
    """(resamples, films): how often each film counts. The same patients in the same order and seed give the same weights."""
    _, number = np.unique(np.asarray(patients), return_inverse=True)
    count = int(number.max()) + 1
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn.astype(np.int32)[:, number]


def resample_all(
    truth: NDArray[Any], probability: NDArray[np.float64], threshold: float, weights: NDArray[np.int32]
) -> dict[str, NDArray[np.float64]]:
    """Each measure of `measures.measure_all` for each row of `weights`, (resamples,); NaN where a resample lacks a class."""
    block = max(1, CELLS // max(1, len(truth)))
    parts = [
        _measure_block(truth.astype(np.float64), probability, threshold, weights[start : start + block].astype(np.float64))
        for start in range(0, len(weights), block)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(value: float, resampled: NDArray[np.float64]) -> dict[str, float | None]:
    """{value, low, high}: the 95 % percentile interval; None for what does not exist.

    It is widened to hold the value: resampling adds noise of its own to an error that cannot be negative, such as the ECE, so
    that the percentiles of a small one lie above it.
    """
    known = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(known):
        return {"value": float(value) if np.isfinite(value) else None, "low": None, "high": None}
    low, high = np.percentile(known, LEVELS)
    return {"value": float(value), "low": float(min(low, value)), "high": float(max(high, value))}


def share(
    holds: NDArray[np.bool_], patients: Sequence[str], weights: NDArray[np.int32], among: NDArray[np.bool_] | None = None
) -> dict[str, float | None]:
    """`interval` of how many of the films (films,), or of those `among` them, it holds for; `weights` are of `draw_weights`."""
    chosen = np.ones(len(holds), bool) if among is None else among
    if not chosen.any():
        return interval(float("nan"), np.empty(0))
    counts = weights[:, chosen].astype(np.float64)
    found = interval(float(holds[chosen].mean()), _ratio(counts @ holds[chosen], counts.sum(axis=1)))
    return widen_extreme(found, np.asarray(patients)[chosen])


def widen_extreme(found: dict[str, float | None], patients: ArrayLike) -> dict[str, float | None]:
    """`found`, an interval of a share of films of `patients`, reaching towards the middle at least as far as `unseen_share`.

    Resamples of films without an exception have none either, and would say that there are none; with one exception they say
    little more.
    """
    value, low, high = found["value"], found["low"], found["high"]
    if value is None or low is None or high is None:
        return found
    unseen = unseen_share(patients)
    if value >= 0.5:
        return {**found, "low": max(0.0, min(low, value - unseen))}
    return {**found, "high": min(1.0, max(high, value + unseen))}


def unseen_share(patients: ArrayLike) -> float:
    """The largest share of exceptions that so many patients without one do not exclude, the exact bound (Clopper & Pearson,
    Biometrika 1934)."""
    return float(1 - CERTAIN ** (1 / max(1, len(np.unique(patients)))))


def _measure_block(
    truth: NDArray[np.float64], probability: NDArray[np.float64], threshold: float, weights: Weights
) -> dict[str, NDArray[np.float64]]:
    order = np.argsort(probability, kind="stable")
    truth, probability, weights = truth[order], probability[order], weights[:, order]
    predicted = (probability >= threshold).astype(np.float64)
    total = weights.sum(axis=1)
    tp, fp = weights @ (truth * predicted), weights @ ((1 - truth) * predicted)
    fn, tn = weights @ (truth * (1 - predicted)), weights @ ((1 - truth) * (1 - predicted))
    loss = -truth * np.log(probability) - (1 - truth) * np.log1p(-probability)
    ranked, averaged = _rank_measures(truth, probability, weights)
    slope, intercept = _fit_lines(truth, probability, weights)
    return {
        "auc": ranked,
        "average_precision": averaged,
        "accuracy": _ratio(tp + tn, total),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "precision": _ratio(tp, tp + fp),
        "npv": _ratio(tn, tn + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "brier": _ratio(weights @ (truth - probability) ** 2, total),
        "nll": _ratio(weights @ loss, total),
        "ece": _calibration_errors(truth - probability, weights, bin_by_mass(weights, BINS)),
        "ece_equal_width": _calibration_errors(truth - probability, weights, bin_by_width(probability, BINS)[None]),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
        "prevalence": _ratio(tp + fn, total),
    }


def _rank_measures(
    truth: NDArray[np.float64], probability: NDArray[np.float64], weights: Weights
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AUC (the Mann-Whitney share, ties half) and average precision; films sorted by rising probability."""
    starts = np.flatnonzero(np.r_[True, np.diff(probability) > 0])
    sick = np.add.reduceat(weights * truth, starts, axis=1)
    well = np.add.reduceat(weights * (1 - truth), starts, axis=1)
    below = np.cumsum(well, axis=1) - well
    all_sick, all_well = sick.sum(axis=1), well.sum(axis=1)
    area = _ratio((sick * (below + well / 2)).sum(axis=1), all_sick * all_well)
    found = np.cumsum(sick[:, ::-1], axis=1)
    called = found + np.cumsum(well[:, ::-1], axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    averaged = _ratio((sick[:, ::-1] * precision).sum(axis=1), all_sick)
    return area, np.where(np.isnan(area), np.nan, averaged)


def _calibration_errors(gaps: NDArray[np.float64], weights: Weights, place: NDArray[np.int64]) -> NDArray[np.float64]:
    """ECE of each resample; `place` is (resamples, films), or (1, films) where bins do not move."""
    rows = np.arange(len(weights))[:, None]
    sums = np.bincount((rows * BINS + place).ravel(), weights=(weights * gaps).ravel(), minlength=len(weights) * BINS)
    return _ratio(np.abs(sums.reshape(-1, BINS)).sum(axis=1), weights.sum(axis=1))


def _fit_lines(
    truth: NDArray[np.float64], probability: NDArray[np.float64], weights: Weights
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slopes and intercepts of the weighted logistic regressions of truth on log-odds, by Newton's method for all at once."""
    odds = np.log(probability / (1 - probability))
    slope, intercept = np.ones(len(weights)), np.zeros(len(weights))
    for _ in range(12):
        fitted = 0.5 * (1 + np.tanh((slope[:, None] * odds + intercept[:, None]) / 2))
        error, spread = weights * (truth - fitted), weights * np.maximum(fitted * (1 - fitted), 1e-9)
        g0, g1 = error.sum(axis=1), error @ odds
        h00, h01, h11 = spread.sum(axis=1), spread @ odds, spread @ odds**2
        determinant = np.maximum(h00 * h11 - h01**2, 1e-12)
        # A step of at most one keeps a resample without overlap from running away
        slope += np.clip((h00 * g1 - h01 * g0) / determinant, -1, 1)
        intercept += np.clip((h11 * g0 - h01 * g1) / determinant, -1, 1)
    has_both = (weights @ truth > 0) & (weights @ (1 - truth) > 0)
    return np.where(has_both, slope, np.nan), np.where(has_both, intercept, np.nan)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
