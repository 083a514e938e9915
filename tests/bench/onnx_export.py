"""`python -m tests.bench.onnx_export VERSION FILE`: a version's serving graph as ONNX."""

import os
import sys
from pathlib import Path

import django


def main(version: str, target: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    django.setup()
    from mlmodel.artifact import verify_artifact
    from mlmodel.network import NetworkConfig, build_network
    from mlmodel.registry import locate_version
    from mlmodel.weights import load_weights
    from tests.bench.onnx_graph import build_onnx

    location = locate_version(version)
    network = build_network(NetworkConfig.from_dict(verify_artifact(location.path)["network"]))
    load_weights(network, location.path)
    Path(target).write_bytes(build_onnx(network).SerializeToString())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
