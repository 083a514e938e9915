"""The report's pictures, as PNG: ROC, precision-recall, reliability and the confusion matrix.

Colours are those of Okabe and Ito (2008), which the colour-blind tell apart; bands and bars are 95 % intervals over patients.
"""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from mlmodel.evaluation.bootstrap import LEVELS, draw_weights
from mlmodel.evaluation.measures import bin_by_mass
from mlmodel.evaluation.readings import Reading, findings

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.55"
GRID = np.linspace(0, 1, 101)
CURVES, POINTS = 200, 10  # resamples of a curve's band, points of the reliability diagram
DPI = 120
Values = NDArray[np.float64]


def draw_figures(readings: Sequence[Reading], report: dict[str, Any]) -> dict[str, bytes]:
    """PNG by file name. Curves that need both classes are left out where the films read have one."""
    read = findings(readings)
    truth = np.array([one.label == "PNEUMONIA" for one in read], np.float64)
    said = np.array([one.probability for one in read], np.float64)
    figures = {"confusion.png": draw_confusion(report["confusion"])}
    if len(np.unique(truth)) == 2:
        weights = draw_weights([one.patient for one in read], CURVES, int(report["seed"])).astype(np.float64)
        figures |= {
            "roc.png": draw_roc(truth, said, weights, report),
            "precision_recall.png": draw_precision_recall(truth, said, weights, report),
            "reliability.png": draw_reliability(truth, said, weights, report),
        }
    return figures


def draw_roc(truth: Values, said: Values, weights: Values, report: dict[str, Any]) -> bytes:
    """Sensitivity over 1 - specificity, with the operating point."""

    def sensitivity(weight: Values | None) -> Values:
        false_rates, true_rates, _ = roc_curve(truth, said, sample_weight=weight, drop_intermediate=False)
        return np.interp(GRID, false_rates, true_rates)

    figure, axes = _start((4.6, 4.4))
    false_rates, true_rates, _ = roc_curve(truth, said, drop_intermediate=False)
    axes.fill_between(GRID, *_band(sensitivity, truth, weights), color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(false_rates, true_rates, color=BLUE, label=f"AUC {_state(report['auc'])}")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    point = (1 - report["specificity"]["value"], report["sensitivity"]["value"])
    axes.plot(*point, "o", color=ORANGE, label=f"operating point {report['threshold']:.3f}")
    return _finish(figure, axes, "1 - specificity", "sensitivity")


def draw_precision_recall(truth: Values, said: Values, weights: Values, report: dict[str, Any]) -> bytes:
    """Positive predictive value over sensitivity; the dotted line is the prevalence, which chance would reach."""

    def precision(weight: Values | None) -> Values:
        values, recalls, _ = precision_recall_curve(truth, said, sample_weight=weight)
        return np.interp(GRID, recalls[::-1], values[::-1])

    figure, axes = _start((4.6, 4.4))
    values, recalls, _ = precision_recall_curve(truth, said)
    axes.fill_between(GRID, *_band(precision, truth, weights), color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(recalls, values, color=BLUE, label=f"average precision {_state(report['average_precision'])}")
    axes.axhline(truth.mean(), color=GREY, linestyle=":", linewidth=1)
    if report["precision"]["value"] is not None:
        point = (report["sensitivity"]["value"], report["precision"]["value"])
        axes.plot(*point, "o", color=ORANGE, label=f"operating point {report['threshold']:.3f}")
    return _finish(figure, axes, "sensitivity (recall)", "positive predictive value (precision)")


def draw_reliability(truth: Values, said: Values, weights: Values, report: dict[str, Any]) -> bytes:
    """Share of pneumonia over the stated probability, in bins of equally many films; below it how often each was stated."""
    order = np.argsort(said, kind="stable")
    actual, stated, drawn = truth[order], said[order], weights[:, order]
    place = bin_by_mass(np.ones_like(stated), POINTS)
    one_hot = (place[:, None] == np.arange(POINTS)).astype(np.float64)
    counts = np.maximum(drawn @ one_hot, 1e-12)
    low, high = np.percentile((drawn * actual) @ one_hot / counts, LEVELS, axis=0)
    filled = np.maximum(one_hot.sum(axis=0), 1e-12)
    x, y = stated @ one_hot / filled, actual @ one_hot / filled

    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    errors = np.maximum([y - low, high - y], 0)
    axes.errorbar(x, y, yerr=errors, fmt="o-", color=BLUE, capsize=2, linewidth=1, label=f"ECE {_state(report['ece'])}")
    axes.axvline(
        report["threshold"], color=ORANGE, linewidth=1, linestyle="--", label=f"operating point {report['threshold']:.3f}"
    )
    axes.set_ylabel("share with pneumonia")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
    below.hist(stated, bins=20, range=(0, 1), color=BLUE)
    below.set_ylabel("films")
    below.set_xlabel("stated probability")
    below.set_xlim(-0.02, 1.02)
    return _save(figure)


def draw_confusion(confusion: list[list[int]]) -> bytes:
    """Counts and shares of each true class."""
    counts = np.asarray(confusion, np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _start((4.4, 4.2))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(2):
        for column in range(2):
            colour = "white" if shares[row, column] > 0.55 else "black"
            text = f"{int(counts[row, column])}\n{100 * shares[row, column]:.1f} %"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=12)
    axes.set_xticks([0, 1], ["not detected", "detected"])
    axes.set_yticks([0, 1], ["normal", "pneumonia"], rotation=90, va="center")
    axes.set_xlabel("the model says: pneumonia")
    axes.set_ylabel("the reference says")
    return _save(figure)


def _band(curve: Callable[[Values | None], Values], truth: Values, weights: Values) -> tuple[Values, Values]:
    """Lower and upper edge over `GRID`; resamples without one of the classes have no curve."""
    usable = [weight for weight in weights if (weight @ truth) > 0 and (weight @ (1 - truth)) > 0]
    curves = np.stack([curve(weight) for weight in usable]) if usable else curve(None)[None]
    low, high = np.percentile(curves, LEVELS, axis=0)
    return low, high


def _start(size: tuple[float, float]) -> tuple[Figure, Any]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _finish(figure: Figure, axes: Any, across: str, up: str) -> bytes:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    return _save(figure)


def _save(figure: Figure) -> bytes:
    buffer = BytesIO()
    # The date would make the same picture another file each time
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _state(measure: dict[str, float | None]) -> str:
    """`0.981 (0.972 to 0.989)`."""
    value, low, high = measure["value"], measure["low"], measure["high"]
    if value is None:
        return "not known"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
