"""After training: calibration and operating point on one part, the evaluation on another, by the graph that will serve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mlmodel.blas import one_thread
from mlmodel.engines import Outputs
from mlmodel.evaluation.calibrators import apply, fit_best
from mlmodel.evaluation.operating_point import choose_operating_point
from mlmodel.evaluation.readings import Reading
from mlmodel.evaluation.report import build_report
from mlmodel.evaluation.robustness import measure_robustness
from mlmodel.evaluation.subgroups import traits_of
from mlmodel.gate.fit import FittedGate, fit_gate
from mlmodel.gate.folders import read_folder
from mlmodel.gate.judge import Gate, Verdict
from mlmodel.gate.pixels import find_fault
from mlmodel.lungs import choose_least_share
from mlmodel.serving import build_serving_model
from mlmodel.thumbnail import shrink
from mlmodel.training.opacities import measure_opacities
from mlmodel.training.prepared import Prepared
from mlmodel.training.splits import Part
from mlmodel.training.trainer import Examples

SERVED: tuple[Part, ...] = ("calibrate", "test")
GLANCE = 32  # pixels: enough to know that a film can be read
COUNTS = ("films", "n", "patients", "refused", "threshold", "confusion")
HEADLINE = ("auc", "accuracy", "sensitivity", "specificity", "precision", "npv", "f1", "ece", "brier")


@dataclass(frozen=True, slots=True)
class JudgingOptions:
    """`split` is the manifest of an earlier version whose parts are kept. `operating_point` is a rule of
    `mlmodel.evaluation.operating_point`; without one it is the sensitivity that the recipe states. `prevalence` is how common
    pneumonia is where the probabilities will be read, by default as in the films. `origin` is source and licence of the
    films. `outliers` is a folder of films that are not to be read, such as adults', and `test_objects` one of drawn films that
    are, for the gate to learn from. Raises `ValueError` for a rule, prevalence or folder that cannot be, `DataError` for one
    without films or with one that cannot be read."""

    split: Path | None = None
    operating_point: Mapping[str, Any] | None = None
    prevalence: float | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    outliers: Path | None = None
    test_objects: Path | None = None

    def __post_init__(self) -> None:
        # Now, and not after hours of training
        if self.operating_point is not None:
            choose_operating_point([0, 1], [0.2, 0.8], self.operating_point)
        if self.prevalence is not None and not 0 < self.prevalence < 1:
            raise ValueError(f"prevalence lies between 0 and 1. Received: {self.prevalence}")
        for folder in (self.outliers, self.test_objects):
            if folder is not None and not folder.is_dir():
                raise ValueError(f"Films for the gate lie in a folder. Received: {folder}")
            read_folder(folder, GLANCE)


@dataclass(frozen=True, slots=True)
class Judged:
    """What the version's metadata say (`facts`), and the evaluation on the test part. `outputs` are what the serving graph
    answered for each part that it was run over, `files` what goes into the artifact besides."""

    facts: dict[str, Any]
    readings: list[Reading]
    report: dict[str, Any]
    outputs: dict[Part, Outputs]
    files: dict[str, bytes]


def judge(
    network: keras.Model, prepared: Prepared, *, version: str, sensitivity: float, options: JudgingOptions, seed: int = 0
) -> Judged:
    """Calibration, operating point, heatmap scale and the gate's limits from `calibrate`, the evaluation, with what the gate
    declines, from `test`.

    Raises `DataError` where a film for the gate cannot be read, `ValueError` where the gate declines the whole test.
    """
    # Once: each graph that is built anew is traced anew, for longer than it then computes
    serving = build_serving_model(network)
    outputs = {part: serve(serving, prepared.part(part).films) for part in SERVED}
    truth, logits = prepared.part("calibrate").truth, outputs["calibrate"].logits
    calibration = fit_best(logits, truth, prepared.groups_of("calibrate"), prevalence=options.prevalence, seed=seed)
    rule = options.operating_point or {"rule": "sensitivity", "sensitivity": sensitivity}
    point = choose_operating_point(truth, apply(calibration, logits), rule, calibrated_at=calibration["prevalence"])
    fitted = _fit_gate(serving, prepared, outputs["test"], options, seed)
    said = apply(calibration, outputs["test"].logits)
    codes = decline(fitted.gate, prepared.part("test").films, outputs["test"])
    readings = read_part(prepared, "test", said, codes, point["threshold"])
    report = report_test(readings, version=version, threshold=point["threshold"], seed=seed)
    found = apply(calibration, logits) >= point["threshold"]
    facts = {
        "calibration": {**calibration, "fitted_on": "calibrate"},
        "operating_point": {**point, "chosen_on": "calibrate"},
        "heatmap": judge_heat(prepared.part("calibrate"), outputs["calibrate"].activations, found),
        "gate": fitted.facts,
        **judge_changed(serving, prepared, calibration, said, threshold=point["threshold"], seed=seed),
        "metrics": summarise(report),
        "data": prepared.describe(),
    }
    return Judged(facts, readings, report, outputs, fitted.files)


def judge_changed(
    serving: keras.Model,
    prepared: Prepared,
    calibration: dict[str, Any],
    said: NDArray[np.float64],
    *,
    threshold: float,
    seed: int,
) -> dict[str, Any]:
    """The metadata's `robustness` and `drawn_opacities`: what the version says of the films of `test` once they are changed.
    `said` are the probabilities of the films as they are."""

    def probability_of(films: NDArray[np.uint8]) -> NDArray[np.float64]:
        return apply(calibration, serve(serving, films).logits)

    test = prepared.part("test")
    patients = [prepared.films[index].patient for index in np.flatnonzero(prepared.parts == "test")]
    return {
        "robustness": measure_robustness(probability_of, test.films, said, patients, threshold=threshold, seed=seed),
        "drawn_opacities": measure_opacities(
            probability_of, test.films, test.truth, said, patients, threshold=threshold, seed=seed
        ),
    }


def decline(gate: Gate | None, films: NDArray[np.uint8], outputs: Outputs) -> list[str | None]:
    """The code that each film, (count, size, size, 1), is refused with when it is read, or None: the rules on pixels, and the
    gate where there is one. What only a file tells, such as its colours, has no say."""
    planes = films[..., 0]
    learned = gate.judge_films(planes, _features(outputs)) if gate else [Verdict(None, is_suspect=False)] * len(planes)
    return [find_fault(plane) or verdict.code for plane, verdict in zip(planes, learned, strict=True)]


def report_test(readings: Sequence[Reading], *, version: str, threshold: float, seed: int) -> dict[str, Any]:
    """The evaluation on films that are all of the version's own test part."""
    report = build_report(readings, version=version, threshold=threshold, seed=seed)
    return report | {"training_overlap": {"test": len(readings)}}


def summarise(report: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata's `metrics`."""
    return {"test": {name: report[name] for name in (*COUNTS, *HEADLINE)}}


def judge_heat(part: Examples, activations: NDArray[np.float32], found: NDArray[np.bool_]) -> dict[str, float]:
    """The contribution that is drawn at full strength, and the share inside the lungs below which a finding is marked; from
    films with pneumonia, the latter from those of them that were `found`."""
    sick = part.truth == 1
    chosen = sick & found
    with one_thread():
        least = choose_least_share(shrink(part.films[chosen, :, :, 0]), activations[chosen])
    return {"scale": float(np.median(activations.max(axis=(1, 2))[sick])), "least_in_lung": least}


def _fit_gate(serving: keras.Model, prepared: Prepared, tested: Outputs, options: JudgingOptions, seed: int) -> FittedGate:
    films = prepared.part("test").films
    return fit_gate(
        features_of=lambda planes: _features(serve(serving, planes)),
        train=prepared.part("train").films,
        calibrate=prepared.part("calibrate").films,
        test=(films, _features(tested)),
        outliers=read_folder(options.outliers, films.shape[1]),
        test_objects=read_folder(options.test_objects, films.shape[1]),
        seed=seed,
    )


def _features(outputs: Outputs) -> NDArray[np.float32]:
    assert outputs.features is not None  # noqa: S101 - for the type alone: a graph built here has them
    return outputs.features


def serve(serving: keras.Model, films: NDArray[np.uint8], batch_size: int = 32) -> Outputs:
    """Films (count, size, size, 1) → what the serving graph, flips and all, answers for each."""
    batches: dict[str, list[NDArray[Any]]] = {"logit": [], "activation": [], "features": []}
    for start in range(0, len(films), batch_size):
        found = serving.predict_on_batch(films[start : start + batch_size])
        for name, kept in batches.items():
            kept.append(np.asarray(found[name], np.float32))
    whole = {name: np.concatenate(kept) for name, kept in batches.items()}
    return Outputs(whole["logit"][:, 0], whole["activation"], whole["features"])


def read_part(
    prepared: Prepared,
    part: Part,
    said: Sequence[float] | NDArray[np.float64],
    codes: Sequence[str | None],
    threshold: float,
) -> list[Reading]:
    """A reading per film of a part, as `evaluate_model` would make it of the same probabilities and codes of refusal."""
    readings = []
    for index, probability, code in zip(np.flatnonzero(prepared.parts == part), said, codes, strict=True):
        film, digest = prepared.films[index], prepared.hashes[index]
        traits = traits_of(film.path.name, prepared.extras.get(film.file))
        one = Reading(film.file, digest, film.patient, film.label, "refusal", code or "", traits=traits)
        if code is None:
            called = "PNEUMONIA" if probability >= threshold else "NORMAL"
            one = replace(one, outcome="finding", probability=float(probability), predicted=called)
        readings.append(one)
    return readings
