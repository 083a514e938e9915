"""A version judged again on the films that judged it: its documents anew, and everything that reads films byte for byte."""

from pathlib import Path
from typing import Any

from mlmodel.artifact import read_metadata, write_artifact
from mlmodel.evaluation.calibrators import apply
from mlmodel.evaluation.store import render_files
from mlmodel.gate.judge import load_gate
from mlmodel.serving import build_serving_model
from mlmodel.training.combining import read_member
from mlmodel.training.dataset import DataError
from mlmodel.training.judging import decline, judge_changed, read_part, report_test, serve, summarise
from mlmodel.training.pipeline import CURVES, MANIFEST
from mlmodel.training.prepared import prepare_part
from mlmodel.training.progress import Progress


def rejudge_version(*, source: Path, data: Path, out: Path, progress: Progress) -> dict[str, Any]:
    """Write `out`, the version of `source` with its evaluation (that of changed films too), predictions, card and curves made
    anew by the code as it is now; returns its metrics.

    Weights, graph, calibration, operating point, gate and split stay as they are. Raises `DataError` where `data` does not hold
    the films of the version's test part, `ModelError` for a damaged artifact, `ValueError`, `OSError`.
    """
    if out.exists():
        raise DataError(f"{out} exists already: a version is never overwritten.")
    _, network = read_member(source)
    metadata = read_metadata(source)
    if out.name != metadata["version"]:
        raise DataError(f"The folder of version {metadata['version']} has its name. Received: {out.name}")
    prepared = prepare_part(source / MANIFEST, data, "test", metadata["input_shape"][0], progress)
    serving = build_serving_model(network)
    outputs = serve(serving, prepared.array)
    calibration, seed = metadata["calibration"], metadata["training"]["seed"]
    threshold = metadata["operating_point"]["threshold"]
    said = apply(calibration, outputs.logits)
    codes = decline(load_gate(source, metadata), prepared.array, outputs)
    readings = read_part(prepared, "test", said, codes, threshold)
    report = report_test(readings, version=out.name, threshold=threshold, seed=seed)
    changed = judge_changed(serving, prepared, calibration, said, threshold=threshold, seed=seed)
    renewed = {**metadata, **changed, "metrics": summarise(report)}
    kept = {name: source / name for name in metadata["files"]}
    documents = render_files(readings, report, renewed, [CURVES] if CURVES in kept else [])
    write_artifact(out, renewed, {**kept, **documents})
    return dict(renewed["metrics"])
