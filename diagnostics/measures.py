"""An evaluation's JSON as the rows of a table that a clinician reads. Every number comes from the report; none is computed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Measure, its name on the page, whether it is a share (shown in percent), and what it means in one line
HEADLINE = (
    ("auc", "Area under the ROC curve", False, "How well films are ranked: 1 is perfect, 0.5 is chance"),
    ("sensitivity", "Sensitivity", True, "Films with pneumonia that are called positive"),
    ("specificity", "Specificity", True, "Films without pneumonia that are called negative"),
    ("precision", "Positive predictive value", True, "Positive calls that are right, at the prevalence of these films"),
    ("npv", "Negative predictive value", True, "Negative calls that are right, at the prevalence of these films"),
    ("accuracy", "Accuracy", True, "All calls that are right"),
    ("f1", "F1 score", False, "Harmonic mean of sensitivity and positive predictive value"),
    ("ece", "Calibration error (ECE)", False, "How far the stated probabilities are off on average: 0 is perfect"),
    ("brier", "Brier score", False, "Squared error of the stated probabilities: 0 is perfect"),
)
OF_SUBGROUPS = ("auc", "sensitivity", "specificity", "accuracy")
MISSING = "not known"


@dataclass(frozen=True, slots=True)
class Measure:
    """One row: `value` and its 95 % interval as text; the interval is empty where the report has none."""

    key: str
    name: str
    value: str
    interval: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Subgroup:
    """One group of patients: how many films, and `OF_SUBGROUPS` in that order."""

    name: str
    films: str
    cells: list[Measure]


def headline_measures(report: Mapping[str, Any]) -> list[Measure]:
    """The report's rows in `HEADLINE` order; what it does not hold is left out."""
    rows = (_measure(report.get(key), key, name, meaning, share=share) for key, name, share, meaning in HEADLINE)
    return [row for row in rows if row.value != MISSING]


def subgroup_rows(report: Mapping[str, Any]) -> list[Subgroup]:
    """The report's subgroups, in its own order."""
    rows = []
    for name, group in _named(report.get("subgroups")):
        cells = [_cell(group, key) for key in OF_SUBGROUPS]
        rows.append(Subgroup(name, _count(group.get("n")), cells))
    return rows


def out_of_hundred(report: Mapping[str, Any], key: str, *, missed: bool = False) -> str:
    """ "94 (92 to 96)": a share and its interval as whole films of a hundred, or the films it leaves; empty where it is not
    known."""
    value, low, high = _bounds(report.get(key))
    if value is None:
        return ""
    if missed:
        value, low, high = 1 - value, None if high is None else 1 - high, None if low is None else 1 - low
    if low is None or high is None:
        return f"{100 * value:.0f}"
    return f"{100 * value:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def _cell(group: Mapping[str, Any], key: str) -> Measure:
    _, name, share, meaning = next(row for row in HEADLINE if row[0] == key)
    return _measure(group.get(key), key, name, meaning, share=share)


def _measure(stored: Any, key: str, name: str, meaning: str, *, share: bool) -> Measure:
    value, low, high = _bounds(stored)
    if value is None:
        return Measure(key, name, MISSING, "", meaning)
    interval = "" if low is None or high is None else f"{_text(low, share=share)} to {_text(high, share=share)}"
    return Measure(key, name, _text(value, share=share) + (" %" if share else ""), interval, meaning)


def _text(value: float, *, share: bool) -> str:
    return f"{100 * value:.1f}" if share else f"{value:.3f}"


def _bounds(stored: Any) -> tuple[float | None, float | None, float | None]:
    """Value, low and high of `{value, low, high}` or of a bare number; None for what is missing or not finite."""
    if isinstance(stored, Mapping):
        return _finite(stored.get("value")), _finite(stored.get("low")), _finite(stored.get("high"))
    return _finite(stored), None, None


def _finite(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def _count(value: Any) -> str:
    number, _, _ = _bounds(value)
    return MISSING if number is None else f"{number:,.0f}"


def _named(groups: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if isinstance(groups, Mapping):
        return [(str(name), group) for name, group in groups.items() if isinstance(group, Mapping)]
    if isinstance(groups, list):
        return [(str(group.get("name", "")), group) for group in groups if isinstance(group, Mapping)]
    return []
