"""From a folder of films to a candidate artifact."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mlmodel.pretrained import Pretrained, find_weights
from mlmodel.serving import build_serving_model
from mlmodel.training.curves import draw_history
from mlmodel.training.dataset import DataError, LabelledFilm, find_films, load_films
from mlmodel.training.export import clone_for_serving, export_artifact
from mlmodel.training.measures import Measures, choose_threshold, measure
from mlmodel.training.options import RunOptions
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import Recipe
from mlmodel.training.splits import Part, find_near_duplicates, group_films, split_groups, write_manifest
from mlmodel.training.trainer import Examples, Trainer

MANIFEST, CURVES = "split.csv", "training.png"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything decoded and split; `manifest` is the split as CSV."""

    films: list[LabelledFilm]
    array: NDArray[np.uint8]
    truth: NDArray[np.float32]
    groups: NDArray[np.int64]
    parts: NDArray[np.str_]
    manifest: bytes

    def part(self, name: Part) -> Examples:
        chosen = self.parts == name
        return Examples(self.array[chosen], self.truth[chosen])

    def group_count(self, name: Part) -> int:
        return len(np.unique(self.groups[self.parts == name]))


def prepare_data(data: Path, recipe: Recipe, progress: Progress, cache: Path | None = None) -> Prepared:
    """Find, decode, group and split. Raises `DataError`."""
    films = find_films(data)
    array, hashes = load_films(films, recipe.network.input_size, progress, cache)
    groups = group_films(films, find_near_duplicates(array))
    parts = split_groups(films, groups, recipe.seed)
    truth = np.array([film.label == "PNEUMONIA" for film in films], np.float32)
    for name in ("train", "validate", "test"):
        if len({label for label, part in zip(truth, parts, strict=True) if part == name}) < 2:
            raise DataError(f"{data} has too few patients of each class to train, choose a threshold and test on.")
    manifest = write_manifest(films, hashes, groups, parts)
    return Prepared(films, array, truth, np.array(groups), np.array(parts), manifest)


def train_candidate(*, data: Path, out: Path, recipe: Recipe, options: RunOptions, progress: Progress) -> dict[str, Any]:
    """Train, choose the operating point on `validate`, judge on `test`, write the artifact `out`; returns its metrics.

    Raises `DataError` or `ValueError` for input that cannot be used, `StoppedError` where it was asked to stop, `OSError`.
    """
    if out.exists():
        raise DataError(f"{out} exists already: a version is never overwritten.")
    pretrained = find_weights(options.weights, options.imagenet_file, recipe.network)
    prepared = prepare_data(data, recipe, progress, options.cache)
    checkpoint = out.parent / f".{out.name}-checkpoint.npz"
    if not options.resume:
        checkpoint.unlink(missing_ok=True)
    trainer = Trainer(
        recipe,
        prepared.part("train"),
        prepared.part("validate"),
        options=options,
        checkpoint=checkpoint,
        progress=progress,
        fingerprint=_fingerprint(recipe, prepared.manifest, pretrained),
    )
    if pretrained:
        progress.say(f"{trainer.start_from(pretrained)} layers start from {pretrained.name}")
    network = clone_for_serving(trainer.fit(), recipe.network)
    facts = judge(network, prepared, recipe)
    facts["training"] = {
        "recipe": recipe.as_dict(),
        "seed": recipe.seed,
        "data_manifest_sha256": sha256(prepared.manifest).hexdigest(),
        "started_from": pretrained.name if pretrained else None,
        "history": trainer.history,
    }
    files = {MANIFEST: prepared.manifest, CURVES: draw_history(trainer.history)}
    export_artifact(out, network, recipe.network, facts, files)
    checkpoint.unlink(missing_ok=True)
    return dict(facts["metrics"])


def judge(network: keras.Model, prepared: Prepared, recipe: Recipe) -> dict[str, Any]:
    """Operating point, heatmap scale and metrics, by the serving graph, flips and all."""
    run = serving_function(network)
    logits, strengths = run(prepared.part("validate").films)
    truth = prepared.part("validate").truth
    threshold = choose_threshold(truth, sigmoid(logits), recipe.sensitivity)
    judged: dict[Part, Measures] = {"validate": measure(truth, sigmoid(logits), threshold, prepared.group_count("validate"))}
    tested, _ = run(prepared.part("test").films)
    judged["test"] = measure(prepared.part("test").truth, sigmoid(tested), threshold, prepared.group_count("test"))
    return {
        "operating_point": {"threshold": threshold, "target_sensitivity": recipe.sensitivity, "chosen_on": "validate"},
        "calibration": {"method": "none"},
        "heatmap": {"scale": float(np.median(strengths[truth == 1]))},
        "metrics": {name: value.as_dict() for name, value in judged.items()},
    }


def serving_function(
    network: keras.Model, batch_size: int = 32
) -> Callable[[NDArray[np.uint8]], tuple[NDArray[np.float64], NDArray[np.float32]]]:
    """Films (count, size, size, 1) → logits (count,) and the strongest cell of each activation map (count,)."""
    serving = build_serving_model(network)

    def run(films: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        logits, strengths = [], []
        for start in range(0, len(films), batch_size):
            outputs = serving.predict_on_batch(films[start : start + batch_size])
            logits.append(np.asarray(outputs["logit"], np.float64)[:, 0])
            strengths.append(np.asarray(outputs["activation"]).max(axis=(1, 2)))
        return np.concatenate(logits), np.concatenate(strengths)

    return run


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities, without overflow."""
    return 0.5 * (1 + np.tanh(logits / 2))


def _fingerprint(recipe: Recipe, manifest: bytes, pretrained: Pretrained | None) -> str:
    """What must be equal for a checkpoint to be gone on from. More epochs are another schedule, hence another run."""
    digest = sha256(json.dumps(recipe.as_dict(), sort_keys=True).encode() + manifest)
    digest.update(pretrained.sha256.encode() if pretrained else b"")
    return digest.hexdigest()
