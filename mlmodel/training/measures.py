"""What a network is judged by: discrimination, the operating point, and what it does there."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve


@dataclass(frozen=True, slots=True)
class Measures:
    """On `n` films of `patients` patients, at `threshold`; `confusion` is [[TN, FP], [FN, TP]]."""

    n: int
    patients: int
    auc: float
    threshold: float
    accuracy: float
    sensitivity: float
    specificity: float
    confusion: list[list[int]]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve."""
    return float(roc_auc_score(truth, score))


def choose_threshold(truth: ArrayLike, probability: ArrayLike, sensitivity: float) -> float:
    """The highest threshold at which `probability >= threshold` finds at least the share `sensitivity` of the diseased.

    It lies midway to the next lower film, or films like the last one found would fall out by rounding.
    """
    found, scores = np.asarray(truth, bool), np.asarray(probability, np.float64)
    _, rates, thresholds = roc_curve(found, scores, drop_intermediate=False)
    chosen = float(thresholds[np.argmax(rates >= sensitivity)])
    lower = scores[scores < chosen]
    return (chosen + float(lower.max())) / 2 if len(lower) else chosen / 2


def measure(truth: NDArray[Any], probability: NDArray[Any], threshold: float, patients: int) -> Measures:
    """Everything at one threshold; `truth` is 1 for pneumonia."""
    (tn, fp), (fn, tp) = confusion_matrix(truth, probability >= threshold, labels=[0, 1]).tolist()
    return Measures(
        n=len(truth),
        patients=patients,
        auc=auc(truth, probability),
        threshold=threshold,
        accuracy=(tn + tp) / len(truth),
        sensitivity=tp / (tp + fn),
        specificity=tn / (tn + fp),
        confusion=[[tn, fp], [fn, tp]],
    )
