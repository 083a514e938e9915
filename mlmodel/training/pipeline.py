"""From a folder of films to a candidate artifact."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlmodel.evaluation.store import render_files
from mlmodel.pretrained import Pretrained, find_weights
from mlmodel.training.curves import draw_history
from mlmodel.training.dataset import DataError
from mlmodel.training.export import clone_for_serving, describe_version, export_artifact
from mlmodel.training.judging import JudgingOptions, judge
from mlmodel.training.options import RunOptions
from mlmodel.training.prepared import prepare_data
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import Recipe
from mlmodel.training.trainer import Trainer

MANIFEST, CURVES = "split.csv", "training.png"


def train_candidate(
    *,
    data: Path,
    out: Path,
    recipe: Recipe,
    options: RunOptions,
    progress: Progress,
    judging: JudgingOptions | None = None,
) -> dict[str, Any]:
    """Train, calibrate and choose the operating point on `calibrate`, judge on `test`, write the artifact `out`; returns its
    metrics, the headline of the test.

    Raises `DataError` or `ValueError` for input that cannot be used, `StoppedError` where it was asked to stop, `OSError`.
    """
    if out.exists():
        raise DataError(f"{out} exists already: a version is never overwritten.")
    pretrained = find_weights(options.weights, options.imagenet_file, recipe.network)
    asked = judging or JudgingOptions()
    prepared = prepare_data(data, recipe, progress, cache=options.cache, split=asked.split, origin=asked.origin)
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
    judged = judge(network, prepared, version=out.name, sensitivity=recipe.sensitivity, options=asked, seed=recipe.seed)
    training = {
        "recipe": recipe.as_dict(),
        "seed": recipe.seed,
        "data_manifest_sha256": sha256(prepared.manifest).hexdigest(),
        "started_from": pretrained.name if pretrained else None,
        "history": trainer.history,
    }
    metadata = describe_version(out.name, recipe.network, {**judged.facts, "training": training})
    files = {
        MANIFEST: prepared.manifest,
        CURVES: draw_history(trainer.history),
        **judged.files,
        **render_files(judged.readings, judged.report, metadata, [CURVES]),
    }
    export_artifact(out, network, recipe.network, metadata, files)
    checkpoint.unlink(missing_ok=True)
    return dict(judged.facts["metrics"])


def _fingerprint(recipe: Recipe, manifest: bytes, pretrained: Pretrained | None) -> str:
    """What must be equal for a checkpoint to be gone on from. More epochs are another schedule, hence another run."""
    digest = sha256(json.dumps(recipe.as_dict(), sort_keys=True).encode() + manifest)
    digest.update(pretrained.sha256.encode() if pretrained else b"")
    return digest.hexdigest()
