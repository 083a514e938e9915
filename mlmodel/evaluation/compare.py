"""Two versions on the same films: is the one no worse than the other? Paired, over patients."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from mlmodel.evaluation.bootstrap import RESAMPLES, draw_weights, interval, resample_all, unseen_share
from mlmodel.evaluation.measures import auc, films_called
from mlmodel.evaluation.readings import Reading, findings, read_predictions

MARGIN_AUC, MARGIN_SENSITIVITY = 0.01, 0.03
LEAST_PATIENTS = 30  # of each class
Interval = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Version `a` less version `b`: each difference as {value, low, high} with a 95 % interval over patients.

    `non_inferior` where the lower ends of AUC and sensitivity, each version at its own operating point, lie above minus the
    margins (Piaggio et al., CONSORT non-inferiority, JAMA 2012) and there are `LEAST_PATIENTS` of each class; `worse` says in
    words where it is not so. `mcnemar` counts the films that one version alone calls rightly, with McNemar's exact p-value.
    """

    films: int
    patients: int
    auc: Interval
    accuracy: Interval
    sensitivity: Interval
    specificity: Interval
    brier: Interval
    mcnemar: dict[str, float]
    margin: float
    margin_sensitivity: float
    non_inferior: bool
    worse: list[str] = field(default_factory=list)
    resamples: int = RESAMPLES
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare_predictions(
    a: Path,
    b: Path,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    margin: float = MARGIN_AUC,
    margin_sensitivity: float = MARGIN_SENSITIVITY,
) -> Comparison:
    """Compare two `predictions.csv` on the films that both have a finding for, matched by content.

    Raises `ValueError` where a file cannot be read, or they share no films of both classes.
    """
    return compare_readings(
        read_predictions(a), read_predictions(b), resamples=resamples, seed=seed, margins=(margin, margin_sensitivity)
    )


def compare_readings(
    a: list[Reading],
    b: list[Reading],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    margins: tuple[float, float] = (MARGIN_AUC, MARGIN_SENSITIVITY),
) -> Comparison:
    """The same for readings. `margins` are of the AUC and of the sensitivity."""
    pairs = _match(a, b)
    truth = np.array([one.label == "PNEUMONIA" for one, _ in pairs], np.float64)
    if len(np.unique(truth)) < 2:
        raise ValueError("The versions have no films of both classes in common.")
    patients = [one.patient for one, _ in pairs]
    weights = draw_weights(patients, resamples, seed)
    sides = [[pair[side] for pair in pairs] for side in (0, 1)]
    first, second = (_measure_side(side, truth, weights) for side in sides)
    differences = {name: interval(first[name][0] - second[name][0], first[name][1] - second[name][1]) for name in first}
    for name, among in films_called(truth).items():
        differences[name] = _allow_unseen(differences[name], np.asarray(patients)[among])
    worse = _name_worse(differences, margins) + _name_few(truth, patients)
    return Comparison(
        films=len(pairs),
        patients=len(set(patients)),
        **differences,
        mcnemar=_mcnemar(*(np.array([one.predicted == one.label for one in side]) for side in sides)),
        margin=margins[0],
        margin_sensitivity=margins[1],
        non_inferior=not worse,
        worse=worse,
        resamples=resamples,
        seed=seed,
    )


def _allow_unseen(difference: Interval, patients: NDArray[np.str_]) -> Interval:
    """To either side as far at least as what so many patients cannot exclude: where no film is read otherwise by one version
    alone, none is in any resample either."""
    value, low, high = difference["value"], difference["low"], difference["high"]
    if value is None or low is None or high is None:
        return difference
    unseen = unseen_share(patients)
    return {**difference, "low": max(-1.0, min(low, value - unseen)), "high": min(1.0, max(high, value + unseen))}


def _name_worse(differences: dict[str, Interval], margins: tuple[float, float]) -> list[str]:
    """In words, each measure whose difference may be below minus its margin; an unknown one may be."""
    worse = []
    for name, margin in zip(("auc", "sensitivity"), margins, strict=True):
        low = differences[name]["low"]
        if low is None or low <= -margin:
            lower = "by an unknown amount" if low is None else f"by {-low:.3f}"
            worse.append(f"{'AUC' if name == 'auc' else name} may be lower {lower} (margin {margin:g})")
    return worse


def _name_few(truth: NDArray[np.float64], patients: list[str]) -> list[str]:
    """In words, each class of too few patients for its share in the AUC to be judged."""
    counts = {label: len(set(np.asarray(patients)[truth == number])) for number, label in enumerate(("normal", "pneumonia"))}
    return [
        f"{count} patients of class {label} are too few to tell ({LEAST_PATIENTS} at least)"
        for label, count in counts.items()
        if count < LEAST_PATIENTS
    ]


def _match(a: list[Reading], b: list[Reading]) -> list[tuple[Reading, Reading]]:
    other = {one.sha256: one for one in findings(b)}
    pairs = [(one, other[one.sha256]) for one in findings(a) if one.sha256 in other]
    for one, two in pairs:
        if one.label != two.label:
            raise ValueError(f"{one.file} and {two.file} are the same film with two labels.")
    return pairs


def _measure_side(
    readings: list[Reading], truth: NDArray[np.float64], weights: NDArray[np.int32]
) -> dict[str, tuple[float, NDArray[np.float64]]]:
    """Value and resamples of each measure, at the operating point that the readings themselves were called by."""
    said = np.array([one.probability for one in readings], np.float64)
    called = np.array([one.predicted == "PNEUMONIA" for one in readings])
    right = called == truth
    times = weights.astype(np.float64)

    def share(values: NDArray[Any], among: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
        total = times @ among
        spread = np.divide(times @ (values * among), total, out=np.full(len(times), np.nan), where=total > 0)
        return float((values * among).sum() / among.sum()), spread

    return {
        "auc": (auc(truth, said), resample_all(truth, said, 0.5, weights)["auc"]),
        **{name: share(right, among) for name, among in films_called(truth).items()},
        "brier": share((said - truth) ** 2, np.ones(len(truth))),
    }


def _mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> dict[str, float]:
    """Discordant films and the exact two-sided p-value (McNemar, Psychometrika 1947)."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    total = only_first + only_second
    p = float(binomtest(only_first, total, 0.5).pvalue) if total else 1.0
    return {"only_a": only_first, "only_b": only_second, "p": p}
