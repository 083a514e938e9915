"""A version judged again on the films that judged it: its documents anew, and everything that reads films byte for byte."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from mlmodel.artifact import read_metadata, write_artifact
from mlmodel.evaluation.calibrators import apply
from mlmodel.evaluation.store import render_files
from mlmodel.gate.judge import load_gate
from mlmodel.serving import build_serving_model
from mlmodel.training.combining import read_member
from mlmodel.training.dataset import DataError, LabelledFilm, load_films
from mlmodel.training.extras import read_extras
from mlmodel.training.judging import decline, read_part, report_test, serve, summarise
from mlmodel.training.pipeline import CURVES, MANIFEST
from mlmodel.training.prepared import Prepared
from mlmodel.training.progress import Progress


def rejudge_version(*, source: Path, data: Path, out: Path, progress: Progress) -> dict[str, Any]:
    """Write `out`, the version of `source` with its evaluation, predictions, card and curves made anew by the code as it is
    now; returns its metrics.

    Weights, graph, calibration, operating point, gate and split stay as they are. Raises `DataError` where `data` does not hold
    the films of the version's test part, `ModelError` for a damaged artifact, `ValueError`, `OSError`.
    """
    if out.exists():
        raise DataError(f"{out} exists already: a version is never overwritten.")
    _, network = read_member(source)
    metadata = read_metadata(source)
    if out.name != metadata["version"]:
        raise DataError(f"The folder of version {metadata['version']} has its name. Received: {out.name}")
    prepared = _read_tested(source / MANIFEST, data, metadata["input_shape"][0], progress)
    outputs = serve(build_serving_model(network), prepared.array)
    said, threshold = apply(metadata["calibration"], outputs.logits), metadata["operating_point"]["threshold"]
    codes = decline(load_gate(source, metadata), prepared.array, outputs)
    readings = read_part(prepared, "test", said, codes, threshold)
    report = report_test(readings, version=out.name, threshold=threshold, seed=metadata["training"]["seed"])
    renewed = {**metadata, "metrics": summarise(report)}
    kept = {name: source / name for name in metadata["files"]}
    documents = render_files(readings, report, renewed, [CURVES] if CURVES in kept else [])
    write_artifact(out, renewed, {**kept, **documents})
    return dict(renewed["metrics"])


def _read_tested(manifest: Path, data: Path, size: int, progress: Progress) -> Prepared:
    """The films of the part `test`, found by name below `data`, each with the content that the split names."""
    rows = _read_rows(manifest)
    folder = data.parent if data.is_file() else data
    films = [LabelledFilm(folder / row["file"], row["file"], row["label"], row["patient"]) for row in rows]
    array, hashes = load_films(films, size, progress)
    for film, row, digest in zip(films, rows, hashes, strict=True):
        if digest != row["sha256"]:
            raise DataError(f"{film.path} is not the film that the version was judged on.")
    truth = np.array([film.label == "PNEUMONIA" for film in films], np.float32)
    groups, parts = (np.array([row[name] for row in rows]) for name in ("group", "part"))
    return Prepared(films, hashes, array, truth, groups.astype(np.int64), parts, read_extras(data), manifest.read_bytes())


def _read_rows(manifest: Path) -> list[dict[str, str]]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest} is no split that can be read.") from error
    if not rows:
        raise DataError(f"{manifest} names no film of the part test.")
    return rows
