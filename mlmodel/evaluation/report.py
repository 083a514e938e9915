"""From readings to the report: every measure with its interval, for all films and for each subgroup.

A film without a finding has no probability. It is left out of the measures, counted under `refused` or `errors`, and counts as
wrongly read in `intention_to_read`, where nothing is gained by declining the difficult films.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlmodel.evaluation.bootstrap import RESAMPLES, draw_weights, interval, resample_all, share, widen_extreme
from mlmodel.evaluation.measures import count_outcomes, films_called, films_counted, measure_all
from mlmodel.evaluation.readings import UNREADABLE, Reading, findings, hash_data
from mlmodel.evaluation.subgroups import BESIDE_NORMAL

FORMAT = 1
OF_SUBGROUPS = ("auc", "accuracy", "sensitivity", "specificity", "brier", "ece")
NAMED_FILES = 20


def build_report(
    readings: Sequence[Reading], *, version: str, threshold: float, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Plain JSON. Measures are {value, low, high} with a 95 % interval over patients, None where they do not exist; `confusion`
    is [[TN, FP], [FN, TP]]; `n` films have a finding, of `films` in all. Raises `ValueError` where no film was read."""
    read = findings(readings)
    if not read:
        raise ValueError("Not one of the films could be read.")
    truth = _truth(read)
    codes = Counter(one.code for one in readings if one.outcome == "refusal")
    unreadable = [one.file for one in readings if one.code in UNREADABLE]
    return {
        "format": FORMAT,
        "model_version": version,
        "created_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),  # noqa: TID251 - a record's date, no lease
        "seed": seed,
        "resamples": resamples,
        "data_sha256": hash_data(readings),
        "films": len(readings),
        "n": len(read),
        "patients": len({one.patient for one in read}),
        "pneumonia": int(truth.sum()),
        "normal": int(len(truth) - truth.sum()),
        "threshold": threshold,
        "refused": codes.total(),
        "refusals": dict(sorted(codes.items())),
        "errors": sum(1 for one in readings if one.outcome == "error"),
        "unreadable": {"count": len(unreadable), "files": unreadable[:NAMED_FILES]},
        "confusion": count_outcomes(truth, _said(read) >= threshold),
        **measure_with_intervals(read, threshold=threshold, resamples=resamples, seed=seed),
        "intention_to_read": _intention_to_read(readings, resamples, seed),
        "subgroups": _subgroups(read, threshold, resamples, seed),
    }


def measure_with_intervals(
    readings: Sequence[Reading], *, threshold: float, resamples: int, seed: int
) -> dict[str, dict[str, float | None]]:
    """Each measure of films that have a finding, as {value, low, high}."""
    truth, said = _truth(readings), _said(readings)
    values = measure_all(truth, said, threshold)
    patients = [one.patient for one in readings]
    resampled = resample_all(truth, said, threshold, draw_weights(patients, resamples, seed))
    measured = {name: interval(value, resampled[name]) for name, value in values.items()}
    counted = films_counted(truth, said >= threshold)
    return measured | {name: widen_extreme(measured[name], np.asarray(patients)[among]) for name, among in counted.items()}


def _intention_to_read(readings: Sequence[Reading], resamples: int, seed: int) -> dict[str, Any]:
    """Accuracy, sensitivity and specificity over all films, where one without a finding is wrong."""
    right = np.array([one.probability is not None and one.predicted == one.label for one in readings])
    patients = [one.patient for one in readings]
    weights = draw_weights(patients, resamples, seed)
    shares = {name: share(right, patients, weights, among) for name, among in films_called(_truth(readings)).items()}
    return {"films": len(readings), **shares}


def _subgroups(read: Sequence[Reading], threshold: float, resamples: int, seed: int) -> dict[str, Any]:
    """By name; a cause of pneumonia is judged beside all normal films, so that its sensitivity is its own."""
    groups = {}
    for name in sorted({trait for one in read for trait in one.traits}):
        beside = name.startswith(BESIDE_NORMAL)
        films = [one for one in read if name in one.traits or (beside and one.label == "NORMAL")]
        measured = measure_with_intervals(films, threshold=threshold, resamples=resamples, seed=seed)
        groups[name] = {
            "n": len(films),
            "patients": len({one.patient for one in films}),
            "pneumonia": sum(one.label == "PNEUMONIA" for one in films),
            **{measure: measured[measure] for measure in OF_SUBGROUPS},
        }
    return groups


def _truth(readings: Sequence[Reading]) -> NDArray[np.float64]:
    return np.array([one.label == "PNEUMONIA" for one in readings], np.float64)


def _said(readings: Sequence[Reading]) -> NDArray[np.float64]:
    return np.array([one.probability for one in readings], np.float64)
