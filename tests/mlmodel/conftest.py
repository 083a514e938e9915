"""A tiny network in a real artifact; TensorFlow is loaded once, and only for the tests that ask for it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_django import Settings

if TYPE_CHECKING:
    from mlmodel.network import NetworkConfig
    from mlmodel.predictor import Predictor

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FACTS: dict[str, Any] = {
    "operating_point": {"threshold": 0.5, "target_sensitivity": 0.95},
    "calibration": {"method": "none"},
    "heatmap": {"scale": 0.05},
    "metrics": {"test": {"auc": 0.9}},
    "training": {"seed": 1},
}


@pytest.fixture(scope="session")
def tiny_config() -> "NetworkConfig":
    from mlmodel.network import NetworkConfig

    return NetworkConfig(input_size=64, blocks=(1, 1), widths=(6, 10), norm="batch", head="reference", head_width=12)


@pytest.fixture(scope="session")
def tiny_network(tiny_config: "NetworkConfig") -> Any:
    """Random weights everywhere, also in the norms, so that no term of a formula is one or zero by chance."""
    import keras
    import numpy as np

    from mlmodel.network import build_network
    from mlmodel.training.export import clone_for_serving

    keras.utils.set_random_seed(5)
    network = build_network(tiny_config)
    generator = np.random.default_rng(5)
    for variable in network.variables:
        if variable.dtype == "float32" and len(variable.shape) == 1:
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    return clone_for_serving(network, tiny_config)


@pytest.fixture(scope="session")
def tiny_artifact(tmp_path_factory: pytest.TempPathFactory, tiny_config: "NetworkConfig", tiny_network: Any) -> Path:
    """The version `7.0.0`, to be copied before it is harmed."""
    from mlmodel.training.export import export_artifact

    return export_artifact(tmp_path_factory.mktemp("versions") / "7.0.0", tiny_network, tiny_config, FACTS)


@pytest.fixture
def predictor(tiny_artifact: Path, settings: Settings, db: None) -> "Iterator[Predictor]":
    from mlmodel.predictor import load_predictor

    settings.MODEL_DIR, settings.MODEL_ENGINE = tiny_artifact.parent, "openvino"
    predictor = load_predictor("7.0.0")
    yield predictor
    predictor.close()
