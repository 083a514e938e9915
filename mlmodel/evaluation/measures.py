"""What a version is judged by. `truth` is 1 for pneumonia and 0 for none, `probability` lies in (0, 1); both are (films,).

Points come from scikit-learn; their intervals from `mlmodel.evaluation.bootstrap`, which computes the same measures for
thousands of resamples at once and is tested against these.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

BINS = 15


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve."""
    return float(roc_auc_score(truth, score))


def count_outcomes(truth: ArrayLike, predicted: ArrayLike) -> list[list[int]]:
    """[[TN, FP], [FN, TP]]."""
    return confusion_matrix(truth, np.asarray(predicted, bool), labels=[0, 1]).tolist()


def measure_all(truth: NDArray[Any], probability: NDArray[np.float64], threshold: float) -> dict[str, float]:
    """Every measure by name, at `probability >= threshold`; one that does not exist (no film of a class) is NaN."""
    predicted = probability >= threshold
    both = len(np.unique(truth)) == 2
    nan = float("nan")
    slope, intercept = calibration_line(truth, probability) if both else (nan, nan)
    measures = {
        "auc": auc(truth, probability) if both else nan,
        "average_precision": average_precision_score(truth, probability) if both else nan,
        "accuracy": float((predicted == truth).mean()),
        "sensitivity": recall_score(truth, predicted, zero_division=nan),
        "specificity": recall_score(truth, predicted, pos_label=0, zero_division=nan),
        "precision": precision_score(truth, predicted, zero_division=nan),
        "npv": precision_score(truth, predicted, pos_label=0, zero_division=nan),
        "f1": f1_score(truth, predicted, zero_division=nan),
        "brier": brier_score_loss(truth, probability, labels=[0, 1], pos_label=1),
        "nll": log_loss(truth, probability, labels=[0, 1]),
        "ece": expected_calibration_error(truth, probability),
        "ece_equal_width": expected_calibration_error(truth, probability, equal_width=True),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
        "prevalence": float(np.mean(truth)),
    }
    return {name: float(value) for name, value in measures.items()}


def films_called(truth: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
    """The measures that are shares of films called rightly, and for each the films (films,) that it is a share of."""
    return {"accuracy": np.ones(len(truth), bool), "sensitivity": truth == 1, "specificity": truth == 0}


def films_counted(truth: NDArray[Any], predicted: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """The same, with the measures that are shares of what was called alike."""
    return {**films_called(truth), "precision": predicted, "npv": ~predicted}


def expected_calibration_error(
    truth: ArrayLike, probability: ArrayLike, *, bins: int = BINS, equal_width: bool = False
) -> float:
    """Mean over films of |share of pneumonia - mean probability| of the film's bin (Naeini et al., AAAI 2015).

    Bins hold equally many films (Nixon et al., CVPR workshops 2019): with equal widths nearly all films of a sharp network lie
    in the two outer bins, and the few others count for little but noise.
    """
    actual, said = np.asarray(truth, np.float64), np.asarray(probability, np.float64)
    order = np.argsort(said, kind="stable")
    actual, said = actual[order], said[order]
    place = bin_by_width(said, bins) if equal_width else bin_by_mass(np.ones_like(said), bins)
    return float(np.abs(np.bincount(place, weights=actual - said, minlength=bins)).sum() / len(said))


def bin_by_mass(weights: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The bin of each film, sorted by probability, so that bins weigh the same: (..., films) → (..., films)."""
    ranks = np.cumsum(weights, axis=-1) - weights / 2
    return np.minimum((ranks / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-12) * bins).astype(np.int64), bins - 1)


def bin_by_width(probability: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The bin of each film by its probability alone."""
    return np.minimum((probability * bins).astype(np.int64), bins - 1)


def calibration_line(truth: ArrayLike, probability: ArrayLike) -> tuple[float, float]:
    """Slope and intercept of a logistic regression of the truth on the probability's log-odds; 1 and 0 where all is well, a
    slope below 1 where the probabilities are too extreme (Cox, Biometrika 1958)."""
    said = np.asarray(probability, np.float64)
    odds = np.log(said / (1 - said))
    with warnings.catch_warnings():
        # Where the classes do not overlap the slope grows without end; where it stops is steep enough to say so
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(odds[:, None], np.asarray(truth, np.int64))
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
