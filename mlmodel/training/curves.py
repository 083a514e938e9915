"""What happened in training, as a picture: loss and AUC by epoch."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

COLOURS = ("#0072B2", "#D55E00")  # told apart by the colour-blind too (Okabe and Ito, 2008)
FORMATS = {"train": ("o-", COLOURS[0]), "validate": ("s--", COLOURS[1])}


def draw_history(*histories: Sequence[Mapping[str, float]]) -> bytes:
    """PNG of loss and AUC in training and validation, a row for each history, the chosen epoch marked: the one with the highest
    validation AUC. Each entry of a history may have `loss`, `auc`, `validation_loss` and `validation_auc`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6 * len(histories)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(histories), 2, squeeze=False)
    for number, (row, history) in enumerate(zip(rows, histories, strict=True), start=1):
        for axes, quantity, label in zip(row, ("loss", "auc"), ("loss", "AUC"), strict=True):
            _draw_quantity(axes, history, quantity)
            axes.set_ylabel(f"{label}, member {number}" if len(histories) > 1 else label)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _draw_quantity(axes: Any, history: Sequence[Mapping[str, float]], quantity: str) -> None:
    for part, (line, colour) in FORMATS.items():
        name = quantity if part == "train" else f"validation_{quantity}"
        values = [entry.get(name, float("nan")) for entry in history]
        if values and values != [float("nan")] * len(values):
            axes.plot(range(1, len(history) + 1), values, line, color=colour, label=part, markersize=4)
    if best := chosen_epoch(history):
        axes.axvline(best, color="0.6", linewidth=1, linestyle=":", label=f"chosen: epoch {best}")
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()


def chosen_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """The epoch, from 1, whose weights were kept; 0 where there is none."""
    scores = [entry["validation_auc"] for entry in history]
    return scores.index(max(scores)) + 1 if scores else 0
