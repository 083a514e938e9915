"""The serving graph by Keras, for machines with a GPU, and as the measure that OpenVINO is held to."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlmodel.engines import Outputs
from mlmodel.types import ArtifactIncompatibleError


class KerasEngine:
    """Rebuilt from code and weights: nothing in the artifact is executed."""

    def __init__(self, directory: Path, metadata: dict[str, Any], *, threads: int = 0) -> None:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import keras

        from mlmodel.network import NetworkConfig, build_network
        from mlmodel.serving import build_serving_model
        from mlmodel.weights import load_weights

        if threads and keras.config.backend() == "tensorflow":
            _limit_threads(threads)
        try:
            network = build_network(NetworkConfig.from_dict(metadata["network"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactIncompatibleError("This code cannot build the artifact's network.") from error
        load_weights(network, directory)
        self._model = build_serving_model(network)
        self.name = f"keras {keras.__version__} {keras.config.backend()} float32"

    def run(self, films: NDArray[np.uint8]) -> Outputs:
        """See `Engine.run`."""
        outputs = {name: np.asarray(value) for name, value in self._model.predict_on_batch(films).items()}
        return Outputs(outputs["logit"][:, 0], outputs["activation"], outputs["features"])


def _limit_threads(threads: int) -> None:
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:  # TensorFlow is running already, with the threads it has
        return
