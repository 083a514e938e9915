"""From a trained network to an artifact: weights, the serving graph for OpenVINO, metadata."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras

from mlmodel.artifact import GRAPH, GRAPH_WEIGHTS, WEIGHTS, write_artifact
from mlmodel.engines.openvino_library import import_openvino
from mlmodel.network import NetworkConfig, build_network
from mlmodel.preprocessing import Preprocessing
from mlmodel.serving import build_serving_model
from mlmodel.training.export_child import NETWORK
from mlmodel.weights import pack_weights, round_kernels

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("keras", "tensorflow", "openvino", "numpy", "pillow", "scikit-learn")
INTENDED_USE = {
    "statement": (
        "Frontal (AP or PA) chest radiographs of children aged 1 to 5 years. Preliminary support for a clinician who reads the "
        "film; investigational, not a medical device."
    ),
    "min_age_years": 1.0,
    "max_age_years": 5.0,
    "views": ["AP", "PA"],
}


def clone_for_serving(network: keras.Model, config: NetworkConfig) -> keras.Model:
    """A float32 copy with kernels rounded to what the artifact stores: evaluate this one, not the one that was trained."""
    copy = build_network(config)
    copy.set_weights(network.get_weights())
    round_kernels(copy)
    return copy


def export_artifact(
    directory: Path,
    network: keras.Model,
    config: NetworkConfig,
    facts: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Write the artifact of a network from `clone_for_serving`. `facts` are as `describe_version` takes or returns them;
    `files` are further files by name. Raises `FileExistsError` or `OSError`."""
    metadata = describe_version(directory.name, config, facts)
    with TemporaryDirectory() as folder:
        weights = pack_weights(network)
        graph = _export_graph(network, config, weights, Path(folder))
        parts: dict[str, bytes | Path] = {
            WEIGHTS: weights,
            GRAPH: graph,
            GRAPH_WEIGHTS: graph.with_suffix(".bin"),
            **(files or {}),
        }
        return write_artifact(directory, metadata, parts)


def describe_version(version: str, config: NetworkConfig, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a version. `facts` are operating point, calibration, heatmap scale, metrics and training; they
    prevail."""
    size = config.input_size
    return {
        "version": version,
        "created_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),  # noqa: TID251 - a record's date, no lease
        "network": config.as_dict(),
        "input_shape": [size, size, 1],
        "preprocessing": Preprocessing(size=size).as_dict(),
        "intended_use": INTENDED_USE,
        "libraries": {"python": platform.python_version(), **{name: library_version(name) for name in LIBRARIES}},
        **facts,
    }


def _export_graph(network: keras.Model, config: NetworkConfig, weights: bytes, folder: Path) -> Path:
    """The serving graph by `write_graph`, in a process of its own where this one's back end is not TensorFlow."""
    if keras.backend.backend() == "tensorflow":
        return write_graph(network, folder)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / NETWORK).write_text(json.dumps(config.as_dict()), encoding="utf-8")
    command = [sys.executable, "-m", "mlmodel.training.export_child", str(folder)]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)  # noqa: S603 - our own
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["the process ended"])[-1]
        raise OSError(f"the serving graph, which takes TensorFlow beside this back end: {reason}")
    return folder / GRAPH


def write_graph(network: keras.Model, folder: Path) -> Path:
    """The serving graph as OpenVINO IR, large constants as float16; returns the path of its XML. On TensorFlow alone."""
    openvino = import_openvino()
    raw = folder / "raw.xml"
    try:
        build_serving_model(network).export(str(raw), format="openvino", verbose=False)
        openvino.save_model(openvino.Core().read_model(raw), folder / GRAPH, compress_to_fp16=True)
    except RuntimeError as error:  # OpenVINO's word for a disk that is full, too
        raise OSError(f"the serving graph: {str(error).strip().splitlines()[-1]}") from error
    return folder / GRAPH
