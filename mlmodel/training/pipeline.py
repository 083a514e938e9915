"""From a folder of films to a candidate artifact."""

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras

from mlmodel.artifact import check_place, verify_artifact
from mlmodel.evaluation.store import render_files
from mlmodel.pretrained import Pretrained, find_weights
from mlmodel.training.combining import combine_networks, read_member
from mlmodel.training.curves import draw_history
from mlmodel.training.dataset import DataError
from mlmodel.training.export import clone_for_serving, describe_version, export_artifact
from mlmodel.training.judging import JudgingOptions, judge
from mlmodel.training.options import RunOptions
from mlmodel.training.prepared import Prepared, prepare_data
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import Recipe, recipe_from_dict
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
    _check_out(out)
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
    network = trainer.fit()
    training = {
        "recipe": recipe.as_dict(),
        "started_from": pretrained.name if pretrained else None,
        "history": trainer.history,
    }
    metrics = _judge_and_write(
        network, recipe, prepared, out=out, training=training, judging=asked, files={CURVES: draw_history(trainer.history)}
    )
    checkpoint.unlink(missing_ok=True)
    return metrics


def combine_candidates(
    *, members: Sequence[Path], data: Path, out: Path, progress: Progress, judging: JudgingOptions, cache: Path | None = None
) -> dict[str, Any]:
    """Join versions into one candidate `out` that is calibrated and judged anew; returns its metrics.

    Its split is that of the first member, and every member must have been trained on the same: a film that one of them learned
    from must not judge the whole. Raises `DataError`, `ValueError`, `ModelError` or `OSError`.
    """
    _check_out(out)
    described = [verify_artifact(member) for member in members]
    if len({metadata["files"].get(MANIFEST) for metadata in described}) > 1:
        raise DataError("The versions were trained on different splits.")
    config, network = combine_networks([read_member(member) for member in members])
    recipe = replace(recipe_from_dict(described[0]["training"]["recipe"]), network=config)
    asked = replace(judging, split=members[0] / MANIFEST)
    prepared = prepare_data(data, recipe, progress, cache=cache, split=asked.split, origin=asked.origin)
    training = {
        "recipe": recipe.as_dict(),
        "started_from": None,
        "members": [{name: metadata[name] for name in ("version", "training")} for metadata in described],
    }
    curves = {CURVES: draw_history(*(metadata["training"]["history"] for metadata in described))}
    return _judge_and_write(network, recipe, prepared, out=out, training=training, judging=asked, files=curves)


def _check_out(out: Path) -> None:
    """Now, and not after hours of training. Raises `DataError`."""
    if out.exists():
        raise DataError(f"{out} exists already: a version is never overwritten.")
    try:
        check_place(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}.") from error


def _judge_and_write(
    network: keras.Model,
    recipe: Recipe,
    prepared: Prepared,
    *,
    out: Path,
    training: dict[str, Any],
    judging: JudgingOptions,
    files: dict[str, bytes],
) -> dict[str, Any]:
    served = clone_for_serving(network, recipe.network)
    judged = judge(served, prepared, version=out.name, sensitivity=recipe.sensitivity, options=judging, seed=recipe.seed)
    facts = {"seed": recipe.seed, "data_manifest_sha256": sha256(prepared.manifest).hexdigest(), **training}
    metadata = describe_version(out.name, recipe.network, {**judged.facts, "training": facts})
    parts = {
        MANIFEST: prepared.manifest,
        **files,
        **judged.files,
        **render_files(judged.readings, judged.report, metadata, list(files)),
    }
    export_artifact(out, served, recipe.network, metadata, parts)
    return dict(judged.facts["metrics"])


def _fingerprint(recipe: Recipe, manifest: bytes, pretrained: Pretrained | None) -> str:
    """What must be equal for a checkpoint to be gone on from. More epochs are another schedule, hence another run."""
    digest = sha256(json.dumps(recipe.as_dict(), sort_keys=True).encode() + manifest)
    digest.update(pretrained.sha256.encode() if pretrained else b"")
    return digest.hexdigest()
